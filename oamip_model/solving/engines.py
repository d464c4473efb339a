"""The engines that run many solves by name, in a module of its own that loads nothing."""

ENGINES = ("loky", "dask")
"""Processes of this machine, or a dask cluster that is there already."""
