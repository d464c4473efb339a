"""Torch modules and exported programs."""
