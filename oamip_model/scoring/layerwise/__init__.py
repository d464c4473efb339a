"""Scores layer by layer: the order, the programs of each layer, and exchanges."""
