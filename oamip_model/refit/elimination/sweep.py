"""Backward elimination of units in least squares (mathematics:elim-2).

It works by rank-b downdates, and swaps of one unit for another.

All systems that read a group are kept swept. With S the units that are kept, the matrix is
-(G_SS)^-1 on S and the Schur complement of G_SS elsewhere. The right side holds the weights on S
and the residuals' moments elsewhere. So the loss by removing a unit, and the gain by restoring it,
are the same expression of its own block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.network.maps import Array
from oamip_model.refit.elimination.layer_error import regression
from oamip_model.refit.moments import System

_GAIN = 1e-9
"""Share of the targets' variance that a swap must gain: rounding shows no smaller one."""
_TRIED = 3, 100
"""Units that are tried for a way back in, those that gain most, before swaps end: at least, and at most."""
_WORK = 3e8
"""Entries of matrices that are updated for these tries; large layers try fewer."""
_GROWN = 1e9
"""Entries of matrices that are updated to take units in from one on; larger layers leave it out."""


@dataclass(frozen=True)
class Eliminated:
    """The units of a group that are kept, and the error for every number of them.

    Parameters
    ----------
    keep : array of bool
        The mask (units,).
    order : array of int
        The units in the order of their removal, the last remaining one at the end.
    errors : array
        Mean squared errors (units,) of the refitted readers with 1, 2, ... units, before swaps,
        ridge included. Each output is weighed by its importance. Without importance it is a share
        of the targets' variance. They are added up over readers.
    alike : array
        The same, weighed by what errors cost that are alike at all positions of an image, (units,).
    error : float
        The error of ``keep``, swaps included.
    swaps : int
        Swaps that were made.
    """

    keep: NDArray[np.bool_]
    order: NDArray[np.int64]
    errors: Array
    alike: Array
    error: float
    swaps: int


class Swept:
    """The swept matrices of several least squares that read the same units.

    All units are kept at first.

    Parameters
    ----------
    systems : sequence of tuple
        Each system with the unit of each of its columns, -1 for columns that are always kept.
    ridge : float
        As in :func:`~.least_squares.solve`, but towards weights of 0.
    """

    def __init__(self, systems: Sequence[tuple[System, NDArray[np.int64]]], units: int, ridge: float) -> None:
        self.units, self.inside = units, np.ones(units, dtype=bool)
        self.parts = [_Part(system, owners, ridge) for system, owners in systems if system.variance > 0]
        self.error = sum(part.error for part in self.parts)
        self.alike = sum(part.alike for part in self.parts)

    def values(self) -> Array:
        """What each unit costs to lose, or gains by coming back, (units,).

        Units that are in have a cost, and units that are out a gain.
        """
        total = np.zeros(self.units)
        for part in self.parts:
            np.add.at(total, part.owners, part.values())
        return total

    def flip(self, unit: int) -> None:
        """Take a unit out, or back in."""
        sign = 1.0 if self.inside[unit] else -1.0
        for part in self.parts:
            value, alike = part.flip(unit, not self.inside[unit])
            self.error += sign * value
            self.alike += sign * alike
        self.inside[unit] = not self.inside[unit]

    @property
    def work(self) -> int:
        """Entries of matrices that a flip updates."""
        return sum(part.matrix.numel() for part in self.parts)

    def forget(self) -> None:
        """Drop what is known of units that are out, which then cannot come back."""
        for part in self.parts:
            part.forget(self.inside)

    def copy(self) -> Swept:
        """The same, to be changed apart."""
        twin = Swept([], self.units, 1.0)
        twin.inside, twin.error, twin.alike = self.inside.copy(), self.error, self.alike
        twin.parts = [part.copy() for part in self.parts]
        return twin


