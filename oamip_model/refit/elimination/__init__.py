"""Masks for the least squares that follow (mathematics:elim-1..4)."""
