"""The programs against plain statements of the mathematics. Every unit a variable, every row, no presolve, own bounds.

Nothing here uses the package's matrices, bounds, layouts or backends; only the network's data and its forward pass.
"""

from __future__ import annotations

import highspy
import numpy as np
import pytest

import oamip_model as om

WEIGHT, MARGIN = 3.0, 1.0


class Rows:
    """A linear program that grows by single rows."""

    def __init__(self):
        self.cost, self.lower, self.upper, self.integer, self.rows = [], [], [], [], []

    def new(self, low=-np.inf, high=np.inf, integer=False, cost=0.0):
        for values, value in zip(
            (self.cost, self.lower, self.upper, self.integer), (cost, low, high, integer), strict=True
        ):
            values.append(value)
        return len(self.cost) - 1

    def add(self, terms, low=-np.inf, high=np.inf):
        """low <= sum of coefficient * variable <= high, for pairs (coefficient, variable)."""
        self.rows.append((terms, low, high))

    def solve(self):
        h = highspy.Highs()
        h.setOptionValue("output_flag", False)
        h.setOptionValue("mip_rel_gap", 0.0)
        h.setOptionValue("mip_abs_gap", 1e-9)
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance", "mip_feasibility_tolerance"):
            h.setOptionValue(name, 1e-9)
        for low, high in zip(self.lower, self.upper, strict=True):
            h.addVar(low, high)
        columns = np.arange(len(self.cost), dtype=np.int32)
        h.changeColsCost(len(columns), columns, np.array(self.cost))
        whole = np.flatnonzero(self.integer).astype(np.int32)
        if len(whole):
            h.changeColsIntegrality(len(whole), whole, np.array([highspy.HighsVarType.kInteger] * len(whole)))
        for terms, low, high in self.rows:
            merged = {}
            for coefficient, column in terms:
                merged[column] = merged.get(column, 0.0) + coefficient
            h.addRow(low, high, len(merged), np.array(list(merged), dtype=np.int32), np.array(list(merged.values())))
        h.run()
        assert h.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return h.getInfo().objective_function_value, np.array(h.getSolution().col_value)


def dense_maps(layer):
    """(matrix, offset) of a layer's affine map, by the images of the unit vectors."""
    zeros = [np.zeros((1, int(np.prod(t.input_shape)))) for t in layer.terms]
    offset = layer.pre_activation(zeros).ravel()
    maps = []
    for k, zero in enumerate(zeros):
        size = zero.shape[1]
        ins = [np.repeat(z, size, axis=0) for z in zeros]
        ins[k] = np.eye(size)
        maps.append((layer.pre_activation(ins).reshape(size, -1) - offset).T)
    return maps, offset


def interval(network, image, epsilon, aware):
    """Bounds (L, U) of each layer, and those of its output, for one image."""
    before, after = [], []
    for layer in network.layers:
        maps, offset = dense_maps(layer)
        low = high = offset
        for term, matrix in zip(layer.terms, maps, strict=True):
            least, most = (image.ravel() - epsilon, image.ravel() + epsilon) if term.source < 0 else after[term.source]
            plus, minus = np.maximum(matrix, 0), np.minimum(matrix, 0)
            low, high = low + plus @ least + minus @ most, high + plus @ most + minus @ least
        before.append((low, high))
        out = [layer.activate(v.reshape(1, *layer.pre_shape)).ravel() for v in (low, high)]
        if aware and layer.group is not None:
            out[0] = np.zeros_like(out[0])
        after.append(tuple(out))
    return before, after


