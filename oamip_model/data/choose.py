"""Choosing the images of a program: a number, balanced over classes, by a seed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.data.dataset import Array, Dataset, Labels, check_labels, check_pixels, classes_of
from oamip_model.data.given import AnyImages, as_dataset, is_array
from oamip_model.errors import InputError


class Replays(Protocol):
    """A network: anything whose ``replay`` gives the logits (n, classes) of images."""

    def replay(self, images: Array, /) -> Array:
        """Logits (n, classes) of the images."""


Classifier: TypeAlias = Callable[[Any], Any] | Replays
_CHUNK = 256
"""Candidates whose logits are computed at once."""


def choose_images(
    images: AnyImages,
    labels: ArrayLike | None = None,
    n: int = 10,
    *,
    balanced: bool = True,
    seed: int = 0,
    correct_for: Classifier | None = None,
    classes: int | Sequence[int] | None = None,
) -> Dataset:
    """A seeded choice of ``n`` images.

    Parameters
    ----------
    images : Dataset, torch Dataset or DataLoader, or array
        One of the first three alone, or images (n, ...) with labels.
    labels : array of int, optional
        Labels (n,) of images that are given as an array.
    n : int, default 10
        Number of images that are chosen.
    balanced : bool, default True
        Take the same number from each class. Where n is not a multiple of the classes, classes drawn by
        the seed give one more. The choice comes in rounds of one image a class, so any whole number of
        rounds from the front is balanced too. With False each image has the same chance.
    seed : int, default 0
        Seed of the choice. A larger ``n`` with the same seed keeps the images of a smaller one.
    correct_for : Network, torch module or callable, optional
        A function from images to logits; only images that it classifies correctly are taken.
    classes : int or sequence of int, optional
        Choose from these classes, or from 0 to classes - 1; None takes every class of the dataset.

    Returns
    -------
    Dataset
        The images, whose ``indices`` are their positions in what they were chosen from.

    Raises
    ------
    InputError
        Where a class has too few such images, which is named. Also where ``n`` or ``seed`` is out
        of range, or images and labels do not fit together.

    Examples
    --------
    >>> import oamip_model as om
    >>> chosen = om.choose_images(om.load_dataset(), n=20, seed=1)
    >>> chosen.labels.tolist()[:10], chosen.images.shape
    ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], (20, 1, 28, 28))
    >>> chosen.source
    '20 images of fashion-mnist-2000 (embedded), train split, 1500 images, balanced, seed 1'
    """
    data, wanted = _dataset(images, labels, classes)
    _whole("n", n, 1)
    _whole("seed", seed, 0)
    rng = np.random.default_rng(seed)
    if data.classes == 1:
        if correct_for is not None:
            raise InputError("correct_for: numbers are no classes, of which a network could have the right one")
        need = np.array([n])
        pools = [_Pool("the choice", rng.permutation(len(data)))]
    elif balanced:
        order = rng.permutation(len(wanted))
        need = np.full(len(wanted), n // len(wanted))
        need[order[: n % len(wanted)]] += 1
        pools = [_Pool(f"class {c}", rng.permutation(np.flatnonzero(data.labels == c))) for c in wanted]
    else:
        need = np.array([n])
        pools = [_Pool("the choice", rng.permutation(np.flatnonzero(np.isin(data.labels, wanted))))]
    _fill(pools, need.tolist(), data, correct_for)
    rounds = [(k, place, row) for place, pool in enumerate(pools) for k, row in enumerate(pool.taken)]
    rows = np.array([row for _, _, row in sorted(rounds)], dtype=np.int64)
    # With a remainder the last round has fewer images than classes; ``sorted`` leaves them in class order.
    kind = f"{'balanced' if balanced else 'not balanced'}, seed {seed}"
    return _subset(data, rows, f"{n} images of {data.source}, {kind}", wanted, correct_for)


def per_class(
    images: AnyImages,
    labels: ArrayLike | None = None,
    k: int = 10,
    *,
    seed: int = 0,
    correct_for: Classifier | None = None,
    classes: int | Sequence[int] | None = None,
) -> dict[int, Dataset]:
    """A seeded choice of ``k`` images of each class on its own, {class: its images}.

    Parameters as in :func:`choose_images`. Raises InputError where a class has fewer than ``k`` such images.

    Examples
    --------
    >>> import oamip_model as om
    >>> sets = per_class(om.load_dataset(), k=3, classes=[2, 5])
    >>> {label: chosen.labels.tolist() for label, chosen in sets.items()}
    {2: [2, 2, 2], 5: [5, 5, 5]}
    """
    data, wanted = _dataset(images, labels, classes)
    _whole("k", k, 1)
    _whole("seed", seed, 0)
    rng = np.random.default_rng(seed)
    pools = [_Pool(f"class {c}", rng.permutation(np.flatnonzero(data.labels == c))) for c in wanted]
    _fill(pools, [k] * len(wanted), data, correct_for)
    return {
        c: _subset(
            data, np.array(pool.taken), f"{k} images of class {c} of {data.source}, seed {seed}", [c], correct_for
        )
        for c, pool in zip(wanted, pools, strict=True)
    }


class _Pool:
    """Candidates in the order in which they are tried, and those taken."""

    def __init__(self, name: str, candidates: Labels) -> None:
        self.name, self.candidates = name, candidates
        self.tried = 0
        self.taken: list[int] = []


def _fill(pools: list[_Pool], need: list[int], data: Dataset, classifier: Classifier | None) -> None:
    """Take ``need`` candidates from each pool, first come first taken, skipping those that are classified wrongly."""
    if classifier is None:
        for pool, count in zip(pools, need, strict=True):
            pool.taken = pool.candidates[:count].tolist()
            pool.tried = len(pool.candidates)
    else:
        forward = _forward(classifier)
        # The network evaluates only as many candidates as needed, since 60,000 images would take long for a few.
        while open_pools := [
            (pool, count - len(pool.taken))
            for pool, count in zip(pools, need, strict=True)
            if len(pool.taken) < count and pool.tried < len(pool.candidates)
        ]:
            parts = [pool.candidates[pool.tried : pool.tried + 2 * lack + 2] for pool, lack in open_pools]
            correct = _correct(forward, data, np.concatenate(parts))
            for (pool, lack), part in zip(open_pools, parts, strict=True):
                mine, correct = correct[: len(part)], correct[len(part) :]
                pool.taken += part[mine][:lack].tolist()
                pool.tried += len(part)
    for pool, count in zip(pools, need, strict=True):
        if len(pool.taken) < count:
            which = "images" if classifier is None else "correctly classified images"
            raise InputError(f"images: {pool.name} has {len(pool.taken)} {which} in {data.source}, {count} are needed")


def _correct(forward: Callable[[Array], Any], data: Dataset, rows: Labels) -> NDArray[np.bool_]:
    found = []
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        logits = np.asarray(forward(data.images[part]))
        if logits.ndim != 2 or len(logits) != len(part):
            raise InputError(
                f"correct_for: {len(part)} images gave logits of shape {logits.shape}, accepted is (n, classes)"
            )
        if not np.isfinite(logits).all():
            raise InputError("correct_for: the network's logits are not finite")
        check_labels(data.labels[part], logits.shape[1], where=f"correct_for: {data.source}")
        found.append(logits.argmax(axis=1) == data.labels[part])
    return np.concatenate(found)


def _forward(classifier: Classifier) -> Callable[[Array], Any]:
    replay = getattr(classifier, "replay", None)
    if callable(replay):
        return replay  # type: ignore[no-any-return]
    # A module is given only where torch is loaded already, so this room need not import it.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(classifier, torch.nn.Module):
        module: Any = classifier
        if module.training:
            raise InputError("correct_for: the module is in train mode, call .eval() first")

        def run(x: Array) -> Any:
            like = next(module.parameters(), torch.zeros(0))
            with torch.no_grad():
                return module(torch.as_tensor(x, dtype=like.dtype, device=like.device)).double().cpu().numpy()

        return run
    if not callable(classifier):
        raise InputError(
            f"correct_for: got a {type(classifier).__name__}, accepted are a network, a module and a function"
        )
    return classifier


def _dataset(
    images: AnyImages, labels: ArrayLike | None, classes: int | Sequence[int] | None
) -> tuple[Dataset, list[int]]:
    """What to choose from, and the classes to choose from."""
    if isinstance(images, Dataset):
        if labels is not None:
            raise InputError("labels: a Dataset brings its own; give the number of images by name, as in n=10")
        data = images
    elif not is_array(images):
        data = as_dataset(images, labels)
    else:
        if labels is None:
            raise InputError("labels: images without labels, give both or a Dataset")
        if classes_of(labels) == 1:
            return as_dataset(images, labels), [0]
        pixels, marks = check_pixels(cast("ArrayLike", images)), check_labels(labels)
        data = Dataset(pixels, marks, "arrays", max([int(marks.max()), *_wanted(classes, 0)[-1:]]) + 1)
    return data, _wanted(classes, data.classes)


def _wanted(classes: int | Sequence[int] | None, default: int) -> list[int]:
    """The classes to choose from, in order; those from 0 to ``default - 1`` where None are given."""
    if classes is None:
        return list(range(default))
    try:
        wanted = sorted(set(map(index, classes if isinstance(classes, Iterable) else range(index(classes)))))
    except TypeError:
        wanted = []
    if not wanted or wanted[0] < 0:
        raise InputError(f"classes: got {classes!r}, accepted are a number of at least 1, and a list of classes")
    return wanted


def _whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}: got {value!r}, accepted is an integer of at least {least}")


def _subset(data: Dataset, rows: Labels, text: str, wanted: list[int], classifier: Classifier | None) -> Dataset:
    if len(wanted) not in (1, data.classes):
        text += f", classes {', '.join(map(str, wanted))}"
    if classifier is not None:
        text += ", classified correctly only"
    weights = None if data.weights is None else data.weights[rows]
    return Dataset(data.images[rows], data.labels[rows], text, data.classes, rows, weights)
