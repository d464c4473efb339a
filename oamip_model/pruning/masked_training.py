"""Training with the removed units masked.

It is fine-tuning, or training of the same sub-network from its first weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from oamip_model.data import check_pixels
from oamip_model.data.given import AnyImages, as_arrays, weights_of
from oamip_model.errors import InputError
from oamip_model.network import read_network
from oamip_model.network.readers.torch.plain import deep_copy, unwrapped
from oamip_model.network.types import Network
from oamip_model.pruning.asked import prune
from oamip_model.pruning.cut import Mode
from oamip_model.scoring.select import Mask, Selection, check_scores
from oamip_model.training import Options, Progress, TrainingResult, train

Keep: TypeAlias = Selection | Mapping[str, ArrayLike]
"""The units that are kept: the result of :func:`~.select.choose_units`, or masks (units,) by group."""


def fine_tune(
    module: nn.Module,
    images: AnyImages,
    labels: ArrayLike | None = None,
    *,
    keep: Keep | None = None,
    mode: Mode = "mask",
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> tuple[nn.Module, TrainingResult]:
    """A copy of a trained module, trained for further epochs, and a report.

    Parameters
    ----------
    module : torch.nn.Module
        A module in eval mode. It is a smaller one of :func:`oamip_model.prune`, a masked one, whose
        masks hold, or, with ``keep``, one that is not pruned yet.
    images : array_like, Dataset, torch Dataset or DataLoader
        Images (n, ...) as the module takes them; all but an array carry their labels.
    labels : array_like of int, optional
        Labels (n,) from 0 to classes - 1, of images that are given as an array.
    keep : Selection or mapping of str to array of bool, optional
        The units that are kept. The others are exactly zero throughout, or removed.
    mode : {"mask", "remove"}, default "mask"
        Whether units that are not kept are masked, or removed.
    progress : callable, optional
        Called after each epoch with the number of epochs done and the epoch's loss.
    **options
        Settings of :func:`oamip_model.train`; epochs is 1 unless given.

    Returns
    -------
    module : torch.nn.Module
        The trained copy.
    result : TrainingResult
        Losses, accuracy and time.

    Raises
    ------
    InputError
        For a bad argument, or a layer of ``keep`` without units.

    Examples
    --------
    >>> import oamip_model as om
    >>> data, module = om.load_dataset(), om.make_network("dense-4")
    >>> result = om.train(module, *data, epochs=2, threads=1)
    >>> tuned, result = om.fine_tune(module, *data, keep={"fc1": [True, False, True, True]}, threads=1)
    >>> len(result.losses), bool(tuned.fc1.weight[1].any()), bool(module.fc1.weight[1].any())
    (1, False, True)
    """
    options.setdefault("epochs", 1)
    pixels, marks = as_arrays(images, labels)
    copy = deep_copy(unwrapped(module)) if keep is None else pruned_to(module, keep, pixels, mode)
    return copy, train(copy, pixels, marks, weights=weights_of(images), progress=progress, **options)


def retrain(
    initial: nn.Module,
    keep: Keep,
    images: AnyImages,
    labels: ArrayLike | None = None,
    *,
    mode: Mode = "remove",
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> tuple[nn.Module, TrainingResult]:
    """The sub-network of a network's initial weights, trained from them.

    Chosen by the scores of the trained network it is a lottery ticket [1]_, for units in place of
    single weights. Chosen by those of ``initial`` itself it is pruning at initialisation.

    Parameters
    ----------
    initial : torch.nn.Module
        The module as it was before any training, in eval mode, which is not changed. It is
        ``make_network`` with the seed of then, or a module with the state dict that was saved then.
    keep : Selection or mapping of str to array of bool
        The units that are kept.
    images : array_like, Dataset, torch Dataset or DataLoader
        Images (n, ...), perhaps of another data set than that of the scores; all but an array carry
        their labels.
    labels : array_like of int, optional
        Labels (n,) from 0 to classes - 1, of images that are given as an array.
    mode : {"remove", "mask"}, default "remove"
        Train the smaller network, or one of the same shapes with the other units at zero. Both take
        the same steps, up to rounding.
    progress : callable, optional
        Called after each epoch with the number of epochs done and the epoch's loss.
    **options
        Settings of :func:`oamip_model.train`.

    Returns
    -------
    module : torch.nn.Module
        The trained sub-network.
    result : TrainingResult
        Losses, accuracy and time.

    Raises
    ------
    InputError
        For a bad argument, or a layer of ``keep`` without units.

    References
    ----------
    .. [1] J. Frankle, M. Carbin: The lottery ticket hypothesis, 2019, section 1.

    Examples
    --------
    >>> import oamip_model as om
    >>> data = om.load_dataset()
    >>> ticket, result = om.retrain(om.make_network("dense-4"), {"fc1": [1, 0, 1, 1]}, *data, epochs=1, threads=1)
    >>> ticket.fc1
    Linear(in_features=784, out_features=3, bias=True)
    """
    pixels, marks = as_arrays(images, labels)
    pruned = pruned_to(initial, keep, pixels, mode)
    return pruned, train(pruned, pixels, marks, weights=weights_of(images), progress=progress, **options)


def pruned_to(
    module: nn.Module, keep: Keep, images: ArrayLike, mode: Mode, network: Network | None = None
) -> nn.Module:
    """A copy of the module with the units of ``keep`` only.

    The shape of ``images`` says that of one image.
    """
    known = network or read_network(module, check_pixels(images).shape[1:])
    scores = {name: mask.astype(np.float64) for name, mask in check_keep(keep, known).items()}
    return prune(module, scores, threshold=0.5, mode=mode, network=known)


def check_keep(keep: Keep, network: Network) -> dict[str, Mask]:
    """The units that are kept, {group: (units,)}, after checks.

    Raises InputError where they do not fit the network, or a layer has none.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2)).eval()
    >>> check_keep({"0": [1, 0]}, om.read_network(module))
    {'0': array([ True, False])}
    """
    given = keep.keep if isinstance(keep, Selection) else keep
    if not isinstance(given, Mapping):
        raise InputError(f"keep: got {type(keep).__name__}, a Selection or a mapping from layer to its units is needed")
    try:
        values = check_scores(given, network)
    except InputError as error:
        raise InputError(f"keep: {str(error).removeprefix('scores: ')}") from None
    for name, mask in values.items():
        if not np.isin(mask, (0, 1)).all():
            raise InputError(f"keep: layer {name} has entries that are not True or False, 1 or 0")
        if not mask.any():
            raise InputError(f"keep: layer {name} keeps no unit, which would leave a constant network")
    return {name: mask.astype(bool) for name, mask in values.items()}
