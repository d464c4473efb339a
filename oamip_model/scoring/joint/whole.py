"""Scores from programs of the whole network.

There is one for all images, or several whose scores are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.bounds import fingerprint_images
from oamip_model.checks import to_record
from oamip_model.clock import Deadline
from oamip_model.errors import InputError, SolverError
from oamip_model.formulation import Formulation
from oamip_model.formulation.losses import loss_named
from oamip_model.network import Network
from oamip_model.records import checked
from oamip_model.runs.events import in_lines
from oamip_model.runs.store import RunStore, key_of
from oamip_model.scoring.joint.program import ProgramOutcome, Programs, solve_program
from oamip_model.scoring.methods import AllLayers, Batches, PerClass
from oamip_model.scoring.program_result import total_seconds
from oamip_model.scoring.reading import read_program, read_values
from oamip_model.scoring.result import Scores
from oamip_model.solving.options import Run
from oamip_model.solving.protocol import Status
from oamip_model.solving.registry import get_backend


def whole_network_scores(
    programs: Programs,
    source: str,
    run: Run,
    keep: RunStore,
    total: Deadline | None = None,
) -> Scores:
    """The scores of the strategies "joint", "batches" and "per-class".

    total: when the run ends with the programs that are solved by then. The other arguments and the errors are those of
    :func:`oamip_model.scoring.score`.
    """
    plain, method, solver, progress = programs.network, programs.method, programs.solver, run.tell
    groups = split(method, programs.y)
    told = {"method": to_record(method), "solver": to_record(solver)}
    told["solver"]["name"] = solver.label
    asked = told | {"version": get_backend(solver.name).version()}
    names = [f"program {number} of {len(groups)}" for number in range(1, len(groups) + 1)]
    rows_of = dict(zip(names, groups, strict=True))
    keys = {name: _key(programs, rows, asked) for name, rows in rows_of.items()}
    stored = {name: keep.read(key, partial(_outcome_from, plain)) for name, key in keys.items()}
    outcomes = {name: outcome for name, outcome in stored.items() if outcome is not None}

    def tell(line: str) -> None:
        if progress is not None:
            progress(len(outcomes), len(groups), line)

    left = {name: rows for name, rows in rows_of.items() if name not in outcomes}
    total = total or Deadline()
    out_of_time = False
    try:
        with closing(run.workers.run(_solve, programs, left, tell)) as solved:
            for name, outcome in solved:
                late = total.closing() and outcome.result.status != Status.OPTIMAL
                if outcome.scores is not None or not late or not outcomes:
                    outcomes[name] = outcome
                if outcome.interrupted:
                    break
                if late:  # not kept: with more time the program may be solved
                    out_of_time = True
                    break
                keep.put(keys[name], _record(outcome))
                tell(f"{name}: {outcome.result.status}")
                if total.over() and len(outcomes) < len(groups):
                    out_of_time = True
                    break
    except KeyboardInterrupt:  # for example while building, where there is no incumbent to return
        if not outcomes:
            raise
    # Pruning a module by these scores reads the module again, and needs its shape.
    facts = asked | {"run": to_record(run), "input_shape": list(plain.input_shape)}
    # In the order of the images, whichever was finished first, so that their mean is always the same.
    done = [name for name in names if name in outcomes]
    shares = None if programs.weights is None else [float(programs.weights[rows_of[name]].mean()) for name in done]
    return collect(programs, [outcomes[name] for name in done], len(groups), facts, source, out_of_time, shares)


def _solve(programs: Programs, rows: NDArray[np.int64], tell: Callable[[str], None] | None) -> ProgramOutcome:
    """One program, in this process or in a worker."""
    if tell is not None:
        tell("building")
    return solve_program(programs.of(rows), in_lines(tell))


def _key(programs: Programs, rows: NDArray[np.int64], asked: dict[str, Any]) -> str:
    """The key of one program in the store. The file of the solver's log is no part of it."""
    images = fingerprint_images(programs.x[rows])
    rest = asked | {"solver": {name: value for name, value in asked["solver"].items() if name != "log_file"}}
    if programs.weights is not None:
        rest |= {"weights": programs.weights[rows].tolist()}
    return key_of(network=programs.network.fingerprint, images=images, labels=programs.y[rows].tolist(), **rest)


