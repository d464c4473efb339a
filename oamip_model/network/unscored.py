"""Why no layer of a network carries a score."""

from __future__ import annotations

from collections import Counter

from oamip_model.network.layer import IMAGE, Layer


def why_unscored(layers: tuple[Layer, ...]) -> str:
    """What the layers have that keeps scores away, by name.

    It is appended to a message, and "" where there is no likely reason.

    Examples
    --------
    >>> import numpy as np
    >>> from oamip_model.network.maps import Dense
    >>> from oamip_model.network.layer import Term
    >>> term = Term(Dense(np.eye(2)), IMAGE, (2,), "fc")
    >>> why_unscored((Layer("fc", (term,), np.zeros(2), (2,)),))
    '; here no ReLU is before the output'
    """
    if all(layer.activation != "relu" for layer in layers[:-1]):
        return "; here no ReLU is before the output"
    uses = Counter(term.name for layer in layers for term in layer.terms if term.name)
    reasons = [f"layer {name} is used {'twice' if n == 2 else f'{n} times'}" for name, n in uses.items() if n > 1]
    for layer in layers:
        passed = [t for t in layer.terms if t.map.trained is None and t.source != IMAGE]
        if len(passed) == len(layer.terms) and layer.bias.any() and layer.activation != "relu":
            reasons.append(f"layer {layer.name} adds a constant")
    return f"; here {' and '.join(reasons)}" if reasons else ""
