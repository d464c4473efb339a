"""Scores from programs of all layers, and the heuristic that starts them."""
