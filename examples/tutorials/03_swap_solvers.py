"""
Swap solvers, and bring your own
================================

The solver is one word. What a backend needs to be is one method.
"""

import numpy as np
import torch

import oamip_model as om

# %%
# Which solvers are there
# -----------------------

for info in om.list_solvers():
    print(f"{info.name:12} {'there' if info.available else 'missing':8} {info.version or '-':16} {info.licence or '-'}")

# %%
# One program, several solvers
# ----------------------------
# Optimal scores are not unique, so compare objectives.

torch.manual_seed(2)
module = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3)).eval()
images = np.random.default_rng(2).normal(size=(5, 5))
labels = np.array([0, 1, 2, 1, 0])
program = om.Formulation(scores="binary", sparsity="mean", loss="hinge")
for solver in ("highs", "cbc"):
    result = om.score(module, images, labels, om.Joint(program), solver=solver)
    print(f"{solver}: {result.status}, objective {result.objective:.8f}, {sum(result.seconds.values()):.2f} s")

# %%
# Limits go with the solver
# -------------------------

solver = om.Solver("highs", time_limit=30, tolerance=1e-6, threads=1, seed=3)
print(om.score(module, images, labels, om.Joint(program), solver=solver).summary())

# %%
# Without this package's backends
# -------------------------------
# The program is an ordinary Pyomo model. Any of Pyomo's own interfaces solves it, and it can be written to a file.

import pyomo.environ as pyo  # noqa: E402

instance = om.build_instance(om.read_network(module, (5,)), images, labels, program)
pyo.SolverFactory("appsi_highs").solve(instance)
print(f"through Pyomo: {pyo.value(instance.objective):.8f}")

# %%
# A solver of your own
# --------------------
# A backend is a class with a ``solve`` method that takes arrays and gives a ``Solution``. ``examples/own_solver.py``
# is a complete one, on scipy's solver, which the tests put through the same conformance suite as the others.
# :doc:`/how-to/backends` explains it.
