"""Backends of solvers for oamip_model, one module for each."""
