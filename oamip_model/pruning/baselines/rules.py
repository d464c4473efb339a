"""Scores that need no solver, to compare with.

They follow simple rules, or are the other end of given scores.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import ArrayLike

import oamip_model
from oamip_model.data import Dataset, check_labels, check_pixels
from oamip_model.data.given import AnyImages, is_array, read_all
from oamip_model.errors import InputError
from oamip_model.network import read_network
from oamip_model.network.maps import Array
from oamip_model.network.norms import unit_norms
from oamip_model.network.types import Network
from oamip_model.pruning.baselines.unit_activity import unit_activity
from oamip_model.pruning.baselines.unit_weights import median_distances, norms
from oamip_model.scoring.result import Scores

if TYPE_CHECKING:
    from torch import nn

Baseline: TypeAlias = Literal[
    "random", "weight-norm", "weight-l1", "weight-l2", "geometric-median", "mean-activation", "apoz", "taylor", "snip"
]
BASELINES: tuple[str, ...] = get_args(Baseline)
WITH_IMAGES = ("mean-activation", "apoz", "taylor", "snip")
"""Those that look at images; the last two at their labels too."""
_WITH_LABELS = ("taylor", "snip")


def baseline_scores(
    network: Network | nn.Module | str | Path,
    method: Baseline,
    seed: int = 0,
    *,
    images: AnyImages | None = None,
    labels: ArrayLike | None = None,
    batch_size: int = 100,
) -> Scores:
    """Scores of every unit in [0, 1] by a simple rule.

    They have the type that :func:`oamip_model.score` gives. Weights have batch norm folded in. A unit
    that residual additions tie together counts with all its producers and all its ReLUs.

    Parameters
    ----------
    network : Network, torch.nn.Module, str or Path
        The network, as for :func:`oamip_model.score`. A module or file that does not carry its input
        shape needs ``images``.
    method : str
        One of these rules, in which g is the derivative of an image's cross-entropy by a factor on the
        unit's activations, at 1:

        - "random": ranks of a permutation drawn with ``seed``, so that no two units of a layer tie.
        - "weight-l1", "weight-l2": norm of the incoming weights.
        - "weight-norm": L2 norm of the incoming times that of the outgoing weights.
        - "geometric-median": sum of the distances of the incoming weights to those of the layer's other
          units [1]_.
        - "mean-activation": mean over images and positions.
        - "apoz": share of activations that are not zero, which is 1 less the average percentage of
          zeros [2]_.
        - "taylor": mean over images of abs(g), of first order [3]_.
        - "snip": abs of the mean of g, which is the connection sensitivity for units [4]_.
    seed : int, default 0
        Seed of the rule "random".
    images : array, Dataset, torch Dataset or DataLoader, optional
        Images for "mean-activation", "apoz", "taylor" and "snip", in any number. The other rules do
        not use them.
    labels : array of int, optional
        Labels (n,) for "taylor" and "snip", of images that are given as an array.
    batch_size : int, default 100
        Number of images that are taken at a time.

    Returns
    -------
    Scores
        Each layer's values divided by the layer's largest. Those of "taylor" and "snip", which may be
        compared between layers, are divided by the network's largest.

    Raises
    ------
    InputError
        For another method, a seed that is not a whole number from 0, or missing or unfit images.

    References
    ----------
    .. [1] Y. He and others: Filter pruning via geometric median, 2019.
    .. [2] H. Hu, R. Peng, Y.-W. Tai, C.-K. Tang: Network trimming, 2016.
    .. [3] P. Molchanov and others: Pruning convolutional neural networks for resource efficient
       inference, 2017, equation 8.
    .. [4] N. Lee, T. Ajanthan, P. Torr: SNIP, 2019, equation 5.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> scores = baseline_scores(module, "random", seed=1)
    >>> sorted(scores.by_layer["0"].round(2).tolist()), scores.proved
    ([0.33, 0.67, 1.0], False)
    """
    if method not in BASELINES:
        raise InputError(f"baseline: unknown method {method!r}, known are {', '.join(BASELINES)}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed: got {seed!r}, a whole number from 0 is needed")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise InputError(f"batch_size: got {batch_size!r}, accepted is an integer of at least 1")
    if isinstance(images, Dataset) and labels is not None:
        raise InputError("labels: the data set has labels of its own")
    given, source = images, "images given as arrays"
    if isinstance(images, Dataset):
        given, labels, source = images.images, images.labels, images.source
    elif images is not None and not is_array(images):
        (given, labels), source = read_all(images, labels), f"images of a {type(images).__name__}"
    pixels = None if given is None else check_pixels(cast("ArrayLike", given))
    if not isinstance(network, Network):
        network = read_network(network, None if pixels is None else pixels.shape[1:])
    network.check_scored(loss=method in _WITH_LABELS)
    started = time.perf_counter()
    count = 0
    options: dict[str, Any] = {"method": method, "input_shape": list(network.input_shape)}
    if method in WITH_IMAGES:
        if pixels is None:
            raise InputError(f"images: the baseline {method} needs some")
        pixels = network.check_images(pixels)
        marks = None
        if method in _WITH_LABELS:
            if labels is None:
                raise InputError(f"labels: the baseline {method} needs them")
            marks = check_labels(labels, network.classes)
            if len(marks) != len(pixels):
                raise InputError(f"labels: {len(marks)} labels for {len(pixels)} images, one label an image is needed")
        count = len(pixels)
        values = _by_images(network, method, pixels, marks, batch_size)
    elif method == "random":
        options["seed"] = int(seed)
        values = {
            group.name: (np.random.default_rng([seed, index]).permutation(group.size) + 1.0) / group.size
            for index, group in enumerate(network.groups)
        }
    else:
        values = _by_weights(network, method)
    seconds = {"scores": time.perf_counter() - started}
    return _rule(_scaled(values, method), method, network.fingerprint, options, seconds, source if count else "", count)


def critical_scores(scores: Scores) -> Scores:
    """The scores from their other end, 1 - score.

    Pruning by them removes the units of the highest score first. This is an ablation of the paper:
    critical units must be missed more than others.

    Parameters
    ----------
    scores : Scores
        Scores of any method.

    Returns
    -------
    Scores
        The reversed scores.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> scores = om.baseline_scores(module, "weight-l1")
    >>> float((critical_scores(scores).by_layer["0"] + scores.by_layer["0"]).round(9).mean())
    1.0
    """
    if not isinstance(scores, Scores):
        raise InputError(f"scores: got {type(scores).__name__}, a Scores result is needed")
    options = dict(scores.options) | {"of": scores.strategy}
    flipped = {name: 1.0 - values for name, values in scores.by_layer.items()}
    return _rule(flipped, "critical", scores.network, options, scores.seconds, scores.source, scores.images)


def _by_weights(network: Network, method: str) -> dict[str, Array]:
    if method == "weight-norm":
        return unit_norms(network)
    return median_distances(network) if method == "geometric-median" else norms(network, int(method[-1]))


def _by_images(
    network: Network, method: str, images: Array, labels: np.ndarray[Any, Any] | None, batch_size: int
) -> dict[str, Array]:
    activity = unit_activity(network, images, labels, batch_size)
    if method == "mean-activation":
        return activity.mean
    if method == "apoz":
        return {name: 1.0 - zeros for name, zeros in activity.zeros.items()}
    found = activity.absolute if method == "taylor" else activity.signed
    assert found is not None
    return {name: np.abs(values) for name, values in found.items()}


def _scaled(values: dict[str, Array], method: str) -> dict[str, Array]:
    if method == "apoz":
        return values
    largest = {name: float(layer.max()) for name, layer in values.items()}
    if method in _WITH_LABELS:
        largest = dict.fromkeys(values, max(largest.values(), default=0.0))
    return {name: layer / largest[name] if largest[name] > 0 else layer for name, layer in values.items()}


def _rule(
    by_layer: dict[str, Array],
    strategy: str,
    network: str,
    options: dict[str, Any],
    seconds: dict[str, float],
    source: str,
    images: int,
) -> Scores:
    return Scores(
        by_layer=by_layer, strategy=strategy, gate="none", solver="none", version=oamip_model.__version__,
        relaxed=False, programs=(), options=options, source=source, network=network, planned=0, seconds=seconds,
        images=images,
    )  # fmt: skip
