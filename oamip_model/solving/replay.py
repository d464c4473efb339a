"""The network with scores, by a forward pass in numpy: what a solution has to agree with (mathematics:replay-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from oamip_model.formulation import gate_scale
from oamip_model.network.ops import Array
from oamip_model.network.types import IMAGE, Network


def gated_logits(
    network: Network, images: ArrayLike, scores: dict[str, Array], gate: str, scale: tuple[Array, ...] | None = None
) -> Array:
    """Logits (n, classes) of the network whose units pass h = max(0, a - (1 - s) M), or s max(0, a) in gate "switch".

    scores: {group: (units,)}; scale: M of each layer, that of :func:`oamip_model.formulation.gate_scale` if not given.
    For scores of 0 and 1 both gates are the network with the units of score 0 removed (mathematics:score-1).

    Example:
        >>> import numpy as np, torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> network, x = om.read_network(module), np.ones((1, 2))
        >>> bool(np.allclose(gated_logits(network, x, {"0": np.ones(3)}, "subtractive"), network.replay(x)))
        True
    """
    outputs = gated_activations(network, images, scores, gate, scale)
    return outputs[-1].reshape(len(outputs[-1]), -1)


def gated_activations(
    network: Network, images: ArrayLike, scores: dict[str, Array], gate: str, scale: tuple[Array, ...] | None = None
) -> list[Array]:
    """Output of every layer, each (n, *layer.shape), as in :func:`gated_logits`."""
    x = network.check_images(images)
    if scale is None and gate != "switch":
        scale = gate_scale(network, x, gate)
    outputs: list[Array] = []
    for k, layer in enumerate(network.layers):
        a = layer.pre_activation([x if term.source == IMAGE else outputs[term.source] for term in layer.terms])
        if layer.group is None or layer.units is None:
            outputs.append(layer.activate(a))
            continue
        s = scores[network.groups[layer.group].name][layer.units].reshape(layer.shape)
        if gate == "switch" or scale is None:
            outputs.append(s * np.maximum(a, 0.0))
        else:
            outputs.append(np.maximum(a - (1.0 - s) * scale[k].reshape(a.shape), 0.0))
    return outputs
