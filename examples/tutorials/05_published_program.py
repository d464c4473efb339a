"""
The published program
=====================

ElAraby, Wolf and Carvalho score a network by one relaxed program of ten images. Here it is, by one call, next to what
it does and does not prove.
"""

import matplotlib.pyplot as plt

import oamip_model as om

# %%
# Train as they do, score as they do
# ----------------------------------

train, test = om.load_dataset(), om.load_dataset(split="test")
module = om.make_network("fc3")
om.train(module, train.images, train.labels, epochs=5)
images = om.choose_images(train, n=10)
program = om.Formulation(gate="published", relaxed=True)
scores = om.score(module, images, method=om.Joint(program))
print(scores.summary())

# %%
# ``proved`` is false although the program is solved: its bounds hold for the unpruned network only, so the optimum says
# nothing about pruned ones. The scores are a heuristic, and they are judged by accuracy.

# %%
# Prune by threshold, and by amount
# ---------------------------------

baseline = om.baseline_scores(om.read_network(module, (1, 28, 28)), "weight-l1")
shares = [0.1, 0.3, 0.5, 0.7]
figure, axes = plt.subplots(figsize=(6, 3.6))
for name, given in (("published program", scores), ("l1 norm of the weights", baseline)):
    accuracies = [om.accuracy(om.prune(module, given, amount=share), *test) for share in shares]
    axes.plot(shares, accuracies, "o-", label=name)
axes.axhline(om.accuracy(module, *test), color="0.5", linestyle=":", label="trained network")
axes.set(xlabel="share of each layer removed", ylabel="test accuracy (500 images)", ylim=(0, 1))
axes.legend()
figure.tight_layout()

# %%
# The other runs of the paper, over seeds and data sets, are ``oamip experiment`` (:doc:`/results/experiments`).
