"""The work of the study ``prune-to-solve``: smaller networks in programs."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import oamip_model as om
from oamip_benchmarks.bench.boxes.model import Box, front
from oamip_benchmarks.bench.reporting.statistics import shifted_geometric_mean
from oamip_benchmarks.experiments.boxes.names import BOX, COMPRESS
from oamip_benchmarks.experiments.boxes.tools import TOOLS
from oamip_benchmarks.experiments.cells import Plain
from oamip_model.network.norms import outgoing_norms
from oamip_model.runs.store import key_of
from oamip_model.solving.protocol import Options

if TYPE_CHECKING:
    from torch import nn

    from oamip_benchmarks.experiments.workshop import Trained, Workshop
    from oamip_model.data import Dataset
    from oamip_model.network.maps import Array

GAP = 1e-4
_SAMPLES = 512
"""Images of a box that a refit for it sees."""
_SHIFT = 1.0
"""Seconds of the shifted geometric mean."""


def in_box(shop: Workshop, options: Plain) -> Plain:
    """Seconds of a program over the box around a test image.

    The network was made smaller. "rule" says how units are scored, None for the network as trained. Its "method" may be
    "box" for masks of each box, or "compress" for the exact compression over each box. "choice", "level" and
    "refit_images" are those of the work ``refit``. "box" is the number of the test image, and "radius" half the width.
    "tool" names whose program is solved, by "solver" in at most "time_limit" seconds. "distance_limit" has the seconds
    of the certified distance from the network as trained, or of a compression.

    "seconds_mip" are the solver's, and "seconds_build" the tool's, of the processor. So other work on the machine does
    not count. A program that the limit ended counts with its seconds until then, which are too few. "distance" is the
    certified bound of the largest difference of a logit. "same" is 1 where the class is certified to be the same
    everywhere in the box, else 0.
    """
    trained = shop.trained(options["setting"])
    train, test = shop.data(options["setting"])
    box = box_around(test, options["box"], options["radius"])
    made = _made(shop, options, trained, train, test, box)
    shop.tell(f"box {options['box'] + 1}: {options['tool']}")
    return (
        {name: made[name] for name in ("accuracy", "units", "seconds")} | {"test_images": test.count}
        | _solved(made["network"], box, options) | _apart(trained, made["network"], box, options)
    )  # fmt: skip


_kept: dict[str, Plain] = {}
"""The last smaller network, which the cells of other boxes have as well."""


def _made(shop: Workshop, options: Plain, trained: Trained, train: Dataset, test: Dataset, box: Box) -> Plain:
    """The smaller network, its accuracy and share of units removed, and the seconds that it took."""
    key = key_of(folder=str(shop.folder), **{name: options[name] for name in _names(options)})
    if key not in _kept:
        module, network, seconds = _smaller(shop, options, trained, train, box)
        _kept.clear()
        _kept[key] = {
            "network": network, "accuracy": om.accuracy(module, *test), "seconds": seconds,
            "units": 1 - _units(network) / _units(trained.network),
        }  # fmt: skip
    return _kept[key]


def _names(options: Plain) -> tuple[str, ...]:
    """The options that a smaller network depends on."""
    of_box = ("box", "radius", "distance_limit") if _method(options) in (BOX, COMPRESS) else ()
    return ("setting", "rule", "choice", "level", "refit_images", *of_box)


def box_around(test: Dataset, number: int, radius: float) -> Box:
    """The box around a test image, and the logit of the class after its label."""
    image, label = np.asarray(test.images[number], dtype=np.float64), int(test.labels[number])
    return Box.around(image, radius, (label + 1) % test.classes)


def gather(found: Sequence[tuple[Plain, Plain]]) -> list[tuple[Plain, Plain]]:
    """One result for all boxes of a seed.

    It has means, and the shifted geometric mean of the solver's seconds.
    """
    groups: dict[str, tuple[Plain, list[Plain]]] = {}
    for tags, result in found:
        shared = {name: value for name, value in tags.items() if name != "box"}
        groups.setdefault(key_of(**shared), (shared, []))[1].append(result)
    lines = []
    for tags, results in groups.values():
        # A program without an incumbent has no largest logit, and no solver has to count nodes.
        names = [n for n in results[0] if all(isinstance(one.get(n), int | float) for one in results)]
        means: Plain = {name: float(np.mean([one[name] for one in results])) for name in names}
        means["seconds_mip"] = shifted_geometric_mean([one["seconds_mip"] for one in results], _SHIFT)
        lines.append((tags, means))
    return lines


def box_scores(network: om.Network, box: Box, refitted: bool) -> dict[str, Array]:
    """Scores of units for one box: 0 for units that are never on in it.

    Other scores say how much a unit changes the next layer there. With ``refitted`` a constant output becomes part of
    the next layer's biases, so only the range of an output counts. Without it the largest output counts. Both are
    weighted by the norm of the outgoing weights. The largest score of a layer is 1. Bounds are those of crown.
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
        found = (most - np.minimum(least, most) if refitted else most) * norms[group.name]
        scores[group.name] = found / max(float(found.max()), np.finfo(np.float64).tiny)
    return scores


