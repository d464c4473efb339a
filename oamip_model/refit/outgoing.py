"""All weights but the first, trained to the trained network's softmax.

They are trained in passes that count only where they help.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.refit.answer import answer, divergence, lost
from oamip_model.refit.options import Refit
from oamip_model.refit.shown import Shown, laid_out
from oamip_model.refit.slim import frozen_terms, in_blocks
from oamip_model.refit.walk import Walk
from oamip_model.torchnet.layers import TorchLayers

_BATCH = 100
"""Images of a step whose highest length is the learning rate."""
_DENSE_BATCH = 200
"""Images of a step of a network that does not convolve."""
_LEAST = 1e-4
"""Root mean square of weights or biases below which steps get no smaller."""


@dataclass(frozen=True)
class OutgoingFit:
    """The result of a training of the outgoing weights.

    Parameters
    ----------
    images, held_out : int
        Images for training, and images that decide which pass is taken.
    passes : int
        Passes that were made.
    kept : int
        The number of the best pass, 0 where none helped.
    before, after : float
        Mean divergence from the trained network's softmax on the images held out, in nats.
    """

    images: int
    held_out: int
    passes: int
    kept: int
    before: float
    after: float


def fit_outgoing(walk: Walk, options: Refit, progress: Callable[[str], None] | None = None) -> OutgoingFit:
    """Train the walk's network to the trained network's softmax.

    First weights, and those of shared layers, do not change. Adam takes the images in random order,
    with a rate that rises and falls once. In a network that convolves, hidden layers are drawn to those of
    the trained network. After each pass the divergence on the images held out is computed. The
    weights after the best pass are taken, or those before the first (mathematics:refit-5).
    """
    images = Shown(walk)
    rows, convolves = images.rows, images.convolves
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(rows), generator=generator)
    count = max(1, min(len(rows) - 1, round(options.held_out * len(rows))))
    held, used = order[:count], order[count:]
    # Images that are changed have answers of their own, so those of all images are not asked for.
    target = None if options.varied else images.taught(rows)
    shown = rows[held.to(rows.device)]
    if options.varied and convolves:
        shown = images.varied(shown, 0.0, generator)
    shares = walk.stream.shares(0, rows)
    judged = (shown, images.taught(shown) if target is None else target[held.to(rows.device)])
    counted = None if shares is None else shares[held.to(rows.device)]
    layers = TorchLayers(walk.current, str(walk.cut.device))
    arrays = _free_arrays(walk)
    weights = layers.trainable(arrays)
    hidden = _Hidden(walk, shown[:_BATCH]) if convolves and options.hidden else None
    gates = {g: torch.as_tensor(m, dtype=layers.dtype, device=layers.device) for g, m in walk.slim.gates.items()}

    def logits(seen: Tensor) -> Tensor:
        return images.logits(layers, seen, gates)

    best = before = _divergence(logits, *judged, counted)
    kept, made = 0, 0
    state = [w.detach().clone() for w in weights]
    # Folded norms give layers weights of very different sizes: a step is a share of them.
    sizes = [max(float(w.detach().square().mean().sqrt()), _LEAST) for w in weights]
    optimizer = torch.optim.Adam([{"params": [w]} for w in weights], options.learning_rate)
    size = _BATCH if convolves else _DENSE_BATCH
    highest = options.learning_rate * size / _BATCH
    passes, steps = options.passes_of(convolves), -(-len(used) // size)
    for number in range(passes):
        made += 1
        shuffled = used[torch.randperm(len(used), generator=generator)]
        for step, part in enumerate(torch.split(shuffled, size)):
            done = (number + step / steps) / passes
            # Adam's first steps are all of full length: they grow over the first tenth of the training.
            rate = min(1.0, 10 * done + 1 / steps) * 0.5 * (1 + math.cos(math.pi * done))
            for entry, weight in zip(optimizer.param_groups, sizes, strict=True):
                entry["lr"] = highest * rate * weight
            at = part.to(rows.device)
            seen = laid_out(images.varied(rows[at], done, generator) if options.varied else rows[at])
            by_image = None if shares is None else shares[at].to(seen.dtype)
            if hidden is not None:
                loss = hidden.loss(seen, layers.run(seen, gates), options.hidden, by_image)
            else:
                wanted = images.taught(seen) if target is None else target[at]
                given = logits(seen)
                loss = lost(given, wanted.to(given.dtype), by_image)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        now = _divergence(logits, *judged, counted)
        if progress is not None:
            progress(f"pass {made}: divergence {now:.4g} on images held out, best {best:.4g}")
        if now < best:
            best, kept = now, made
            state = [w.detach().clone() for w in weights]
    _put(walk, arrays, state)
    return OutgoingFit(len(used), len(held), made, kept, before, best)


class _Hidden:
    """The loss with a price on the distance of hidden layers from those of the trained network.

    images: those that say how much each layer of the trained network varies.
    """

    def __init__(self, walk: Walk, images: Tensor) -> None:
        self.trained = walk.trained
        self.stays = [torch.as_tensor(at, device=walk.trained.device) for at in walk.slim.stays]
        made = self._outputs(laid_out(images))
        scales = {
            k: float(output[:, self.stays[k]].var())
            for k, (layer, output) in enumerate(zip(walk.trained.network.layers[:-1], made, strict=False))
            if layer.activation != "none" and output.shape[1] == layer.pre_shape[0]
        }
        self.scales = {k: scale for k, scale in scales.items() if scale > 0}

    @torch.no_grad()
    def _outputs(self, images: Tensor) -> list[Tensor]:
        return self.trained.run(images, {})

    def loss(self, images: Tensor, outputs: list[Tensor], price: float, weights: Tensor | None = None) -> Tensor:
        """The cross-entropy, and ``price`` times the mean squared distance as a share of each layer's variance.

        weights: (n,) of the images, where they count differently.
        """
        made = self._outputs(images)
        parts = [
            _mean((outputs[k] - made[k][:, self.stays[k]]).square(), weights) / scale
            for k, scale in self.scales.items()
        ]
        whole = lost(outputs[-1].flatten(1), answer(made[-1].flatten(1).double()).to(outputs[-1].dtype), weights)
        return whole + price * torch.stack(parts).mean() if parts else whole


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of values (n, ...), each image times its weight (n,) where there are any."""
    return values.mean() if weights is None else (values.flatten(1).mean(1) * weights).mean()


