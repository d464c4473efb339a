"""Bounds with a cutoff hold for every score no worse than it, change no optimum, and never pass for more than that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from replays import KINDS, assert_within, gates, passes
from thinned import examples

import oamip_model as om
from oamip_model.bounds import interval_bounds
from oamip_model.formulation import cross_entropy, hinge, sparsity_weights
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.formulation.sparsities.published import published_sparsity
from oamip_model.tightening import compute_bounds, lp
from oamip_model.tightening.limit import limits_of

SEEDS = st.integers(0, 100_000)


def sparsity(p, flat, kind):
    if kind != "published":
        return float(sparsity_weights(p.network, kind) @ flat)
    groups = p.network.groups
    sums = [float(part.sum()) for part in p.split(flat).values()]
    return published_sparsity(sums, [g.size for g in groups], [g.divisor for g in groups])


def losses(logits, labels, loss, margin=1.0):
    return cross_entropy(logits, labels) if loss == "cross-entropy" else hinge(logits, labels, margin)


def draws(p, pick, count, binary=False):
    """Score vectors from nearly none to nearly all units, and for each what both gates do with it."""
    interval = interval_bounds(p.network, p.images)
    for draw in range(count):
        share = pick.uniform()
        flat = (pick.uniform(size=p.units) < share).astype(float)
        if draw % 2 and not binary:
            flat = flat * pick.uniform(size=p.units) ** pick.uniform(0.1, 2)
        for gate in gates(p, flat, interval):
            yield flat, passes(p.network, p.images, gate)


@settings(deadline=None, derandomize=True, max_examples=examples(12, 30), phases=[Phase.generate])
@given(
    kind=st.sampled_from(KINDS), seed=SEEDS, loss=st.sampled_from(["cross-entropy", "hinge", "margin"]),
    rule=st.sampled_from(["published", "mean", "parameters"]), rank=st.integers(0, 12),
    method=st.sampled_from(["lp", "lp", "mip"]), weight=st.sampled_from([0.0, 0.3, 5.0, 100.0]),
)  # fmt: skip
def test_scores_up_to_the_cutoff_stay_within(random_problem, kind, seed, loss, rule, rank, method, weight):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    margin = -20.0 if loss == "margin" else 1.0
    seen = []
    for flat, (before, after) in draws(p, pick, 40):
        each = losses(after[-1], p.labels, loss, margin)
        # The loss "margin" is a constraint, here one that some scores break.
        seen.append((sparsity(p, flat, rule) + (weight * each.mean() if loss != "margin" else 0.0), before, after))
    seen.sort(key=lambda entry: entry[0])
    margin = margin if loss != "margin" else 0.0
    cutoff = om.Cutoff(seen[rank][0], p.labels, weight=weight, loss=loss, sparsity=rule, margin=margin)
    if loss == "margin":
        fits = [hinge(after[-1], p.labels, 0.0).max() == 0.0 for _, _, after in seen]
        if not any(fits[: rank + 1]):
            return
        seen = [entry for entry, fit in zip(seen, fits, strict=True) if fit]
    bounds = compute_bounds(p.network, p.images, method, cutoff=cutoff)
    crown = compute_bounds(p.network, p.images, "crown")
    for k in range(len(p.network.layers)):
        assert (bounds.lower[k] >= crown.lower[k]).all()
        assert (bounds.upper[k] <= crown.upper[k]).all()
    for value, before, after in seen:
        if value <= cutoff.objective:
            assert_within(bounds, before, after)


@pytest.mark.thinned(12)
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
@pytest.mark.parametrize(("loss", "rule"), [("cross-entropy", "mean"), ("hinge", "published")])
def test_the_optimum_up_to_the_cutoff_is_that_of_trying_every_score(problem_of, kind, gate, loss, rule):
    p = problem_of(kind, 1, 1)
    values = [
        5.0 * losses(p.network.replay(p.images, p.split(bits)), p.labels, loss).mean() + sparsity(p, bits, rule)
        for bits in p.all_binary()
    ]
    best = min(values)
    for cutoff in (best, best + 0.2):
        known = om.Cutoff(cutoff, p.labels, loss=loss, sparsity=rule)
        bounds = compute_bounds(p.network, p.images, "lp", cutoff=known)
        program = p.build(gate=gate, scores="binary", loss=loss, sparsity=rule, bounds=bounds)
        # Finer tolerances make HiGHS 1.15.1 call one of these feasible programs infeasible.
        found = om.solve_instance(program, om.Solver(tolerance=1e-5))
        assert found.status == "optimal"
        assert found.objective == pytest.approx(best, rel=2e-5, abs=2e-5)


def decided(bounds, network):
    return sum(off + on for off, on, _ in bounds.stability(network).values())


def test_a_cutoff_decides_relus_that_are_open_for_all_scores(problem_of):
    gained = 0
    for seed in range(3):
        p = problem_of("norm", seed)
        best = min(
            5.0 * cross_entropy(p.network.replay(p.images, p.split(bits)), p.labels).mean() + bits.mean()
            for bits in p.all_binary()
        )
        free = compute_bounds(p.network, p.images, "lp")
        bounds = compute_bounds(p.network, p.images, "lp", cutoff=om.Cutoff(best, p.labels, sparsity="mean"))
        gained += decided(bounds, p.network) > decided(free, p.network)
    assert gained


def test_a_cutoff_that_no_scores_reach_is_said(problem_of):
    p = problem_of("dense")
    for objective, jobs in ((-0.5, 1), (1e-4, 1), (1e-4, 2)):
        with pytest.raises(om.InputError, match=r"^cutoff: got [^\n]*, but no scores have an objective as low$"):
            compute_bounds(
                p.network,
                p.images,
                om.Tightening("lp", jobs=jobs),
                cutoff=om.Cutoff(objective, p.labels, sparsity="mean"),
            )


def test_a_program_proves_no_more_than_the_cutoff_of_its_bounds(problem_of, monkeypatch):
    """Here the bounds come from a cutoff below the optimum, which a program of bounds did not notice."""
    p = problem_of("dense", 0)
    options = {"scores": "binary", "sparsity": "mean"}
    true = om.solve_instance(p.build(**options), om.Solver(tolerance=1e-6))
    low = true.objective - 0.3
    free = compute_bounds(p.network, p.images, "lp")
    told = []
    for shrink in (0.0, 1e3):
        # Whatever such bounds are, their program may claim nothing beyond the cutoff.
        upper = tuple(
            np.where(low_ < high, high - shrink, high) for low_, high in zip(free.lower, free.upper, strict=True)
        )
        bounds = lp.replace(free, upper=upper, cutoff=om.Cutoff(low, p.labels, sparsity="mean"))
        if shrink:
            bounds = lp.replace(bounds, lower=tuple(np.minimum(a, b) for a, b in zip(free.lower, upper, strict=True)))
        found = om.solve_instance(p.build(**options, bounds=bounds), om.Solver(tolerance=1e-6))
        assert found.bound is None or found.bound <= low + 1e-9
        assert found.status in ("feasible", "no solution")
        told.append(found)
    assert told[0].bound == pytest.approx(low)
    assert told[0].objective == pytest.approx(true.objective, abs=1e-5)
    assert told[1].objective is None or told[1].objective >= true.objective - 1e-5


@pytest.mark.parametrize("rule", ["published", "mean", "parameters"])
def test_the_row_of_the_sparsity_is_the_sparsity(random_problem, rule):
    from oamip_model.solving.protocol import Arrays, Options
    from oamip_model.solving.registry import get_backend

    p, pick = random_problem("residual", 5), np.random.default_rng(5)
    row = sparsity_named(rule).row(p.network)
    for _ in range(5):
        flat = pick.uniform(size=p.units)
        cost = np.concatenate([row.scores, row.columns])
        low, high = np.concatenate([flat, row.lower]), np.concatenate([flat, row.upper])
        endless = np.full(len(row.level), np.inf)
        arrays = Arrays(row.rows, cost, low, high, row.level, endless, np.zeros(len(cost), bool))
        least = get_backend("highs").solve(arrays, Options()).objective if len(row.level) else row.scores @ flat
        assert least == pytest.approx(sparsity(p, flat, rule), abs=1e-7)
        assert row.least <= sparsity(p, flat, rule)


def test_other_images_leave_less_of_the_cutoff(problem_of):
    p = problem_of("dense", 1)
    cutoff = om.Cutoff(9.0, p.labels, sparsity="mean")
    one, two = limits_of(p.network, p.images, interval_bounds(p.network, p.images), cutoff)
    assert one.share == two.share == 2.5
    assert one.most == pytest.approx(9.0 - 2.5 * two.least)
    assert min(one.least, two.least) >= 0


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"method": "crown"}, "cutoff: got 9, but the method crown has no use for it: accepted with lp, mip"),
        ({"cutoff": 9.0}, "cutoff: got 9.0, accepted is an om.Cutoff"),
        ({"labels": [0]}, "cutoff: got 1 labels for 2 images"),
        ({"labels": [0, 7]}, "labels: label 1 is 7"),
        ({"weight": -1.0}, "weight: got -1.0"),
        ({"loss": "guess"}, "loss: got 'guess'"),
        ({"sparsity": "guess"}, "sparsity: got 'guess'"),
    ],
)
def test_bad_cutoffs_are_named(problem_of, options, culprit):
    p = problem_of("dense")
    own = {name: value for name, value in options.items() if name in ("weight", "loss", "sparsity")}
    cutoff = om.Cutoff(9.0, options.get("labels", p.labels), **own)
    asked = {"method": "lp", "cutoff": cutoff} | {k: v for k, v in options.items() if k in ("method", "cutoff")}
    with pytest.raises(om.InputError, match=f"^{culprit}[^\n]*$"):
        compute_bounds(p.network, p.images, **asked)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"weight": 4.0}, "weight 5.0, the program has weight 4.0"),
        ({"sparsity": "published"}, "sparsity mean, the program has sparsity published"),
        ({"loss": "hinge"}, "loss cross-entropy, the program has loss hinge"),
        ({"labels": True}, "other labels than the program's"),
    ],
)
def test_bounds_of_another_objective_do_not_fit(problem_of, tmp_path, change, culprit):
    p = problem_of("dense")
    bounds = compute_bounds(p.network, p.images, "lp", cutoff=om.Cutoff(9.0, p.labels, sparsity="mean"))
    bounds.save(tmp_path / "bounds.npz")
    bounds = om.load_bounds(tmp_path / "bounds.npz")
    assert bounds.cutoff == om.Cutoff(9.0, p.labels, sparsity="mean")
    labels = (p.labels + 1) % p.network.classes if "labels" in change else p.labels
    own = {"sparsity": "mean"} | {k: v for k, v in change.items() if k != "labels"}
    with pytest.raises(om.InputError, match=f"^bounds: computed with a cutoff for {culprit}$"):
        om.build_instance(p.network, p.images, labels, om.Formulation(**own), bounds=bounds)
