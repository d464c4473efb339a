"""Second moments of what a layer reads and of what it misses.

They are summed over images and positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.network.maps import Ids, Shape, TrainedMap
from oamip_model.network.types import Layer
from oamip_model.refit.importance import Importance
from oamip_model.refit.slim import Slim, frozen_terms
from oamip_model.refit.walk import Inputs, Walk
from oamip_model.torchnet.maps import torch_map

_CHUNK = 2**25
"""Numbers (in double precision: 256 MiB) of inputs that are multiplied at a time."""
_DRAWN = 50
"""Images that are read at the same positions."""
_HELD = 2**28
"""Numbers (in single precision: 1 GiB) of inputs that are held at most."""

_ROUNDING = 1e-10
"""Share of a column's mean square below which its variance is rounding: inputs are in single precision."""


@dataclass
class System:
    """Least squares of some outputs of a layer, as sums over all rows.

    The rows are images and positions. Each counts by the weight of its image (mathematics:weights-2).

    Parameters
    ----------
    outputs : array of int
        Rows (m,) of the layer's weights.
    columns : array of int
        Columns (p,) of the :class:`Design`.
    weight : Tensor
        Trained weights (p, m) of the columns that are left.
    count : float
        Number of rows, each by the weight of its image.
    x, e, t : Tensor
        Sums of the inputs (p,), of the errors (m,), and of the trained pre-activations (m,). An
        error is the trained network's pre-activation less that of the cut network.
    xx, xe, ee, tt : Tensor
        Sums of products, (p, p), (p, m), (m,) and (m,).
    importance : Importance, optional
        The cost of a squared error of each output, (m,).
    """

    outputs: Ids
    columns: Ids
    weight: Tensor
    count: float
    x: Tensor
    e: Tensor
    t: Tensor
    xx: Tensor
    xe: Tensor
    ee: Tensor
    tt: Tensor
    importance: Importance | None = None

    @property
    def centred(self) -> tuple[Tensor, Tensor, Tensor]:
        """The moments xx, xe and ee about the means.

        So no constant is among the columns. A column that varies by less than its rounding is one, and is zero here.
        """
        x, e = self.x / self.count, self.e / self.count
        xx, xe = self.xx - self.count * torch.outer(x, x), self.xe - torch.outer(x, self.e)
        constant = xx.diagonal() <= _ROUNDING * self.xx.diagonal()
        xx[constant], xx[:, constant], xe[constant] = 0.0, 0.0, 0.0
        return xx, xe, self.ee - self.e * e

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
            trained, whole = term.map.trained, full.terms[number].map.trained
            if (k, number) in frozen or trained is None or whole is None or not torch_map(trained).fits:
                continue
            gated = slim.gates and whole.blocks > 1
            if len(trained.weight) == layer.pre_shape[0] and not gated:
                fit[trained.has_kernel].append(number)
        self.conv = bool(fit[True])
        self.terms = fit[self.conv]
        self.shape: Shape = layer.pre_shape
        self.positions = int(np.prod(layer.pre_shape[1:])) if self.conv else 1
        sizes = [_trained(layer, n).inputs * _trained(layer, n).kernel for n in self.terms]
        self.starts = np.cumsum([0, *sizes])
        self.systems = self._systems()

    @property
    def refits(self) -> bool:
        """Whether there is something to refit: weights, and inputs that the cut changed."""
        return bool(self.terms) and self.k in self.slim.affected

    @property
    def channels(self) -> NDArray[np.int64]:
        """The term and the full network's input channel of each column.

        They have the shape (columns, 2).
        """
        found = [np.zeros((0, 2), np.int64)]
        for number in self.terms:
            kernel = _trained(self.slim.network.layers[self.k], number).kernel
            channel = np.repeat(self.slim.columns[self.k, number], kernel)
            found.append(np.stack([np.full(len(channel), number), channel], axis=1))
        return np.concatenate(found)

    def _systems(self) -> list[tuple[Ids, Ids]]:
        """Outputs and columns that depend on each other: all, or those of each group of a convolution."""
        rows, columns = [], []
        for number in self.terms:
            made, read = _trained(self.slim.full.layers[self.k], number).channel_blocks
            rows.append(made[self.slim.rows[self.k, number]])
            kernel = _trained(self.slim.network.layers[self.k], number).kernel
            columns.append(np.repeat(read[self.slim.columns[self.k, number]], kernel))
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
        parts = [_trained(layer, n).full_weight.reshape(self.shape[0], -1).T for n in self.terms]
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
            parts.append(torch_map(term.map).columns(term.map, x, at, self.shape))
        return torch.cat(parts, dim=2).double()

    def at_positions(self, pre: Tensor, at: Tensor | None) -> Tensor:
        """Pre-activations (n, *pre_shape) at these positions, (n, positions, outputs)."""
        if at is None:
            return pre[:, None].double()
        return pre.flatten(2)[:, :, at].transpose(1, 2).double()


def _trained(layer: Layer, number: int) -> TrainedMap:
    """The map of a term that is refitted."""
    map = layer.terms[number].map.trained
    assert map is not None
    return map


