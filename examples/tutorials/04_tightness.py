"""
Tightness, with rows of your own
================================

How far is the relaxation from the optimum? A study compares gates, relaxations and bounds; rows that you add to the
Pyomo model are one more candidate.
"""

import numpy as np
import pyomo.environ as pyo
import torch

import oamip_model as om
from oamip_model import study

# %%
# The grid
# --------

torch.manual_seed(3)
module = torch.nn.Sequential(
    torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
).eval()
images = np.random.default_rng(3).uniform(size=(3, 6))
labels = np.array([0, 1, 2])
grid = study.Grid(gates=("subtractive", "switch"), relaxations=("big-m", "hull"), bounds=("interval", "crown"))
found = study.tightness({"small": module}, images, labels, grid, solver=om.Solver("highs", time_limit=10))
print(found)

# %%
# ``root gap`` is that of the relaxation as built, and ``after cuts`` that after the rounds of cuts. Both are
# to the best objective known. ``found.rows`` has every number, ``found.save_csv`` writes them, and
# ``found.to_frame()`` is a pandas table.

# %%
# Rows of your own
# ----------------
# The instance is an ordinary Pyomo model, so anything can be added to it. Here a layer may not vanish: it keeps scores
# of at least 2 in all. That is a restriction, so the optimum of the relaxation can only rise.

network = om.read_network(module, (6,))
relaxed = om.Formulation(sparsity="mean", loss="hinge", relaxed=True)


def bound(with_rows):
    """The optimum of the relaxation, with and without the rows."""
    instance = om.build_instance(network, images, labels, relaxed)
    if with_rows:
        instance.own = pyo.ConstraintList()
        for group in network.groups:
            scores = [instance.s[key] for key in instance.s if key[0] == group.name]
            instance.own.add(sum(scores) >= 2)
    return om.solve_instance(instance).objective


print(f"plain {bound(False):.6f}, at least two units a layer {bound(True):.6f}")

# %%
# ``oamip tightness NET --plot gaps.png`` makes the same study on the command line, for several networks. A study
# that was stopped continues with the same command.
