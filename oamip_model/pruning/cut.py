"""Pruning a module by the scores of its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from oamip_model.data.given import AnyImages
from oamip_model.errors import CheckError, InputError
from oamip_model.network import read_network
from oamip_model.network.counting.size import Size
from oamip_model.network.maps import Rearrange
from oamip_model.network.readers.torch.plain import unwrapped
from oamip_model.network.types import Network
from oamip_model.pruning.budgets.choose import Budgeted, choose_units
from oamip_model.pruning.budgets.options import WORDS, Budget
from oamip_model.pruning.check import TOLERANCE, expected_logits
from oamip_model.pruning.mask import NotWiredError, clean_copy, make_permanent, masked_copy
from oamip_model.pruning.rebuild import RebuiltNetwork, term_modules, to_module
from oamip_model.pruning.refitted import with_weights
from oamip_model.pruning.remove import smaller_copy, tie_again
from oamip_model.pruning.report import PruneReport
from oamip_model.refit.options import AnyRefit, as_refit
from oamip_model.refit.report import RefitReport
from oamip_model.refit.run import refit_network
from oamip_model.refit.slim import slim_network
from oamip_model.scoring.select import Amount, AnyScores, Selection, Threshold

Mode: TypeAlias = Literal["remove", "mask"]
_Result: TypeAlias = tuple[nn.Module, PruneReport]


def prune(
    module: nn.Module | Network | str | Path,
    scores: AnyScores | Selection,
    *,
    threshold: Threshold | None = None,
    amount: Amount | Budget | None = None,
    mode: Mode = "remove",
    network: Network | None = None,
    refit: AnyRefit | None = None,
    images: AnyImages | None = None,
) -> nn.Module:
    """A new module without the units of low score.

    Arguments and errors are those of :func:`prune_with_report`.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> om.prune(module, {"0": [0.0, 1.0, 0.05]}, threshold=0.1, network=network)
    Sequential(
      (0): Linear(in_features=4, out_features=1, bias=True)
      (1): ReLU()
      (2): Linear(in_features=1, out_features=2, bias=True)
    )
    """
    return prune_with_report(
        module,
        scores,
        threshold=threshold,
        amount=amount,
        mode=mode,
        network=network,
        refit=refit,
        images=images,
    )[0]


def prune_with_report(
    module: nn.Module | Network | str | Path,
    scores: AnyScores | Selection,
    *,
    threshold: Threshold | None = None,
    amount: Amount | Budget | None = None,
    mode: Mode = "remove",
    network: Network | None = None,
    refit: AnyRefit | None = None,
    images: AnyImages | None = None,
) -> tuple[nn.Module, PruneReport]:
    """A new module without the units of low score, and a report.

    The report says what was removed. The module given is not changed.

    module: a torch module in eval mode, an .onnx or .pt2 file, or a network. scores: a result of
    :func:`oamip_model.score`, {group: (units,) scores}, or what :func:`~.select.choose_units` chose of the module's
    network. threshold, amount: which units go, see there; an amount may be an :class:`oamip_model.Budget`; neither goes
    with a choice. mode: "remove" makes the module physically smaller (Torch-Pruning); "mask" keeps its shapes and
    zeroes the units by torch.nn.utils.prune, so that fine-tuning leaves them zero. network: the module's, read before
    by :func:`oamip_model.read_network`; it is needed where neither ``scores`` (in its options) nor the file tells the
    shape of one image. refit: a level, or an :class:`oamip_model.Refit`, by which the weights that are left are fitted
    to the trained network; images: that it is done from, without labels: an array (n, ...), a Dataset, a torch Dataset
    or a DataLoader. The report says what the refit did.

    Removed units give 0, bias and batch norm included: the result is compared with the network without these units on
    random images, to 1e-5 (with a refit, with the refitted network). A module whose layers cannot be cut in place
    (functional layers, a flattening with fixed sizes) is rebuilt by :func:`~.rebuild.to_module`, as files and networks
    are; the report says so. Its sizes are counted in the network that is read from the module that comes out.

    Raises InputError for bad arguments, and where ``network`` is not the module's; CheckError where the result
    differs, or is larger than its budget because units of it cannot be taken out.
    """
    if mode not in get_args(Mode):
        raise InputError(f"mode: got {mode!r}, it is {' or '.join(get_args(Mode))}")
    if refit is not None and images is None:
        raise InputError("images: a refit needs some, without labels")
    if refit is None and images is not None:
        raise InputError("images: got some, but without a refit they have no use")
    if isinstance(module, nn.Module):
        module = unwrapped(module)
    asked = None if refit is None else as_refit(refit)
    network = _network_of(module, network, scores)
    selection = _selection(scores, network, threshold, amount)
    if asked is not None:
        assert images is not None
        return _refitted(module, network, selection, mode, refit_network(network, selection.keep, images, asked))
    result, report = _pruned(module, network, selection, mode)
    _check_plan(report)
    return result, report


def _check_plan(report: PruneReport) -> None:
    """Raise CheckError where the network that came out is larger than its budget."""
    if report.plan is None or report.size_after is None:
        return
    for name, by in report.plan.exceeded(report.size_after).items():
        stuck = ", ".join(f"{len(units)} of {group}" for group, units in report.zeroed.items()) or "none"
        raise CheckError(
            f"prune: the network that comes out has {by} {WORDS[name]} more than its budget of "
            f"{report.plan.limits[name]}; units that could only be zeroed: {stuck}"
        )


def _selection(
    scores: AnyScores | Selection, network: Network, threshold: Threshold | None, amount: Amount | Budget | None
) -> Selection:
    """The units that stay and go: those chosen already, or by a rule."""
    if not isinstance(scores, Selection):
        return choose_units(scores, network, threshold=threshold, amount=amount)
    for name, value in (("threshold", threshold), ("amount", amount)):
        if value is not None:
            raise InputError(f"{name}: got {value!r}, but the units are chosen already")
    sizes = {group.name: group.size for group in network.groups}
    if {name: mask.shape for name, mask in scores.keep.items()} != {name: (size,) for name, size in sizes.items()}:
        raise InputError(f"scores: the units were chosen of another network, this one scores {', '.join(sizes)}")
    return scores


def _refitted(
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
    result, report = _pruned(module, after, selection, mode)
    report = replace(report, parameters_before=before, size_before=network.size)
    return result, replace(report, refit=told, reason=reason or report.reason)


def _pruned(module: nn.Module | Network | str | Path, network: Network, selection: Selection, mode: Mode) -> _Result:
    """The module without the units that go, made smaller in place where that can be, and its report."""
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


def _network_of(
    module: nn.Module | Network | str | Path, network: Network | None, scores: AnyScores | Selection
) -> Network:
    """The network of what is to be pruned. Raises InputError where a network is given that is another one."""
    if not isinstance(module, nn.Module | Network | str | Path):
        raise InputError(f"module: got {type(module).__name__}, a torch module, a file or a Network is needed")
    if isinstance(module, nn.Module) and network is not None:
        _check_network(module, network)
    else:
        known = getattr(scores, "options", {}).get("input_shape")
        found = module if isinstance(module, Network) else read_network(module, known)
        if network is not None and network.fingerprint != found.fingerprint:
            raise InputError("network: it is not the one that is to be pruned; one of the two is enough")
        network = found
    return network


def _prune_in_place(
    module: nn.Module, network: Network, selection: Selection, mode: Mode
) -> tuple[_Result | None, str]:
    """The pruned copy, None where the module's layers cannot be masked; and the reason for rebuilding, if it is."""
    try:
        producers = {group.name: group.producers for group in network.groups}
        return _prune(module, network, selection, producers, mode), "more of its layers can be cut so"
    except (NotWiredError, CheckError) as problem:
        return None, str(problem)


