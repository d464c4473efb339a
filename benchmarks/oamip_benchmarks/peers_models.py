"""Builds the same network over the same box of images in each peer's own way.

Every builder takes a ``Task`` and gives back a loaded solver, or a Pyomo model. Peers are imported when used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import nn

import oamip_model as om
from oamip_benchmarks.bench.boxes.model import Box, box_instance
from oamip_benchmarks.measures.build_handover import load
from oamip_model.solving.protocol import Arrays

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """A dense ReLU network, and the box over which a logit is to be largest.

    Parameters
    ----------
    module : torch.nn.Sequential
        The network as a module.
    network : Network
        The network as read.
    box : Box
        Images and logit.
    """

    module: nn.Sequential
    network: om.Network
    box: Box

    @property
    def weights(self) -> list[tuple[Array, Array]]:
        """(weight, bias) of each dense layer."""
        return [
            (step.weight.detach().numpy().astype(np.float64), step.bias.detach().numpy().astype(np.float64))
            for step in self.module
            if isinstance(step, nn.Linear)
        ]

    @property
    def largest_bounds(self) -> list[tuple[Array, Array]]:
        """Interval bounds of each layer's pre-activations, for the plain builders."""
        low, high = self.box.lower, self.box.upper
        bounds = []
        for weight, bias in self.weights:
            positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
            pre = positive @ low + negative @ high + bias, positive @ high + negative @ low + bias
            bounds.append(pre)
            low, high = np.maximum(pre[0], 0), np.maximum(pre[1], 0)
        return bounds


def ours(task: Task) -> Any:
    """The model of this package, with bounds by crown."""
    return box_instance(task.network, task.box, "crown")


def ours_interval(task: Task) -> Any:
    """The model of this package, with interval bounds as the plain builders have."""
    return box_instance(task.network, task.box, "interval")


def omlt_big_m(task: Task) -> Any:
    """OMLT's dense layers and big-M ReLU, with the box as scaled input bounds."""
    from omlt import OmltBlock
    from omlt.neuralnet import NetworkDefinition, ReluBigMFormulation
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    pixels = task.box.lower.size
    bounds = {i: (float(task.box.lower[i]), float(task.box.upper[i])) for i in range(pixels)}
    definition = NetworkDefinition(scaled_input_bounds=bounds)
    before = InputLayer([pixels])
    definition.add_layer(before)
    for k, (weight, bias) in enumerate(task.weights):
        activation = "relu" if k < len(task.weights) - 1 else "linear"
        shape = [len(weight[0])], [len(bias)]
        layer = DenseLayer(*shape, activation=activation, weights=weight.T, biases=bias)
        definition.add_layer(layer)
        definition.add_edge(before, layer)
        before = layer
    model = pyo.ConcreteModel()
    model.net = OmltBlock()
    model.net.build_formulation(ReluBigMFormulation(definition))
    model.lowest = pyo.Objective(expr=-model.net.outputs[task.box.logit])
    return model


def plain_pyomo(task: Task) -> Any:
    """Pyomo with a rule a row, as its manual teaches, interval bounds and big-M rows."""
    m = pyo.ConcreteModel()
    bounds, last = task.largest_bounds, len(task.weights) - 1
    box = list(zip(task.box.lower.tolist(), task.box.upper.tolist(), strict=True))
    m.x = pyo.Var(range(len(box)), bounds=lambda _, i: box[i])
    before = m.x
    for k, (weight, bias) in enumerate(task.weights):
        units, w, b = range(len(bias)), weight.tolist(), bias.tolist()
        low, high = (side.tolist() for side in bounds[k])
        block = pyo.Block()
        m.add_component(f"layer{k}", block)
        block.a = pyo.Var(units)
        block.affine = pyo.Constraint(
            units,
            rule=lambda d, i, w=w, b=b, x=before: d.a[i] == pyo.quicksum(c * x[j] for j, c in enumerate(w[i])) + b[i],
        )
        if k == last:
            m.lowest = pyo.Objective(expr=-block.a[task.box.logit])
            break
        block.h = pyo.Var(units, within=pyo.NonNegativeReals)
        block.z = pyo.Var(units, within=pyo.Binary)
        block.above = pyo.Constraint(units, rule=lambda d, i: d.h[i] >= d.a[i])
        block.off = pyo.Constraint(units, rule=lambda d, i, u=high: d.h[i] <= max(u[i], 0.0) * d.z[i])
        block.on = pyo.Constraint(units, rule=lambda d, i, v=low: d.h[i] <= d.a[i] - min(v[i], 0.0) * (1 - d.z[i]))
        before = block.h
    return m


