"""Training of all weights behind the first layer (mathematics:refit-5)."""