def state(program, p, gate, relaxed, scores, epsilon=0.0):
    """All variables and rows of the network for all images. Returns the columns of the scores and of the logits."""
    s = {g.name: [program.new(0, 1, scores == "binary") for _ in range(g.size)] for g in p.network.groups}
    logits = []
    for image in p.images:
        bounds, _ = interval(p.network, image, epsilon, gate != "published")
        sound, _ = interval(p.network, image, epsilon, True)
        outputs = []
        for k, layer in enumerate(p.network.layers):
            maps, offset = dense_maps(layer)
            a = [program.new() for _ in offset]
            for i, column in enumerate(a):
                terms, constant = [(1.0, column)], offset[i]
                for term, matrix in zip(layer.terms, maps, strict=True):
                    if term.source < 0:
                        constant += matrix[i] @ image.ravel()
                    else:
                        terms += [(-w, c) for w, c in zip(matrix[i], outputs[term.source], strict=True)]
                program.add(terms, constant, constant)
            if layer.activation == "relu":
                units = [None] * len(a) if layer.group is None else layer.units
                group = None if layer.group is None else s[p.network.groups[layer.group].name]
                outputs.append(
                    [
                        relu(program, gate, relaxed, column, None if u is None else group[u], L, U)
                        for column, u, L, U in zip(a, units, *bounds[k], strict=True)
                    ]
                )
            elif layer.activation == "max":
                outputs.append(maximum(program, layer, a, sound[k], relaxed))
            else:
                outputs.append(a)
        logits.append(outputs[-1])
    return s, logits


def relu(program, gate, relaxed, a, s, L, U):
    """One activation h and its rows; s is None without a score."""
    plus = max(U, 0.0)
    h, z = program.new(0.0), program.new(0, 1, not relaxed)
    if s is None:
        s = program.new(1.0, 1.0)
    if gate == "published":
        program.add([(1, h), (-plus, z)], high=0)
        program.add([(1, h), (-1, a), (-plus, s)], low=-plus)
        # h <= a - (1-z) L - (1-s) U+
        program.add([(1, h), (-1, a), (-L, z), (-plus, s)], high=-L - plus)
    elif gate == "subtractive":
        M = plus
        program.add([(1, h), (-1, a), (-M, s)], low=-M)
        # h <= a - (1-s) M - (L-M)(1-z), with the smallest L that is below 0
        least = min(L, 0.0) - M
        program.add([(1, h), (-1, a), (-M, s), (-least, z)], high=-M - least)
        program.add([(1, h), (-plus, z)], high=0)
    else:
        least = min(L, 0.0)
        program.add([(1, h), (-plus, z)], high=0)
        program.add([(1, z), (-1, s)], high=0)
        program.add([(1, h), (-1, a), (-plus, s)], low=-plus)
        program.add([(1, h), (-1, a), (-least, z)], high=-least)
    return h


def maximum(program, layer, a, bounds, relaxed):
    """Outputs of max pooling with one choice for every entry of a window."""
    low, high = bounds
    outputs = []
    for window in layer.pool.windows(layer.pre_shape):
        inside = [j for j in window if j >= 0]
        o = program.new()
        choices = [program.new(0, 1, not relaxed) for _ in inside]
        for j, q in zip(inside, choices, strict=True):
            slack = max(high[i] for i in inside) - low[j]
            program.add([(1, o), (-1, a[j])], low=0)
            program.add([(1, o), (-1, a[j]), (slack, q)], high=slack)
        program.add([(1, q) for q in choices], 1, 1)
        outputs.append(o)
    return outputs


def price(program, p, s, sparsity):
    """The sparsity term, from its definition."""
    if sparsity == "mean":
        for column in (c for part in s.values() for c in part):
            program.cost[column] += 1.0 / p.units
        return
    keep = max(1, len(s) - 1)
    t = program.new(cost=float(keep))
    for group in p.network.groups:
        v = program.new(0.0, cost=1.0)
        row = [(1, v), (1, t), *((-1.0 / group.divisor, c) for c in s[group.name])]
        program.add(row, low=-2.0 * group.size / group.divisor)


