"""Proofs of a search's bound: their rows, their tangents and their tree."""
