"""A network and its pruned version side by side, unit by unit.

See mathematics:pair-1..3. Each unit of the pruned network stands where the unit that it came from is, and a removed
one is 0. So the difference of two paired units is a vector of its own, with bounds of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.optimize
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.certify.box import Box
from oamip_model.certify.flat import Flat, Node, flat, placed
from oamip_model.certify.program import BoxProgram
from oamip_model.certify.substitution import Envelope, Line, add_node, bounded, diagonal, met
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Network

_POINTS = 200


@dataclass(frozen=True, eq=False)
class Twins:
    """Two flat networks, and their differences where they are paired.

    first, second: the networks, the second with the sizes of the first where they are ``paired``.
    """

    first: Flat
    second: Flat
    paired: bool


def twins(network: Network, pruned: Network, box: Box) -> Twins:
    """Two networks with the same inputs and logits, side by side.

    They are paired where the second may be a pruned version of the first. Units are paired by their values at points
    of the box. Any pairing is valid; a good one gives tighter bounds.
    """
    one, two = flat(network), flat(pruned)
    if not _alike(network, pruned):
        return Twins(one, two, False)
    x = box.sample(_POINTS, seed=2)
    seen, other = one.values(x), two.values(x)
    places: dict[int, NDArray[np.int64]] = {}
    for k, (layer, less) in enumerate(zip(network.layers, pruned.layers, strict=True)):
        channels, few = layer.pre_shape[0], less.pre_shape[0]
        if k == len(network.layers) - 1:
            to = np.arange(few)
        else:
            to = _assigned(seen[one.out[k]].reshape(len(x), channels, -1), other[two.out[k]].reshape(len(x), few, -1))
        for node in {two.pre[k], two.out[k]}:
            each = two.nodes[node].size // few
            places[node] = (to[:, None] * each + np.arange(each)).reshape(-1)
    wide = placed(two, [node.size for node in one.nodes], places)
    nodes = tuple(replace(node, windows=like.windows) for node, like in zip(wide.nodes, one.nodes, strict=True))
    return Twins(one, replace(wide, nodes=nodes), True)


def _alike(network: Network, pruned: Network) -> bool:
    """Whether the layers of two networks differ in their numbers of channels alone, and the second has no more."""
    if len(network.layers) != len(pruned.layers):
        return False
    return all(
        a.activation == b.activation and a.pool == b.pool and a.pre_shape[1:] == b.pre_shape[1:]
        and b.pre_shape[0] <= a.pre_shape[0] and [t.source for t in a.terms] == [t.source for t in b.terms]
        for a, b in zip(network.layers, pruned.layers, strict=True)
    )  # fmt: skip


def _assigned(seen: Array, other: Array) -> NDArray[np.int64]:
    """For each channel of the second network, the one of the first whose values are nearest, all different."""
    a, b = (np.moveaxis(values, 1, 0).reshape(values.shape[1], -1) for values in (seen, other))
    cost = (b**2).sum(axis=1)[:, None] - 2.0 * b @ a.T + (a**2).sum(axis=1)[None, :]
    return np.asarray(scipy.optimize.linear_sum_assignment(cost)[1])


@dataclass(frozen=True, eq=False)
class TwinBounds:
    """Bounds over a box of both networks and of their differences.

    Parameters
    ----------
    envelope : Envelope
        The nodes of the first network, then those of the second, then the differences.
    starts : tuple of int
        The first node of each of the three.
    logits : tuple of array
        Bounds of the differences of the logits, second less first.
    """

    envelope: Envelope
    starts: tuple[int, int, int]
    logits: tuple[Array, Array]


def twin_bounds(both: Twins, box: Box) -> TwinBounds:
    """Bounds of both networks, and of their differences."""
    found = bounded(both.first, box)
    second = len(both.first.nodes)
    for k, node in enumerate(both.second.nodes):
        add_node(found, node, offset=second, last=k == len(both.second.nodes) - 1)
    differences = len(found.low)
    # The logits' difference through both networks. Without pairs there is no other bound.
    size = both.first.nodes[-1].size
    plain = Line(((differences - 1, _eye(size)), (second - 1, sp.csr_array(-_eye(size)))), np.zeros(size))
    logits = met(found.of_line(plain), found.substituted(plain, np.arange(size)))
    if both.paired:
        for k, (a, b) in enumerate(zip(both.first.nodes, both.second.nodes, strict=True)):
            _add_difference(found, a, b, k, second, differences)
        logits = met(logits, (found.low[-1], found.high[-1]))
    return TwinBounds(found, (0, second, differences), logits)


def _eye(size: int) -> sp.csr_array:
    return diagonal(np.ones(size))


def _add_difference(found: Envelope, a: Node, b: Node, k: int, second: int, first: int) -> None:
    """Add the difference of node k of both networks, the second less the first."""
    low, high = found.low[second + k] - found.high[k], found.high[second + k] - found.low[k]
    if a.kind == "affine":
        found.add_affine(difference_line(a, b, first), (low, high), everywhere=True)
        return
    of = first + a.of
    before = found.low[of], found.high[of]
    if a.kind == "max":
        assert a.windows is not None
        least = np.append(before[0], np.inf)[a.windows].min(axis=1)
        most = np.append(before[1], -np.inf)[a.windows].max(axis=1)
        low, high = met((low, high), (least, most))
        flat_line = Line((), low), Line((), high)
        found.add(*flat_line, low, high)
        return
    own, other = (found.low[a.of], found.high[a.of]), (found.low[second + a.of], found.high[second + a.of])
    low, high = met((low, high), (np.minimum(before[0], 0.0), np.maximum(before[1], 0.0)))
    same = (own[0] >= 0) & (other[0] >= 0)
    none = (own[1] <= 0) & (other[1] <= 0)
    # Elsewhere min(0, d) <= difference <= max(0, d), and the chords of these lie outside of them.
    width = np.where(before[1] > before[0], before[1] - before[0], 1.0)
    up = np.clip(before[1], 0.0, None) - np.clip(before[0], 0.0, None)
    down = np.clip(before[1], None, 0.0) - np.clip(before[0], None, 0.0)
    over_slope, under_slope = (np.where(same, 1.0, np.where(none, 0.0, rise / width)) for rise in (up, down))
    fixed = same | none
    over_at = np.where(fixed, 0.0, np.clip(before[0], 0.0, None) - over_slope * before[0])
    under_at = np.where(fixed, 0.0, np.clip(before[0], None, 0.0) - under_slope * before[0])
    under, over = (Line(((of, diagonal(s)),), c) for s, c in ((under_slope, under_at), (over_slope, over_at)))
    found.add(under, over, low, high)


def difference_line(a: Node, b: Node, first: int) -> Line:
    """The difference of two affine nodes: W' (h' - h) + (W' - W) h + b' - b."""
    assert a.bias is not None
    assert b.bias is not None
    terms: list[tuple[int, sp.csr_array]] = []
    for (source, weight), (_, pruned) in zip(a.terms, b.terms, strict=True):
        change = sp.csr_array(pruned - weight)
        change.eliminate_zeros()
        terms.append((source, change))
        if source != IMAGE:
            terms.append((first + source, pruned))
    return Line(tuple(terms), b.bias - a.bias)


def twin_program(both: Twins, bounds: TwinBounds) -> BoxProgram:
    """The program of both networks over shared inputs.

    Its last columns are the differences.
    """
    found, (_, second, first) = bounds.envelope, bounds.starts
    program = BoxProgram(found.box)
    for k, node in enumerate(both.first.nodes):
        program.add_node(node, found.low[k], found.high[k])
    for k, node in enumerate(both.second.nodes):
        program.add_node(node, found.low[second + k], found.high[second + k], offset=second)
    if both.paired:
        for k, node in enumerate(both.first.nodes[:-1]):
            line = Line(((second + k, _eye(node.size)), (k, sp.csr_array(-_eye(node.size)))), np.zeros(node.size))
            program.add_linear(line, found.low[first + k], found.high[first + k])
    return program
