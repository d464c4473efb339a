"""The options of a pruning, which are checked before anything is cut."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import get_args

from torch import nn

from oamip_model.data.given import AnyImages
from oamip_model.errors import CheckError, InputError
from oamip_model.network import read_network
from oamip_model.network.readers.torch.plain import unwrapped
from oamip_model.network.types import Network
from oamip_model.pruning.budgets.choose import choose_units
from oamip_model.pruning.budgets.options import WORDS, Budget
from oamip_model.pruning.check import TOLERANCE, expected_logits
from oamip_model.pruning.cut import Mode, cut, cut_refitted
from oamip_model.pruning.report import PruneReport
from oamip_model.refit.options import AnyRefit, as_refit
from oamip_model.refit.run import refit_network
from oamip_model.scoring.select import Amount, AnyScores, Selection, Threshold


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

    Parameters
    ----------
    module : torch.nn.Module, Network, str or Path
        A torch module in eval mode, an .onnx, .pt2 or .nnet file, or a network.
    scores : Scores, Selection or mapping of str to array
        Scores of the units, or a choice of units.
    threshold : float or "mean", optional
        Remove units of lower scores.
    amount : float, mapping of str to float, or Budget, optional
        Remove this share of the units, or what a budget leaves no room for.
    mode : {"remove", "mask"}, default "remove"
        Make the module smaller, or keep its shapes and set the units to zero.
    network : Network, optional
        The module's network.
    refit : str or Refit, optional
        A level by which the weights that are left are fitted to the trained network.
    images : array, Dataset, torch Dataset or DataLoader, optional
        Images of the refit.

    Returns
    -------
    torch.nn.Module
        The new module. The one that was given is not changed.

    Raises
    ------
    InputError
        As :func:`prune_with_report` does.
    CheckError
        As there.

    Warns
    -----
    RuntimeWarning
        Where Ctrl-C ended the refit before its last pass. The best pass so far is taken.

    See Also
    --------
    prune_with_report : The same with a report, and more on each argument.

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
    result, report = prune_with_report(
        module,
        scores,
        threshold=threshold,
        amount=amount,
        mode=mode,
        network=network,
        refit=refit,
        images=images,
    )
    if report.refit is not None and report.refit.interrupted:
        # The caller gets no report that says so.
        warnings.warn(f"interrupted: {report.refit.summary()}", RuntimeWarning, stacklevel=2)
    return result


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

    The report says what was removed. The module that was given is not changed.

    A removed unit gives 0, bias and batch norm included. The result is compared with the network
    without these units on random images, to 1e-5. With a refit it is compared with the refitted
    network. A module whose layers cannot be cut in place is rebuilt by :func:`to_module`, as files and
    networks are, and the report says so. Functional layers and a flattening with fixed sizes are such.
    Sizes are counted in the network that is read from the module that comes out.

    Parameters
    ----------
    module : torch.nn.Module, Network, str or Path
        A torch module in eval mode, an .onnx, .pt2 or .nnet file, or a network.
    scores : Scores, Selection or mapping of str to array
        A result of :func:`oamip_model.score`, {group: (units,) scores}, or what :func:`choose_units`
        chose of the module's network.
    threshold : float or "mean", optional
        Remove units of lower scores, as in :func:`choose_units`. It does not go with a choice.
    amount : float, mapping of str to float, or Budget, optional
        Remove this share of the units, as in :func:`choose_units`. It does not go with a choice.
    mode : {"remove", "mask"}, default "remove"
        "remove" makes the module physically smaller, by Torch-Pruning. "mask" keeps its shapes and sets
        the units to zero by torch.nn.utils.prune, so that fine-tuning leaves them zero.
    network : Network, optional
        The module's network, read before by :func:`oamip_model.read_network`. It is needed where
        neither the options in ``scores`` nor the file gives the shape of one image.
    refit : str or Refit, optional
        A level, or an :class:`oamip_model.Refit`, by which the weights that are left are fitted to the
        trained network.
    images : array, Dataset, torch Dataset or DataLoader, optional
        Images (n, ...) of the refit, whose labels are not used. They go with a refit only.

    Returns
    -------
    module : torch.nn.Module
        The new module, in eval mode.
    report : PruneReport
        Units, parameters and multiply-accumulates, before and after, and the refit.

    Raises
    ------
    InputError
        For bad arguments, and where ``network`` is not the module's.
    CheckError
        Where the result differs, or is larger than its budget because units of it cannot be taken out.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> _, report = prune_with_report(module, {"0": [0.0, 1.0, 0.05]}, threshold=0.1, network=network)
    >>> report.parameters_before, report.parameters_after
    (23, 9)
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
        return cut_refitted(module, network, selection, mode, refit_network(network, selection.keep, images, asked))
    result, report = cut(module, network, selection, mode)
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
    """The units that are kept and removed: those chosen already, or by a rule."""
    if not isinstance(scores, Selection):
        return choose_units(scores, network, threshold=threshold, amount=amount)
    for name, value in (("threshold", threshold), ("amount", amount)):
        if value is not None:
            raise InputError(f"{name}: got {value!r}, but the units are chosen already")
    sizes = {group.name: group.size for group in network.groups}
    if {name: mask.shape for name, mask in scores.keep.items()} != {name: (size,) for name, size in sizes.items()}:
        raise InputError(f"scores: the units were chosen of another network, this one scores {', '.join(sizes)}")
    return scores


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


def _check_network(module: nn.Module, network: Network) -> None:
    for name, part in module.named_modules():
        if part.training:
            raise InputError(f"module: {name or type(module).__name__} is in training mode; call .eval() on it first")
    try:
        found = expected_logits(network).difference(module)
    except InputError:
        raise
    except (RuntimeError, ValueError) as problem:
        line = str(problem).splitlines()[0]
        raise InputError(
            f"network: the module does not take its images of shape {network.input_shape} ({line})"
        ) from problem
    if found > TOLERANCE:
        raise InputError(f"network: it is not this module's, their logits differ by {found:.2g} of the largest logit")