def bare_numpy(task: Task) -> highspy.Highs:
    """The rows of ``plain_pyomo`` straight in the solver, by numpy, scipy and highspy.

    It takes dense networks only.
    """
    sizes = [len(bias) for _, bias in task.weights]
    pixels = task.box.lower.size
    hidden = sum(sizes[:-1])
    # Columns: pixels, pre-activations (logits last), activations, states.
    pre, act, state = pixels, pixels + sum(sizes), pixels + sum(sizes) + hidden
    width = state + hidden
    eye = sp.eye_array(hidden, format="csr")
    affine, source = [], 0
    for k, (weight, _) in enumerate(task.weights):
        parts = [sp.csr_array((sizes[k], source)), sp.csr_array(-weight)]
        affine.append(sp.hstack([*parts, sp.csr_array((sizes[k], width - source - weight.shape[1]))], format="csr"))
        source = act + sum(sizes[:k])
    block = sp.vstack(affine) + sp.eye_array(sum(sizes), width, k=pre)
    low, high = (np.concatenate(side)[:hidden] for side in zip(*task.largest_bounds, strict=True))
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    gap = sp.eye_array(hidden, width, k=act) - sp.eye_array(hidden, width, k=pre)
    on = gap + sp.hstack([sp.csr_array((hidden, state)), eye * -low[:, None]])
    off = sp.eye_array(hidden, width, k=act) - sp.hstack([sp.csr_array((hidden, state)), eye * high[:, None]])
    bias = np.concatenate([bias for _, bias in task.weights])
    endless, nothing = np.full(hidden, np.inf), np.zeros(hidden)
    cost = np.zeros(width)
    cost[act - sizes[-1] + task.box.logit] = -1.0
    free = np.full(sum(sizes), np.inf)
    return load(
        Arrays(
            sp.csr_array(sp.vstack([block, gap, on, off], format="csr")), cost,
            np.concatenate([task.box.lower, -free, nothing, nothing]),
            np.concatenate([task.box.upper, free, endless, nothing + 1]),
            np.concatenate([bias, nothing, -endless, -endless]), np.concatenate([bias, endless, -low, nothing]),
            np.arange(width) >= state,
        )
    )  # fmt: skip


def gurobi_ml(task: Task) -> Any:
    """The torch module as gurobi-machinelearning states it.

    Gurobi takes models of any size, and solves small ones without a licence.
    """
    import gurobipy as gp
    from gurobi_ml import add_predictor_constr

    environment = gp.Env(params={"OutputFlag": 0})
    model = gp.Model(env=environment)
    x = model.addMVar((1, task.box.lower.size), lb=task.box.lower[None], ub=task.box.upper[None])
    y = model.addMVar((1, task.network.classes), lb=-gp.GRB.INFINITY)
    add_predictor_constr(model, task.module, x, y)
    model.setObjective(-y[0, task.box.logit])
    model.update()
    return model


def pyscipopt_ml(task: Task) -> Any:
    """PySCIPOpt-ML: the torch module as it is, its ReLUs as big-M rows."""
    from pyscipopt import Model
    from pyscipopt_ml.add_predictor import add_predictor_constr

    model = Model()
    model.hideOutput()
    x = np.array([[model.addVar(lb=a, ub=b) for a, b in zip(task.box.lower, task.box.upper, strict=True)]])
    y = np.array([[model.addVar(lb=None) for _ in range(task.network.classes)]])
    add_predictor_constr(model, task.module, x, y, formulation="bigm")
    model.setObjective(-y[0][task.box.logit])
    return model
