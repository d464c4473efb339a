"""From operators to layers.

Batch norm and additions fold into the affine maps beside them, and reshapes vanish.

A border of zeros becomes padding of the convolution, or of the max pooling of numbers from 0 on, that reads it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from oamip_model.clock import tick
from oamip_model.errors import InputError
from oamip_model.network.graph import Affine, Graph, Joined, Node, Value
from oamip_model.network.held import narrowed
from oamip_model.network.maps import Array, Identity, MaxPool, Padding, Shape, Shifted, ZeroPad
from oamip_model.network.types import IMAGE, Activation, Layer, Term

_NO_BORDER: Padding = (0, 0, 0, 0)


@dataclass(frozen=True)
class _Stored:
    """A tensor that is a layer's output, or the image, with a border of zeros that is not yet anywhere.

    ``shape`` is that of what is within the border.
    """

    source: int
    shape: Shape
    border: Padding = _NO_BORDER


@dataclass(frozen=True)
class _Pending:
    """An affine map that one operator alone reads, and that may still become part of that operator's layer.

    ``shape`` is how the reader sees it, where a reshape came after; then there is no border.
    """

    name: str
    terms: tuple[Term, ...]
    bias: Array
    pre_shape: Shape
    shape: Shape
    border: Padding = _NO_BORDER


_Tensor = _Stored | _Pending


def fold(graph: Graph) -> tuple[Layer, ...]:
    """The layers of a graph, in order; the last one makes the graph's output.

    One layer is: a sum of affine maps (batch norm folded in) with the ReLU after it, or a max pooling. Where the
    source is in single precision, so are the layers: a module that is made of them holds the same numbers.
    Raises InputError where the output is the image itself.

    Examples
    --------
    >>> import numpy as np
    >>> from oamip_model.network.maps import Dense
    >>> graph = Graph((2,))
    >>> hidden = graph.relu("act", graph.affine("fc1", IMAGE, Dense(np.eye(2)), owner="fc1"))
    >>> graph.output = graph.affine("fc2", hidden, Dense(np.ones((1, 2))), owner="fc2")
    >>> [(layer.name, layer.activation) for layer in fold(graph)]
    [('fc1', 'relu'), ('fc2', 'none')]
    """
    return _Folder(graph).run()


class _Folder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.names: set[str] = set()
        self.made: dict[int, tuple[_Pending, _Stored]] = {}

    def run(self) -> tuple[Layer, ...]:
        live = _reaching(self.graph)
        uses = Counter(source for value in live for source in self.graph.nodes[value].inputs)
        uses[self.graph.output] += 1
        values: dict[Value, _Tensor] = {IMAGE: _Stored(IMAGE, self.graph.input_shape)}
        for value in live:
            node = self.graph.nodes[value]
            tick(f"reading layer {node.name}")
            result = self.visit(node, [values[source] for source in node.inputs])
            # A tensor that several operators read may still become part of each of them, where that costs nothing.
            values[value] = result if uses[value] == 1 or _is_cheap(result) else self.store(result)
        self.store(self.plain(node.name, values[self.graph.output]) if live else values[self.graph.output])
        if not self.layers:
            raise InputError("network: the output is the image itself, there is no layer in between")
        return tuple(map(_rounded, self.layers) if self.graph.single else self.layers)

    def visit(self, node: Node, inputs: list[_Tensor]) -> _Tensor:
        x, operator = inputs[0], node.operator
        if operator == "reshape":
            return replace(self.plain(node.name, x), shape=node.shape)
        if operator == "add":
            return self.add(node, *(self.plain(node.name, x) for x in inputs))
        if isinstance(operator, Joined):
            return self.join(node, operator, [self.store(self.plain(node.name, x)) for x in inputs])
        if operator == "relu":
            return self.store(x if isinstance(x, _Pending) else self.passing(node.name, x), "relu")
        if isinstance(operator, MaxPool):
            return self.max_pool(node, operator, x)
        assert isinstance(operator, Affine)
        border = operator.map.border
        if border is not None and operator.bias is None and len(x.shape) == 3:
            x = x if isinstance(x, _Stored) or x.shape == x.pre_shape else self.store(x)
            return replace(x, border=_sum(x.border, border))
        padded = None if x.border == _NO_BORDER else operator.map.bordered(x.border)
        if padded is not None:
            return self.affine(node, replace(operator, map=padded), replace(x, border=_NO_BORDER))
        return self.affine(node, operator, self.plain(node.name, x))

    def affine(self, node: Node, affine: Affine, x: _Tensor) -> _Pending:
        bias = np.zeros(node.shape[0]) if affine.bias is None else affine.bias
        name = affine.owner or node.name
        if isinstance(x, _Pending):
            if x.shape == x.pre_shape:
                if affine.map.passes_on:
                    return replace(x, bias=x.bias + bias)
                factors = affine.map.factors(len(x.bias))
                scaled = None if factors is None or len(x.terms) > 1 else x.terms[0].map.scaled(factors)
                if factors is not None and scaled is not None:
                    term = replace(x.terms[0], map=scaled)
                    return replace(x, terms=(term,), bias=x.bias * factors + bias)
            before = self.shifted(x)
            found = None if before is None else affine.map.absorbing(before, x.shape)
            if found is not None:
                term = Term(found[0], x.terms[0].source, x.shape, affine.owner)
                return _Pending(name, (term,), found[1] + bias, node.shape, node.shape)
            if before is not None and affine.map.keeps_constants and x.shape == x.pre_shape and self.is_positive(x):
                read = _Stored(x.terms[0].source, x.pre_shape)
                pooled = self.store(self.affine(node, replace(affine, bias=None), read))
                return replace(self.again(x, pooled), bias=before.shift + bias)
            if (x.shape == x.pre_shape or len(x.shape) == 1) and len(x.terms) == 1 and not x.bias.any():
                (first,) = x.terms
                both = affine.map.after(first.map)
                if both is not None:
                    fits = both.misfit(first.input_shape) is None
                    read_as = first.input_shape if fits else (int(np.prod(first.input_shape)),)
                    term = Term(both, first.source, read_as, affine.owner)
                    return _Pending(name, (term,), bias, node.shape, node.shape)
        source = self.store(x)
        term = Term(affine.map, source.source, source.shape, affine.owner)
        return _Pending(name, (term,), bias, node.shape, node.shape)

    def shifted(self, x: _Pending) -> Shifted | None:
        """What a batch norm, or an added constant, does to each channel of a stored tensor."""
        if len(x.terms) != 1 or x.terms[0].input_shape != x.pre_shape:
            return None
        factors = x.terms[0].map.factors(len(x.bias))
        return None if factors is None else Shifted(factors, x.bias, x.pre_shape)

    def is_positive(self, x: _Pending) -> bool:
        """Whether the one tensor that ``x`` reads is a ReLU's, or a pooling of ReLUs."""
        return x.terms[0].source != IMAGE and _is_positive(self.layers, x.terms[0].source)

    def join(self, node: Node, joined: Joined, inputs: list[_Stored]) -> _Pending:
        """Tensors side by side, as a sum of their places."""
        terms = tuple(Term(map, x.source, x.shape) for map, x in zip(joined.maps, inputs, strict=True))
        return _Pending(node.name, terms, np.zeros(node.shape[0]), node.shape, node.shape)

    @staticmethod
    def again(x: _Pending, read: _Stored) -> _Pending:
        """The channel-wise map of ``x``, of another tensor with the same channels."""
        term = replace(x.terms[0], source=read.source, input_shape=read.shape)
        return replace(x, terms=(term,), pre_shape=read.shape, shape=read.shape)

    def max_pool(self, node: Node, pool: MaxPool, x: _Tensor) -> _Tensor:
        if isinstance(x, _Pending) and x.shape == x.pre_shape and x.border == _NO_BORDER:
            before = self.shifted(x)
            if before is not None and self.is_positive(x) and (before.scale >= 0).all():
                read = _Stored(x.terms[0].source, x.pre_shape)
                return self.again(x, self.pooled(node.name, pool, read))
        if x.border != _NO_BORDER:
            stored = self.store(x)
            padded = replace(pool, padding=_sum(pool.padding, stored.border))
            inside = (padded.windows((1, *stored.shape[1:])) >= 0).any(axis=1).all()
            if inside and stored.source != IMAGE and _is_positive(self.layers, stored.source):
                return self.pooled(node.name, padded, replace(stored, border=_NO_BORDER))
            x = self.plain(node.name, stored)
        return self.pooled(node.name, pool, self.store(x))

    def pooled(self, name: str, pool: MaxPool, x: _Stored) -> _Stored:
        return self.store(self.passing(name, x), "max", pool)

    def add(self, node: Node, a: _Tensor, b: _Tensor) -> _Pending:
        if isinstance(a, _Pending) and isinstance(b, _Pending) and a.pre_shape != b.pre_shape:
            b = self.store(b)
        a, b = (x if isinstance(x, _Pending) else self.passing(node.name, x) for x in (a, b))
        if a.pre_shape != b.pre_shape:
            # One side is a stored tensor, which can be read in any shape.
            if all(term.map.passes_on for term in a.terms) and not a.bias.any():
                a = replace(a, bias=np.zeros(b.pre_shape[0]), pre_shape=b.pre_shape)
            else:
                b = replace(b, bias=np.zeros(a.pre_shape[0]), pre_shape=a.pre_shape)
        owners = [x.name for x in (a, b) if any(term.name for term in x.terms)]
        return _Pending(owners[0] if owners else node.name, a.terms + b.terms, a.bias + b.bias, a.pre_shape, node.shape)

    def plain(self, name: str, x: _Tensor) -> _Tensor:
        """The tensor with its border in place, as an affine map of its own where there is one."""
        if x.border == _NO_BORDER:
            return x
        stored = self.store(x)
        map = ZeroPad(stored.border)
        shape = map.output_shape(stored.shape)
        return _Pending(f"{name}.border", (Term(map, stored.source, stored.shape),), np.zeros(shape[0]), shape, shape)

    @staticmethod
    def passing(name: str, x: _Stored) -> _Pending:
        """A tensor as an affine map of its own, whose border remains around the result."""
        term = Term(Identity(), x.source, x.shape)
        return _Pending(name, (term,), np.zeros(x.shape[0]), x.shape, x.shape, x.border)

    def store(self, x: _Tensor, activation: Activation = "none", pool: MaxPool | None = None) -> _Stored:
        """Make ``x`` a layer, unless it is one. Its border, which a ReLU does not change, remains around it."""
        if isinstance(x, _Stored):
            return x
        if activation == "none" and id(x) in self.made:
            return self.made[id(x)][1]
        name, count = x.name, 1
        while name in self.names:
            count += 1
            name = f"{x.name}_{count}"
        self.names.add(name)
        layer = Layer(name, x.terms, x.bias, x.pre_shape, activation, pool)
        self.layers.append(layer)
        stored = _Stored(len(self.layers) - 1, layer.shape if pool is not None else x.shape, x.border)
        if activation == "none":
            self.made[id(x)] = (x, stored)
        return stored


