"""The work of the study ``prune-to-solve``: smaller networks in programs."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

import oamip_model as om
from oamip_benchmarks.bench.reporting.statistics import shifted_geometric_mean
from oamip_benchmarks.experiments.boxes.tools import TOOLS
from oamip_benchmarks.experiments.cells import Plain
from oamip_benchmarks.measures.box import Box, front
from oamip_model.network.norms import outgoing_norms
from oamip_model.solving.protocol import Options

if TYPE_CHECKING:
    from torch import nn

    from oamip_benchmarks.experiments.workshop import Trained, Workshop
    from oamip_model.data import Dataset
    from oamip_model.network.maps import Array

BOX, COMPRESS = "box", "compress"
"""Masks for the box in question, and the exact compression over it."""
GAP = 1e-4
_SAMPLES = 512
"""Images of a box that a refit for it sees."""
_SHIFT = 1.0
"""Seconds of the shifted geometric mean."""


def in_boxes(shop: Workshop, options: Plain) -> Plain:
    """Seconds of programs over boxes around the first test images.

    They are of a network that was made smaller.

    "rule": how units are scored, None for the network as trained; its "method" may be "box" for masks of each box, or
    "compress" for the exact compression over each box. "choice", "level" and "refit_images" are those of the work
    ``refit``. "boxes", "radius": how many, and half their width; "tool": whose program; "solver", "time_limit": of each
    program; "distance_limit": seconds of each certified distance from the network as trained, or of a compression.

    "seconds_mip" is the shifted geometric mean of the solver's seconds of the processor, so that other work on the
    machine does not count. A program that the limit ended counts with what it took until then, which is too little.
    "distance" is the mean of the certified bounds of the largest difference of a logit. "same" is the share of boxes in
    which the class is certified to be the same.
    """
    setting = options["setting"]
    trained = shop.trained(setting)
    train, test = shop.data(setting)
    rows, accuracies, gone = [], [], []
    module, network, method = None, None, _method(options)
    for number, box in enumerate(boxes(test, options["boxes"], options["radius"])):
        if module is None or method in (BOX, COMPRESS):
            started = time.perf_counter()
            module, network = _smaller(shop, options, trained, train, box)
            preparing = time.perf_counter() - started
            accuracies.append(om.accuracy(module, *test))
            gone.append(1 - _units(network) / _units(trained.network))
        assert network is not None
        shop.tell(f"box {number + 1} of {options['boxes']}: {options['tool']}")
        rows.append(_solved(network, box, options) | _apart(trained, network, box, options) | {"preparing": preparing})
    means = {
        name: float(np.mean([row[name] for row in rows])) for name in ("seconds_build", "distance", "same", "solved")
    }
    return means | {
        "accuracy": float(np.mean(accuracies)), "units": float(np.mean(gone)), "test_images": test.count,
        "seconds_mip": shifted_geometric_mean([row["seconds"] for row in rows], _SHIFT), "boxes": rows,
        "seconds": float(np.mean([row["preparing"] for row in rows])),
    }  # fmt: skip


def boxes(test: Dataset, count: int, radius: float) -> Iterator[Box]:
    """The boxes around the first test images.

    The logit whose largest value is asked for is that of the class after the label.
    """
    for image, label in zip(test.images[:count], test.labels[:count], strict=True):
        yield Box.around(np.asarray(image, dtype=np.float64), radius, (int(label) + 1) % test.classes)


def box_scores(network: om.Network, box: Box, refitted: bool) -> dict[str, Array]:
    """Scores of units for one box: 0 for units that are never on in it.

    Other scores say what a unit adds to the next layer there. refitted: a constant output goes into the next layer's
    biases, so that only the range of an output counts, else its largest value. Both are weighted by the norm of the
    outgoing weights. Bounds are those of crown.
    """
    whole = front(network, box)
    bounds = om.compute_bounds(whole, np.zeros((1, 1)), "crown")
    first, norms, scores = len(whole.layers) - len(network.layers), outgoing_norms(network), {}
    for group in network.groups:
        most, least = np.zeros(group.size), np.full(group.size, np.inf)
        for k in group.layers:
            units = network.layers[k].units
            if units is None:
                continue
            at = np.asarray(units).reshape(-1)
            low, high = (np.maximum(side[k + first].reshape(-1), 0.0) for side in (bounds.lower, bounds.upper))
            np.maximum.at(most, at[at >= 0], high[at >= 0])
            np.minimum.at(least, at[at >= 0], low[at >= 0])
        scores[group.name] = (most - np.minimum(least, most) if refitted else most) * norms[group.name]
    return scores


def _method(options: Plain) -> str | None:
    return None if options["rule"] is None else str(options["rule"]["method"])


def _units(network: om.Network) -> int:
    return sum(group.size for group in network.groups)


def _smaller(
    shop: Workshop, options: Plain, trained: Trained, train: Dataset, box: Box
) -> tuple[nn.Module, om.Network]:
    """The network that goes into the programs, as a module and as it is read again."""
    method, level, shape = _method(options), options["level"], train.images.shape[1:]
    if method is None:
        return trained.module, trained.network
    if method == COMPRESS:
        limit = om.Solver(time_limit=options["distance_limit"])
        found = om.compress(trained.network, _domain(box), checker=None, solver=limit)
        return om.to_module(found.network), found.network
    seed, choice = options["setting"]["seed"], options["choice"]
    if method == BOX:
        scores: om.Scores | dict[str, Array] = box_scores(trained.network, box, level != "removal")
        images = _domain(box).sample(_SAMPLES, seed=seed).reshape(-1, *shape)
    else:
        scores, _ = shop.scores(options["setting"], options["rule"])
        count = options["refit_images"]
        images = (train if count is None else om.choose_images(train, n=count, seed=seed)).images
    refit = None if level == "removal" else om.Refit(level=level, seed=seed)
    more: Plain = {} if refit is None else {"refit": refit, "images": images}
    module = om.prune(trained.module, scores, network=trained.network, **choice, **more)
    return module, om.read_network(module, shape)


def _domain(box: Box) -> om.Box:
    return om.Box(box.lower.reshape(-1), box.upper.reshape(-1))


def _processor() -> float:
    """Seconds of the processor by this process and by those that it started and that ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _solved(network: om.Network, box: Box, options: Plain) -> Plain:
    """What the solver says of one program."""
    started = _processor()
    arrays = TOOLS[options["tool"]](network, box)
    built = _processor() - started
    asked = Options(time_limit=options["time_limit"], gap=GAP, threads=1, seed=0)
    started = _processor()
    found = om.get_backend(options["solver"]).solve(arrays, asked)
    spent = _processor() - started
    if found.interrupted:
        raise KeyboardInterrupt
    largest = None if found.objective is None else -arrays.sense * found.objective
    return {
        "seconds": spent, "seconds_build": built, "solved": found.status == "optimal", "largest": largest,
        "nodes": found.nodes, "binaries": int(arrays.integral.sum()),
    }  # fmt: skip


def _apart(trained: Trained, network: om.Network, box: Box, options: Plain) -> Plain:
    """The certified distance from the network as trained."""
    if _method(options) in (None, COMPRESS):
        return {"distance": 0.0, "same": True}
    limit = om.Solver(options["solver"], time_limit=options["distance_limit"])
    found = om.distance(trained.network, network, _domain(box), solver=limit)
    return {"distance": found.bound(), "same": found.same is True}