def _method(options: Plain) -> str | None:
    return None if options["rule"] is None else str(options["rule"]["method"])


def _units(network: om.Network) -> int:
    return sum(group.size for group in network.groups)


def _smaller(
    shop: Workshop, options: Plain, trained: Trained, train: Dataset, box: Box
) -> tuple[nn.Module, om.Network, float]:
    """The network of the programs, as a module and as it is read again, and the seconds that it took."""
    method, level, shape = _method(options), options["level"], train.images.shape[1:]
    started = time.perf_counter()
    if method is None:
        return trained.module, trained.network, 0.0
    if method == COMPRESS:
        limit = om.Solver(time_limit=options["distance_limit"])
        found = om.compress(trained.network, _domain(box), checker=None, solver=limit)
        return om.to_module(found.network), found.network, time.perf_counter() - started
    seed, choice = options["setting"]["seed"], options["choice"]
    refit = None if level == "removal" else om.Refit(level=level, seed=seed)
    if method == BOX:
        scores: om.Scores | dict[str, Array] = box_scores(trained.network, box, refit is not None)
    else:
        scores, spent = shop.scores(options["setting"], options["rule"])

    def cut(**more: Any) -> nn.Module:
        return om.prune(trained.module, scores, network=trained.network, **choice, **more)

    if method == BOX:
        images = _domain(box).sample(_SAMPLES, seed=seed).reshape(-1, *shape)
        module = cut() if refit is None else cut(refit=refit, images=images)
        return module, om.read_network(module, shape), time.perf_counter() - started
    started, module = time.perf_counter(), cut()
    seconds = spent + time.perf_counter() - started
    if refit is not None:
        count = options["refit_images"]
        seen = train if count is None else om.choose_images(train, n=count, seed=seed)
        made = {name: options[name] for name in _names(options)}
        module, spent = shop.refitted(made, module, lambda: cut(refit=refit, images=seen.images))
        seconds += spent
    return module, om.read_network(module, shape), seconds


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
        "seconds_mip": spent, "seconds_build": built, "solved": float(found.status == "optimal"), "largest": largest,
        "nodes": found.nodes, "binaries": int(arrays.integral.sum()),
    }  # fmt: skip


def _apart(trained: Trained, network: om.Network, box: Box, options: Plain) -> Plain:
    """The certified distance from the network as trained."""
    if _method(options) in (None, COMPRESS):
        return {"distance": 0.0, "same": 1.0}
    limit = om.Solver(options["solver"], time_limit=options["distance_limit"])
    found = om.distance(trained.network, network, _domain(box), solver=limit)
    return {"distance": found.bound(), "same": float(found.same is True)}