@torch.no_grad()
def _divergence(logits: Callable[[Tensor], Tensor], images: Tensor, target: Tensor, weights: Tensor | None) -> float:
    """The mean divergence of the logits of these images from their target (n, classes)."""
    total = 0.0
    for start in range(0, len(images), 500):
        at = slice(start, start + 500)
        shares = None if weights is None else weights[at]
        total += divergence(logits(images[at]).double(), target[at], shares)
    return total / len(images)


def _free_arrays(walk: Walk) -> list[Array]:
    """Weights that may change, and the biases of layers where all weights may."""
    frozen = frozen_terms(walk.slim.full)
    found: list[Array] = []
    for k, layer in enumerate(walk.current.layers):
        weighted = [n for n, term in enumerate(layer.terms) if term.map.trained is not None]
        if not weighted or any((k, n) in frozen for n in weighted):
            continue
        if walk.slim.gates and in_blocks(layer):
            continue
        if any(_weight(walk.current, k, n).shape[0] != len(layer.bias) for n in weighted):
            continue
        found += [_weight(walk.current, k, n) for n in weighted]
        found.append(layer.bias)
    return found


def _weight(network: Network, k: int, number: int) -> Array:
    trained = network.layers[k].terms[number].map.trained
    assert trained is not None
    return trained.weight


def _put(walk: Walk, arrays: list[Array], values: list[Tensor]) -> None:
    new = {id(a): v.double().cpu().numpy() for a, v in zip(arrays, values, strict=True)}
    for k, layer in enumerate(walk.current.layers):
        if id(layer.bias) in new:
            trained = {n: term.map.trained for n, term in enumerate(layer.terms)}
            maps = {n: map.with_weights(new[id(map.weight)]) for n, map in trained.items() if map is not None}
            walk.refit(k, maps, new[id(layer.bias)])
