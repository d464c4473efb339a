"""A smaller network from stable units.

Units that are never on are removed, and units that are always on are folded.

See mathematics:fold-1..3. What is always on is linear. So where one such unit is a linear combination of others, they
take over its weights in the layers that read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from oamip_model.network.maps import Array, TrainedMap
from oamip_model.network.types import IMAGE, Layer, Network, Term
from oamip_model.refit.slim import slim_network

Indices = NDArray[np.int64]
_RESIDUAL = 1e-12
"""Norm that is left of a dependent row, relative to the row's."""
_LARGEST = 1e3
"""The largest coefficient of a linear combination that is used: beyond it rounding would be seen in the logits."""


@dataclass(frozen=True)
class States:
    """Units of a score group that are never on, and that are always on, over the box."""

    never: Indices
    always: Indices


def smaller(network: Network, states: dict[str, States]) -> tuple[Network, dict[str, Indices]]:
    """The network without its stable units, and the folded units by group.

    It is equal to the network on the box. A unit of a group of several layers is never on where it
    is so in all of them, and none of them is folded. A group whose units are all never on keeps one
    of them, which gives 0.

    Parameters
    ----------
    network : Network
        The network.
    states : mapping of str to States
        The stable units of each group.

    Returns
    -------
    Network
        The smaller network.
    dict of str to array
        The units of each group that were folded.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> with torch.no_grad():
    ...     _ = module[0].weight.copy_(torch.tensor([[1.0], [2.0], [-1.0]])), module[0].bias.zero_()
    >>> states = {"0": States(np.array([2]), np.array([0, 1]))}
    >>> less, folded = smaller(om.read_network(module, (1,)), states)
    >>> less.layers[0].size, folded["0"].tolist()
    (1, [1])
    """
    changed, keep, folded = network, {}, {}
    for group in network.groups:
        found = states.get(group.name, States(np.zeros(0, np.int64), np.zeros(0, np.int64)))
        gone = found.never
        folded[group.name] = np.zeros(0, dtype=np.int64)
        if len(group.layers) == 1 and len(found.always) > 1:
            changed, folded[group.name] = _folded(changed, group.layers[0], found.always)
            gone = np.union1d(gone, folded[group.name])
        kept = np.ones(group.size, dtype=bool)
        kept[gone] = False
        kept[0] |= not kept.any()
        keep[group.name] = kept
    slim = slim_network(changed, keep)
    if slim.gates:  # a channel is read where it cannot be removed, so the network keeps its shapes
        return network, {name: units[:0] for name, units in folded.items()}
    return slim.network, folded


def _folded(network: Network, k: int, always: Indices) -> tuple[Network, Indices]:
    """The network in which no layer reads some units of layer k that are always on, and these units."""
    layer = network.layers[k]
    readers = [(r, t) for r, other in enumerate(network.layers) for t, term in enumerate(other.terms)
               if term.source == k]  # fmt: skip
    nothing = np.zeros(0, dtype=np.int64)
    makers = [_weighted(term) for term in layer.terms]
    reading = {(r, t): _weighted(network.layers[r].terms[t]) for r, t in readers}
    if not readers or layer.pool is not None or None in (*makers, *reading.values()):
        return network, nothing
    weights = [map.full_weight.reshape(layer.pre_shape[0], -1) for map in makers if map is not None]
    rows = np.concatenate(weights, axis=1)
    basis, others, share = _combinations(rows[always])
    basis, others = always[basis], always[others]
    shift = layer.bias[others] - share @ layer.bias[basis]
    layers = list(network.layers)
    done = np.ones(len(others), dtype=bool)
    for r, t in readers:
        term = layers[r].terms[t]
        for u, unit in enumerate(others.tolist()):
            done[u] &= shift[u] == 0 or _constant(layers[r], term, layer, unit) is not None
    others, share, shift = others[done], share[done], shift[done]
    for r, t in readers:
        term, bias = layers[r].terms[t], layers[r].bias
        reader = _weighted(term)
        assert reader is not None
        weight = reader.full_weight
        by_unit = weight.reshape(len(weight), layer.pre_shape[0], -1).copy()
        for u, unit in enumerate(others.tolist()):
            if shift[u] != 0:
                at_unit = _constant(layers[r], term, layer, unit)
                assert at_unit is not None
                bias = bias + shift[u] * at_unit
            by_unit[:, basis] += share[u][None, :, None] * by_unit[:, [unit]]
            by_unit[:, unit] = 0.0
        map = reader.with_full_weight(by_unit.reshape(weight.shape))
        terms = tuple(replace(one, map=map) if n == t else one for n, one in enumerate(layers[r].terms))
        layers[r] = replace(layers[r], terms=terms, bias=bias)
    return replace(network, layers=tuple(layers)), others


def _weighted(term: Term) -> TrainedMap | None:
    """The map of a term that has a weight of its own without groups, None for others."""
    trained = term.map.trained
    return trained if trained is not None and trained.blocks == 1 else None


def _combinations(rows: Array) -> tuple[Indices, Indices, Array]:
    """Rows that span all of them, the other rows, and these as combinations of the former, (others, basis).

    A row that no combination gives within rounding, or only one with large coefficients, is among the former.
    """
    # Rows of different sizes are compared by direction.
    size = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(size > 0, size, 1.0)[:, None]
    _, upper, order = scipy.linalg.qr(unit.T, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(upper))
    rank = int((diagonal > _RESIDUAL * max(float(diagonal.max(initial=0.0)), 1e-300)).sum())
    basis, others = order[:rank], order[rank:]
    share, *_ = np.linalg.lstsq(unit[basis].T, unit[others].T, rcond=None)
    share = share.T
    left = np.linalg.norm(unit[others] - share @ unit[basis], axis=1)
    share = share * size[others][:, None] / size[basis][None, :]
    good = (left <= _RESIDUAL) & (np.abs(share).max(axis=1, initial=0.0) <= _LARGEST)
    # A row whose combination is not exact is kept. All others are combinations of the basis alone.
    return basis, others[good], share[good]


def _constant(reader: Layer, term: Term, layer: Layer, unit: int) -> Array | None:
    """The reader's output, by channel, for 1 at all positions of a unit, None where positions differ."""
    assert term.source != IMAGE
    ones = np.zeros((1, *layer.shape))
    ones[0, unit] = 1.0
    made = term.map.apply(ones.reshape(1, *term.input_shape)).reshape(reader.pre_shape[0], -1)
    return np.asarray(made[:, 0]) if np.abs(made - made[:, :1]).max() == 0 else None
