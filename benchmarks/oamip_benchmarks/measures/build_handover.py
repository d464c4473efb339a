"""Measures the time from network and images to a loaded solver, against bare code.

Run: python -m oamip_benchmarks.measures.build_handover [--repeats 7]

Both sides make the same program: a 784-300-100-10 network, 10 images, gate ``subtractive``, loss by tangents at the
trained logits, score-aware interval bounds. The bare side takes numpy and highspy alone, and is written for this one
network: no layer types, no checks, no names, no Pyomo. CPU seconds of the process, median over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

import oamip_model as om
from oamip_model.solving.protocol import Arrays

Array = NDArray[np.float64]


def ours(network: om.Network, images: Array, labels: NDArray[np.int64]) -> tuple[highspy.Highs, dict[str, float]]:
    """The loaded solver by this package, and CPU seconds by stage."""
    marks = [time.process_time()]
    instance = om.build_instance(network, images, labels, om.Formulation(gate="subtractive"))
    marks.append(time.process_time())
    arrays = om.compile_arrays(instance)
    marks.append(time.process_time())
    solver = load(arrays)
    marks.append(time.process_time())
    names = ("build", "compile", "hand over")
    return solver, {name: b - a for name, a, b in zip(names, marks, marks[1:], strict=False)}


def load(arrays: Arrays) -> highspy.Highs:
    """A HiGHS object that holds the program."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    matrix = arrays.matrix
    rows, columns = matrix.shape
    solver.passModel(
        columns, rows, matrix.nnz, 2, 1, arrays.offset, arrays.cost, arrays.lower, arrays.upper, arrays.row_lower,
        arrays.row_upper, matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data,
        arrays.integral.astype(np.int32),
    )  # fmt: skip
    return solver


