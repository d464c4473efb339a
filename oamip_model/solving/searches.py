"""The search trees by name, in a module of its own that loads nothing."""

SEARCHES = ("solver", "tree", "auto")
"""The solver's own tree, a new one in each round of tangents; the package's
(:mod:`oamip_model.solving.treesearch.tree`); or the one that was measured to be quicker for the loss."""
