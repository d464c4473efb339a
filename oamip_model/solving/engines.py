"""The engines that run many solves by name; this module loads nothing."""

ENGINES = ("loky", "dask")
"""Processes of this machine, or a dask cluster that is there already."""
