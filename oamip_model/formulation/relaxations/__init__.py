"""The relaxations by name, in a module of its own that loads nothing."""

from __future__ import annotations

RELAXATIONS = ("big-m", "partition-1", "partition-2", "partition-4", "partition-8", "hull")
"""From loose to tight, but for "hull", which adds cuts to the rows of "partition-1"."""


def groups_of(relaxation: str | None) -> int:
    """Number of groups of a relaxation ``partition-P``, and 0 for ``big-m``.

    It is 1 for ``hull``, which starts from it.

    Examples
    --------
    >>> groups_of("partition-4"), groups_of("hull"), groups_of("big-m")
    (4, 1, 0)
    """
    if relaxation is not None and relaxation.startswith("partition-"):
        return int(relaxation.removeprefix("partition-"))
    return 1 if relaxation == "hull" else 0