def _prune_rebuilt(network: Network, selection: Selection, mode: Mode) -> _Result:
    rebuilt = to_module(network)
    paths = term_modules(network, rebuilt)
    names = {group.name: [path for name in group.producers for path in paths[name]] for group in network.groups}
    try:
        return _prune(rebuilt, network, selection, names, mode)
    except NotWiredError as problem:
        raise CheckError(f"prune: the rebuilt network cannot be pruned ({problem})") from None


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _size(smaller: nn.Module, network: Network) -> Size:
    """The size of the network that is read from the module that came out."""
    return read_network(smaller, network.input_shape).size


def _left(report: PruneReport) -> int:
    return sum(map(len, report.zeroed.values()))


def _check_network(module: nn.Module, network: Network) -> None:
    for name, part in module.named_modules():
        if part.training:
            raise InputError(f"module: {name or type(module).__name__} is in training mode; call .eval() on it first")
    try:
        found = expected_logits(network).difference(module)
    except (RuntimeError, ValueError) as problem:
        line = str(problem).splitlines()[0]
        raise InputError(
            f"network: the module does not take its images of shape {network.input_shape} ({line})"
        ) from problem
    if found > TOLERANCE:
        raise InputError(f"network: it is not this module's, their logits differ by {found:.2g} of the largest logit")


def _prune(
    module: nn.Module, network: Network, selection: Selection, producers: Mapping[str, Sequence[str]], mode: Mode
) -> _Result:
    """The pruned module and its report. Raises CheckError where masking its layers does not give the right logits."""
    removed = selection.removed
    masked = masked_copy(module, producers, selection.keep, network.input_shape)
    expected = expected_logits(network, selection.keep)
    found = expected.difference(masked)
    if found > TOLERANCE:
        raise CheckError(f"masking its layers changes the logits by {found:.2g} of the largest")

    def check(trial: nn.Module) -> bool:
        return expected.difference(trial) <= TOLERANCE

    if isinstance(module, RebuiltNetwork) and _has_moves(network):
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
    return any(isinstance(term.map, Rearrange) for layer in network.layers for term in layer.terms)


def _written_down(
    masked: nn.Module, network: Network, selection: Selection
) -> tuple[nn.Module, dict[str, NDArray[np.int64]]]:
    """The smaller network as a module, and the units that stay in it as zeros."""
    slim = slim_network(network, selection.keep)
    if slim.gates:
        return make_permanent(clean_copy(masked)), dict(selection.removed)
    return to_module(slim.network), {}
