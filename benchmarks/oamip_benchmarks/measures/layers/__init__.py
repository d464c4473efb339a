"""Measures of scoring layer by layer."""
