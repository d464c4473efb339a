"""Whether what was read does what its source does.

It is judged by forward passes of the source itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from oamip_model.errors import CheckError, InputError
from oamip_model.network.graph import MOST, Graph
from oamip_model.network.maps import Array
from oamip_model.network.types import Network

TOLERANCE = 1e-5
"""Largest difference of a logit between what was read and its source, relative to the largest logit (if above 1)."""
ROUNDING = 1e-3
"""A judge in single precision that differs by no more than this may be rounding: one in double precision decides."""


@dataclass(frozen=True)
class Judge:
    """A program that runs the source, with its name for messages.

    Its forward pass takes (n, *input_shape).

    ``rounding``: a judge that differs by no more than this may be rounding, and the next one decides; 0: it decides
    itself. ``advice``: what a user can do where it cannot run the source.
    """

    name: str
    run: Callable[[Array], Array]
    rounding: float = 0.0
    advice: str = ""


@dataclass(frozen=True)
class Source:
    """What a reader gives: the graph, its judges, and the batch that they take.

    The best judge comes first. The batch is None where any will do. ``notes`` say what was left out.
    """

    graph: Graph
    judges: Sequence[Judge]
    batch: int | None
    notes: tuple[str, ...] = ()


def check_replay(network: Network, source: Source) -> None:
    """Replay the network against its source on random images.

    The first judge that can run the source decides. Raises CheckError where the logits differ by
    more than 1e-5, or where no judge can run the source. Raises InputError where the source's
    logits are NaN or infinite.
    """
    # Not two, the batch size of the trace: a batch size that became a constant in the graph shows here.
    size = source.batch or 3
    if size * math.prod(source.graph.input_shape) > MOST:
        raise InputError(f"network: takes batches of {size} images; accepted are at most {MOST} pixels together")
    images = np.random.default_rng(0).uniform(-1.0, 1.0, (size * -(-3 // size), *source.graph.input_shape))
    images[::2] = np.abs(images[::2])
    found = network.replay(images)
    problem: InputError | CheckError | None = None
    failures: list[str] = []
    for judge in source.judges:
        try:
            parts = [judge.run(part) for part in np.split(images, len(images) // size)]
            wanted = np.concatenate(parts).reshape(len(images), -1)
        except Exception as error:  # a judge is a program of others, which may fail in any way
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
            failures.append(f"{judge.name} fails ({type(error).__name__}: {reason}){judge.advice}")
            continue
        difference = _difference(wanted, found)
        if difference <= TOLERANCE:
            return
        problem = _problem(network.source, judge, difference)
        # Values that overflow or round in single precision need not do so in double precision.
        if not judge.rounding or judge.rounding < difference < np.inf:
            break
    raise problem or CheckError(
        f"network: what was read from {network.source} could not be checked, which need not be the network's fault: "
        f"{'; '.join(failures)}"
    )


def _difference(wanted: Array, found: Array) -> float:
    """Largest difference relative to the largest wanted logit; infinite where some are not finite, or their number."""
    if wanted.shape != found.shape:
        return float(np.finfo(np.float64).max)
    if not np.isfinite(wanted).all():
        return float("inf")
    return float(np.abs(wanted - found).max() / max(1.0, np.abs(wanted).max()))


def _problem(source: str, judge: Judge, difference: float) -> InputError | CheckError:
    if difference == float("inf"):
        return InputError("network: its logits are NaN or infinite on random images with pixels from -1 to 1")
    return CheckError(
        f"network: what was read from {source} differs from it by {difference:.2g} (relative, as {judge.name} runs it) "
        f"on random images, more than {TOLERANCE:g}, so it is refused"
    )
