"""The scripts behind the figures in docs/results, each run as a module."""
