"""Many programs at once: in processes of this machine, or in a dask cluster."""
