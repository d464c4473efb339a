"""A cutoff on the objective, as rows of a program of bounds (mathematics:bounds-6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from oamip_model.bounds import Bounds, Cutoff
from oamip_model.errors import InputError
from oamip_model.formulation import sparsity_weights
from oamip_model.formulation.layout import Expressions
from oamip_model.formulation.objective import cross_entropy, hinge, published_sparsity, tangent
from oamip_model.network.ops import Array
from oamip_model.network.types import Network
from oamip_model.solving.protocol import append_rows
from oamip_model.tightening.relaxation import Relaxation, widened, with_columns

_OUTWARD = 1e-9
"""The cutoff is raised, and tangents are lowered, by this share of their magnitudes, which covers their rounding."""
_FAR = 1e3
"""Difference of logits behind which a class has no weight in a loss: exp(-1000) is 0."""
_LEVELS = (1.0, 0.25)
"""Shares of the largest loss at which the loss has tangents."""


@dataclass(frozen=True)
class Limit:
    """The cutoff as one image sees it: share * loss + sparsity(s) <= most, and loss >= least.

    label: of the image; share: weight / images, 0 where the loss does not enter the objective; least: a lower bound of
    the image's loss; most: the cutoff without what the other images cost at least; logits: (classes,) of the trained
    network. With the loss "margin" every logit but the label's is at least the margin below it.
    """

    cutoff: Cutoff
    label: int
    share: float
    least: float
    most: float
    logits: Array


def limits_of(network: Network, images: Array, bounds: Bounds, cutoff: Cutoff) -> list[Limit]:
    """The limit of each image (n, *input_shape), from bounds of its logits: images share the scores, and no loss is
    negative, so that what the others cost at least is not left for this one."""
    share = 0.0 if cutoff.loss == "margin" else cutoff.weight / len(images)
    least = _least_losses(bounds.output_lower[-1], bounds.output_upper[-1], cutoff)
    most = cutoff.objective + _OUTWARD * max(1.0, abs(cutoff.objective))
    trained = network.replay(images)
    return [
        Limit(cutoff, label, share, float(own), float(most - share * (least.sum() - own)), logits)
        for label, own, logits in zip(cutoff.labels, least, trained, strict=True)
    ]


def _least_losses(low: Array, high: Array, cutoff: Cutoff) -> Array:
    """A lower bound of each image's loss where the logits lie in [low, high], (n, classes)."""
    if cutoff.loss == "margin":
        return np.zeros(len(low))
    labels = np.asarray(cutoff.labels)
    best, rows = low.copy(), np.arange(len(low))
    best[rows, labels] = high[rows, labels]
    found = cross_entropy(best, labels) if cutoff.loss == "cross-entropy" else hinge(best, labels, cutoff.margin)
    return np.asarray(np.maximum(found - _OUTWARD * (1.0 + np.abs(best).max(axis=1)), 0.0))


class Sparsity(NamedTuple):
    """The sparsity as a row: scores @ s + columns @ x, over further columns x in [lower, upper] with rows >= level.

    least: its value at scores of 0. x are the threshold and the excess of the published sparsity, none otherwise.
    """

    scores: Array
    columns: Array
    lower: Array
    upper: Array
    rows: sp.csr_array
    level: Array
    least: float


def sparsity_of(network: Network, kind: str) -> Sparsity:
    """The sparsity ``kind`` of a network's scores (mathematics:sparsity-1..4)."""
    groups = network.groups
    units = sum(group.size for group in groups)
    if kind != "published":
        none = np.zeros(0)
        return Sparsity(sparsity_weights(network, kind), none, none, none, sp.csr_array((0, units)), none, 0.0)
    sizes, divisors = (np.array([getattr(g, name) for g in groups], dtype=float) for name in ("size", "divisor"))
    # I_l lies in [-2, -1] times units over D_l, the threshold among all of them, and an excess is their difference.
    low, high = -2.0 * sizes / divisors, -sizes / divisors
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    terms = sp.csr_array(
        (np.repeat(-1.0 / divisors, sizes.astype(int)), np.arange(units), starts), (len(groups), units)
    )
    excess = sp.hstack([sp.csr_array(np.ones((len(groups), 1))), sp.eye_array(len(groups))])
    costs = np.concatenate([[max(1, len(groups) - 1)], np.ones(len(groups))])
    return Sparsity(
        np.zeros(units), costs, np.concatenate([[low.min()], np.zeros(len(groups))]),
        np.concatenate([[high.max()], high - low.min()]), sp.csr_array(sp.hstack([terms, excess], format="csr")), low,
        published_sparsity([0.0] * len(groups), sizes.astype(int).tolist(), divisors.astype(int).tolist()),
    )  # fmt: skip


def limited(
    program: Relaxation, network: Network, limit: Limit | None, logits: Expressions | None = None
) -> Relaxation:
    """The program with the rows of ``limit``; without ``logits``, expressions in its columns, the loss is at its least.

    New columns are the last: those of the published sparsity, then the loss. Raises InputError where no scores have an
    objective as low as the cutoff.
    """
    if limit is None:
        return program
    sparsity = sparsity_of(network, limit.cutoff.sparsity)
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
    if logits is not None and (with_loss or limit.cutoff.loss == "margin"):
        gradient, level = _loss_rows(limit, float(largest[0]) if with_loss else 0.0)
        rows = sp.csr_array(-gradient @ logits.matrix)
        loss = sp.csr_array(np.ones((len(level), len(largest))))
        between = sp.csr_array((len(level), columns - len(largest) - rows.shape[1]))
        rows = sp.csr_array(sp.hstack([rows, between, loss], format="csr"))
        slack = _OUTWARD * (1.0 + np.abs(level) + np.abs(gradient) @ np.abs(logits.constant))
        least = level + gradient @ logits.constant - slack
        arrays = append_rows(arrays, rows, least, np.full(len(level), np.inf))
    targets = replace(program.targets, matrix=widened(program.targets.matrix, columns))
    return Relaxation(arrays, targets, program.scores)


def unreachable(cutoff: Cutoff) -> InputError:
    """The error where a program of bounds has no point."""
    return InputError(f"cutoff: got {cutoff.objective:g}, but no scores have an objective as low")


def _loss_rows(limit: Limit, largest: float) -> tuple[Array, Array]:
    """Rows loss >= gradient @ logits + level, (rows, classes) and (rows,); with "margin" the same with a loss of 0.

    Of the cross-entropy they are tangents: at the trained logits, and where the label's logit leads all others, or one
    other alone, by what makes the loss a share of ``largest``.
    """
    classes, label = len(limit.logits), limit.label
    others = np.delete(np.arange(classes), label)
    if limit.cutoff.loss != "cross-entropy":
        gradient = np.zeros((len(others), classes))
        gradient[np.arange(len(others)), others], gradient[:, label] = 1.0, -1.0
        return gradient, np.full(len(others), limit.cutoff.margin)
    points = [limit.logits]
    for share in _LEVELS:
        loss = max(share * largest, 1e-12)
        lead = loss if loss > 30 else float(np.log(np.expm1(loss)))
        even = np.full(classes, lead - np.log(max(len(others), 1)))
        even[label] = 0.0
        points.append(even)
        for other in others:
            single = np.full(classes, min(lead, 0.0) - _FAR)
            single[label], single[other] = 0.0, lead
            points.append(single)
    return tangent(np.array(points), np.full(len(points), label))
