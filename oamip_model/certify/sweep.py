"""Distances over boxes around many images, resumable, with a table and a picture."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from oamip_model.certify.box import Box
from oamip_model.certify.distances import Proof, distance
from oamip_model.errors import InputError, SolverMissingError
from oamip_model.files import replacing
from oamip_model.network.types import Network
from oamip_model.records import checked
from oamip_model.runs.store import RunStore, key_of
from oamip_model.solving.options import Solver, as_solver
from oamip_model.solving.protocol import Backend


@dataclass(frozen=True, kw_only=True)
class BoxResult:
    """The result for the box of one radius around one image.

    Parameters
    ----------
    image : int
        The number of the image.
    radius : float
        The radius of the box.
    bound : float
        A bound of the largest difference of a logit.
    seen : float
        A difference that some input has.
    same : bool, optional
        Whether both networks have the same class everywhere in the box, None where that is open.
    proof : Proof, optional
        How that was proved.
    seconds : float
        Wall clock.
    """

    image: int
    radius: float
    bound: float
    seen: float
    same: bool | None
    proof: Proof | None
    seconds: float


def distances(
    network: Network,
    pruned: Network,
    images: ArrayLike,
    radii: Sequence[float],
    *,
    solver: str | Backend | Solver = "highs",
    clip: tuple[float, float] | None = None,
    store: str | Path | None = None,
    tell: Callable[[int, int, str], None] | None = None,
) -> tuple[BoxResult, ...]:
    """Distances of two networks over boxes around images.

    There is one for each radius and image.

    Parameters
    ----------
    network, pruned : Network
        As :func:`~.distances.distance` takes them.
    images : array of shape (n, ...)
        The centres.
    radii : sequence of float
        Half widths of the boxes.
    solver : str, backend or Solver, default "highs"
        Who solves the programs. Its time limit is that of one box, and the class is settled first.
    clip : pair of float, optional
        Limits of every input, such as (0, 1), beyond which no box reaches.
    store : path, optional
        A .jsonl file that gets each finished box, and from which those that it has are taken.
    tell : callable, optional
        Called with boxes finished, boxes, and a line.

    Returns
    -------
    tuple of BoxResult
        Radius after radius, in the order of the images.
    """
    x, asked = network.check_images(images), as_solver(solver)
    wrong = [radius for radius in radii if not (np.isfinite(radius) and radius >= 0)]
    if wrong or not len(radii):
        raise InputError(f"radius: got {wrong or 'none'}, accepted are finite numbers >= 0")
    if clip is not None and not (np.isfinite(clip).all() and clip[0] <= clip[1]):
        raise InputError(f"clip: got {clip}, accepted are two finite numbers, the lower one first")
    kept = RunStore(store)
    found = []
    with nullcontext() if store is None else kept.alone():
        for radius in radii:
            for number, image in enumerate(x):
                key = key_of(
                    networks=[network.fingerprint, pruned.fingerprint], radius=float(radius), clip=clip,
                    solver=asked.label, limit=asked.time_limit,
                    image=hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest(),
                )  # fmt: skip
                known = kept.read(key, lambda record: checked(BoxResult, record, "store"))
                if known is None:
                    known = _one(network, pruned, Box.around(image, radius, clip), asked, number, float(radius))
                    kept.put(key, asdict(known))
                found.append(known)
                if tell is not None:
                    tell(len(found), len(radii) * len(x), f"radius {radius:g}, image {number}")
    return tuple(found)


def _one(network: Network, pruned: Network, box: Box, solver: Solver, number: int, radius: float) -> BoxResult:
    began = time.perf_counter()
    answer = distance(network, pruned, box, solver=solver, classes=False)
    seconds = time.perf_counter() - began
    return BoxResult(image=number, radius=radius, bound=answer.bound(), seen=answer.seen(), same=answer.same,
                     proof=answer.same_proof, seconds=seconds)  # fmt: skip


def summary(results: Sequence[BoxResult]) -> list[dict[str, Any]]:
    """One row for each radius.

    It says in how many boxes the class is the same, and how far the logits are apart.
    """
    rows = []
    for radius in dict.fromkeys(result.radius for result in results):
        own = [result for result in results if result.radius == radius]
        same = [result for result in own if result.same]
        rows.append({
            "radius": radius, "boxes": len(own), "same": len(same),
            "certified": sum(result.proof == "certified" for result in same),
            "differ": sum(result.same is False for result in own), "open": sum(result.same is None for result in own),
            "bound": float(np.mean([result.bound for result in own])),
            "seen": float(np.mean([result.seen for result in own])),
            "seconds": float(np.mean([result.seconds for result in own])),
        })  # fmt: skip
    return rows


def plot_same(rows: dict[float, list[dict[str, Any]]], path: str | Path) -> None:
    """Write a picture of the share of boxes with the same class.

    It is drawn against the share of units removed.

    rows: what :func:`summary` gives, by share removed. There is a line for each radius.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SolverMissingError(f"picture: matplotlib cannot be imported ({error}): pip install matplotlib") from None
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = sorted(rows)
    for radius in dict.fromkeys(row["radius"] for share in shares for row in rows[share]):
        own = [(share, row) for share in shares for row in rows[share] if row["radius"] == radius]
        axes.plot(
            [share for share, _ in own], [row["same"] / row["boxes"] for _, row in own], "o-", label=f"{radius:g}"
        )
    axes.set(xlabel="share of units removed", ylabel="boxes with the same class", ylim=(-0.03, 1.03))
    axes.legend(title="radius")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
