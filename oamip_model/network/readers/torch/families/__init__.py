"""Families of torch's operators: moves, products and windows."""
