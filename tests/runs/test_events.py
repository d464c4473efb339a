"""Events of a solve: what they say is what the result says, and their seconds and bounds only go one way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import oamip_model as om
from oamip_model.runs.events import Event, in_lines
from oamip_model.solving.proofs import claims


@pytest.mark.parametrize("search", ["solver", "tree"])
@pytest.mark.parametrize("relaxation", ["big-m", "hull"])
def test_events_lead_to_the_result_and_never_back(problem_of, search, relaxation, monkeypatch):
    monkeypatch.setattr(claims, "LISTED", 0)  # so few scores would be tried one by one, in no step
    p, seen = problem_of("dense", 0, 2), []
    instance = p.build(gate="switch", scores="binary", relaxation=relaxation, sparsity="mean")
    found = om.solve_instance(instance, om.Solver(tolerance=1e-6), search=search, progress=seen.append)
    assert found.status == "optimal"
    assert all(isinstance(event, Event) for event in seen)
    assert {event.kind for event in seen} <= {"round", "relaxation", "node"}
    for before, after in pairwise(seen):
        assert after.seconds >= before.seconds
        assert after.bound >= before.bound - 1e-12
    incumbents = [e.objective for e in seen if e.kind != "relaxation" and e.objective is not None]
    assert np.all(np.diff(incumbents) <= 1e-12)
    # Of a tree some nodes only are told.
    assert seen[-1].bound <= found.bound + 1e-9
    assert incumbents[-1] >= found.objective - 1e-9
    if search == "solver":
        assert (incumbents[-1], seen[-1].bound) == pytest.approx((found.objective, found.bound), rel=1e-9)


def test_a_layers_program_tells_the_calls_of_its_oracle(problem_of):
    p, lines = problem_of("dense", 0, 3), []
    run = om.Run(progress=lambda done, total, line: lines.append(line))
    found = om.score(p.network, p.images, p.labels, om.Decoupled(weight=2.0), run=run)
    assert found.status == "optimal"
    told = [line for line in lines if "oracle call" in line]
    assert told
    assert all(line.split(": ")[-1].startswith("objective ") and ", bound " in line for line in told)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event(kind="relaxation", number=1, seconds=0, objective=0.5, bound=-np.inf),
         "round 1 (relaxation): objective 0.5, bound -inf"),
        (Event(kind="image", number=1, seconds=0, bound=2.0, nodes=3), "image 1 of 3 alone: bound 2"),
        (Event(kind="heuristic", number=0, seconds=0, objective=1.0), "heuristic, round 0: objective 1"),
    ],
)  # fmt: skip
def test_an_event_is_a_line_for_people(event, line):
    lines: list[str] = []
    listener = in_lines(lines.append, "batch 2")
    assert listener is not None
    listener(event)
    assert (str(event), lines) == (line, [f"batch 2, {line}"])
    assert in_lines(None) is None
