"""Compares checkouts of the code: how they are built, and what they compute."""
