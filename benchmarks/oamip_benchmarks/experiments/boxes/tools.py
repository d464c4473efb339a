"""The largest logit over a box of images as arrays, by each tool.

Tools put trained networks into mixed-integer programs. The arrays of every tool go to the same solver with the same
options. Tools are imported when used.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import oamip_model as om
from oamip_benchmarks.bench.boxes.model import Box, box_instance
from oamip_benchmarks.experiments.boxes.names import OMLT, OURS, PYSCIPOPT_ML, TOOL_NAMES
from oamip_model.errors import InputError, SolverError
from oamip_model.solving.protocol import Arrays


def ours(network: om.Network, box: Box) -> Arrays:
    """The program of this package, with bounds by crown."""
    return om.compile_arrays(box_instance(network, box, "crown"))


def omlt(network: om.Network, box: Box) -> Arrays:
    """OMLT: its dense layers and its big-M formulation, with bounds by intervals."""
    from oamip_benchmarks.peers_models import Task, omlt_big_m

    # OMLT starts its pixels at 0, which may be outside the box; Pyomo would say so for each.
    logger = logging.getLogger("pyomo")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return om.compile_arrays(omlt_big_m(Task(chain(network), network, flat(box))))
    finally:
        logger.setLevel(level)


def pyscipopt_ml(network: om.Network, box: Box) -> Arrays:
    """PySCIPOpt-ML: its big-M rows, by way of an .mps file."""
    import highspy

    from oamip_benchmarks.peers_models import Task
    from oamip_benchmarks.peers_models import pyscipopt_ml as build

    model: Any = build(Task(chain(network), network, flat(box)))
    with tempfile.TemporaryDirectory(prefix="oamip-") as folder:
        path = Path(folder) / "program.mps"
        model.writeProblem(str(path), verbose=False)
        highs = highspy.Highs()
        highs.silent()
        if highs.readModel(str(path)) == highspy.HighsStatus.kError:
            raise SolverError("tool: the program of pyscipopt-ml cannot be read again")
        return arrays_of(highs.getLp(), highspy)


def arrays_of(lp: Any, highspy: Any) -> Arrays:
    """The arrays of a program that HiGHS holds."""
    import scipy.sparse as sp

    matrix, shape = lp.a_matrix_, (lp.num_row_, lp.num_col_)
    entries = np.asarray(matrix.value_), np.asarray(matrix.index_), np.asarray(matrix.start_)
    by_column = matrix.format_ == highspy.MatrixFormat.kColwise
    whole = sp.csc_array(entries, shape=shape) if by_column else sp.csr_array(entries, shape=shape)
    kinds = list(lp.integrality_) or [highspy.HighsVarType.kContinuous] * lp.num_col_
    integral = np.array([kind == highspy.HighsVarType.kInteger for kind in kinds], dtype=bool)
    sense = -1 if lp.sense_ == highspy.ObjSense.kMaximize else 1
    sides = (lp.col_cost_, lp.col_lower_, lp.col_upper_, lp.row_lower_, lp.row_upper_)
    cost, lower, upper, row_lower, row_upper = (np.asarray(side, dtype=np.float64) for side in sides)
    return Arrays(
        sp.csr_array(whole), cost, lower, upper, row_lower, row_upper, integral, float(lp.offset_), sense
    )  # fmt: skip


TOOLS: dict[str, Callable[[om.Network, Box], Arrays]] = {OURS: ours, OMLT: omlt, PYSCIPOPT_ML: pyscipopt_ml}
assert tuple(TOOLS) == TOOL_NAMES


def chain(network: om.Network) -> nn.Sequential:
    """A dense network as torch's dense layers and ReLUs, for flat images.

    Raises InputError for any other network.
    """
    import torch

    steps: list[nn.Module] = []
    for k, layer in enumerate(network.layers):
        terms = layer.terms
        if len(terms) != 1 or (k and terms[0].source != k - 1) or terms[0].map.weights is None:
            raise InputError(f"network: layer {layer.name} is no dense layer behind the one before it")
        weights = np.asarray(terms[0].map.weights).reshape(layer.size, -1)
        step = nn.Linear(weights.shape[1], layer.size).double()
        with torch.no_grad():
            step.weight.copy_(torch.as_tensor(weights))
            step.bias.copy_(torch.as_tensor(layer.bias.reshape(-1)))
        steps.append(step)
        if layer.activation == "relu":
            steps.append(nn.ReLU())
    return nn.Sequential(*steps).eval()


def flat(box: Box) -> Box:
    """The box of flat images."""
    return Box(box.lower.reshape(-1), box.upper.reshape(-1), box.logit)
