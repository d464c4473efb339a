"""Limits on time: every strategy ends with what it has, says so, and goes on from its store."""

from __future__ import annotations

import numpy as np
import pytest

import oamip_model as om
from oamip_model.bounds import crown_bounds
from oamip_model.clock import Deadline, TimeIsUp, expect, finishing, seconds_left, tick, unhurried, within
from oamip_model.network.maps import Conv2d
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.strategies import ELIMINATION, STRATEGIES
from oamip_model.solving.searches import SEARCHES

# Elimination solves no program, so it takes no limit.
RUNS = [(s, {}) for s in STRATEGIES if s not in ("joint", ELIMINATION)]
RUNS += [("joint", {"search": search}) for search in SEARCHES]


@pytest.mark.parametrize(("strategy", "more"), RUNS)
def test_a_tiny_limit_leaves_scores_that_are_not_proved(strategy, more, problem_of):
    p = problem_of("deep", 1, 4)
    found = om.score(
        p.network, p.images, p.labels, **as_objects(strategy=strategy, time_limit=1e-3, tolerance=1e-9, **more)
    )
    assert set(found.by_layer) == {group.name for group in p.network.groups}
    assert found.status in ("feasible", "optimal", "no solution")
    assert not found.interrupted
    assert not (found.proved and found.status != "optimal")


@pytest.mark.parametrize(("strategy", "more"), RUNS)
def test_a_run_whose_total_time_is_up_says_so_and_goes_on_from_its_store(
    strategy, more, problem_of, tmp_path, monkeypatch
):
    p, store = problem_of("deep", 1, 4), tmp_path / "runs.jsonl"
    over = [False]
    monkeypatch.setattr(Deadline, "over", lambda self, grace=0.0: over[0] and self.seconds is not None and grace <= 0)
    asked = {"strategy": strategy, **more} | ({"batch_size": 1} if strategy == "batches" else {})
    if strategy != "joint":
        asked["store"] = store

    def stop_after_the_first(done, total, line):
        over[0] = over[0] or done >= 1

    stopped = om.score(
        p.network, p.images, p.labels, **as_objects(total_time_limit=100.0, progress=stop_after_the_first, **asked)
    )
    over[0] = False
    whole = om.score(p.network, p.images, p.labels, **as_objects(**asked))
    assert not whole.out_of_time
    if strategy != "joint" and len(p.network.groups) > 1:
        assert stopped.out_of_time
        assert "stopped by the total time limit" in stopped.summary()
        assert not stopped.interrupted
        assert not stopped.proved
        assert om.load_scores(stopped.save(tmp_path / "scores.json")).out_of_time
    fresh = om.score(p.network, p.images, p.labels, **as_objects(**{k: v for k, v in asked.items() if k != "store"}))
    for name, values in fresh.by_layer.items():
        np.testing.assert_allclose(whole.by_layer[name], values, atol=1e-6)


def test_the_earliest_deadline_counts_and_the_clock_is_looked_at():
    with within(Deadline(100.0)), within(Deadline(50.0)), within(Deadline()):
        left = seconds_left()
        assert left is not None
        assert left <= 50.0
        tick("nothing")
        with within(Deadline(-1.0)):
            with pytest.raises(TimeIsUp, match=r"^the time limit of -1 s was over: reading$"):
                tick("reading")
            with unhurried():
                tick("finishing")
                assert seconds_left() is None
    assert seconds_left() is None


@pytest.mark.parametrize("given", [0, -1.0, float("nan"), float("inf")])
def test_a_total_limit_is_a_number_of_seconds(given, problem_of):
    p = problem_of("dense")
    with pytest.raises(om.InputError, match=r"^total_time_limit: got [^\n]*$"):
        om.score(p.network, p.images, p.labels, run=om.Run(total_time_limit=given))


def test_reading_and_building_end_at_the_deadline(problem_of):
    p = problem_of("conv")
    with within(Deadline(-1.0)):
        for work in (lambda: om.read_network(p.module, p.network.input_shape),
                     lambda: om.compute_bounds(p.network, p.images),
                     lambda: p.build()):  # fmt: skip
            with pytest.raises(TimeIsUp):
                work()


def test_what_would_take_far_too_long_is_not_begun(problem_of):
    p = problem_of("conv")
    for layer in p.network.layers:
        for term in layer.terms:
            if isinstance(term.map, Conv2d):
                with within(Deadline(100.0)):
                    assert term.map.matrix(term.input_shape).nnz > 0
    wide = Conv2d(np.ones((64, 64, 3, 3)), padding=(1, 1, 1, 1))
    with within(Deadline(1.0)), pytest.raises(TimeIsUp, match="leaves too little for some 92 s: the matrix of a conv"):
        wide.matrix((64, 224, 224))
    expect(1e9, "nothing waits for it")


def test_checks_after_the_end_have_a_little_time_and_end_quietly():
    done = []
    with within(Deadline(0.0)):
        with finishing():
            tick("a check")
            done.append("in time")
        with finishing():
            left = seconds_left()
            assert left is not None
            assert 0 < left <= 1.0
            raise TimeIsUp("a check that took too long")
    with finishing(10.0):
        left = seconds_left()
        assert left is not None
        assert 1.0 < left <= 1.5
    with finishing():
        assert seconds_left() is None
    assert done == ["in time"]


def test_crown_keeps_intervals_where_there_is_no_time(problem_of, monkeypatch):
    p = problem_of("conv")
    interval = om.compute_bounds(p.network, p.images)
    crown = om.compute_bounds(p.network, p.images, "crown")
    monkeypatch.setattr("oamip_model.network.maps.conv2d._ENTRY_SECONDS", 1e9)
    hurried = crown_bounds(p.network, p.images, time_limit=100.0)
    for k in range(len(p.network.layers)):
        assert (hurried.upper[k] >= crown.upper[k]).all()
        assert (hurried.upper[k] <= interval.upper[k]).all()
    assert len(hurried.upper) == len(interval.upper) == len(hurried.output_lower)
    assert (hurried.upper[-1] == interval.upper[-1]).all()
    assert len(hurried.reports) == len(crown.reports)


def test_elimination_ends_with_the_layers_that_it_has_reached(problem_of, monkeypatch):
    p, over = problem_of("deep", 1, 4), [False]
    monkeypatch.setattr(Deadline, "over", lambda self, grace=0.0: over[0] and self.seconds is not None)

    def stop_after_the_first(done, total, line):
        over[0] = True

    asked = {"strategy": ELIMINATION, "amount": 0.5, "total_time_limit": 100.0}
    stopped = om.score(p.network, p.images, p.labels, **as_objects(progress=stop_after_the_first, **asked))
    over[0] = False
    whole = om.score(p.network, p.images, p.labels, **as_objects(**asked))
    first, *rest = stopped.by_layer
    assert (stopped.out_of_time, whole.out_of_time) == (True, False)
    assert "stopped by the total time limit" in stopped.summary()
    np.testing.assert_array_equal(stopped.by_layer[first], whole.by_layer[first])
    assert rest
    assert all((stopped.by_layer[name] == 1.0).all() for name in rest)
    assert not all((whole.by_layer[name] == 1.0).all() for name in rest)
    over[0] = True
    with pytest.raises(TimeIsUp):
        om.score(p.network, p.images, p.labels, **as_objects(**asked))