class _Part:
    def __init__(self, system: System | None, owners: NDArray[np.int64], ridge: float) -> None:
        if system is None:
            return
        fit = regression(system, owners, ridge)
        factor = torch.linalg.cholesky(fit.matrix)
        self.scale, self.right = fit.scale, torch.cholesky_solve(fit.target, factor)
        self.matrix = -torch.cholesky_inverse(factor)
        self.alike_by = _alike_by(system)
        # ||T||^2 - <B, W>
        self.error, self.alike = self._weighed((fit.totals - (fit.target * self.right).sum(0)).clamp(min=0.0))
        self._place(owners)

    def _place(self, owners: NDArray[np.int64]) -> None:
        """Note where the columns of each unit are."""
        self.by_column, self.owners = owners, np.unique(owners[owners >= 0])
        found, device = [np.flatnonzero(owners == unit) for unit in self.owners], self.matrix.device
        places = zip(self.owners.tolist(), found, strict=True)
        self.columns = {unit: torch.as_tensor(at, device=device) for unit, at in places}
        self.sizes: dict[int, tuple[NDArray[np.int64], Tensor]] = {}
        for size in {len(at) for at in found}:
            which = np.array([n for n, at in enumerate(found) if len(at) == size])
            self.sizes[size] = (which, torch.as_tensor(np.stack([found[n] for n in which]), device=device))

    def forget(self, inside: NDArray[np.bool_]) -> None:
        """Drop the columns of units that are out, which then cannot come back."""
        stays = np.flatnonzero((self.by_column < 0) | inside[self.by_column])
        at = torch.as_tensor(stays, device=self.matrix.device)
        self.matrix, self.right = self.matrix[at[:, None], at], self.right[at]
        self._place(self.by_column[stays])

    def copy(self) -> _Part:
        twin = _Part(None, np.zeros(0, np.int64), 1.0)
        twin.__dict__.update(self.__dict__)
        twin.matrix, twin.right = self.matrix.clone(), self.right.clone()
        return twin

    def values(self) -> Array:
        found = np.zeros(len(self.owners))
        for which, at in self.sizes.values():
            blocks, right = self.matrix[at[:, :, None], at[:, None, :]], self.right[at]
            # The products of rows are as small as the blocks, however many outputs there are.
            losses = torch.linalg.solve(blocks, right @ right.mT).diagonal(dim1=1, dim2=2).sum(1)
            found[which] = losses.abs().cpu().numpy()
        return self.scale * found

    def _weighed(self, values: Tensor) -> tuple[float, float]:
        """Squared errors of each output, added up with both weights: of errors apart, and alike."""
        apart = self.scale * float(values.sum())
        return apart, apart if self.alike_by is None else self.scale * float((values * self.alike_by).sum())

    def flip(self, unit: int, enters: bool) -> tuple[float, float]:
        if unit not in self.columns:
            return 0.0, 0.0
        at = self.columns[unit]
        pivot = torch.linalg.inv(self.matrix[at][:, at])
        side, right = self.matrix[:, at].clone(), self.right[at].clone()
        value = (right * (pivot @ right)).sum(0).abs()
        scaled = side @ pivot
        self.matrix.addmm_(scaled, side.T, alpha=-1)
        self.right.addmm_(scaled, right, alpha=-1)
        sign = 1.0 if enters else -1.0
        self.matrix[:, at] = sign * scaled
        self.matrix[at] = sign * scaled.T
        self.matrix[at[:, None], at] = -pivot
        self.right[at] = sign * (pivot @ right)
        return self._weighed(value)


def _alike_by(system: System) -> Tensor | None:
    """The cost of errors that are alike, as a multiple of that of errors apart, of each output."""
    if system.importance is None or torch.equal(system.importance.alike, system.importance.apart):
        return None
    return torch.where(system.importance.apart > 0, system.importance.alike / system.importance.apart, 0.0)


def eliminate(
    systems: Sequence[tuple[System, NDArray[np.int64]]], units: int, kept: int, ridge: float, swaps: int
) -> Eliminated:
    """Remove the unit that costs least until one is left.

    At ``kept`` units, pairs are swapped while the error falls, at most ``swaps`` times. Then the best
    units are taken in one by one, from one unit to ``kept``, and swapped as well. The better of both
    masks is returned. Large layers leave the second way out. The systems and the ridge are those of
    :class:`Swept`.
    """
    swept = Swept(systems, units, ridge)
    grows = bool(swaps) and 0 < kept < units and swept.work * kept <= _GROWN
    held = units
    order, errors, alike = [], np.zeros(units), np.zeros(units)
    errors[-1], alike[-1] = swept.error, swept.alike
    at_kept = swept.copy() if kept == units else None
    while swept.inside.sum() > 1:
        tick(f"taking out the units of a layer, {int(swept.inside.sum())} left")
        values = np.where(swept.inside, swept.values(), np.inf)
        order.append(int(values.argmin()))
        swept.flip(order[-1])
        left = int(swept.inside.sum())
        errors[left - 1], alike[left - 1] = swept.error, swept.alike
        if left == kept:
            at_kept = swept.copy()
        if not grows and left <= kept and left <= 0.8 * held:
            swept.forget()
            held = left
    order.append(int(swept.inside.argmax()))
    assert at_kept is not None
    done = _swaps(at_kept, swaps)
    if grows:
        # What is left in ``swept`` is one unit; from there the best ones come back one by one.
        added = _grown(swept, kept)
        more = _swaps(added, swaps)
        if added.error < at_kept.error - _GAIN:
            at_kept, done = added, more
    return Eliminated(
        at_kept.inside, np.array(order), np.maximum(errors, 0.0), np.maximum(alike, 0.0), max(at_kept.error, 0.0), done
    )


def _grown(swept: Swept, kept: int) -> Swept:
    """The same with no unit but the ``kept`` that gain most when they come in one after the other."""
    swept.flip(int(swept.inside.argmax()))
    for _ in range(kept):
        tick("taking in the units of a layer")
        swept.flip(int(np.where(swept.inside, -np.inf, swept.values()).argmax()))
    return swept


def _swaps(swept: Swept, most: int) -> int:
    """Swap pairs while the error falls; returns how many were swapped."""
    done = 0
    while done < most and 0 < swept.inside.sum() < swept.units and _swap(swept):
        tick("swapping units")
        done += 1
    return done


def _swap(swept: Swept) -> bool:
    """Make the first swap that lowers the error, of those tried; returns whether there was one."""
    before, least, most = swept.error, *_TRIED
    tried = min(most, max(least, int(_WORK / max(swept.work, 1))))
    gains = np.where(swept.inside, -np.inf, swept.values())
    for into in np.argsort(-gains, kind="stable")[: min(tried, int((~swept.inside).sum()))]:
        swept.flip(int(into))
        costs = np.where(swept.inside, swept.values(), np.inf)
        out = int(costs.argmin())
        if out != into and swept.error + costs[out] < before - _GAIN:
            swept.flip(out)
            return True
        swept.flip(int(into))
    return False
