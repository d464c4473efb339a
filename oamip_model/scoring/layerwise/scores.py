"""Scores layer by layer, from one run of subproblems (mathematics:layer-1..4)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from oamip_model.checks import to_record
from oamip_model.clock import Deadline, unhurried
from oamip_model.data import Dataset
from oamip_model.errors import SolverError
from oamip_model.formulation.gates import PRODUCT
from oamip_model.network.types import Network
from oamip_model.runs.store import RunStore
from oamip_model.scoring.layer_methods import Layerwise
from oamip_model.scoring.layerwise.losses import summed_loss
from oamip_model.scoring.layerwise.plan import Plan
from oamip_model.scoring.layerwise.schedule import DecoupledRun
from oamip_model.scoring.layerwise.task import measure
from oamip_model.scoring.result import Scores
from oamip_model.solving.options import Run, Solver
from oamip_model.solving.workers.engines import ENGINES


def layerwise_scores(
    network: Network,
    data: Dataset,
    method: Layerwise,
    solver: Solver,
    run: Run,
    store: RunStore,
    heads: Mapping[str, Network] | None = None,
    total: Deadline | None = None,
) -> Scores:
    """Scores of the methods "decoupled", "forward" and "backward".

    Images are as the network takes them.

    ``heads`` are auxiliary heads that were trained before, by layer. ``total`` is the deadline of
    the whole run. Layers that an
    interruption, or that end, left unscored have scores of 1. Raises KeyboardInterrupt, or SolverError, where it left
    all.
    """
    began = time.monotonic()
    plan = Plan.of(method, solver, run.device)
    layers = DecoupledRun(network, data, plan, run, store, heads, total)
    interrupted = layers.run()
    if not layers.outcomes and layers.out_of_time:
        raise SolverError(f"{plan.solver}: no scores, the total time limit was over before a layer had any")
    if not layers.outcomes:
        raise KeyboardInterrupt
    found = [layers.outcomes[g] for g in sorted(layers.outcomes)]
    scores = {
        group.name: layers.outcomes[g].scores if g in layers.outcomes else np.ones(group.size)
        for g, group in enumerate(network.groups)
    }
    kinds = {outcome.head: None for outcome in found}
    full = None
    if any(outcome.result.trained is not None for outcome in found):
        with unhurried():
            full = 1.0 - measure(layers.layers, data.images, data.labels, {}, summed_loss(plan.loss, plan.margin)).wrong
    if run.jobs in (None, 1) and run.engine == ENGINES[0]:  # several at a time spend more seconds than pass
        layers.spent.rest("other", time.monotonic() - began)
    options = {
        "method": to_record(method), "solver": to_record(solver), "run": to_record(run),
        "version": found[0].version, "input_shape": list(network.input_shape),
    }  # fmt: skip
    return Scores(
        by_layer=scores, strategy=plan.order, gate=PRODUCT, solver=found[0].solver, version=found[0].version,
        relaxed=False, programs=tuple(outcome.result for outcome in found), options=options, source=data.source,
        network=network.fingerprint, planned=len(network.groups), interrupted=interrupted, seconds=dict(layers.spent),
        images=data.count, head=" and ".join(kinds), network_accuracy=full,
        exchanged=0 if layers.exchanged is None else layers.exchanged.pairs, out_of_time=layers.out_of_time,
    )  # fmt: skip
