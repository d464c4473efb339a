"""Exchanges of a kept unit for a removed one (mathematics:exchange-1..2).

They lower the errors of the cut network.

Each layer's program sees the other layers as they are cut when it is solved. So gains between
layers are left for a local search over the masks. It proves nothing. It lowers the share of images
classified wrongly plus the mean hinge loss. The hinge loss alone follows a few images, and the
share alone does not see small steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.scoring.layer_options import Exchanges
from oamip_model.scoring.layerwise.losses import SummedLoss, summed_loss
from oamip_model.scoring.layerwise.task import tensors
from oamip_model.torchnet.layers import TorchLayers

_PASSES = 1_000
"""Passes behind the first scored layer that must be within the work of a search."""
_HELD = 2**26
"""Numbers (in single precision: 256 MiB) that the outputs of all layers may take."""
_GAIN = 1e-6
"""Share of the error that an exchange must gain. Single precision shows no smaller one."""

Unit: TypeAlias = tuple[int, int]
"""Index of a score group, and a unit of it."""


@dataclass(frozen=True)
class Exchanged:
    """Masks (units,) by group after the exchanges, and how many there were.

    before, after: share of images classified wrongly plus mean hinge loss.
    """

    keep: dict[int, Array]
    pairs: int
    before: float
    after: float


def affordable_images(network: Network, count: int, options: Exchanges | None = None) -> int:
    """The number of images that the search can use, 0 where they are too few.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(2,))
    >>> [affordable_images(network, n) for n in (10, 1_500, 60_000)]
    [0, 1500, 30000]
    """
    asked = options or Exchanges()
    first = min(k for group in network.groups for k in group.layers)
    held = sum(layer.size for layer in network.layers)
    most = min(
        count, asked.most_images, int(asked.work / _PASSES / max(_work_behind(network)[first], 1)), _HELD // held
    )
    return most if most >= asked.least_images else 0


def _work_behind(network: Network) -> NDArray[np.int64]:
    """Multiplications for one image in the layers after each layer, (layers,)."""
    work = [
        sum(term.map.multiplications(term.input_shape) for term in layer.terms if term.map.trained is not None)
        for layer in network.layers
    ]
    return np.asarray(np.cumsum(work[::-1])[::-1] - work, dtype=np.int64)


def scores_of(keep: Array, before: Array) -> Array:
    """Scores that rank every kept unit above every removed one, (units,).

    Otherwise they rank as ``before``.

    Examples
    --------
    >>> scores_of(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])).tolist()
    [0.51, 0.49, 1.0]
    """
    return np.asarray(0.49 * before + 0.51 * keep)


def exchange_units(
    layers: TorchLayers,
    images: Array,
    labels: NDArray[np.int64],
    keep: Mapping[int, Array],
    *,
    loss: SummedLoss | None = None,
    across: bool = False,
    options: Exchanges | None = None,
    progress: Callable[[Exchanged], None] | None = None,
) -> Exchanged:
    """Masks that remove as many units, with a cut network that does no worse.

    The :class:`Exchanged` has the errors before and after.

    Images (n, *input_shape) and labels (n,) are all used at once. ``keep`` has the masks (units,)
    by group, and ``margin`` is that of the hinge loss, in logits. With ``across`` a unit may be
    exchanged for one of another layer. The search ends where no pair that is tried gains, or after
    its work. Work is multiplications, which are counted and not timed, so that the result is the
    same on every machine.
    """
    asked = options or Exchanges()
    search = _Search(layers, images, labels, keep, loss or summed_loss("hinge", 1.0), asked)
    groups = sorted(keep)
    before, pairs = search.value, 0
    for _ in range(asked.rounds):
        gained = False
        slope = search.gradient()
        for pool in [groups] if across else [[g] for g in groups]:
            if search.spent < asked.work and search.improve(pool, slope):
                gained, pairs = True, pairs + 1
                if progress is not None:
                    progress(Exchanged(search.masks(), pairs, before, search.value))
        if not gained:
            break
    return Exchanged(search.masks(), pairs, before, search.value)


class _Search:
    def __init__(
        self,
        layers: TorchLayers,
        images: Array,
        labels: NDArray[np.int64],
        keep: Mapping[int, Array],
        loss: SummedLoss,
        options: Exchanges,
    ) -> None:
        self.options = options
        self.layers, self.loss = layers, loss
        self.images = torch.as_tensor(images, dtype=layers.dtype, device=layers.device)
        self.labels = torch.as_tensor(labels, device=layers.device)
        self.first = {g: layers.network.groups[g].layers[0] for g in keep}
        self.behind, self.spent = _work_behind(layers.network), 0
        self.take(tensors(layers, keep))

    def take(self, gates: dict[int, Tensor]) -> None:
        """Make these masks the current ones; the outputs that changes of a mask begin from are computed once."""
        self.gates = gates
        with torch.no_grad():
            self.outputs = self.layers.run(self.images, gates)
            self.passed = {
                g: self.layers.run(self.images, {o: m for o, m in gates.items() if o != g}, self.outputs[:k], k)[k]
                for g, k in self.first.items()
            }
        self.value = self._error(self.outputs[-1])

    def _error(self, logits: Tensor) -> float:
        rows = logits.reshape(len(self.labels), -1).double()
        wrong = self.loss.wrong(rows, self.labels)
        return (wrong + self.loss(rows, self.labels)[0]) / len(self.labels)

    def masks(self) -> dict[int, Array]:
        """The current masks as arrays."""
        return {g: mask.double().cpu().numpy() for g, mask in self.gates.items()}

    def gradient(self) -> dict[int, Tensor]:
        """Slope of the hinge loss by each score, (units,) by group, at the current masks."""
        gates = {g: mask.clone().requires_grad_(True) for g, mask in self.gates.items()}
        size = self.layers.gradient_batch_size()
        for start in range(0, len(self.labels), size):
            part = slice(start, start + size)
            logits = self.layers.output(self.images[part], gates)
            rows = logits.detach().reshape(len(logits), -1).double()
            slope = self.loss(rows, self.labels[part], part)[1]
            logits.backward(slope.reshape(logits.shape).to(logits.dtype))  # type: ignore[no-untyped-call]
        return {g: gate.grad if gate.grad is not None else torch.zeros_like(gate) for g, gate in gates.items()}

    def changed(self, *units: Unit) -> dict[int, Tensor]:
        """The masks with these units changed."""
        gates = dict(self.gates)
        for group, unit in units:
            gates[group] = gates[group].clone()
            gates[group][unit] = 1.0 - gates[group][unit]
        return gates

    def error_of(self, *units: Unit) -> float:
        """The error with these units changed."""
        gates = self.changed(*units)
        group = min((g for g, _ in units), key=lambda g: self.first[g])
        k = self.first[group]
        tick("exchanging units")
        self.spent += int(self.behind[k]) * len(self.labels)
        with torch.no_grad():
            r = self.passed[group]
            known = [*self.outputs[:k], r * self.layers.gate(k, gates[group], r)]
            return self._error(self.layers.run(self.images, gates, known)[-1])

    def improve(self, pool: list[int], slope: Mapping[int, Tensor]) -> bool:
        """Make the best exchange of units of these groups, of those that are tried; returns whether one gains."""
        go = self._candidates(pool, slope, stays=True)
        come = self._candidates(pool, slope, stays=False)
        alone = {unit: self.error_of(unit) for unit in (*go, *come)}
        pairs = sorted(self._pairs(go, come), key=lambda pair: alone[pair[0]] + alone[pair[1]])[: self.options.pairs]
        errors = [self.error_of(*pair) for pair in pairs]
        if not errors or min(errors) >= self.value - _GAIN * abs(self.value):
            return False
        self.take(self.changed(*pairs[errors.index(min(errors))]))
        return True

    def _pairs(self, go: list[Unit], come: list[Unit]) -> Iterator[tuple[Unit, Unit]]:
        """Pairs of a unit to remove and one to restore. The last unit of a layer is never removed."""
        for out, into in product(go, come):
            if out[0] == into[0] or float(self.gates[out[0]].sum()) > 1:
                yield out, into

    def _candidates(self, pool: list[int], slope: Mapping[int, Tensor], *, stays: bool) -> list[Unit]:
        """Kept units (or removed ones) whose change costs least by the gradient."""
        found: list[tuple[float, Unit]] = []
        for g in pool:
            at = torch.nonzero((self.gates[g] > 0.5) == stays)[:, 0]
            cost = -slope[g][at] if stays else slope[g][at]
            found += [(float(c), (g, int(u))) for c, u in zip(cost.tolist(), at.tolist(), strict=True)]
        return [unit for _, unit in sorted(found)[: self.options.candidates]]
