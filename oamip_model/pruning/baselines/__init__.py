"""Scores by simple rules, which need no solver."""
