"""The strategies by name, in a module of its own that loads nothing."""

STRATEGIES = ("joint", "batches", "per-class")
