"""Units that can only be removed together from convolutions with groups."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.counting.owners import FREE, Ids, unit_owners
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Network
from oamip_model.scoring.select import removal_order


@dataclass
class _Blocks:
    """In how many blocks convolutions make and read the units of a group; whole: none of them can be removed."""

    made: set[int] = field(default_factory=set)
    read: set[int] = field(default_factory=set)
    whole: bool = False


def removal_steps(network: Network, scores: dict[str, Array], norms: dict[str, Array]) -> dict[str, list[Ids]]:
    """The units of each group in the steps of their removal (mathematics:budget-5).

    Steps come in the order of removal. The last of them is not there: something is always kept.

    scores, norms: {group: (units,)}, by which units rank.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> from oamip_model.pruning import unit_norms
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> scores = {"0": np.array([0.5, 1.0, 0.0])}
    >>> [step.tolist() for step in removal_steps(network, scores, unit_norms(network))["0"]]
    [[2], [0]]
    """
    blocks = _blocks(network)
    return {
        group.name: _steps(scores[group.name], norms[group.name], blocks[g])[:-1]
        for g, group in enumerate(network.groups)
    }


def _blocks(network: Network) -> list[_Blocks]:
    owners = unit_owners(network)
    found = [_Blocks() for _ in network.groups]
    for k, layer in enumerate(network.layers):
        for term in layer.terms:
            trained = term.map.trained
            if trained is None or trained.blocks == 1 or trained.is_depthwise:
                continue
            # Torch-Pruning takes one output a group for a depthwise convolution, which this is not.
            whole = trained.blocks == len(trained.weight)
            for ids, kind in ((owners.made[k], "made"), (owners.columns(term), "read")):
                if kind == "read" and term.source == IMAGE:
                    continue
                for g in np.unique(np.searchsorted(owners.starts, ids[ids != FREE], side="right") - 1):
                    getattr(found[g], kind).add(trained.blocks)
                    found[g].whole |= whole
    return found


def _steps(score: Array, norm: Array, blocks: _Blocks) -> list[Ids]:
    divisions = blocks.made | blocks.read
    if not divisions:
        return [np.array([unit]) for unit in removal_order(score, norm)]
    count = min(divisions)
    size = len(score) // count
    if blocks.whole or len(divisions) > 1 or size * count != len(score):
        return []
    units: NDArray[np.int64] = np.arange(len(score)).reshape(count, size)
    if blocks.read:
        # The same place of every block: a convolution's filters all have as many inputs.
        places = removal_order(score.reshape(count, size).mean(axis=0), norm.reshape(count, size).mean(axis=0))
        return [units[:, place] for place in places]
    ranked = np.stack([block[removal_order(score[block], norm[block])] for block in units])
    return list(ranked.T)