def bare(weights: list[Array], biases: list[Array], images: Array, labels: NDArray[np.int64]) -> highspy.Highs:
    """The same program written into arrays, for a network of three dense layers."""
    (w1, w2, w3), (b1, b2, b3) = weights, biases
    n, h1, h2, k = len(images), len(b1), len(b2), len(b3)
    c = np.maximum(images @ w1.T + b1, 0.0)
    centre = c / 2 @ w2.T + b2
    radius = c / 2 @ np.abs(w2).T
    low, high = centre - radius, centre + radius
    live = high > 0
    image, unit = np.nonzero(live)
    m = len(image)
    big, lo = high[live], low[live] - high[live]
    # Columns: scores, pre-activations, activations, states, logits, losses, level and the two excesses.
    at = np.cumsum([0, h1 + h2, m, m, m, n * k, n, 1, 2])
    s, a, h, z, o, t, level, excess = at[:-1]
    r = np.arange(m)
    eye = np.ones(m)
    inputs = sp.csr_array(-w2[unit] * c[image])
    blocks: list[Any] = []

    def rows(*parts: tuple[Any, Any, Any], count: int = m) -> None:
        where = [np.broadcast_to(p, np.shape(parts[0][0])) for part in parts for p in part]
        row, column, value = (np.concatenate(where[i::3]) for i in range(3))
        blocks.append(sp.csr_array((value, (row, column)), shape=(count, int(at[-1]))))

    blocks.append(sp.hstack([inputs, sp.csr_array((m, h2)), sp.eye_array(m), sp.csr_array((m, int(at[-1]) - a - m))]))
    score = h1 + unit
    rows((r, h + r, eye), (r, a + r, -eye), (r, s + score, -big))
    rows((r, h + r, eye), (r, a + r, -eye), (r, s + score, -big), (r, z + r, -lo))
    rows((r, h + r, eye), (r, z + r, -big))
    rows((r, h + r, eye), (r, s + score, -big))
    head = sp.csr_array((n * k, int(at[-1])))
    position = np.full((n, h2), -1)
    position[image, unit] = h + r
    row, column, value = [], [], []
    for i in range(n):
        kept = np.flatnonzero(position[i] >= 0)
        row.append(np.repeat(i * k + np.arange(k), len(kept)))
        column.append(np.tile(position[i, kept], k))
        value.append(-w3[:, kept].ravel())
    head = sp.csr_array(
        (np.concatenate(value), (np.concatenate(row), np.concatenate(column))), shape=(n * k, int(at[-1]))
    )
    q = np.arange(n * k)
    blocks.append(head + sp.csr_array((np.ones(n * k), (q, o + q)), shape=head.shape))
    trained = np.maximum(c @ w2.T + b2, 0.0) @ w3.T + b3
    p = np.exp(trained - trained.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    level_of = np.log(np.exp(trained).sum(axis=1)) - trained[np.arange(n), labels]
    p[np.arange(n), labels] -= 1.0
    tangent = sp.csr_array((-p.ravel(), (np.repeat(np.arange(n), k), o + q)), shape=(n, int(at[-1])))
    blocks.append(tangent + sp.csr_array((np.ones(n), (np.arange(n), t + np.arange(n))), shape=(n, int(at[-1]))))
    sizes = np.array([h1, h2])
    layer = np.repeat([0, 1], sizes)
    both = np.array([0, 1])
    excess_rows = sp.csr_array((-1.0 / sizes[layer], (layer, np.arange(h1 + h2))), shape=(2, int(at[-1])))
    more = (np.ones(4), (np.tile(both, 2), np.concatenate([excess + both, [level, level]])))
    blocks.append(excess_rows + sp.csr_array(more, shape=(2, int(at[-1]))))
    matrix = sp.csr_array(sp.vstack(blocks, format="csr"))
    inf = np.inf
    lower_rows = np.concatenate(
        [b2[unit], -big, np.full(3 * m, -inf), np.tile(b3, n), level_of - (p * trained).sum(axis=1), [-2.0, -2.0]]
    )
    upper_rows = np.concatenate(
        [b2[unit], np.full(m, inf), -low[live], np.zeros(2 * m), np.tile(b3, n), np.full(n + 2, inf)]
    )
    cost = np.zeros(int(at[-1]))
    cost[t : t + n], cost[level], cost[excess:] = 5.0 / n, 1.0, 1.0
    lower = np.concatenate([np.zeros(h1 + h2), np.full(m, -inf), np.zeros(2 * m), np.full(n * k, -inf), np.zeros(n)])
    lower = np.concatenate([lower, [-inf, 0.0, 0.0]])
    upper = np.concatenate([np.ones(h1 + h2), np.full(m, inf), big, np.ones(m), np.full(n * k + n + 3, inf)])
    integral = np.zeros(int(at[-1]), dtype=bool)
    integral[z : z + m] = True
    return load(Arrays(matrix, cost, lower, upper, lower_rows, upper_rows, integral))


def main() -> None:
    """Print both sides' CPU seconds, their ratio, and that the programs agree."""
    parser = argparse.ArgumentParser(description="Build and hand-over time against bare numpy and highspy.")
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    import torch

    torch.set_num_threads(1)
    module = om.make_network("fc3").eval()
    network = om.read_network(module, input_shape=(1, 28, 28))
    images, labels = om.choose_images(om.load_dataset(), n=10)
    weights = [layer.terms[0].map.weight for layer in network.layers]  # type: ignore[attr-defined]
    biases = [layer.bias for layer in network.layers]
    flat = images.reshape(len(images), -1)
    mine: list[dict[str, float]] = []
    theirs: list[float] = []
    for _ in range(repeats + 1):
        solver, stages = ours(network, images, labels)
        mine.append(stages)
        began = time.process_time()
        other = bare(weights, biases, flat, labels)
        theirs.append(time.process_time() - began)
    totals = [sum(stages.values()) for stages in mine[1:]]
    print(f"rows, columns, non-zeros: {solver.getNumRow()}, {solver.getNumCol()}, {solver.getNumNz()}; ", end="")
    print(f"bare: {other.getNumRow()}, {other.getNumCol()}, {other.getNumNz()}")
    for name in mine[0]:
        print(f"{name:>10}: {statistics.median(stages[name] for stages in mine[1:]):.3f} s of CPU")
    ratio = statistics.median(a / b for a, b in zip(totals, theirs[1:], strict=True))
    print(f"{'in all':>10}: {statistics.median(totals):.3f} s of CPU")
    print(f"{'bare':>10}: {statistics.median(theirs[1:]):.3f} s of CPU; ratio {ratio:.2f} (median of {repeats} pairs)")
    objectives = []
    for one in (solver, other):
        columns = one.getNumCol()
        continuous = [highspy.HighsVarType.kContinuous] * columns
        one.changeColsIntegrality(columns, np.arange(columns, dtype=np.int32), continuous)
        one.run()
        objectives.append(one.getInfo().objective_function_value)
    print(f"optimum of the first relaxation: {objectives[0]:.9f} and {objectives[1]:.9f}")


if __name__ == "__main__":
    main()
