"""Which of a test's parametrised instances are run: as many as it asks for, spread over all of its parameters.

``@pytest.mark.thinned(n)`` stands on a test whose claim is the same for every instance: kinds of network, gates, losses
and seeds in all combinations. Of these n are run, or more where n are too few for each value of a parameter to occur.
``make test DRAWS=all`` runs all of them, and so does asking for one by its whole name.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

ALL = os.environ.get("OAMIP_DRAWS") == "all"


def examples(few: int, many: int) -> int:
    """How many random instances a test draws: a few, or many where all are asked for."""
    return many if ALL else few


def spread(cases: Sequence[dict[str, Any]], count: int) -> list[int]:
    """Indices of ``count`` cases, or of more, in which every value occurs, and as many pairs of values as greed finds.

    >>> spread([{"a": a, "b": b} for a in range(3) for b in range(3)], 3)
    [0, 4, 8]
    """
    values = [{(name, _key(value)) for name, value in case.items()} for case in cases]
    pairs = [set(itertools.combinations(sorted(found), 2)) for found in values]
    missing, seen, used = set().union(*values), set(), Counter[tuple[str, str]]()
    chosen: list[int] = []
    while len(chosen) < min(count, len(cases)) or missing:
        left = [k for k in range(len(cases)) if k not in chosen]
        best = max(
            left, key=lambda k: (len(values[k] & missing), len(pairs[k] - seen), -sum(used[v] for v in values[k]), -k)
        )
        chosen.append(best)
        missing -= values[best]
        seen |= pairs[best]
        used.update(values[best])
    return sorted(chosen)


def _key(value: Any) -> str:
    return getattr(value, "__qualname__", None) or repr(value)


def thin(items: list[Any], named: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """The items of a collection that are run, and the others. named: the arguments of the command line."""
    if ALL or any("[" in argument for argument in named):
        return items, []
    tests: dict[str, list[Any]] = {}
    for item in items:
        if item.get_closest_marker("thinned"):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    out = set()
    for found in tests.values():
        kept = spread([item.callspec.params for item in found], found[0].get_closest_marker("thinned").args[0])
        out |= {id(item) for k, item in enumerate(found) if k not in kept}
    return [item for item in items if id(item) not in out], [item for item in items if id(item) in out]
