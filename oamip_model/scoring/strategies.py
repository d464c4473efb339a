"""The strategies and heads by name, in a module of its own that loads nothing."""

AVERAGED = ("batches", "per-class")
"""Several programs of all layers, scores averaged."""

LAYERWISE = ("decoupled", "forward", "backward")
"""One convex program for each layer, from all images."""

STRATEGIES = ("joint", *AVERAGED, *LAYERWISE)
HEADS = ("pattern", "linear")
