"""Removal: removed units are taken out of the weights by Torch-Pruning.

The module gets smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch_pruning
from numpy.typing import NDArray
from torch import nn

from oamip_model.network.maps import Shape
from oamip_model.network.readers.torch.quiet import quiet
from oamip_model.pruning.mask import NotWiredError, clean_copy, example_images, make_permanent, without_made_affine

Check = Callable[[nn.Module], bool]
Units = NDArray[np.int64]


def smaller_copy(
    masked: nn.Module,
    producers: Mapping[str, Sequence[str]],
    removed: Mapping[str, Units],
    input_shape: Shape,
    check: Check,
) -> tuple[nn.Module, dict[str, Units]]:
    """A copy of a masked module without the removed units.

    Units of convolutions with groups are removed only as far as the groups remain of equal size.
    The others remain as zeros. So do units that Torch-Pruning cannot remove without changing the
    logits.

    Parameters
    ----------
    masked : torch.nn.Module
        A module of :func:`~.mask.masked_copy`.
    producers : mapping of str to sequence of str
        The paths of the modules whose outputs are the units of each group.
    removed : mapping of str to array of int
        The removed units of each group.
    input_shape : sequence of int
        Shape of one input.
    check : callable
        Whether a module still computes the right logits.

    Returns
    -------
    torch.nn.Module
        The smaller copy.
    dict of str to array of int
        The units of each group that could only be set to zero.
    """
    base = make_permanent(clean_copy(masked))
    flags = {name: p.requires_grad for name, p in base.named_parameters(remove_duplicate=False)}
    base.requires_grad_(True)  # Torch-Pruning finds the dependencies through autograd
    todo = {group: units for group, units in removed.items() if len(units)}
    # All at once, which works nearly always. Otherwise group by group, to find those that cannot be removed.
    result, zeroed = _attempt(base, producers, todo, input_shape, check)
    if result is None:
        result, zeroed = base, {}
        for group, units in todo.items():
            trial, left = _attempt(result, producers, {group: units}, input_shape, check)
            zeroed |= {group: units} if trial is None else left
            result = result if trial is None else trial
    for name, parameter in result.named_parameters():
        parameter.requires_grad_(flags[name])
        parameter.grad = None
    return without_made_affine(result.eval()), zeroed


def tie_again(module: nn.Module, original: nn.Module) -> None:
    """Make parameters one again that are one in the original module.

    It is done where they are still equal.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in original.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for first, *others in names.values():
        for other in others:
            try:
                kept, copied = module.get_parameter(first), module.get_parameter(other)
            except AttributeError:  # a mask's weight_orig in the original
                continue
            if kept is not copied and torch.equal(kept, copied):
                folder, _, leaf = other.rpartition(".")
                setattr(module.get_submodule(folder), leaf, kept)


def _attempt(
    base: nn.Module, producers: Mapping[str, Sequence[str]], todo: Mapping[str, Units], input_shape: Shape, check: Check
) -> tuple[nn.Module | None, dict[str, Units]]:
    """A copy of ``base`` without the units, and those left as zeros; (None, {}) where its logits would be others."""
    trial = clean_copy(base)
    zeroed = {}
    try:
        with quiet(), torch.enable_grad():
            graph = torch_pruning.DependencyGraph()
            graph.build_dependency(trial, example_inputs=(example_images(input_shape, like=trial),), verbose=False)
            for group, units in todo.items():
                left = _remove_group(graph, trial, producers[group], units)
                if len(left):
                    zeroed[group] = left
            # The number of logits must be the same and all shapes must fit. Otherwise the check raises or fails.
            fits = check(trial)
    except NotWiredError:
        return None, {}
    except (RuntimeError, AssertionError, ValueError, IndexError, KeyError, TypeError):
        # Torch-Pruning, or the module with fewer channels, cannot do it. The caller zeroes the units and says so.
        return None, {}
    return (trial, zeroed) if fits else (None, {})


def _remove_group(graph: torch_pruning.DependencyGraph, module: nn.Module, paths: Sequence[str], units: Units) -> Units:
    """Remove as many of the units as possible together, from all their producers. Returns the others."""
    roots = [module.get_submodule(path) for path in paths]
    go = units
    while len(go):
        rest = go
        for root in roots:
            for dependency, indices in _coupled(graph, root, go):
                target = dependency.target.module
                if isinstance(target, nn.Conv2d) and target.groups > 1:
                    outgoing = graph.is_out_channel_pruning_fn(dependency.handler)
                    rest = np.intersect1d(rest, _keep_even(target, np.asarray(indices), rest, outgoing))
        if len(rest) == len(go):
            break
        go = rest
    done: set[int] = set()
    for root in roots:
        if len(go) and id(root) not in done:
            coupled = _coupled(graph, root, go)
            # Torch-Pruning follows additions, so one root takes the other producers of a residual group along.
            done |= {id(d.target.module) for d, _ in coupled if graph.is_out_channel_pruning_fn(d.handler)}
            coupled.prune()
    return np.setdiff1d(units, go)


def _coupled(graph: torch_pruning.DependencyGraph, root: nn.Module, units: Units) -> torch_pruning.Group:
    kind = (
        torch_pruning.prune_conv_out_channels
        if isinstance(root, nn.Conv2d)
        else torch_pruning.prune_linear_out_channels
    )
    return graph.get_pruning_group(root, kind, units.tolist())


def _keep_even(conv: nn.Conv2d, indices: Units, units: Units, outgoing: bool) -> Units:
    """Of the units at these channels of a convolution with groups, those that can go and leave groups of equal size."""
    if conv.groups == conv.in_channels == conv.out_channels:
        return units
    if conv.groups == conv.out_channels or len(indices) != len(units):
        return units[:0]  # Torch-Pruning takes it for a depthwise convolution, which it is not
    order = np.sort(indices)
    size = (conv.out_channels if outgoing else conv.in_channels) // conv.groups
    blocks = [order[order // size == block] for block in range(conv.groups)]
    if outgoing:
        # The same number from each group, in any places.
        count = min(len(block) for block in blocks)
        return np.concatenate([block[:count] for block in blocks])
    # The same places of every group: Torch-Pruning cuts all groups alike.
    places = set(blocks[0] % size)
    for block in blocks[1:]:
        places &= set(block % size)
    return order[np.isin(order % size, sorted(places))]
