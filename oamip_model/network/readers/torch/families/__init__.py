"""Families of torch's operators: moves of numbers, products and windows."""
