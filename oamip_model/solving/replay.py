"""A forward pass of the network with scores, in numpy.

A solution has to agree with it (mathematics:replay-1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from oamip_model.formulation import gate_scale
from oamip_model.formulation.gates import gate_named
from oamip_model.network.maps import Array
from oamip_model.network.types import Network


def gated_logits(
    network: Network, images: ArrayLike, scores: dict[str, Array], gate: str, scale: tuple[Array, ...] | None = None
) -> Array:
    """Logits of the network whose scored units pass through a gate.

    For scores of 0 and 1 every gate is the network with the units of score 0 removed.

    Parameters
    ----------
    network : Network
        The trained network.
    images : array
        Images (n, *input_shape).
    scores : dict of str to array
        Scores (units,) of each group.
    gate : str
        The name of the gate.
    scale : tuple of array, optional
        M of each layer, (n, *layer.shape). By default it is that of
        :func:`oamip_model.formulation.gate_scale`.

    Returns
    -------
    array
        Logits (n, classes).

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network, x = om.read_network(module), np.ones((1, 2))
    >>> from oamip_model.formulation.gates import gate_names
    >>> ones = {"0": np.ones(3)}
    >>> [bool(np.allclose(gated_logits(network, x, ones, name), network.replay(x))) for name in gate_names()]
    [True, True, True]
    """
    outputs = gated_activations(network, images, scores, gate, scale)
    return outputs[-1].reshape(len(outputs[-1]), -1)


def gated_activations(
    network: Network, images: ArrayLike, scores: dict[str, Array], gate: str, scale: tuple[Array, ...] | None = None
) -> list[Array]:
    """Outputs of all layers of the network whose scored units pass through a gate.

    Parameters
    ----------
    network, images, scores, gate, scale
        As for :func:`gated_logits`.

    Returns
    -------
    list of array
        One array (n, *layer.shape) for each layer.
    """
    x, how = network.check_images(images), gate_named(gate)
    if scale is None and how.scaled:
        scale = gate_scale(network, x, gate)

    def passed(k: int, a: Array, s: Array) -> Array:
        return how.output(a, s, np.ones(()) if scale is None else scale[k].reshape(a.shape))

    return network.activations(x, scores, passed)
