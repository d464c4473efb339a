"""Scores as an importance of Torch-Pruning, by which its pruners rank units."""

from __future__ import annotations

import numpy as np
import torch
import torch_pruning
from torch import nn

from oamip_model.errors import InputError
from oamip_model.network.types import Network
from oamip_model.scoring.select import AnyScores, check_scores

_OUT = (torch_pruning.prune_conv_out_channels, torch_pruning.prune_linear_out_channels)


class ScoreImportance(torch_pruning.importance.Importance):  # type: ignore[misc]
    """An importance for Torch-Pruning's pruners that is a unit's score.

    Units without a score, such as the classes, have no importance: a pruner leaves them as they are.

    Parameters
    ----------
    module : nn.Module
        The module that is pruned, at its full width.
    scores : Scores or mapping
        As `om.score` gives them, or {group: (units,)}.
    network : Network
        What `om.read_network` reads from the module. It says which layers a residual addition ties together.

    Raises
    ------
    InputError
        Where the scores do not fit the network, or a layer was cut since they were found. So pruners prune in one
        step: those of further steps would take other units for the scored ones.

    Examples
    --------
    >>> import torch_pruning, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> importance = om.ScoreImportance(module, {"0": [0.1, 1.0, 0.2, 0.9]}, network)
    >>> pruner = torch_pruning.BasePruner(module, torch.ones(1, 4), importance, pruning_ratio=0.5)
    >>> pruner.step()
    >>> module[0]
    Linear(in_features=4, out_features=2, bias=True)
    """

    def __init__(self, module: nn.Module, scores: AnyScores, network: Network) -> None:
        values = check_scores(scores, network)
        self._scores: dict[nn.Module, torch.Tensor] = {}
        for group in network.groups:
            for path in group.producers:
                try:
                    part = module.get_submodule(path)
                except AttributeError:
                    raise InputError(f"module: got one without {path}, which the network was read from") from None
                self._scores[part] = torch.from_numpy(np.array(values[group.name], dtype=np.float64))

    def __call__(self, group: torch_pruning.Group) -> torch.Tensor | None:
        """Scores of a group's units in the order of its first layer, None where they have none.

        Parameters
        ----------
        group : torch_pruning.Group
            Layers that lose channels together.

        Returns
        -------
        torch.Tensor or None
            (units,), the larger the more important.
        """
        for (dependency, indices), item in zip(group, group.items, strict=True):
            part = dependency.target.module
            if dependency.handler not in _OUT or part not in self._scores:
                continue
            scores = self._scores[part]
            if len(part.weight) != len(scores):
                raise InputError(
                    f"module: {dependency.target.name} has {len(part.weight)} units and {len(scores)} scores; "
                    "accepted is one step of pruning"
                )
            # Layers of a group may number its channels otherwise; root_idxs leads back to the first layer's order.
            found = torch.empty(len(group[0].idxs), dtype=scores.dtype)
            found[list(item.root_idxs)] = scores[list(indices)]
            return found
        return None
