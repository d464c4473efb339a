"""Images for a refit, in batches, as often as they are needed.

They may be held in arrays, a data set or a loader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.data import Dataset, check_labels, check_pixels
from oamip_model.data.given import AnyImages, is_array, read_batch, rereadable
from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.types import Network

Batch: TypeAlias = tuple[Array, NDArray[np.int64] | None]
"""Images (n, *input_shape), and their labels (n,) where there are any."""


@dataclass(frozen=True, eq=False)
class ImageStream:
    """Images of one network in batches. It can be read any number of times.

    Parameters
    ----------
    network : Network
        The network.
    given : tuple or iterable
        Arrays (images, labels or None), or a loader.
    count : int
        Images of one reading.
    source : str
        Their source, in words.
    batch_size : int
        Images of a batch of arrays. A loader has its own.
    """

    network: Network
    given: tuple[Array, NDArray[np.int64] | None] | Iterable[Any]
    count: int
    source: str
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        if isinstance(self.given, tuple):
            images, labels = self.given
            for start in range(0, len(images), self.batch_size):
                part = slice(start, start + self.batch_size)
                yield self.network.check_images(images[part]), None if labels is None else labels[part]
            return
        for item in self.given:
            yield _checked(self.network, item)


def image_stream(network: Network, images: AnyImages, batch_size: int = 500) -> ImageStream:
    """The images of an array, a Dataset, or a torch loader as a stream.

    An array has the shape (n, ...); a loader is a torch Dataset or DataLoader.

    A loader gives tensors of images, or tuples that begin with one; a second entry of whole numbers is the labels.

    Raises InputError where there are no images, they do not fit the network, or they could be read only once.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> loader = torch.utils.data.DataLoader(torch.ones(5, 4), batch_size=2)
    >>> [len(batch) for batch, labels in image_stream(network, loader)]
    [2, 2, 1]
    """
    if isinstance(images, Dataset):
        network.check_images(images.images[:1])
        marks = check_labels(images.labels, network.classes, where=images.source)
        return ImageStream(network, (images.images, marks), images.count, images.source, batch_size)
    if is_array(images):
        pixels = check_pixels(cast("ArrayLike", images))
        network.check_images(pixels[:1])
        return ImageStream(network, (pixels, None), len(pixels), "images given as arrays", batch_size)
    loader = rereadable(images)
    count = sum(len(_checked(network, item)[0]) for item in loader)
    if count == 0:
        raise InputError("images: the loader gives none, at least one is needed")
    return ImageStream(network, loader, count, f"images of a {type(images).__name__}", batch_size)


def _checked(network: Network, item: Any) -> Batch:
    images, labels = read_batch(item)
    pixels = network.check_images(images)
    return pixels, None if labels is None else check_labels(labels, network.classes)