class Rows:
    """Rows of a layer's least squares themselves, every n-th where not all fit.

    parts: inputs (r, p), trained pre-activations (r, m) and those of the cut network (r, m), in single precision.
    weights: (r,) or None, of the rows of each part.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self.weights: list[Tensor | None] = []

    def add(self, x: Tensor, target: Tensor, given: Tensor, every: int, weights: Tensor | None = None) -> None:
        """Take every n-th of these rows."""
        self.parts.append((x[::every].float(), target[::every].float(), given[::every].float()))
        self.weights.append(None if weights is None else weights[::every])


def moments(
    design: Design, walk: Walk, batches: Iterable[Inputs], count: int, *, rows: int, seed: int, held: Rows | None = None
) -> list[System]:
    """Second moments of a layer over batches of its inputs.

    There is one system for the outputs of each group of a convolution.

    count: images in the batches; rows: for each column, as far as images and positions give so many. Positions are
    drawn anew for every few images. held: takes the rows.
    """
    systems = [_empty(design, walk, *part) for part in design.systems]
    wanted = rows * max(len(columns) for _, columns in design.systems)
    each = min(design.positions, -(-wanted // count))
    generator = torch.Generator().manual_seed(seed * 10_007 + design.k)
    full, layer = walk.trained.network.layers[design.k], walk.current.layers[design.k]
    stays = torch.as_tensor(walk.slim.stays[design.k], device=walk.cut.device)
    every = design.conv and each == design.positions
    step = -(-count * each * int(design.starts[-1]) // _HELD)
    begun = 0
    with torch.no_grad():
        for inputs in batches:
            trained = walk.trained.pre_activation(full, inputs.trained)[:, stays]
            cut = walk.cut.pre_activation(layer, inputs.cut)
            shares = walk.stream.shares(begun, cut)
            begun += len(cut)
            for part in _chunks(len(cut), each * int(design.starts[-1]), design.conv and not every):
                tick(f"moments of layer {full.name}")
                at = None
                if design.conv:
                    drawn = torch.randperm(design.positions, generator=generator)[:each].sort().values
                    at = (torch.arange(each) if every else drawn).to(cut.device)
                x = design.read([value[part] for value in inputs.cut], at).flatten(0, 1)
                target, given = (design.at_positions(value[part], at).flatten(0, 1) for value in (trained, cut))
                weights = None if shares is None else shares[part].repeat_interleave(len(x) // len(shares[part]))
                _add(systems, x, target - given, target, weights)
                if held is not None:
                    held.add(x, target, given, step, weights)
    for system in systems:
        _mirror(system.xx)
    return systems


def _chunks(count: int, each: int, drawn: bool) -> Iterator[slice]:
    size = max(1, _CHUNK // max(each, 1))
    size = min(size, _DRAWN) if drawn else size
    for start in range(0, count, size):
        yield slice(start, start + size)


def _empty(design: Design, walk: Walk, outputs: Ids, columns: Ids) -> System:
    device = walk.cut.device
    p, m = len(columns), len(outputs)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=device)

    weight = design.weights(walk)[columns][:, outputs]
    return System(
        outputs, columns, weight, 0, zeros(p), zeros(m), zeros(m), zeros(p, p), zeros(p, m), zeros(m), zeros(m)
    )


def _add(systems: list[System], x: Tensor, e: Tensor, t: Tensor, weights: Tensor | None) -> None:
    count = float(len(x)) if weights is None else float(weights.sum())
    by_row = None if weights is None else weights[:, None]
    for system in systems:
        xs, es, ts = x, e, t
        if len(systems) > 1:
            xs, es, ts = x[:, system.columns], e[:, system.outputs], t[:, system.outputs]
        # Sums of products take one factor with the weights, the squares of inputs both with their roots.
        xw, ew, tw = (xs, es, ts) if by_row is None else (xs * by_row, es * by_row, ts * by_row)
        system.count += count
        system.x += xw.sum(0)
        system.e += ew.sum(0)
        system.t += tw.sum(0)
        _add_products(system.xx, xs if by_row is None else xs * by_row.sqrt())
        system.xe += xs.T @ ew
        system.ee += (es * ew).sum(0)
        system.tt += (ts * tw).sum(0)


def _add_products(total: Tensor, x: Tensor) -> None:
    """Add the products of all pairs of columns of the rows (n, p) to the lower triangle of a sum (p, p)."""
    if x.device.type != "cpu":
        total.addmm_(x.T, x)
        return
    # BLAS computes a triangle alone, in place: half of the work, and no large array is made for each part.
    if not x.numel():
        return
    rows, place = x.numpy(), total.numpy().T
    done = dsyrk(1.0, rows.T, beta=1.0, c=place, overwrite_c=1)
    if not np.shares_memory(done, place):
        place[:] = done


def _mirror(total: Tensor) -> None:
    """Copy the lower triangle of a matrix to the upper one."""
    total.copy_(torch.tril(total) + torch.tril(total, -1).T)
