"""What is left of a test's instances has every value of every parameter, and is the same in every process."""

from __future__ import annotations

import itertools

import pytest
import thinned
from thinned import spread

GRIDS = [
    {"kind": range(10), "gate": range(2), "seed": range(3)},
    {"kind": range(4), "case": range(7)},
    {"one": range(5)},
]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("count", [1, 8, 1000])
def test_every_value_occurs_and_no_more_than_asked_where_that_suffices(grid, count):
    cases = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    chosen = spread(cases, count)
    assert chosen == sorted(set(chosen)) == spread(cases, count)
    for name, values in grid.items():
        assert {cases[k][name] for k in chosen} == set(values)
    longest = max(map(len, grid.values()))
    assert len(chosen) == min(max(count, longest), len(cases))


def test_pairs_are_spread_before_they_are_repeated():
    cases = [{"a": a, "b": b} for a in range(4) for b in range(4)]
    assert len({(cases[k]["a"], cases[k]["b"]) for k in spread(cases, 8)}) == 8
    # No diagonal twice: every value is met twice.
    assert sorted(cases[k]["a"] for k in spread(cases, 8)) == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.thinned(2)
@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("kind", ["a", "b"])
def test_a_thinned_test_has_fewer_instances(request, number, kind):
    run = [item for item in request.session.items if getattr(item, "originalname", "") == request.node.originalname]
    whole = thinned.ALL or any("[" in argument for argument in request.config.args)
    assert whole or len(run) == 6
    assert {item.callspec.params["kind"] for item in run} == {"a", "b"} or whole
