"""Random operator graphs: folding keeps the function, and score groups keep the meaning of a removed unit."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oamip_model.network import Network
from oamip_model.network.emit.pointwise import scaled
from oamip_model.network.fold import fold
from oamip_model.network.graph import Affine, Graph
from oamip_model.network.groups import assign_groups
from oamip_model.network.maps import AveragePool, ChannelScale, Conv2d, Dense, Identity, MaxPool
from oamip_model.network.maps.windows import averaging
from oamip_model.network.types import IMAGE

SHAPE = (2, 4, 4)
KINDS = ("conv", "conv", "depthwise", "scale", "average", "max", "reshape", "shift", "relu", "add", "add")


@st.composite
def graphs(draw: st.DrawFn, shifts: bool) -> Graph:
    """Operators that keep the number of activations, each on values made before, and a dense layer on the last."""
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    graph = Graph(SHAPE)
    smooth = averaging(4, 3, 1, (1, 1))
    biggest = MaxPool((3, 3), (1, 1), (1, 1, 1, 1), (1, 1), (4, 4))
    values = [graph.affine("stem", IMAGE, Conv2d(random.normal(size=(2, 2, 1, 1))), random.normal(size=2), "stem")]
    for number in range(draw(st.integers(2, 9))):
        kind = draw(st.sampled_from([k for k in KINDS if shifts or k != "shift"]))
        x = draw(st.sampled_from(values[-3:]))
        name, image = f"{kind}{number}", len(graph.shape(x)) == 3
        bias = random.normal(size=2)
        if kind == "conv" and image:
            map = Conv2d(random.normal(size=(2, 2, 3, 3)), padding=(1, 1, 1, 1))
            values.append(graph.affine(name, x, map, bias, name))
        elif kind == "depthwise" and image:
            map = Conv2d(random.normal(size=(2, 1, 3, 3)), padding=(1, 1, 1, 1), groups=2)
            values.append(graph.affine(name, x, map, bias, name))
        elif kind == "scale" and image:
            values.append(graph.affine(name, x, ChannelScale(random.normal(size=2)), bias if shifts else None, name))
        elif kind == "average" and image:
            values.append(graph.affine(name, x, AveragePool(smooth, smooth)))
        elif kind == "max" and image:
            values.append(graph.max_pool(name, x, biggest))
        elif kind == "shift":
            values.append(scaled(graph, name, x, shift=random.normal(size=(1,))))
        elif kind == "add":
            others = [y for y in values if graph.shape(y) == graph.shape(x)]
            values.append(graph.add(name, x, draw(st.sampled_from(others))))
        elif kind == "reshape":
            values.append(graph.reshape(name, x, (32,) if image else SHAPE))
        else:
            values.append(graph.relu(name, x))
        if not kind.startswith("re") and draw(st.integers(0, 3)):
            values[-1] = graph.relu(f"relu{number}", values[-1])
    last = graph.reshape("flat", values[-1], (32,))
    graph.output = graph.affine("fc", last, Dense(random.normal(size=(3, 32))), random.normal(size=3), "fc")
    return graph


def evaluate(graph: Graph, images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The graph, one operator after the other."""
    values = {IMAGE: images}
    for number, node in enumerate(graph.nodes):
        inputs = [values[source] for source in node.inputs]
        if isinstance(node.operator, Affine):
            y = node.operator.map.apply(inputs[0])
            if node.operator.bias is not None:
                y = y + node.operator.bias.reshape((1, -1) + (1,) * (y.ndim - 2))
        elif isinstance(node.operator, MaxPool):
            y = node.operator.apply(inputs[0])
        elif node.operator == "add":
            y = inputs[0] + inputs[1]
        else:
            y = np.maximum(inputs[0], 0.0) if node.operator == "relu" else inputs[0]
        values[number] = y.reshape(len(images), *node.shape)
    return values[graph.output]


def network_of(graph: Graph) -> Network:
    layers, groups = assign_groups(fold(graph))
    return Network(graph.input_shape, layers, groups)


def close(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool(np.abs(a - b).max() <= 1e-9 * max(1.0, np.abs(a).max()))


IMAGES = np.random.default_rng(0).normal(size=(4, *SHAPE))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(graphs(shifts=True))
def test_folding_keeps_the_function(graph: Graph) -> None:
    network = network_of(graph)
    assert close(evaluate(graph, IMAGES), network.replay(IMAGES))
    names = [layer.name for layer in network.layers]
    assert len(set(names)) == len(names)
    for number, layer in enumerate(network.layers):
        assert all(term.source < number for term in layer.terms)
        assert (layer.activation == "max") == (layer.pool is not None)
        if layer.activation == "max":
            assert [type(term.map) for term in layer.terms] == [Identity]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(graphs(shifts=False), st.integers(0, 1))
def test_score_of_zero_is_a_producer_without_its_rows(graph: Graph, unit: int) -> None:
    """Nothing here adds a constant to a unit but what makes it, so zeroing the makers' rows and biases removes it."""
    network = network_of(graph)
    for group in network.groups:
        scores = {g.name: np.ones(g.size) for g in network.groups}
        scores[group.name][unit] = 0.0
        keep = np.arange(group.size) != unit
        removed = replace(graph, nodes=list(graph.nodes))
        for number, node in enumerate(graph.nodes):
            if isinstance(node.operator, Affine) and node.operator.owner in group.producers:
                map, bias = node.operator.map, node.operator.bias
                assert isinstance(map, Conv2d)
                assert bias is not None
                zeroed = replace(map, weight=map.weight * keep.reshape(-1, 1, 1, 1))
                removed.nodes[number] = replace(node, operator=replace(node.operator, map=zeroed, bias=bias * keep))
        assert close(evaluate(removed, IMAGES), network.replay(IMAGES, scores))