def _is_cheap(x: _Tensor) -> bool:
    """Whether a tensor is a scale, a shift or a rearrangement of a stored one."""
    if not isinstance(x, _Pending) or len(x.terms) != 1:
        return False
    map = x.terms[0].map
    return map.moves is not None or map.factors(len(x.bias)) is not None


def _rounded(layer: Layer) -> Layer:
    terms = []
    for term in layer.terms:
        held = term.map.held
        if held is not None and held.dtype == np.float64:
            values = _single(held)
            values = values if term.map.trained is None else narrowed(values)
            term = replace(term, map=term.map.with_weights(values))
        terms.append(term)
    return replace(layer, terms=tuple(terms), bias=_single(layer.bias))


def _single(values: Array) -> Array:
    """Rounds numbers to single precision, except those that it does not hold."""
    if _is_single(values):
        return values
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
    return np.where(np.isfinite(rounded) & ((rounded != 0) | (values == 0)), rounded, values)


def _is_single(values: Array) -> bool:
    """Whether single precision holds all numbers as they are, numbers below its smallest normal one aside.

    Such numbers have no digit in the last 29 bits. One pass over them is enough, and makes no copy.
    """
    if not values.flags.c_contiguous:
        values = np.ascontiguousarray(values)
    bits = np.bitwise_or.reduce(values.view(np.uint64).ravel()) if values.size else np.uint64(0)
    return not bits & np.uint64(2**29 - 1)


def _sum(a: Padding, b: Padding) -> Padding:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])


def _is_positive(layers: list[Layer], source: int) -> bool:
    """Whether a layer's outputs are never below 0: a ReLU, or pooled ReLUs."""
    layer = layers[source]
    if layer.activation == "relu":
        return True
    return not layer.bias.any() and all(
        term.map.keeps_sign and term.source != IMAGE and _is_positive(layers, term.source) for term in layer.terms
    )


def _reaching(graph: Graph) -> list[Value]:
    """The nodes that the output depends on, in order."""
    wanted = {graph.output}
    for value in range(len(graph.nodes) - 1, -1, -1):
        if value in wanted:
            wanted.update(graph.nodes[value].inputs)
    return sorted(wanted - {IMAGE})
