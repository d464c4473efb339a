"""A network as a chain of flat vectors with sparse matrices between them.

Every linear map is its matrix here, so that later code does not depend on kinds of layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.clock import tick
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Network


@dataclass(frozen=True, eq=False)
class Node:
    """One vector: affine in earlier ones, or an activation of one.

    Parameters
    ----------
    kind : {"affine", "relu", "max"}
        "affine" is the sum of ``terms`` and ``bias``. "relu" and "max" read one source.
    size : int
        Number of entries.
    layer : int
        The layer of the network that it belongs to.
    terms : tuple of tuple
        (source, matrix) pairs.
    bias : array, optional
        Constants (size,).
    of : int
        The source of "relu" and "max".
    windows : array of int, optional
        The windows whose maximum "max" takes, (outputs, entries), where -1 is no entry.
    """

    kind: Literal["affine", "relu", "max"]
    size: int
    layer: int
    terms: tuple[tuple[int, sp.csr_array], ...] = ()
    bias: Array | None = None
    of: int = IMAGE
    windows: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Flat:
    """The nodes of a network in order; the last one gives the logits.

    ``inputs`` is the number of inputs. For each layer, ``pre`` is the node of its pre-activations,
    and ``out`` that of its outputs.
    """

    inputs: int
    nodes: tuple[Node, ...]
    pre: tuple[int, ...]
    out: tuple[int, ...]

    def until(self, layer: int) -> Flat:
        """The nodes up to the pre-activations of a layer."""
        last = self.pre[layer]
        return Flat(self.inputs, self.nodes[: last + 1], self.pre[: layer + 1], (*self.out[:layer], last))

    def values(self, x: Array) -> list[Array]:
        """The value of each node at points x, (n, inputs): each (n, size)."""
        found: list[Array] = []
        for node in self.nodes:
            tick("points of the box")
            if node.kind == "affine":
                assert node.bias is not None
                total = np.broadcast_to(node.bias, (len(x), node.size)).copy()
                for source, matrix in node.terms:
                    total += (matrix @ (x if source == IMAGE else found[source]).T).T
                found.append(total)
            elif node.kind == "relu":
                found.append(np.maximum(found[node.of], 0.0))
            else:
                assert node.windows is not None
                padded = np.concatenate([found[node.of], np.full((len(x), 1), -np.inf)], axis=1)
                found.append(padded[:, node.windows].max(axis=2))
        return found


def flat(network: Network) -> Flat:
    """The network as flat vectors.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> [node.kind for node in flat(om.read_network(module, (4,))).nodes]
    ['affine', 'relu', 'affine']
    """
    nodes: list[Node] = []
    pre: list[int] = []
    out: list[int] = []
    for k, layer in enumerate(network.layers):
        tick(f"the matrices of layer {layer.name}")
        size = int(np.prod(layer.pre_shape))
        terms = tuple(
            (IMAGE if term.source == IMAGE else out[term.source], sp.csr_array(term.map.matrix(term.input_shape)))
            for term in layer.terms
        )
        bias = np.repeat(layer.bias, size // max(len(layer.bias), 1))
        nodes.append(Node("affine", size, k, terms, bias))
        pre.append(len(nodes) - 1)
        if layer.activation == "relu":
            nodes.append(Node("relu", size, k, of=pre[-1]))
        elif layer.pool is not None:
            windows = layer.pool.windows((layer.pre_shape[0], layer.pre_shape[1], layer.pre_shape[2]))
            nodes.append(Node("max", len(windows), k, of=pre[-1], windows=windows))
        out.append(len(nodes) - 1)
    return Flat(int(np.prod(network.input_shape)), tuple(nodes), tuple(pre), tuple(out))


def placed(net: Flat, sizes: Sequence[int], places: Mapping[int, NDArray[np.int64]]) -> Flat:
    """A network whose nodes stand at given places of larger vectors.

    All else is zeros.

    sizes: of the larger vectors, by node; places: (size of the node,) where its entries stand, by node.
    """
    nodes = []
    for k, node in enumerate(net.nodes):
        at = places[k]
        if node.kind == "affine":
            assert node.bias is not None
            bias = np.zeros(sizes[k])
            bias[at] = node.bias
            terms = tuple((source, _spread(matrix, at, sizes[k], None if source == IMAGE else places[source],
                                           net.inputs if source == IMAGE else sizes[source]))
                          for source, matrix in node.terms)  # fmt: skip
            nodes.append(replace(node, size=sizes[k], terms=terms, bias=bias))
        else:
            nodes.append(replace(node, size=sizes[k]))
    return replace(net, nodes=tuple(nodes))


def _spread(
    matrix: sp.csr_array, rows: NDArray[np.int64], height: int, columns: NDArray[np.int64] | None, width: int
) -> sp.csr_array:
    entries = matrix.tocoo()
    column = entries.col if columns is None else columns[entries.col]
    return sp.csr_array((entries.data, (rows[entries.row], column)), shape=(height, width))
