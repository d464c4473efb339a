"""Every backend finds the optimum that HiGHS finds, on random programs of every shape, big-M rows among them."""

from __future__ import annotations

import numpy as np
import pytest
from oamip_backends.highs import Highs

from oamip_model.solving.protocol import Options, Status


def random_program(program, seed):
    """Mixed columns, all kinds of bounds and rows; often feasible, sometimes not, sometimes unbounded."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(3, 11)), int(rng.integers(1, 8))
    rows = np.round(rng.normal(size=(m, n)), 2) * (rng.random((m, n)) < 0.6)
    inside = rng.integers(-2, 3, n).astype(float)
    activity = rows @ inside
    lower, upper = activity - rng.random(m) * 2, activity + rng.random(m) * 2
    kind = rng.integers(0, 4, m)
    lower[kind == 0], upper[kind == 1] = -np.inf, np.inf
    lower[kind == 2] = upper[kind == 2] = activity[kind == 2]
    low, high = inside - rng.integers(0, 4, n), inside + rng.integers(0, 4, n)
    low[rng.random(n) < 0.15], high[rng.random(n) < 0.15] = -np.inf, np.inf
    cost = np.round(rng.normal(size=n) * 3, 2)
    integral = rng.random(n) < rng.choice([0.0, 0.5, 1.0])
    return program(
        cost, rows, lower, upper, low, high, integral, offset=float(rng.normal()), sense=int(rng.choice([1, -1]))
    )


def relu_program(program, seed, big):
    """One layer of ReLUs by big-M rows: h >= a, h <= a + M (1 - z), h <= M z, with M far above what is needed."""
    rng = np.random.default_rng(seed)
    inputs, units = 3, 4
    weight, bias = rng.normal(size=(units, inputs)), rng.normal(size=units)
    width = inputs + 2 * units
    rows, upper = [], []
    for u in range(units):
        h, z = inputs + u, inputs + units + u
        above, below, off = np.zeros(width), np.zeros(width), np.zeros(width)
        above[:inputs], above[h] = weight[u], -1
        below[:inputs], below[h], below[z] = -weight[u], 1, big
        off[h], off[z] = 1, -big
        rows += [above, below, off]
        upper += [-bias[u], bias[u] + big, 0]
    cost = np.concatenate([rng.normal(size=inputs) * 0.1, rng.normal(size=units), np.zeros(units)])
    lower = np.concatenate([-np.ones(inputs), np.zeros(2 * units)])
    high = np.concatenate([np.ones(inputs), np.full(units, np.inf), np.ones(units)])
    integral = np.arange(width) >= inputs + units
    return program(cost, rows, -np.inf, upper, lower, high, integral)


@pytest.mark.thinned(14)
@pytest.mark.parametrize("block", range(4))
def test_random_programs(backend, program, block):
    seen = set()
    for seed in range(15 * block, 15 * block + 15):
        arrays = random_program(program, seed)
        ours, theirs = backend.solve(arrays, Options()), Highs().solve(arrays, Options())
        assert ours.status is theirs.status, f"seed {seed}"
        seen.add(ours.status)
        if ours.status is Status.OPTIMAL:
            assert ours.objective == pytest.approx(theirs.objective, rel=2e-6, abs=2e-6), f"seed {seed}"
            assert arrays.violation(ours.x) <= 1e-5, f"seed {seed}"
    assert Status.OPTIMAL in seen


@pytest.mark.parametrize("big", [10.0, 1e3, 1e4])
def test_big_m_programs(backend, program, big):
    """M a thousand times too large leaves the optimum where it is, to 1e-5 relative."""
    for seed in range(5):
        ours = backend.solve(relu_program(program, seed, big), Options())
        tight = Highs().solve(relu_program(program, seed, 10.0), Options())
        assert ours.status is Status.OPTIMAL, f"seed {seed}"
        assert ours.objective == pytest.approx(tight.objective, rel=1e-5, abs=1e-5), f"seed {seed}"
