"""
Read a gap
==========

A solver that stops early has an incumbent and a dual bound. The gap between them says how good the scores are, for
this program, and nothing more.
"""

import numpy as np
import torch

import oamip_model as om

# %%
# A program that is solved to proof
# ---------------------------------
# Six inputs, two hidden layers and four images: small enough that every statement can be checked by hand.

torch.manual_seed(1)
module = torch.nn.Sequential(
    torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)
).eval()
images = np.random.default_rng(0).uniform(size=(4, 6))
labels = np.array([0, 1, 2, 0])
program = om.Formulation(gate="subtractive", scores="binary", sparsity="mean")
scores = om.score(module, images, labels, om.Joint(program))
print(scores.summary())

# %%
# ``proved`` is true only where three things hold. The gate is sound, the solver ended within its tolerance, and the
# replay agrees. That is, the network with these scores, in plain numpy, has the objective of the solver.

print(scores.proved, scores.status, scores.objective, scores.bound, scores.gap)

# %%
# A lower bound in no time
# ------------------------
# With relaxed ReLU states the program is linear but for the loss. Its optimum is a lower bound of the program above.

relaxed = om.score(module, images, labels, om.Joint(om.Formulation(scores="binary", sparsity="mean", relaxed=True)))
print(f"relaxed {relaxed.objective:.4f} <= integer {scores.objective:.4f}")

# %%
# What a limit leaves
# -------------------
# A limit of ten seconds stops the solver early. The status is then ``feasible`` or ``no solution``, the
# message says why, and the gap how far the incumbent may be from the optimum.

larger = om.make_network("fc3")
train = om.load_dataset()
om.train(larger, train.images[:500], train.labels[:500], epochs=2)
few = om.choose_images(train, n=10)
stopped = om.score(
    larger, few, method=om.Joint(om.Formulation(), heuristic=True), solver=om.Solver("highs", time_limit=10)
)
print(stopped.summary())

# %%
# Here the incumbent comes from the heuristic, by gradients through the network, and the dual bound from the solver's
# relaxation. ``claimed`` marks a bound that a solver states; ``certified`` one that follows from duals, rounding
# included. The relation of all these is in :doc:`/explanation/mathematics`.
