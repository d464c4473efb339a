"""A module without the units that were chosen, in place or rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from oamip_model.errors import CheckError
from oamip_model.network import read_network
from oamip_model.network.counting.size import Size
from oamip_model.network.readers.torch.nodes import first_line
from oamip_model.network.types import Network
from oamip_model.pruning.budgets.choose import Budgeted
from oamip_model.pruning.check import TOLERANCE, expected_logits
from oamip_model.pruning.mask import NotWiredError, clean_copy, make_permanent, masked_copy
from oamip_model.pruning.rebuild import RebuiltNetwork, shift_modules, term_modules, to_module
from oamip_model.pruning.refitted import with_weights
from oamip_model.pruning.remove import smaller_copy, tie_again
from oamip_model.pruning.report import PruneReport
from oamip_model.refit.report import RefitReport
from oamip_model.refit.slim import slim_network
from oamip_model.scoring.select import Selection

Mode: TypeAlias = Literal["remove", "mask"]
_Result: TypeAlias = tuple[nn.Module, PruneReport]


def cut_refitted(
    module: nn.Module | Network | str | Path,
    network: Network,
    selection: Selection,
    mode: Mode,
    found: tuple[Network, RefitReport],
) -> _Result:
    """The module with the refitted network's weights, pruned."""
    after, told = found
    before = _count(module if isinstance(module, nn.Module) else to_module(network))
    reason = ""
    if isinstance(module, nn.Module):
        try:
            with torch.inference_mode(False):
                module = with_weights(module, network, after)
        except NotWiredError as problem:
            module, reason = after, str(problem)
    elif isinstance(module, Network):
        module = after
    else:
        module, reason = after, "it was read from a file"
    result, report = cut(module, after, selection, mode)
    report = replace(report, parameters_before=before, size_before=network.size)
    return result, replace(report, refit=told, reason=reason or report.reason)


def cut(module: nn.Module | Network | str | Path, network: Network, selection: Selection, mode: Mode) -> _Result:
    """The module without the removed units, in place where it can be, and a report."""
    # Torch-Pruning traces by autograd, which inference mode would switch off for good.
    with torch.inference_mode(False):
        in_place, reason = None, "a network was given, not a module"
        if isinstance(module, str | Path):
            reason = "it was read from a file"
        elif isinstance(module, nn.Module):
            in_place, reason = _prune_in_place(module, network, selection, mode)
            if in_place is not None and not in_place[1].zeroed:
                return in_place
        result, report = _prune_rebuilt(network, selection, mode)
    if in_place is not None and _left(in_place[1]) <= _left(report):
        return in_place
    before = _count(module) if isinstance(module, nn.Module) else report.parameters_before
    return result, replace(report, rebuilt=True, reason=reason, parameters_before=before)


def _prune_in_place(
    module: nn.Module, network: Network, selection: Selection, mode: Mode
) -> tuple[_Result | None, str]:
    """The pruned copy, None where the module's layers cannot be masked; and the reason for rebuilding, if it is."""
    try:
        producers = {group.name: group.producers for group in network.groups}
        return _prune(module, network, selection, producers, mode), "more of its layers can be cut so"
    except (NotWiredError, CheckError) as problem:
        return None, str(problem)
    except RuntimeError as problem:  # of torch, where layers fit together in double precision alone
        return None, f"it cannot be run ({first_line(problem)})"


def _prune_rebuilt(network: Network, selection: Selection, mode: Mode) -> _Result:
    rebuilt = to_module(network)
    paths = term_modules(network, rebuilt)
    names = {group.name: [path for name in group.producers for path in paths[name]] for group in network.groups}
    try:
        return _prune(rebuilt, network, selection, names, mode, shift_modules(network, rebuilt))
    except NotWiredError as problem:
        raise CheckError(f"prune: the rebuilt network cannot be pruned ({problem})") from None


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _size(smaller: nn.Module, network: Network) -> Size:
    """The size of the network that is read from the module that came out."""
    return read_network(smaller, network.input_shape).size


def _left(report: PruneReport) -> int:
    return sum(map(len, report.zeroed.values()))


def _prune(
    module: nn.Module,
    network: Network,
    selection: Selection,
    producers: Mapping[str, Sequence[str]],
    mode: Mode,
    shifts: Mapping[str, Sequence[str]] | None = None,
) -> _Result:
    """The pruned module and its report. Raises CheckError where masking its layers does not give the right logits.

    ``shifts`` are modules that are masked beside the producers of each group.
    """
    removed, shifts = selection.removed, shifts or {}
    paths = {name: [*given, *shifts.get(name, ())] for name, given in producers.items()}
    masked = masked_copy(module, paths, selection.keep, network.input_shape)
    expected = expected_logits(network, selection.keep)
    found = expected.difference(masked)
    rebuilt, removes = isinstance(module, RebuiltNetwork), mode == "remove"
    # Torch-Pruning does not follow what moves or is shifted, nor what masks alone leave wrong.
    written = rebuilt and (_has_moves(network) or any(shifts.values()) or (removes and found > TOLERANCE))
    if found > TOLERANCE and not (written and removes):
        raise CheckError(f"masking its layers changes the logits by {found:.2g} of the largest")

    def check(trial: nn.Module) -> bool:
        return expected.difference(trial) <= TOLERANCE

    if written:
        smaller, zeroed = _written_down(masked, network, selection)
    else:
        smaller, zeroed = smaller_copy(masked, producers, removed, network.input_shape, check)
    tie_again(smaller, module)
    if not check(smaller):
        raise CheckError("prune: the smaller module does not give the logits of the masked one")
    before, after = _count(module), _count(smaller)
    cut = sum(map(len, removed.values())) - sum(map(len, zeroed.values()))
    if cut > 0 and after >= before:
        raise CheckError(f"prune: {cut} units were removed, but {after} parameters are left of {before}")
    units = {group.name: group.size for group in network.groups}
    plan = selection.plan if isinstance(selection, Budgeted) else None
    size = _size(smaller, network)
    report = PruneReport(
        mode, units, removed, selection.forced, zeroed, before, after, False, size_before=network.size, size_after=size,
        plan=plan,
    )  # fmt: skip
    return (smaller if mode == "remove" else masked), report


def _has_moves(network: Network) -> bool:
    """Whether numbers move between layers, which Torch-Pruning cannot follow in a rebuilt module."""
    return any(term.map.moves is not None for layer in network.layers for term in layer.terms)


def _written_down(
    masked: nn.Module, network: Network, selection: Selection
) -> tuple[nn.Module, dict[str, NDArray[np.int64]]]:
    """The smaller network as a module, and the units that remain in it as zeros."""
    slim = slim_network(network, selection.keep)
    if not slim.gates:
        written = to_module(slim.network)
        # Groups of a convolution that are cut unevenly become one, which may have more weights.
        if _count(written) < _count(masked):
            return written, {}
    zeros = {name: units for name, units in selection.removed.items() if len(units)}
    return make_permanent(clean_copy(masked)), zeros