def split(method: AllLayers, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of the images that go into each program."""
    rows = np.arange(len(labels))
    if isinstance(method, Batches):
        return [rows[k : k + method.size] for k in range(0, len(rows), method.size)]
    if isinstance(method, PerClass):
        return [rows[labels == c] for c in np.unique(labels)]
    return [rows]


def collect(
    programs: Programs,
    outcomes: list[ProgramOutcome],
    planned: int,
    facts: dict[str, Any],
    source: str,
    out_of_time: bool = False,
    shares: Sequence[float] | None = None,
) -> Scores:
    """The scores of a run: the program's own, or the mean over programs.

    With weights of images a program counts by the mean weight of its own, ``shares``.

    Raises SolverError where none has scores, or KeyboardInterrupt where that is because of an interruption.
    """
    stopped = [outcome for outcome in outcomes if outcome.interrupted]
    interrupted = (len(outcomes) < planned and not out_of_time) or bool(stopped)
    network, method = programs.network, programs.method
    found = [outcome.scores for outcome in outcomes if outcome.scores is not None]
    counts = [1.0] * len(outcomes) if shares is None else shares
    counts = [count for count, outcome in zip(counts, outcomes, strict=True) if outcome.scores is not None]
    if not found:
        if interrupted:
            raise KeyboardInterrupt(no_scores((stopped or outcomes)[0], method.formulation))
        raise SolverError(no_scores(outcomes[0], method.formulation))
    by_layer = {
        group.name: np.average([s[group.name] for s in found], axis=0, weights=counts) for group in network.groups
    }
    seconds = total_seconds(outcome.result for outcome in outcomes)
    return Scores(
        by_layer=by_layer,
        strategy=method.called,
        gate=method.formulation.gate,
        solver=outcomes[0].solver,
        version=outcomes[0].version,
        relaxed=method.formulation.is_relaxation,
        programs=tuple(outcome.result for outcome in outcomes),
        options=facts,
        source=source,
        network=network.fingerprint,
        planned=planned,
        interrupted=interrupted,
        seconds=seconds,
        images=sum(len(outcome.result.images) for outcome in outcomes),
        out_of_time=out_of_time,
    )


def no_scores(outcome: ProgramOutcome, settings: Formulation) -> str:
    """Why a program gave no scores, in one line."""
    status, message = outcome.result.status, outcome.result.message
    if status == "infeasible" and not loss_named(settings.loss).weighted:
        return f"{outcome.solver}: infeasible, no scores give every image a margin of {settings.margin:g} in its logits"
    if outcome.interrupted:
        return f"{outcome.solver}: interrupted before there was a feasible point"
    detail = f" ({message})" if message and message != status else ""
    return f"{outcome.solver}: no scores, the program ended as: {status}{detail}"


def _record(outcome: ProgramOutcome) -> dict[str, Any]:
    scores = outcome.scores
    stored = None if scores is None else {name: values.tolist() for name, values in scores.items()}
    return asdict(replace(outcome, scores=None)) | {"scores": stored}


def _outcome_from(network: Network, record: dict[str, Any]) -> ProgramOutcome:
    stored = record["scores"]
    scores = None if stored is None else read_values(stored, "scores")
    if scores is not None:
        sizes, wanted = [len(values) for values in scores.values()], [group.size for group in network.groups]
        if sizes != wanted:
            raise InputError(f"scores: of layers of {sizes} units, the network has {wanted}")
        # By place and not by name, since an equal network of another file may have other names of layers.
        scores = dict(zip((group.name for group in network.groups), scores.values(), strict=True))
    return ProgramOutcome(
        read_program(record["result"], "result"),
        scores,
        checked(str, record["solver"], "solver"),
        checked(str, record["version"], "version"),
    )
