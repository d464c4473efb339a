"""
Make a network cheap to optimise over
=====================================

A trained network inside an optimisation model costs one binary for each ReLU whose sign is open. Fewer units make such
models smaller, and solvers quicker. This page removes units in two ways, one that changes nothing and one that changes
little, and measures what each is worth.

The model is the smallest one there is: the largest value of a logit over a box of images. Verification, counterfactual
examples and planning with a learned function all have it inside.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from oamip_benchmarks.bench.boxes.model import Box, box_instance

import oamip_model as om

# %%
# A trained network
# -----------------

train, test = om.load_dataset("digits"), om.load_dataset("digits", split="test")
module = om.make_network("dense-24-24", (1, 8, 8), 10)
om.train(module, train, epochs=25, optimizer="adam", learning_rate=3e-3, weight_decay=1e-3, threads=1)
network = om.read_network(module, (1, 8, 8))
print(network)

# %%
# What it costs
# -------------
# For some images: how large can the strongest wrong logit get, if every pixel may change by 0.2? The solver is HiGHS,
# and everything but the network is the same below.

boxes = []
for image, label in (test[k] for k in range(0, 40, 10)):
    logits = network.replay(image[None])[0]
    logits[label] = -np.inf
    boxes.append(Box.around(image, 0.2, int(logits.argmax())))


def cost(of: om.Network) -> dict[str, float]:
    """Binaries of a box's program, and mean seconds and nodes of its solve."""
    seconds, nodes, binaries = [], [], []
    for box in boxes:
        program = box_instance(of, box)
        began = time.process_time()
        solved = om.solve_instance(program, om.Solver("highs"))
        seconds.append(time.process_time() - began)
        nodes.append(solved.nodes or 0)
        binaries.append(int(om.compile_arrays(program).integral.sum()))
    return {"binaries": np.mean(binaries), "seconds": np.mean(seconds), "nodes": np.mean(nodes)}


found = {"trained": cost(network)}
print({name: round(float(value), 2) for name, value in found["trained"].items()})

# %%
# Exact compression
# -----------------
# Over all images with pixels in [0, 1], some units are never on, and some are always on and can be folded into others.
# :func:`oamip_model.compress` removes these, and a second solver checks the certificate. The network is the same
# function on the box, so this is free where it finds anything.

compressed = om.compress(network, (0, 1), solver=om.Solver("highs", time_limit=3))
print(compressed.removed, "difference", compressed.difference)
found["compressed"] = cost(compressed.network)

# %%
# Pruning and a refit
# -------------------
# Half of the units of each layer are removed, those whose loss the others make up for best. The weights that are left
# are fitted to the trained network. That changes the function, so its accuracy is measured.

scores = om.score(module, train.images[:500], method=om.Elimination(amount=0.5))
smaller = om.prune(module, scores, amount=0.5, refit="least-squares", images=train)
pruned = om.read_network(smaller, (1, 8, 8))
print(f"accuracy {om.accuracy(module, *test):.3f} as trained, {om.accuracy(smaller, *test):.3f} pruned and refitted")
found["pruned, refitted"] = cost(pruned)

# %%
# How far is it from the trained network? :func:`oamip_model.distance` proves a bound for each logit over a box around
# one image. It also says whether the class is the same everywhere in the box.

image, label = test[0]
apart = om.distance(network, pruned, om.Box.around(image, 0.02, clip=(0, 1)), solver=om.Solver("highs", time_limit=3))
print(f"logits differ by at most {apart.bound():.3f}; seen {apart.seen():.3f}; same class: {apart.same}")

# %%
# What it is worth
# ----------------
# Seconds are of the processor, so that other work on the machine does not count. They are of few boxes: the benchmark
# (``oamip bench run --tag box``) has more, several solvers, and intervals.

figure, panels = plt.subplots(1, 2, figsize=(7.5, 2.8))
for axes, name in zip(panels, ("binaries", "seconds"), strict=True):
    bars = axes.barh(list(found), [float(one[name]) for one in found.values()], color="#0072B2")
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set(xlabel=f"{name}, mean of {len(boxes)} boxes")
    axes.margins(x=0.15)
    axes.invert_yaxis()
figure.tight_layout()

# %%
# The smaller network's optimum is its own, not that of the trained network. The distance bounds by how much they can
# differ. Or solve with the smaller network first, and give its solution to the larger model as a start.
