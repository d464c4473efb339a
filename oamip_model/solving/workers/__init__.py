"""Runs many solves at once, in processes of this machine or in a dask cluster."""
