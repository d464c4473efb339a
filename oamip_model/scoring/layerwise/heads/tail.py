"""The layers after one layer's scores, as a network of its own.

It is the rest of the network, or a head in its place.

The images of this network, the tail, are the activations of the scored layer with all its scores at
1. Its first layer passes them on through a ReLU that carries the scores. Their pre-activation is a
number, so h = s r holds exactly there (mathematics:model-2). Every function of a network and images
takes a tail: bounds, instances, solves, replays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.maps import Array, ChannelScale, Identity, Part, Shape
from oamip_model.network.types import IMAGE, Layer, Network, ScoreGroup, Term

Masks: TypeAlias = Mapping[int, NDArray[np.float64]]
"""Masks (units,) of other score groups, by group index. Missing groups are whole."""


@dataclass(frozen=True)
class Tail:
    """A network with one score group, after another network.

    Its images are representations of that network.

    Parameters
    ----------
    network : Network
        The tail, whose ``groups[0]`` is the scored group, under its own name.
    inputs : array
        Its images (n, *network.input_shape): the scored layer's activations, followed by all other
        outputs that the later layers read from before it.
    """

    network: Network
    inputs: Array


def rest_tail(network: Network, images: Array, group: int, keep: Masks) -> Tail:
    """The layers after a score group as trained and without scores.

    Images have the shape (n, *input_shape).

    keep: units of other groups that are cut, before the scored layer or after it. Where a residual addition ties
    several layers to the group, the first of them is the tail's input and the others keep the scores.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network, x = om.read_network(module), np.ones((4, 2))
    >>> tail = rest_tail(network, x, 0, {})
    >>> s = {"0": np.array([1.0, 0.3, 0.0])}
    >>> tail.inputs.shape, bool(np.allclose(tail.network.replay(tail.inputs, s), network.replay(x, s)))
    ((4, 3), True)
    """
    outputs = network.activations(images, named_scores(network, keep))
    first = network.groups[group].layers[0]
    after = _reached(network, first)
    before = sorted({t.source for k in after for t in network.layers[k].terms if t.source not in {*after, first}})
    x = network.check_images(images)
    carried = [x if k == IMAGE else outputs[k] for k in before]
    layers, inputs = _opening(network, group, first, outputs[first], carried)
    # Old to new index: the scored layer is 0, then what is carried past it, then the layers after it.
    place = {first: 0} | {k: 1 + n for n, k in enumerate(before)}
    for k in after:
        layer = network.layers[k]
        own = layer.group == group
        terms = tuple(replace(term, source=place[term.source]) for term in layer.terms)
        if layer.group is not None and layer.group in keep and not own:
            layer, terms = _cut(layers, layer, terms, keep[layer.group])
        place[k] = len(layers)
        layers.append(replace(layer, terms=terms, group=0 if own else None, units=layer.units if own else None))
    gated = tuple(place[k] for k in network.groups[group].layers)
    return _tail(network, group, gated, layers, inputs)


def head_tail(network: Network, images: Array, group: int, keep: Masks, head: Network) -> Tail:
    """A head on a score group's representation, in the place of later layers.

    Images have the shape (n, *input_shape). ``head`` is a network that takes the output of the
    group's last layer. Its own units carry no scores. ``keep`` has the masks of other groups that
    are cut before the scored layer.
    """
    last = network.groups[group].layers[-1]
    r = network.activations(images, named_scores(network, keep))[last]
    layers, inputs = _opening(network, group, last, r, [])
    if head.input_shape != r.shape[1:]:
        raise InputError(f"head: it takes {head.input_shape}, layer {network.layers[last].name} gives {r.shape[1:]}")
    for layer in head.layers:
        terms = tuple(replace(term, source=term.source + 1 if term.source != IMAGE else 0) for term in layer.terms)
        layers.append(replace(layer, name=f"head.{layer.name}", terms=terms, group=None, units=None))
    return _tail(network, group, (0,), layers, inputs)


def named_scores(network: Network, scores: Masks) -> dict[str, Array]:
    """Scores by name for :meth:`Network.replay`.

    They are those given by group index, and 1 for the other groups.
    """
    return {g.name: np.asarray(scores.get(k, np.ones(g.size)), np.float64) for k, g in enumerate(network.groups)}


def _reached(network: Network, first: int) -> list[int]:
    """The layers that depend on the output of layer ``first``, in order."""
    reached = [first]
    for k in range(first + 1, len(network.layers)):
        if any(term.source in reached for term in network.layers[k].terms):
            reached.append(k)
    return reached[1:]


def _opening(network: Network, group: int, k: int, r: Array, carried: list[Array]) -> tuple[list[Layer], Array]:
    """The scored layer, the layers that pass on what is carried beside it, and the tail's inputs."""
    scored = network.layers[k]
    if not carried:
        terms = (Term(Identity(), IMAGE, scored.shape),)
        layer = Layer(scored.name, terms, np.zeros(scored.shape[0]), scored.shape, "relu", None, 0, scored.units)
        return [layer], r
    flat = [part.reshape(len(r), -1) for part in (r, *carried)]
    inputs = np.concatenate(flat, axis=1)
    starts = np.cumsum([0, *(part.shape[1] for part in flat)])
    layers = []
    for number, part in enumerate((r, *carried)):
        shape: Shape = part.shape[1:]
        terms = (Term(Part(int(starts[number]), flat[number].shape[1]), IMAGE, inputs.shape[1:]),)
        if number == 0:
            layers.append(Layer(scored.name, terms, np.zeros(shape[0]), shape, "relu", None, 0, scored.units))
        else:
            layers.append(Layer(f"{scored.name}.carried{number}", terms, np.zeros(shape[0]), shape))
    return layers, inputs


def _cut(
    layers: list[Layer], layer: Layer, terms: tuple[Term, ...], mask: NDArray[np.float64]
) -> tuple[Layer, tuple[Term, ...]]:
    """The layer and its terms without the units whose mask is 0, which have a pre-activation of 0.

    Pooling has no weights to set to 0, so a layer of its own before it does that. It is added to
    ``layers``.
    """
    assert layer.units is not None
    stays = np.asarray(mask, dtype=np.float64)[layer.units]
    cut = []
    for number, term in enumerate(terms):
        trained = term.map.trained
        if trained is not None:
            scaled = trained.scaled(stays.reshape(len(trained.weight), -1)[:, 0])
            assert scaled is not None
            cut.append(replace(term, map=scaled))
            continue
        scale = ChannelScale(stays.reshape(term.input_shape[0], -1)[:, 0])
        if term.map.passes_on:
            cut.append(replace(term, map=scale))
            continue
        before = replace(term, map=scale)
        layers.append(Layer(f"{layer.name}.cut{number}", (before,), np.zeros(len(scale.scale)), term.input_shape))
        cut.append(replace(term, source=len(layers) - 1))
    return replace(layer, bias=layer.bias * stays.reshape(len(layer.bias), -1)[:, 0]), tuple(cut)


def _tail(network: Network, group: int, gated: tuple[int, ...], layers: list[Layer], inputs: Array) -> Tail:
    entry: ScoreGroup = replace(network.groups[group], layers=gated)
    return Tail(Network(inputs.shape[1:], tuple(layers), (entry,), f"{network.source} after {entry.name}"), inputs)
