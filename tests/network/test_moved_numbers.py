"""A small file that doubles a tensor again and again is refused before its indices fill the memory."""

from __future__ import annotations

import pytest

import oamip_model as om
from oamip_model.network.emit.moves import joined, permuted
from oamip_model.network.graph import MOST, Graph
from oamip_model.network.types import IMAGE


@pytest.mark.parametrize("grow", [lambda graph, x: joined(graph, "twice", [x, x], 0),
                                  lambda graph, x: permuted(graph, "turned", x, (0,))])  # fmt: skip
def test_the_numbers_that_are_moved_are_counted_over_the_whole_network(grow):
    graph = Graph((100,))
    grow(graph, IMAGE)
    moved = graph.moved
    assert moved >= 100
    graph.moved = MOST - moved
    grow(graph, IMAGE)
    with pytest.raises(om.InputError, match=f"accepted are {MOST} in all"):
        grow(graph, IMAGE)
