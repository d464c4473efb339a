"""The search trees by name, in a module of its own that loads nothing."""

SEARCHES = ("solver", "tree")
"""The solver's own tree, a new one in each round of tangents, or the package's
(:mod:`oamip_model.solving.treesearch.tree`)."""
