"""The search tree of this package: its nodes, branching, cuts and programs."""
