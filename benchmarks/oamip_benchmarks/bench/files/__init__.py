"""Instances as files, and what solvers that read them find."""
