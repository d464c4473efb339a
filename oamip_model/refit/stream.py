"""Images for a refit, in batches, as often as they are needed.

They may be held in arrays, a data set or a loader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

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
    weights : array, optional
        Weights (n,) of the images in the order of a reading, with mean 1, where they count differently.
    """

    network: Network
    given: tuple[Array, NDArray[np.int64] | None] | Iterable[Any]
    count: int
    source: str
    batch_size: int
    weights: Array | None = None

    def __iter__(self) -> Iterator[Batch]:
        if isinstance(self.given, tuple):
            images, labels = self.given
            for start in range(0, len(images), self.batch_size):
                part = slice(start, start + self.batch_size)
                yield self.network.check_images(images[part]), None if labels is None else labels[part]
            return
        for item in self.given:
            yield _checked(self.network, item)

    def shares(self, start: int, like: Tensor) -> Tensor | None:
        """The weights of the images from ``start`` on, None where all count alike.

        There are as many as the first size of ``like``, on its device.
        """
        if self.weights is None:
            return None
        return torch.as_tensor(self.weights[start : start + len(like)], dtype=torch.float64, device=like.device)


def image_stream(
    network: Network, images: AnyImages, batch_size: int = 500, weights: Array | None = None
) -> ImageStream:
    """The images of an array, a Dataset, or a torch loader as a stream.

    An array has the shape (n, ...); a loader is a torch Dataset or DataLoader.

    A Dataset may have weights, and its images of weight 0 are left out. ``weights`` are those of an array's images.
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
        data = images.counted
        network.check_images(data.images[:1])
        marks = check_labels(data.labels, network.classes, where=data.source)
        return ImageStream(network, (data.images, marks), data.count, data.source, batch_size, data.shares)
    if is_array(images):
        pixels = check_pixels(cast("ArrayLike", images))
        network.check_images(pixels[:1])
        return ImageStream(network, (pixels, None), len(pixels), "images given as arrays", batch_size, weights)
    loader = rereadable(images)
    count = sum(len(_checked(network, item)[0]) for item in loader)
    if count == 0:
        raise InputError("images: the loader gives none, at least one is needed")
    return ImageStream(network, loader, count, f"images of a {type(images).__name__}", batch_size)


def _checked(network: Network, item: Any) -> Batch:
    images, labels = read_batch(item)
    pixels = network.check_images(images)
    return pixels, None if labels is None else check_labels(labels, network.classes)
