"""
Prune your CNN
==============

A residual network loses units, gets its weights refitted, and is saved as an ONNX file that onnxruntime runs.

ResNet-20 is trained for a few epochs here, on 1,500 small images, so its accuracy is modest. The steps are the same
for a network that was trained for days.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import torch

import oamip_model as om
from oamip_model.pruning.timing import measure_milliseconds

# %%
# A trained network
# -----------------
# Any torch module in eval mode will do, if its layers are among those that are read; so does a .pt2 or .onnx file.
# :func:`oamip_model.make_network` knows the usual ones by name.

torch.manual_seed(0)
train, test = om.load_dataset(), om.load_dataset(split="test")
module = om.make_network("resnet20", (1, 28, 28))
om.train(module, train.images, train.labels, epochs=3, batch_size=64)
network = om.read_network(module, (1, 28, 28))
print(network)

# %%
# Units that share a residual connection can only go together. They are a *group*, and get one score each.

for group in network.groups[:4]:
    print(group.name, "has", group.size, "units, in", ", ".join(network.layers[index].name for index in group.layers))

# %%
# Scores for a refit
# ------------------
# Elimination chooses the units whose loss the layers after them can best make up for. It needs images, and no labels.

images = train.images[:500]
scores = om.score(module, images, method=om.Elimination(amount=0.3))
print(scores.summary())

# %%
# Removal, and refit
# ------------------
# With ``refit`` the layers that read removed units are fitted to what the trained network computes there. The report
# says what each step cost.

smaller, report = om.prune_with_report(module, scores, amount=0.3, refit="least-squares", images=images)
print(report.summary())

# %%
# What it is worth
# ----------------
# The same share removed with and without a refit, tested on images that none of the steps has seen.

shares = (0.1, 0.2, 0.3)
removed, refitted = [], []
for share in shares:
    removed.append(om.accuracy(om.prune(module, scores, amount=share), *test))
    kept = om.prune(module, scores, amount=share, refit="least-squares", images=images)
    refitted.append(om.accuracy(kept, *test))
trained = om.accuracy(module, *test)

figure, axes = plt.subplots(figsize=(6, 3.6))
axes.axhline(trained, color="0.5", linestyle=":", label="trained network")
axes.plot(shares, refitted, "o-", label="removed and refitted")
axes.plot(shares, removed, "s--", label="removed")
axes.set(xlabel="share of the units of each group removed", ylabel="test accuracy (500 images)", ylim=(0, 1))
axes.legend()
figure.tight_layout()

# %%
# Save it, and run it elsewhere
# -----------------------------
# The smaller network is an ordinary module with smaller layers, so any exporter will do. onnxruntime's logits are
# those of the module.

folder = Path(tempfile.mkdtemp())
om.save_module(smaller, folder / "smaller.onnx", (1, 28, 28))
session = onnxruntime.InferenceSession(folder / "smaller.onnx")
batch = test.images[:8].astype(np.float32)
logits = session.run(None, {session.get_inputs()[0].name: batch})[0]
with torch.no_grad():
    print("largest difference:", float(np.abs(logits - smaller(torch.from_numpy(batch)).numpy()).max()))

# %%
# Milliseconds are measured, not derived: calls of both modules take turns on this machine.

for name, engines in measure_milliseconds({"trained": module, "smaller": smaller}, (1, 28, 28), batches=(1,)).items():
    print(name, {engine: f"{times[1]:.2f} ms" for engine, times in engines.items()})
