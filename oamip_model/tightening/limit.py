"""A cutoff on the objective as rows of a program (mathematics:bounds-6)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from oamip_model.bounds import Bounds, Cutoff
from oamip_model.errors import InputError
from oamip_model.formulation.layout import Expressions
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving.protocol import append_rows
from oamip_model.tightening.relaxation import Relaxation, widened, with_columns

_OUTWARD = 1e-9
"""The cutoff is raised, and tangents are lowered, by this share of their magnitudes, which covers their rounding."""


@dataclass(frozen=True)
class Limit:
    """A cutoff for one image.

    It says share * loss + sparsity(s) <= most, and loss >= least. A loss that is not in the
    objective has rows that hold at a loss of 0.

    Parameters
    ----------
    cutoff : Cutoff
        The cutoff of all images.
    label : int
        The label of the image.
    share : float
        weight / images, 0 where the loss does not enter the objective.
    least : float
        A lower bound of the image's loss.
    most : float
        The cutoff less the least cost of the other images.
    logits : array
        Logits (classes,) of the trained network.
    """

    cutoff: Cutoff
    label: int
    share: float
    least: float
    most: float
    logits: Array


def limits_of(network: Network, images: Array, bounds: Bounds, cutoff: Cutoff) -> list[Limit]:
    """The limit of each image, from bounds of its logits.

    The images have the shape (n, *input_shape). They share the scores, and no loss is negative, so that what the others
    cost at least is not left for this one.
    """
    loss = loss_named(cutoff.loss)
    share = cutoff.weight / len(images) if loss.weighted else 0.0
    least = _least_losses(bounds.output_lower[-1], bounds.output_upper[-1], cutoff)
    most = cutoff.objective + _OUTWARD * max(1.0, abs(cutoff.objective))
    trained = network.replay(images)
    return [
        Limit(cutoff, label, share, float(own), float(most - share * (least.sum() - own)), logits)
        for label, own, logits in zip(cutoff.labels, least, trained, strict=True)
    ]


def _least_losses(low: Array, high: Array, cutoff: Cutoff) -> Array:
    """A lower bound of each image's loss where the logits lie in [low, high], (n, classes)."""
    loss, labels = loss_named(cutoff.loss), np.asarray(cutoff.labels)
    best = loss.best(low, high, labels) if loss.weighted else None
    if best is None:
        return np.zeros(len(low))
    found = loss.values(best, labels, cutoff.margin)
    return np.asarray(np.maximum(found - _OUTWARD * (1.0 + np.abs(best).max(axis=1)), 0.0))


def limited(
    program: Relaxation, network: Network, limit: Limit | None, logits: Expressions | None = None
) -> Relaxation:
    """The program with the rows of ``limit``.

    Without ``logits``, expressions in its columns, the loss is at its least.

    New columns are the last: those of the published sparsity, then the loss. Raises InputError where no scores have an
    objective as low as the cutoff.
    """
    if limit is None:
        return program
    sparsity = sparsity_named(limit.cutoff.sparsity).row(network)
    budget = limit.most - sparsity.least
    with_loss = logits is not None and limit.share > 0
    if budget < 0 or (limit.share > 0 and limit.share * limit.least > budget):
        raise unreachable(limit.cutoff)
    largest = np.array([budget / limit.share]) if with_loss else np.zeros(0)
    width, extra = len(program.arrays.cost), len(sparsity.columns)
    arrays = with_columns(
        program.arrays, np.concatenate([sparsity.lower, np.full(len(largest), limit.least)]),
        np.concatenate([sparsity.upper, largest]),
    )  # fmt: skip
    columns = len(arrays.cost)
    row = np.zeros((1, columns))
    row[0, : program.scores], row[0, width : width + extra] = sparsity.scores, sparsity.columns
    most = limit.most - (0.0 if with_loss else limit.share * limit.least)
    if with_loss:
        row[0, -1] = limit.share
    arrays = append_rows(arrays, sp.csr_array(row), np.array([-np.inf]), np.array([most]))
    if extra:
        scores, own = sparsity.rows[:, : program.scores], sparsity.rows[:, program.scores :]
        gap, rest = sp.csr_array((extra - 1, width - program.scores)), sp.csr_array((extra - 1, len(largest)))
        rows = sp.csr_array(sp.hstack([scores, gap, own, rest], format="csr"))
        arrays = append_rows(arrays, rows, sparsity.level, np.full(extra - 1, np.inf))
    loss = loss_named(limit.cutoff.loss)
    if logits is not None and (with_loss or not loss.weighted):
        most_lost = float(largest[0]) if with_loss else 0.0
        gradient, level = loss.limit_rows(limit.logits, limit.label, limit.cutoff.margin, most_lost)
        rows = sp.csr_array(-gradient @ logits.matrix)
        own = sp.csr_array(np.ones((len(level), len(largest))))
        between = sp.csr_array((len(level), columns - len(largest) - rows.shape[1]))
        rows = sp.csr_array(sp.hstack([rows, between, own], format="csr"))
        slack = _OUTWARD * (1.0 + np.abs(level) + np.abs(gradient) @ np.abs(logits.constant))
        least = level + gradient @ logits.constant - slack
        arrays = append_rows(arrays, rows, least, np.full(len(level), np.inf))
    targets = replace(program.targets, matrix=widened(program.targets.matrix, columns))
    return Relaxation(arrays, targets, program.scores)


def unreachable(cutoff: Cutoff) -> InputError:
    """The error where a program of bounds has no point."""
    return InputError(f"cutoff: got {cutoff.objective:g}, but no scores have an objective as low")
