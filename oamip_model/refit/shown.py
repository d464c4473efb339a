"""The images that a training of the outgoing weights sees, changed at random.

Steps begin behind the first layer where that is all that reads them, since its weights do not change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from oamip_model.network.types import IMAGE, Network
from oamip_model.refit import walk as walks
from oamip_model.refit.answer import answer
from oamip_model.refit.walk import Walk
from oamip_model.torchnet.layers import TorchLayers


class Shown:
    """The images of a walk, or the trained network's first pre-activations of them.

    A mixed image has the mixed pre-activations, since they are affine. So they are computed once, for
    networks that do not convolve and that read the image in their first layer alone. There must be no more of
    them than numbers of the image. The cut network's are some of them.

    Parameters
    ----------
    walk : Walk
        The networks and the images, of which as many are taken as may be held.

    Attributes
    ----------
    rows : Tensor
        One row an image, from which :meth:`taught` and :meth:`outputs` go on.
    convolves : bool
        Whether the network reads images by kernels, to which a shifted or mirrored image is much the same.
    """

    def __init__(self, walk: Walk) -> None:
        self._trained = walk.trained
        self.convolves = _convolves(walk.current)
        self.behind = not self.convolves and _reads_once(walk.trained.network)
        self._stays = torch.as_tensor(walk.slim.stays[0], device=walk.trained.device)
        self.rows = self._gathered(walk)

    @torch.no_grad()
    def taught(self, rows: Tensor) -> Tensor:
        """The trained network's softmax of each row, in batches that fit."""
        parts = torch.split(rows, 500)
        return torch.cat([answer(self._logits(self._trained, x, {}).flatten(1).double()) for x in parts])

    def logits(self, cut: TorchLayers, rows: Tensor, gates: Mapping[int, Tensor]) -> Tensor:
        """The cut network's logits (n, classes), from rows as the trained one has them."""
        return self._logits(cut, rows[:, self._stays] if self.behind else rows, gates).flatten(1)

    def varied(self, rows: Tensor, done: float, generator: torch.Generator) -> Tensor:
        """The rows changed at random, where a share ``done`` of the training is done.

        Images that a network convolves are mirrored, shifted, and half of them mixed with another one. Others are
        mixed only, half of them at first and none at the end.
        """
        if not self.convolves:
            return _mixed(rows, _chosen(rows, (1 - done) / 2, generator), generator)
        mirrored, mixed = _chosen(rows, 0.5, generator), _chosen(rows, 0.5, generator)
        rows = _shifted(torch.where(mirrored, rows.flip(3), rows), generator)
        return laid_out(_mixed(rows, mixed, generator))

    def _logits(self, layers: TorchLayers, rows: Tensor, gates: Mapping[int, Tensor]) -> Tensor:
        if not self.behind:
            return layers.output(rows, gates)
        return layers.run(rows, gates, [layers.scored(0, rows, gates)])[-1]

    @torch.no_grad()
    def _gathered(self, walk: Walk) -> Tensor:
        """The rows of as many images as may be held."""
        rows: list[Tensor] = []
        room = walks.HELD
        for pixels, _ in walk.stream:
            x = torch.as_tensor(pixels, dtype=walk.trained.dtype, device=walk.trained.device)
            room -= x.numel()
            if room < 0 and rows:
                break
            rows.append(walk.trained.before(0, x, {}) if self.behind else x)
        return torch.cat(rows)


def laid_out(images: Tensor) -> Tensor:
    """The images with their channels last in memory, where convolutions are quicker."""
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images


def _convolves(network: Network) -> bool:
    """Whether it reads images by kernels."""
    maps = [term.map.trained for layer in network.layers for term in layer.terms]
    return len(network.input_shape) == 3 and any(one is not None and one.has_kernel for one in maps)


def _reads_once(network: Network) -> bool:
    """Whether the first layer alone reads the image, and makes no more numbers of it."""
    readers = [k for k, layer in enumerate(network.layers) if any(term.source == IMAGE for term in layer.terms)]
    return readers == [0] and math.prod(network.layers[0].pre_shape) <= math.prod(network.input_shape)


def _chosen(rows: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """Whether each of the rows (n, ...) is chosen, in a shape that multiplies them."""
    return (torch.rand(_one_each(rows), generator=generator) < chance).to(rows.device)


def _one_each(rows: Tensor) -> tuple[int, ...]:
    return (len(rows), *(1,) * (rows.ndim - 1))


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (n, channels, height, width), all shifted alike by up to an eighth of their size."""
    most = [size // 8 for size in images.shape[2:]]
    down, right = (int(torch.randint(2 * reach + 1, (1,), generator=generator)) for reach in most)
    padded = torch.nn.functional.pad(images, (most[1], most[1], most[0], most[0]), mode="replicate")
    return padded[:, :, down : down + images.shape[2], right : right + images.shape[3]]


def _mixed(rows: Tensor, mixed: Tensor, generator: torch.Generator) -> Tensor:
    """The rows (n, ...), some of them mixed with another one, by a share that is drawn between 0 and 1."""
    drawn = torch.rand(_one_each(rows), generator=generator).to(rows)
    share = torch.where(mixed, drawn, torch.ones_like(drawn))
    other = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    return share * rows + (1 - share) * other
