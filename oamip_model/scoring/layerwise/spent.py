"""Seconds of a run by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Spent(dict[str, float]):
    """Seconds by stage, added up as they come.

    Examples
    --------
    >>> spent = Spent()
    >>> spent.add({"solve": 1.0, "columns": 0.5})
    >>> spent.add({"solve": 2.0})
    >>> dict(spent)
    {'solve': 3.0, 'columns': 0.5}
    """

    def add(self, seconds: Mapping[str, float]) -> None:
        """Count these seconds."""
        for stage, value in seconds.items():
            self[stage] = self.get(stage, 0.0) + value

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count the seconds of a block, however it ends."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.add({stage: time.monotonic() - began})

    def rest(self, stage: str, whole: float) -> None:
        """Count what is left of ``whole`` seconds, where that is more than nothing."""
        left = whole - sum(self.values())
        if left > 0:
            self.add({stage: left})
