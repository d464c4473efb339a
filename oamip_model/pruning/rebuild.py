"""A network as a torch module made of ordinary layers.

So what came from a file can be pruned and exported.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from oamip_model.network.maps import Array, Shape
from oamip_model.network.types import IMAGE, Layer, Network, Term
from oamip_model.torchnet.maps import torch_map
from oamip_model.torchnet.maps.channel_scale import scale_module
from oamip_model.torchnet.max_pool import max_pool_module


@dataclass(frozen=True)
class _Step:
    """One layer: for each term its source, the shape it is read in (None: as it is) and its modules; then what follows.

    A shape leaves out the batch, and may hold one -1, so that it still fits when channels have been removed.
    """

    terms: tuple[tuple[int, Shape | None, tuple[str, ...], Shape | None], ...]
    after: tuple[str, ...]


class RebuiltNetwork(nn.Module):
    """The layers of a network in order, with additions between them.

    It is made by :func:`to_module`.

    paths: {(layer index, term index): name of the module that holds the term's weights}
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.paths: dict[tuple[int, int], str] = {}
        self.steps: list[_Step] = []
        for index, layer in enumerate(network.layers):
            self.steps.append(self._step(network, index, layer))

    def _step(self, network: Network, index: int, layer: Layer) -> _Step:
        terms = []
        bias: Array | None = layer.bias if layer.bias.any() else None
        for number, term in enumerate(layer.terms):
            source = network.input_shape if term.source == IMAGE else network.layers[term.source].shape
            names = []
            kind = torch_map(term.map)
            before, module = kind.before(term.map), kind.module(term.map, bias, term.input_shape)
            if before is not None:
                names.append(self._place(f"pad_{index}_{number}", before))
            if module is not None:
                names.append(self._place(term.name or f"{layer.name}_{number}", module))
                if term.map.weights is not None:
                    self._share_weight(network, term, module)
                    self.paths[index, number] = names[-1]
                    bias = None
            made = term.map.output_shape(term.input_shape)
            terms.append(
                (term.source, _reshaping(source, term.input_shape), tuple(names), _reshaping(made, layer.pre_shape))
            )
        after = []
        if bias is not None:  # no map to carry it
            shift = scale_module(np.ones(len(bias)), bias, layer.pre_shape)
            after.append(self._place(f"bias_{index}", shift))
        if layer.pool is not None:
            positive = all(
                term.source != IMAGE and network.layers[term.source].activation == "relu" for term in layer.terms
            )
            after.append(self._place(f"pool_{index}", max_pool_module(layer.pool, layer.pre_shape, positive)))
        elif layer.activation == "relu":
            after.append(self._place(f"relu_{index}", nn.ReLU()))
        return _Step(tuple(terms), tuple(after))

    def _share_weight(self, network: Network, term: Term, module: nn.Module) -> None:
        """Give the module the weight of an earlier one that holds the same weights of the same trained module."""
        for (layer, number), path in self.paths.items():
            other = self.get_submodule(path)
            if term.name and network.layers[layer].terms[number].name == term.name and type(other) is type(module):
                weight = other.get_parameter("weight")
                if torch.equal(weight, module.get_parameter("weight")):
                    module.register_parameter("weight", weight)
                    return

    def _place(self, name: str, module: nn.Module) -> str:
        """Put the module at its dotted name, or beside it where that is taken, and return where it is."""
        dotted = ".".join(part or "_" for part in name.split("."))
        for count in itertools.count(1):
            for wanted in (dotted, dotted.replace(".", "_")):
                path = wanted if count == 1 else f"{wanted}_{count}"
                if self._place_at(path, module):
                    return path
        raise AssertionError("unreachable: some number is free")

    def _place_at(self, path: str, module: nn.Module) -> bool:
        parent: nn.Module = self
        *folders, leaf = path.split(".")
        for folder in folders:
            inner = parent._modules.get(folder)
            if inner is None:
                if hasattr(parent, folder):
                    return False
                inner = _Folder()
                parent.add_module(folder, inner)
            if type(inner) is not _Folder:
                return False
            parent = inner
        if hasattr(parent, leaf):
            return False
        parent.add_module(leaf, module)
        return True

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images, (n, classes)."""
        outputs: list[Tensor] = []
        for step in self.steps:
            total: Tensor | None = None
            for source, read_as, names, give_as in step.terms:
                value = x if source == IMAGE else outputs[source]
                value = _reshape(value, read_as)
                for name in names:
                    value = self.get_submodule(name)(value)
                value = _reshape(value, give_as)
                total = value if total is None else total + value
            assert total is not None
            for name in step.after:
                total = self.get_submodule(name)(total)
            outputs.append(total)
        return outputs[-1] if outputs[-1].ndim == 2 else outputs[-1].flatten(1)


class _Folder(nn.Module):
    """Holds the modules below one part of a dotted name."""


def to_module(network: Network) -> RebuiltNetwork:
    """The network as a torch module in eval mode and single precision.

    It is equal to the network within rounding. It is made of nn.Linear, nn.Conv2d, nn.ReLU and pooling
    modules, named after the modules or ONNX nodes that the weights came from. Batch norm is folded in.
    A scale of channels that could not be folded is an nn.BatchNorm with mean 0, variance 1 and eps 0.
    Average pooling that no torch module computes is a
    :class:`~oamip_model.torchnet.maps.average_pool.SeparableAverage`.
    A weight that several layers share is one parameter of several modules.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    torch.nn.Module
        A module with the same layers.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> [name for name, _ in om.to_module(om.read_network(module, input_shape=(4,))).named_children()]
    ['0', 'relu_0', '2']
    """
    module = RebuiltNetwork(network)
    return module.eval()


def _reshaping(have: Shape, want: Shape) -> Shape | None:
    """How to reshape one image's tensor, the number of channels left free; None where it need not be."""
    return None if have == want else (-1, *want[1:])


def _reshape(x: Tensor, shape: Shape | None) -> Tensor:
    if shape is None:
        return x
    return x.flatten(1) if len(shape) == 1 else x.reshape(x.shape[0], *shape)


def shift_modules(network: Network, module: RebuiltNetwork) -> dict[str, list[str]]:
    """Where the rebuilt module scales or shifts units before a ReLU that gates them.

    Returns {group: paths}. A unit that is 0 before such a shift is not 0 behind it.
    """
    found: dict[str, list[str]] = {}
    for group in network.groups:
        for k in group.layers:
            layer = network.layers[k]
            assert layer.units is not None
            # Rows are masked unit after unit, each with all its places.
            if not np.array_equal(layer.units, np.repeat(np.arange(group.size), layer.size // group.size)):
                continue
            paths = [path for (at, n), path in module.paths.items() if at == k and layer.terms[n].map.trained is None]
            paths += [name for name in module.steps[k].after if name.startswith("bias_")]
            found.setdefault(group.name, []).extend(paths)
    return found


def term_modules(network: Network, module: RebuiltNetwork) -> dict[str, tuple[str, ...]]:
    """Where the weights of each trained module are in the rebuilt one.

    Returns {name in the network: paths in the module}.
    """
    found: dict[str, tuple[str, ...]] = {}
    for (layer, number), path in module.paths.items():
        term: Term = network.layers[layer].terms[number]
        found[term.name] = (*found.get(term.name, ()), path)
    return found
