"""The names of the methods, apart from what they need to run."""

BOUND_METHODS = ("interval", "crown", "lp", "mip")
"""From quick to tight; each starts from the one before it."""
