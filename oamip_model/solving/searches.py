"""The search trees by name, in a module of its own that loads nothing."""

SEARCHES = ("solver", "tree")
"""The solver's own tree, anew in each round of tangents, or ours (:mod:`oamip_model.solving.treesearch.tree`)."""
