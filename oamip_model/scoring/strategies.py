"""The strategies and scopes by name; this module loads nothing."""

AVERAGED = ("batches", "per-class")
"""Several programs of all layers, scores averaged."""

LAYERWISE = ("decoupled", "forward", "backward")
"""One program for each layer, convex and from all images unless the head has ReLUs."""

ELIMINATION = "elimination"
"""Units go one by one, those first that a least squares refit misses least: no program, and nothing is proved."""

WHOLE = ("joint", *AVERAGED)
"""Programs of all layers at once, with the gates, losses and relaxations of the formulation."""

STRATEGIES = (ELIMINATION, *LAYERWISE, *WHOLE)
DEFAULT_STRATEGY = ELIMINATION
PROGRAM_STRATEGY = "forward"
"""The strategy where none is given, but an option or a solver that the default has no use for."""
SCOPES = ("layer", "global")
"""What an amount is a share of: each layer's units, or those of all layers."""
MOST_IMAGES = 200
"""Images that one mixed-integer program takes."""
