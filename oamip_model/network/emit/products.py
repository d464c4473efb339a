"""Products of a tensor with a constant one, along any axes.

They become dense maps, or convolutions of size 1 in groups.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from oamip_model.network.emit.linear import dense, reduced
from oamip_model.network.emit.moves import permuted
from oamip_model.network.emit.pointwise import spread
from oamip_model.network.graph import Graph, Value
from oamip_model.network.maps import Array, Conv2d


class Letters(NamedTuple):
    """Axes of the tensor, the constant and the result of a product, by letters."""

    tensor: str
    constant: str
    result: str


def letters_of(equation: str, counts: Sequence[int]) -> tuple[list[str], str] | None:
    """The letters of each operand of an Einstein summation, and those of its result.

    ``counts`` are the operands' numbers of axes. It is None where they do not fit.

    Examples
    --------
    >>> letters_of("b...i, oi -> b...o", (4, 2))
    (['bABi', 'oi'], 'bABo')
    >>> letters_of("ij,jk", (2, 2))
    (['ij', 'jk'], 'ik')
    """
    before, arrow, after = equation.replace(" ", "").partition("->")
    terms = before.split(",")
    spare = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    if len(terms) != len(counts) or not all(re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term) for term in terms):
        return None
    hidden = [n - len(term.replace("...", "")) for term, n in zip(terms, counts, strict=True)]
    if any(n < 0 or (n > 0 and "..." not in term) for term, n in zip(terms, hidden, strict=True)):
        return None
    most = max(hidden)
    inner = "".join(spare[:most])
    named = [term.replace("...", inner[most - n :]) for term, n in zip(terms, hidden, strict=True)]
    if arrow:
        result = after.replace("...", inner)
    else:
        once = sorted(letter for letter in set("".join(named)) - set(inner) if "".join(named).count(letter) == 1)
        result = inner + "".join(once)
    return named, result


def product(graph: Graph, name: str, x: Value, weight: Array, letters: Letters, owner: str = "") -> Value | None:
    """The product of each image's tensor with a constant.

    It is summed over the letters that the result lacks.

    It is None where an operand has a letter twice, or lengths do not fit.
    """
    mine, other, result = letters
    shape, sizes = graph.shape(x), dict(zip(other, weight.shape, strict=True))
    sizes |= dict(zip(mine, shape, strict=True))
    unknown = set(result) - set(mine) - set(other)
    twice = any(len(set(part)) < len(part) for part in letters)
    if twice or unknown or any(weight.shape[n] != sizes[letter] for n, letter in enumerate(other)):
        return None
    alone = [letter for letter in mine if letter not in other + result]
    if alone:
        x = reduced(graph, name, x, {mine.index(letter) for letter in alone}, keep=False, mean=False)
        mine = "".join(letter for letter in mine if letter not in alone)
    weight = weight.sum(axis=tuple(n for n, letter in enumerate(other) if letter not in mine + result))
    other = "".join(letter for letter in other if letter in mine + result)
    shared = [letter for letter in mine if letter in other and letter in result]
    summed = [letter for letter in mine if letter in other and letter not in result]
    kept = [letter for letter in mine if letter not in other]
    fresh = [letter for letter in other if letter not in mine]
    k, m, p, n = (math.prod(sizes[letter] for letter in part) for part in (shared, summed, kept, fresh))
    turned = weight.transpose([other.index(letter) for letter in (*shared, *fresh, *summed)]).reshape(k, n, m)
    moved = permuted(graph, f"{name}.moved", x, [mine.index(letter) for letter in (*shared, *summed, *kept)])
    if k == 1:
        value = dense(graph, name, graph.reshape(name, moved, (m, p)), turned[0], 0, owner)
    else:
        channels = graph.reshape(name, moved, (k * m, p, 1))
        map = Conv2d(np.ascontiguousarray(turned).reshape(k * n, m, 1, 1), groups=k)
        value = graph.affine(name, channels, map, owner=owner)
    made = [*shared, *fresh, *kept]
    value = graph.reshape(name, value, tuple(sizes[letter] for letter in made))
    return permuted(graph, f"{name}.moved", value, [made.index(letter) for letter in result])


def matrices(graph: Graph, name: str, x: Value, weight: Array, left: bool, owner: str = "") -> Value | None:
    """A product of matrices along the last two axes.

    There is another constant one for each place of the axes before.

    ``left``: the constants come first. It is None where lengths do not fit.
    """
    shape, before = graph.shape(x), weight.shape[:-2]
    try:
        outer = np.broadcast_shapes(shape[:-2], before)
    except ValueError:
        return None
    x = spread(graph, name, x, (*outer, *shape[-2:]))
    names = "abcdefghijklmnopqrstuv"[: len(outer)]
    # A constant that is the same at all places of an axis has no letter for it.
    single = tuple(n for n, length in enumerate(before) if length == 1)
    other = "".join(letter for n, letter in enumerate(names[len(outer) - len(before) :]) if n not in single)
    ends = ("wy", "yz", "wz") if left else ("zw", "yz", "yw")
    letters = Letters(names + ends[1], other + ends[0], names + ends[2])
    return product(graph, name, x, weight.squeeze(single), letters, owner)
