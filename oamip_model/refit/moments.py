"""Second moments of what a layer reads and of what it misses.

They are summed over images and positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.clock import tick
from oamip_model.network.maps import Conv2d, Dense, Shape
from oamip_model.refit.channels import Indices, channel_groups, full_weight
from oamip_model.refit.slim import Slim, frozen_terms
from oamip_model.refit.walk import Inputs, Walk

_CHUNK = 2**25
"""Numbers (in double precision: 256 MiB) of inputs that are multiplied at a time."""


@dataclass
class System:
    """Least squares of some outputs of a layer, as sums over all rows.

    The rows are images and positions.

    outputs (m,): rows of the layer's weights; columns (p,): columns of the :class:`Design`; weight (p, m): as trained,
    for the columns that are left; count: rows; x (p,), e (m,), t (m,): sums of inputs, of what is missing (the trained
    network's pre-activation less that of the cut network) and of the trained pre-activation; xx (p, p), xe (p, m), ee
    (m,), tt (m,): sums of products.
    """

    outputs: Indices
    columns: Indices
    weight: Tensor
    count: int
    x: Tensor
    e: Tensor
    t: Tensor
    xx: Tensor
    xe: Tensor
    ee: Tensor
    tt: Tensor

    @property
    def centred(self) -> tuple[Tensor, Tensor, Tensor]:
        """The moments xx, xe and ee about the means.

        So no constant is among the columns.
        """
        x, e = self.x / self.count, self.e / self.count
        return self.xx - self.count * torch.outer(x, x), self.xe - torch.outer(x, self.e), self.ee - self.e * e

    @property
    def variance(self) -> float:
        """Sum of squared distances of the trained pre-activations from their means."""
        return float((self.tt - self.t * self.t / self.count).sum())


class Design:
    """The inputs of one layer's weights as columns, and its outputs as rows.

    k: the layer; terms: those that are refitted; conv: whether they are convolutions, which read at many positions.
    """

    def __init__(self, slim: Slim, k: int) -> None:
        self.slim, self.k = slim, k
        layer, full = slim.network.layers[k], slim.full.layers[k]
        frozen = frozen_terms(slim.full)
        fit: dict[bool, list[int]] = {False: [], True: []}
        for number, term in enumerate(layer.terms):
            if (k, number) in frozen or not isinstance(term.map, Dense | Conv2d):
                continue
            whole = full.terms[number].map
            assert isinstance(whole, Dense | Conv2d)
            gated = slim.gates and isinstance(whole, Conv2d) and whole.groups > 1
            if len(term.map.weight) == layer.pre_shape[0] and not gated:
                fit[isinstance(term.map, Conv2d)].append(number)
        self.conv = bool(fit[True])
        self.terms = fit[self.conv]
        self.shape: Shape = layer.pre_shape
        self.positions = int(np.prod(layer.pre_shape[1:])) if self.conv else 1
        sizes = [int(full_weight(layer.terms[n].map)[0].size) for n in self.terms]
        self.starts = np.cumsum([0, *sizes])
        self.systems = self._systems()

    @property
    def readers(self) -> bool:
        """Whether one of the terms reads units that are cut."""
        return any(self.slim.reads_cut(self.k, number) for number in self.terms)

    @property
    def channels(self) -> NDArray[np.int64]:
        """The term and the full network's input channel of each column.

        They have the shape (columns, 2).
        """
        found = [np.zeros((0, 2), np.int64)]
        for number in self.terms:
            weight = full_weight(self.slim.network.layers[self.k].terms[number].map)
            channel = np.repeat(self.slim.columns[self.k, number], int(np.prod(weight.shape[2:])))
            found.append(np.stack([np.full(len(channel), number), channel], axis=1))
        return np.concatenate(found)

    def _systems(self) -> list[tuple[Indices, Indices]]:
        """Outputs and columns that depend on each other: all, or those of each group of a convolution."""
        rows, columns = [], []
        for number in self.terms:
            made, read = channel_groups(self.slim.full.layers[self.k].terms[number].map)
            rows.append(made[self.slim.rows[self.k, number]])
            weight = full_weight(self.slim.network.layers[self.k].terms[number].map)
            columns.append(np.repeat(read[self.slim.columns[self.k, number]], int(np.prod(weight.shape[2:]))))
        if not rows:
            return []
        kinds, at = np.unique(np.stack(rows), axis=1, return_inverse=True)
        found = []
        for index, kind in enumerate(kinds.T):
            read = np.concatenate([part == group for part, group in zip(columns, kind, strict=True)])
            found.append((np.flatnonzero(np.ravel(at) == index), np.flatnonzero(read)))
        return found

    def weights(self, walk: Walk) -> Tensor:
        """The weights as they are, (columns, outputs), in double precision."""
        layer = walk.current.layers[self.k]
        parts = [full_weight(layer.terms[n].map).reshape(self.shape[0], -1).T for n in self.terms]
        return torch.as_tensor(np.concatenate(parts), dtype=torch.float64, device=walk.cut.device)

    def read(self, inputs: list[Tensor], at: Tensor | None) -> Tensor:
        """The columns for a batch of the cut network's inputs, at some positions.

        They have the shape (n, positions, columns).
        """
        layer = self.slim.network.layers[self.k]
        parts = []
        for number in self.terms:
            term, x = layer.terms[number], inputs[number]
            x = x.reshape(len(x), *term.input_shape)
            if isinstance(term.map, Conv2d):
                assert at is not None
                parts.append(patches(term.map, x, at, self.shape[2]))
            else:
                parts.append(x[:, None])
        return torch.cat(parts, dim=2).double()

    def at_positions(self, pre: Tensor, at: Tensor | None) -> Tensor:
        """Pre-activations (n, *pre_shape) at these positions, (n, positions, outputs)."""
        if at is None:
            return pre[:, None].double()
        return pre.flatten(2)[:, :, at].transpose(1, 2).double()


def patches(map: Conv2d, x: Tensor, at: Tensor, width: int) -> Tensor:
    """What a convolution reads at flat positions: (n, positions, columns).

    Positions are those of its output, which has this width.
    """
    top, left, bottom, right = map.padding
    padded = F.pad(x, (left, right, top, bottom)) if any(map.padding) else x
    kernel = [torch.arange(size, device=x.device) for size in map.weight.shape[2:]]
    rows = (at // width * map.stride[0])[:, None] + kernel[0] * map.dilation[0]
    columns = (at % width * map.stride[1])[:, None] + kernel[1] * map.dilation[1]
    taken = padded[:, :, rows[:, :, None], columns[:, None, :]]
    return taken.permute(0, 2, 1, 3, 4).reshape(len(x), len(at), -1)


def moments(design: Design, walk: Walk, batches: Iterable[Inputs], count: int, *, rows: int, seed: int) -> list[System]:
    """Second moments of a layer over batches of its inputs.

    There is one system for the outputs of each group of a convolution.

    count: images in the batches; rows: for each column, as far as images and positions give so many.
    """
    systems = [_empty(design, walk, *part) for part in design.systems]
    wanted = rows * max(len(columns) for _, columns in design.systems)
    each = min(design.positions, -(-wanted // count))
    generator = torch.Generator().manual_seed(seed * 10_007 + design.k)
    full, layer = walk.trained.network.layers[design.k], walk.current.layers[design.k]
    stays = torch.as_tensor(walk.slim.stays[design.k], device=walk.cut.device)
    with torch.no_grad():
        for inputs in batches:
            at = None
            if design.conv:
                at = torch.randperm(design.positions, generator=generator)[:each].sort().values.to(walk.cut.device)
            trained = walk.trained.pre_activation(full, inputs.trained)[:, stays]
            missing = trained - walk.cut.pre_activation(layer, inputs.cut)
            target, missing = design.at_positions(trained, at), design.at_positions(missing, at)
            for part in _chunks(len(target), each * int(design.starts[-1])):
                tick(f"moments of layer {full.name}")
                x = design.read([value[part] for value in inputs.cut], at).flatten(0, 1)
                _add(systems, x, missing[part].flatten(0, 1), target[part].flatten(0, 1))
    return systems


def _chunks(count: int, each: int) -> Iterator[slice]:
    size = max(1, _CHUNK // max(each, 1))
    for start in range(0, count, size):
        yield slice(start, start + size)


def _empty(design: Design, walk: Walk, outputs: Indices, columns: Indices) -> System:
    device = walk.cut.device
    p, m = len(columns), len(outputs)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=device)

    weight = design.weights(walk)[columns][:, outputs]
    return System(
        outputs, columns, weight, 0, zeros(p), zeros(m), zeros(m), zeros(p, p), zeros(p, m), zeros(m), zeros(m)
    )


def _add(systems: list[System], x: Tensor, e: Tensor, t: Tensor) -> None:
    for system in systems:
        xs, es, ts = x, e, t
        if len(systems) > 1:
            xs, es, ts = x[:, system.columns], e[:, system.outputs], t[:, system.outputs]
        system.count += len(xs)
        system.x += xs.sum(0)
        system.e += es.sum(0)
        system.t += ts.sum(0)
        system.xx += xs.T @ xs
        system.xe += xs.T @ es
        system.ee += (es * es).sum(0)
        system.tt += (ts * ts).sum(0)
