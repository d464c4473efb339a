"""Which units are removed, by a threshold or a share (mathematics:rank-1).

The threshold is on their scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.norms import unit_norms
from oamip_model.network.types import Network

if TYPE_CHECKING:
    from oamip_model.scoring.result import Scores

Mask: TypeAlias = NDArray[np.bool_]
AnyScores: TypeAlias = "Scores | Mapping[str, ArrayLike]"
Threshold: TypeAlias = float | Literal["mean"]
Amount: TypeAlias = float | Mapping[str, float]
Scope: TypeAlias = Literal["layer", "global"]
_NOISE = 1e-6
"""Scores closer than this are equal when they are ranked or compared with their mean: solvers are no more exact."""


@dataclass(frozen=True)
class Selection:
    """The units that are kept and removed.

    Parameters
    ----------
    keep : dict of str to array of bool
        The mask (units,) of each group.
    forced : tuple of tuple
        (group, unit) that the rule would have removed. It is kept as the best of its layer, since a
        layer without units would leave a constant network.
    """

    keep: dict[str, Mask]
    forced: tuple[tuple[str, int], ...] = ()

    @property
    def removed(self) -> dict[str, NDArray[np.int64]]:
        """The removed units, {group: indices in increasing order}."""
        return {name: np.flatnonzero(~mask) for name, mask in self.keep.items()}


def prunable_units(
    scores: AnyScores,
    network: Network,
    *,
    threshold: Threshold | None = None,
    amount: Amount | None = None,
    scope: Scope = "layer",
) -> dict[str, NDArray[np.int64]]:
    """Indices of the units that may go, {group: increasing indices}.

    The rule and its errors are those of :func:`choose_units`.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> prunable_units({"0": [0.0, 1.0, 0.05]}, network, threshold=0.1)["0"].tolist()
    [0, 2]
    """
    return choose_units(scores, network, threshold=threshold, amount=amount, scope=scope).removed


def choose_units(
    scores: AnyScores,
    network: Network,
    *,
    threshold: Threshold | None = None,
    amount: Amount | None = None,
    scope: Scope = "layer",
) -> Selection:
    """The units that are kept and removed, by one of two rules.

    A ``threshold`` removes units whose score is strictly below it (the paper's rule), or below the
    mean score of their layer ("mean"). An ``amount`` removes this share of each layer's units, or a
    share by layer name. Layers that are not named are kept whole. With ``scope="global"`` it is a
    share of all units together. The count is rounded to the nearest, halves down.

    The units with the smallest scores are removed. Scores within 1e-6 of each other tie. Then the
    unit with the smaller product of incoming and outgoing weight norms is removed first, relative
    to its layer's largest. The earlier layer and the smaller index decide the remaining ties. The
    best unit of each layer is always kept.

    Raises InputError where not exactly one of the two is given, or one is out of range. It does so
    too where a layer is unknown or missing, or its scores are of the wrong number, NaN or outside
    [0, 1]. The same holds for scores of another network.
    """
    values = check_scores(scores, network)
    if (threshold is None) == (amount is None):
        raise InputError("prune: exactly one of threshold and amount is needed")
    if scope not in ("layer", "global"):
        raise InputError(f"scope: got {scope!r}, it is layer or global")
    norms = {name: norm / (norm.max() or 1.0) for name, norm in unit_norms(network).items()}
    if threshold is not None:
        if scope == "global":
            raise InputError("scope: global goes with amount, a threshold treats every unit alike")
        return _spare_the_best(_below(values, threshold), values, norms)
    assert amount is not None
    counts = _counts(amount, network, scope)
    if scope == "global":
        return _share_of_all(values, norms, counts[""])
    go = {name: np.zeros(len(score), dtype=bool) for name, score in values.items()}
    for name, mask in go.items():
        mask[removal_order(values[name], norms[name])[: counts[name]]] = True
    return _spare_the_best(go, values, norms)


def check_scores(scores: AnyScores, network: Network) -> dict[str, Array]:
    """The scores of every group as arrays, {group: (units,)}.

    Raises InputError where they do not fit the network.
    """
    network.check_scored(loss=False)
    fingerprint = getattr(scores, "network", None)
    if fingerprint is not None and fingerprint != network.fingerprint:
        raise InputError(
            f"scores: they belong to another network (fingerprint {fingerprint}, this one has {network.fingerprint})"
        )
    by_layer = scores if isinstance(scores, Mapping) else getattr(scores, "by_layer", None)
    if not isinstance(by_layer, Mapping):
        raise InputError(
            f"scores: got {type(scores).__name__}, a Scores result or a mapping from layer to scores is needed"
        )
    names = [group.name for group in network.groups]
    if fingerprint is not None and len(by_layer) == len(names) and set(by_layer) != set(names):
        # The same network from another file, which names its layers otherwise: they come in the same order.
        by_layer = dict(zip(names, by_layer.values(), strict=True))
    for name in by_layer:
        if name not in names:
            raise InputError(f"scores: unknown layer {name!r}, this network scores {', '.join(names)}")
    checked = {}
    for group in network.groups:
        if group.name not in by_layer:
            raise InputError(f"scores: layer {group.name} is missing")
        try:
            values = np.asarray(by_layer[group.name], dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"scores: those of layer {group.name} are not a list of numbers") from None
        if values.shape != (group.size,):
            raise InputError(f"scores: layer {group.name} has {group.size} units, got scores of shape {values.shape}")
        if np.isnan(values).any():
            raise InputError(f"scores: unit {int(np.isnan(values).argmax())} of layer {group.name} has the score NaN")
        if values.min() < -_NOISE or values.max() > 1 + _NOISE:
            raise InputError(f"scores: layer {group.name} has scores outside [0, 1]")
        checked[group.name] = values
    return checked


def _number(value: object) -> float | None:
    """The value as a float, None where it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return float(value)


def _below(values: dict[str, Array], threshold: Threshold) -> dict[str, Mask]:
    if threshold == "mean":
        return {name: score < score.mean() - _NOISE for name, score in values.items()}
    limit = _number(threshold)
    if limit is None or not 0 <= limit <= 1:
        raise InputError(f"threshold: got {threshold!r}, a number from 0 to 1 or mean is needed")
    return {name: score < limit for name, score in values.items()}


def _counts(amount: Amount, network: Network, scope: Scope) -> dict[str, int]:
    """How many units go from each layer; with scope global, from all together under the name ""."""
    sizes = {group.name: group.size for group in network.groups}
    if isinstance(amount, Mapping):
        if scope == "global":
            raise InputError("amount: shares by layer do not go with scope global")
        for name in amount:
            if name not in sizes:
                raise InputError(f"amount: unknown layer {name!r}, this network scores {', '.join(sizes)}")
        shares = {name: amount.get(name, 0.0) for name in sizes}
    elif scope == "global":
        shares, sizes = {"": amount}, {"": sum(sizes.values())}
    else:
        shares = dict.fromkeys(sizes, amount)
    counts = {}
    for name, share in shares.items():
        value = _number(share)
        if value is None or not 0 <= value < 1:
            where = f"amount of layer {name}" if isinstance(amount, Mapping) else "amount"
            raise InputError(f"{where}: got {share!r}, a share from 0 to below 1 is needed")
        counts[name] = removal_count(value, sizes[name])
    return counts


def removal_count(share: float, units: int) -> int:
    """Number of units that a share is: rounded to the nearest, halves down.

    Examples
    --------
    >>> removal_count(0.5, 5), removal_count(0.07, 50)
    (2, 3)
    """
    # Just under one half, so that 0.07 * 50 = 3.5000000000000004 counts as a half.
    return max(0, math.ceil(share * units - 0.5 - 1e-9))


def removal_order(score: Array, norm: Array, layer: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Units in the order in which they are removed.

    It is by score, then weight norm, then layer and index.
    """
    index = np.arange(len(score))
    first = np.zeros(len(score)) if layer is None else layer
    # Keys of lexsort: the last is the first to be compared.
    return np.lexsort((index, first, _leave_out_noise(norm), _leave_out_noise(score)))


def _leave_out_noise(values: Array) -> Array:
    """The rank of each value, where values within 1e-6 of their neighbour share a rank."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.concatenate(([0], np.cumsum(np.diff(values[order]) > _NOISE)))
    return ranks


def _spare_the_best(go: dict[str, Mask], values: dict[str, Array], norms: dict[str, Array]) -> Selection:
    forced = []
    for name, mask in go.items():
        if mask.all():
            best = int(removal_order(values[name], norms[name])[-1])
            mask[best] = False
            forced.append((name, best))
    return Selection({name: ~mask for name, mask in go.items()}, tuple(forced))


def _share_of_all(values: dict[str, Array], norms: dict[str, Array], count: int) -> Selection:
    """The ``count`` units that rank lowest over all layers, the best of each layer left out."""
    names, sizes = list(values), [len(score) for score in values.values()]
    layer = np.repeat(np.arange(len(names)), sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    order = removal_order(np.concatenate(list(values.values())), np.concatenate([norms[name] for name in names]), layer)
    best = [int(order[layer[order] == i][-1]) for i in range(len(names))]
    go = np.zeros(len(layer), dtype=bool)
    go[[unit for unit in order if unit not in set(best)][:count]] = True
    spared = set(order[:count].tolist()) & set(best)
    forced = tuple((names[layer[unit]], int(unit - starts[layer[unit]])) for unit in best if unit in spared)
    return Selection({name: ~go[layer == i] for i, name in enumerate(names)}, forced)
