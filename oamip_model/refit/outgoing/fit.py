"""All weights but the first, trained to the trained network's softmax.

They are trained in passes that count only where they help.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from oamip_model.clock import TimeIsUp, tick
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.refit.answer import divergence, lost
from oamip_model.refit.options import Refit
from oamip_model.refit.outgoing.checkpoint import Checkpoint, Passes
from oamip_model.refit.outgoing.hidden import Hidden
from oamip_model.refit.outgoing.shown import Shown, laid_out
from oamip_model.refit.report import OutgoingFit
from oamip_model.refit.slim import frozen_terms, in_blocks
from oamip_model.refit.walk import Walk
from oamip_model.torchnet.layers import TorchLayers

_BATCH = 100
"""Images of a step whose highest length is the learning rate."""
_DENSE_BATCH = 200
"""Images of a step of a network that does not convolve."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam keeps of each weight."""
_LEAST = 1e-4
"""Root mean square of weights or biases below which steps get no smaller."""


def fit_outgoing(
    walk: Walk,
    options: Refit,
    progress: Callable[[str], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> OutgoingFit:
    """Train the walk's network to the trained network's softmax.

    First weights, and those of shared layers, do not change. Adam takes the images in random order,
    with a rate that rises and falls once. In a network that convolves, hidden layers are drawn to those of
    the trained network. After each pass the divergence on the images held out is computed. The
    weights after the best pass are taken, or those before the first (mathematics:refit-5). Ctrl-C
    or a deadline ends it with the best pass so far. With a checkpoint it continues after the last pass there.
    """
    training = _Training(walk, options)
    planned = options.passes_of(training.convolves)
    known = None if checkpoint is None else checkpoint.take_pass(training.state())
    if known is not None:
        training.restore(*known)
    try:
        while training.made < planned:
            before = training.best
            now = training.one_pass(planned)
            if checkpoint is not None:
                checkpoint.put_pass(training.passes, training.state())
            if progress is not None:
                line = f"divergence {now:.4g} on images held out, best {before:.4g}"
                progress(f"pass {training.made}: {line}")
    except (KeyboardInterrupt, TimeIsUp):
        # The best pass so far is a result.
        pass
    training.put(walk)
    done = training.passes
    return OutgoingFit(len(training.used), len(training.held), done.made, planned, done.kept, done.before, done.best)


class _Training:
    """A training of the walk's outgoing weights, pass by pass.

    made: passes that were made; kept: the number of the best one; best, before: divergences on the images held out.
    """

    def __init__(self, walk: Walk, options: Refit) -> None:
        self.options, self.images = options, Shown(walk)
        self.rows, self.convolves = self.images.rows, self.images.convolves
        self.generator = torch.Generator().manual_seed(options.seed)
        order = torch.randperm(len(self.rows), generator=self.generator)
        count = max(1, min(len(self.rows) - 1, round(options.held_out * len(self.rows))))
        self.held, self.used = order[:count], order[count:]
        # Images that are changed have answers of their own, so those of all images are not asked for.
        self.target = None if options.varied else self.images.taught(self.rows)
        at = self.held.to(self.rows.device)
        shown = self.rows[at]
        if options.varied and self.convolves:
            shown = self.images.varied(shown, 0.0, self.generator)
        self.shares = walk.stream.shares(0, self.rows)
        self.judged = (shown, self.images.taught(shown) if self.target is None else self.target[at])
        self.counted = None if self.shares is None else self.shares[at]
        self.layers = TorchLayers(walk.current, str(walk.cut.device))
        self.arrays = _free_arrays(walk)
        self.weights = self.layers.trainable(self.arrays)
        self.hidden = Hidden(walk, shown[:_BATCH]) if self.convolves and options.hidden else None
        self.gates = {
            g: torch.as_tensor(m, dtype=self.layers.dtype, device=self.layers.device)
            for g, m in walk.slim.gates.items()
        }
        self.best = self.before = self._divergence()
        self.kept, self.made = 0, 0
        self.taken = [w.detach().clone() for w in self.weights]
        # Folded norms give layers weights of very different sizes: a step is a share of them.
        self.sizes = [max(float(w.detach().square().mean().sqrt()), _LEAST) for w in self.weights]
        self.optimizer = torch.optim.Adam([{"params": [w]} for w in self.weights], options.learning_rate)
        self.size = _BATCH if self.convolves else _DENSE_BATCH

    @property
    def passes(self) -> Passes:
        """How far the training is."""
        return Passes(self.made, self.kept, self.before, self.best)

    def one_pass(self, planned: int) -> float:
        """Make the next of the passes that are planned, and return the divergence after it."""
        highest = self.options.learning_rate * self.size / _BATCH
        steps = -(-len(self.used) // self.size)
        shuffled = self.used[torch.randperm(len(self.used), generator=self.generator)]
        for step, part in enumerate(torch.split(shuffled, self.size)):
            done = (self.made + step / steps) / planned
            # Adam's first steps are all of full length: they grow over the first tenth of the training.
            rate = min(1.0, 10 * done + 1 / steps) * 0.5 * (1 + math.cos(math.pi * done))
            for entry, weight in zip(self.optimizer.param_groups, self.sizes, strict=True):
                entry["lr"] = highest * rate * weight
            tick(f"pass {self.made + 1} of {planned} over the images")
            loss = self._loss(part.to(self.rows.device), done)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        now = self._divergence()
        self.made += 1
        if now < self.best:
            self.best, self.kept = now, self.made
            self.taken = [w.detach().clone() for w in self.weights]
        return now

    def state(self) -> dict[str, Tensor]:
        """All that the next pass depends on, by name."""
        found = {"generator": self.generator.get_state()}
        for n, (weight, taken) in enumerate(zip(self.weights, self.taken, strict=True)):
            known = self.optimizer.state.get(weight, {})
            found[f"now.{n}"], found[f"best.{n}"] = weight.detach(), taken
            for name in _MOMENTS:
                found[f"{name}.{n}"] = known.get(name, torch.zeros_like(weight.detach()))
        return found

    def restore(self, passes: Passes, state: dict[str, Tensor]) -> None:
        """Go on from a state, after these passes."""
        self.made, self.kept, self.before, self.best = passes.made, passes.kept, passes.before, passes.best
        self.generator.set_state(state["generator"].cpu())
        steps = float(passes.made * -(-len(self.used) // self.size))
        for n, weight in enumerate(self.weights):
            with torch.no_grad():
                weight.copy_(state[f"now.{n}"])
            self.taken[n] = state[f"best.{n}"].clone()
            moments = {name: state[f"{name}.{n}"].clone() for name in _MOMENTS}
            self.optimizer.state[weight] = {"step": torch.tensor(steps), **moments}

    def put(self, walk: Walk) -> None:
        """Give the walk's network the weights after the best pass."""
        _put(walk, self.arrays, self.taken)

    def _loss(self, at: Tensor, done: float) -> Tensor:
        """The loss of some of the rows, where a share of the training is done."""
        rows, images = self.rows[at], self.images
        seen = laid_out(images.varied(rows, done, self.generator) if self.options.varied else rows)
        by_image = None if self.shares is None else self.shares[at].to(seen.dtype)
        if self.hidden is not None:
            return self.hidden.loss(seen, self.layers.run(seen, self.gates), self.options.hidden, by_image)
        wanted = images.taught(seen) if self.target is None else self.target[at]
        given = images.logits(self.layers, seen, self.gates)
        return lost(given, wanted.to(given.dtype), by_image)

    @torch.no_grad()
    def _divergence(self) -> float:
        """The mean divergence from the trained network on the images held out."""
        shown, target = self.judged
        total = 0.0
        for start in range(0, len(shown), 500):
            at = slice(start, start + 500)
            shares = None if self.counted is None else self.counted[at]
            logits = self.images.logits(self.layers, shown[at], self.gates)
            total += divergence(logits.double(), target[at], shares)
        return total / len(shown)


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