def naive_optimum(p, gate, relaxed, scores, loss, sparsity, epsilon=0.0):
    program = Rows()
    s, logits = state(program, p, gate, relaxed, scores, epsilon)
    price(program, p, s, sparsity)
    t = [program.new(0.0, cost=WEIGHT / len(p.images)) for _ in p.images]
    if loss == "hinge":
        for n, y in enumerate(p.labels):
            for c, column in enumerate(logits[n]):
                if c != y:
                    program.add([(1, t[n]), (-1, column), (1, logits[n][y])], low=MARGIN)
        return program.solve()[0]
    while True:
        value, x = program.solve()
        worst = 0.0
        for n, y in enumerate(p.labels):
            o = x[logits[n]]
            weights = np.exp(o - o.max())
            total = np.log(weights.sum()) + o.max()
            gradient = weights / weights.sum()
            gradient[y] -= 1
            worst = max(worst, total - o[y] - x[t[n]])
            row = [(1, t[n]), *zip(-gradient, logits[n], strict=True)]
            program.add(row, low=total - o[y] - gradient @ o)
        if WEIGHT * worst <= 1e-7 * max(1.0, abs(value)):
            return value


def assert_same(p, **options):
    naive = naive_optimum(
        p, **{k: v for k, v in options.items() if k != "epsilon"}, epsilon=options.get("epsilon", 0.0)
    )
    instance = p.build(weight=WEIGHT, margin=MARGIN, **options)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-8 if options["loss"] == "hinge" else 5e-7))
    assert found.status == "optimal"
    assert found.objective == pytest.approx(naive, rel=1e-6, abs=1e-6)


WITHOUT_MAX_POOL = ["dense", "deep", "conv", "residual", "average-pool", "norm", "depthwise", "tied-to-image"]


@pytest.mark.thinned(16)
@pytest.mark.parametrize(("scores", "epsilon"), [("continuous", 1e-5), ("continuous", 0.2), ("binary", 0.2)])
@pytest.mark.parametrize("kind", WITHOUT_MAX_POOL)
@pytest.mark.parametrize("seed", range(2))
def test_published_relaxed_with_hinge(problem_of, kind, seed, scores, epsilon):
    sparsity = ["published", "mean"][seed]
    assert_same(
        problem_of(kind, seed), gate="published", relaxed=True, scores=scores, loss="hinge", sparsity=sparsity,
        epsilon=epsilon,
    )  # fmt: skip


@pytest.mark.thinned(12)
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
@pytest.mark.parametrize("seed", range(2))
def test_published_integer_with_hinge(problem_of, kind, seed, epsilon):
    scores = ["continuous", "binary"][seed]
    assert_same(
        problem_of(kind, seed, 1), gate="published", relaxed=False, scores=scores, loss="hinge", sparsity="published",
        epsilon=epsilon,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["dense", "conv", "tied-to-image"])
@pytest.mark.parametrize(("relaxed", "epsilon"), [(True, 1e-5), (True, 0.2), (False, 0.2)])
def test_published_with_cross_entropy(problem_of, kind, relaxed, epsilon):
    assert_same(
        problem_of(kind, 2), gate="published", relaxed=relaxed, scores="continuous", loss="cross-entropy",
        sparsity="published", epsilon=epsilon,
    )  # fmt: skip


@pytest.mark.thinned(10)
@pytest.mark.parametrize("seed", [1, 2])
def test_subtractive_with_continuous_scores(problem_of, kind, seed):
    sparsity = ["mean", "published"][seed - 1]
    p = problem_of(kind, seed, 1)
    assert_same(p, gate="subtractive", relaxed=False, scores="continuous", loss="hinge", sparsity=sparsity)


def test_switch_with_binary_scores(problem_of, kind):
    p = problem_of(kind, 2)
    assert_same(p, gate="switch", relaxed=False, scores="binary", loss="hinge", sparsity="mean")


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_subtractive_with_cross_entropy(problem_of, kind):
    p = problem_of(kind, 3, 1)
    assert_same(p, gate="subtractive", relaxed=False, scores="continuous", loss="cross-entropy", sparsity="mean")
