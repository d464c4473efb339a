"""Scores by elimination: units that least squares can stand for go first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import oamip_model
from oamip_model.checks import to_record
from oamip_model.clock import Deadline
from oamip_model.data.given import AnyImages, image_shape
from oamip_model.network import Network, read_network
from oamip_model.network.maps import Array
from oamip_model.refit.elimination.sweep import Eliminated
from oamip_model.refit.elimination.units import eliminate_units
from oamip_model.refit.options import MASK_ROWS, Refit
from oamip_model.refit.stream import image_stream
from oamip_model.scoring.layer_methods import Elimination
from oamip_model.scoring.layerwise.exchange import scores_of
from oamip_model.scoring.result import Scores
from oamip_model.scoring.select import removal_count
from oamip_model.solving.options import Run

if TYPE_CHECKING:
    from torch import nn


def elimination_scores(
    network: Network | nn.Module | str | Path,
    images: AnyImages,
    method: Elimination,
    run: Run,
    total: Deadline | None = None,
) -> Scores:
    """Scores whose rank removes units so that a least squares refit loses little.

    The share of each layer's units is the method's. No labels are used, and nothing is proved:
    backward elimination and swaps are heuristics. Units rank by the time of their removal, and kept
    ones above the others. Without an amount no layer is cut while others are judged.

    ``options["errors"]`` holds, by layer, the squared error of the refitted layers that read it with
    1, 2, ... units, before swaps. It is weighed by the effect on the answer, in nats.
    ``options["error"]`` has that of the kept units. ``options["costs"]`` is for budgets: it has the same as
    "errors", weighed by the effect of errors that are alike at all positions. All are None for a
    layer that no refit follows, whose units rank by weight norms.

    Where a deadline or Ctrl-C comes first, the layers that were not reached have scores of 1.
    ``total`` is the deadline of the run. Raises InputError where images do not fit, and TimeIsUp or
    KeyboardInterrupt where no layer was reached.
    """
    if not isinstance(network, Network):
        network = read_network(network, None if isinstance(network, str | Path) else image_shape(images))
    network.check_scored(loss=False)
    began = time.perf_counter()
    stream = image_stream(network, images)
    asked = Refit(rows=MASK_ROWS, seed=method.seed, device=run.device)
    share = method.amount
    gone = {group.name: 0 if share is None else removal_count(share, group.size) for group in network.groups}
    found = eliminate_units(network, stream, gone, asked, swaps=method.swaps, progress=run.tell)
    stopped = len(found) < len(network.groups)
    late = stopped and total is not None and total.over()
    options: dict[str, Any] = {
        "method": to_record(method), "run": to_record(run), "ridge": asked.ridge, "rows": asked.rows,
        "input_shape": list(network.input_shape),
        "errors": {name: _known(e.errors) for name, e in found.items()},
        "costs": {name: _known(e.alike) for name, e in found.items()},
        "error": {name: None if np.isnan(e.error) else e.error for name, e in found.items()},
        "swapped": {name: e.swaps for name, e in found.items()},
    }  # fmt: skip
    return Scores(
        by_layer={
            group.name: _ranked(found[group.name], share is not None) if group.name in found else np.ones(group.size)
            for group in network.groups
        }, strategy="elimination", gate="none",
        solver="none", version=oamip_model.__version__, relaxed=False, programs=(), options=options,
        source=stream.source, network=network.fingerprint, planned=0,
        seconds={"elimination": time.perf_counter() - began}, images=stream.count,
        interrupted=stopped and not late, out_of_time=late,
    )  # fmt: skip


def _known(errors: Array) -> list[float] | None:
    return None if np.isnan(errors).any() else errors.tolist()


def _ranked(found: Eliminated, cut: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Scores in [0, 1] by the time of removal; where the layer was cut, with kept units above one half."""
    place = np.empty(len(found.order))
    place[found.order] = (np.arange(len(found.order)) + 1.0) / len(found.order)
    return scores_of(found.keep.astype(np.float64), place) if cut else place
