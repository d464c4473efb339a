"""The clock of a run: one deadline, which every long loop compares with the time.

A deadline holds for all that is called within it, so that reading, bounds, building and solving end at the same time.
Deadlines nest, and the earliest counts. The same call reports progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from oamip_model.errors import OamipError

_SILENCE = 0.5
"""Seconds at least between two signs of life."""
_GRACE = 0.5
"""Seconds beyond a deadline after which work without a result is given up. Small programs are built
in that time, and so have a start that can be returned."""
_MARGIN = 0.25
"""Seconds before its limit at which a solver may stop."""
_LEAST = 1e-3
"""Seconds that a solver gets at least: one without any could not give back its start."""
_LATE, _LATER = 1.0, 0.05
"""Seconds, and a share of the limit besides, that checks of a result may take beyond the deadline."""


class TimeIsUp(OamipError):
    """The deadline came before there was any result."""


class Deadline:
    """A point in time, some seconds from now, or never.

    >>> Deadline(None).left() is None, Deadline(0.0).over()
    (True, True)
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds that are left, at least 0, or None where there is no limit."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def closing(self) -> bool:
        """Whether the time is up, or so nearly that it is what ended the work.

        Returns
        -------
        bool
            Whether work that stopped just now was stopped by the deadline.
        """
        return self.over(-_MARGIN)

    def over(self, grace: float = 0.0) -> bool:
        """Whether the time is up, since ``grace`` seconds."""
        return self._end is not None and time.monotonic() >= self._end + grace


class _Voice:
    """The function that hears what is being done, and when it was last called."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell, self.last = tell, time.monotonic()


_deadlines: ContextVar[tuple[Deadline, ...]] = ContextVar("deadlines", default=())
_voice: ContextVar[_Voice | None] = ContextVar("voice", default=None)


@contextmanager
def within(deadline: Deadline) -> Iterator[Deadline]:
    """All that runs in this block ends at the deadline, if not earlier."""
    token = _deadlines.set((*_deadlines.get(), deadline))
    try:
        yield deadline
    finally:
        _deadlines.reset(token)


@contextmanager
def unhurried() -> Iterator[None]:
    """Let no deadline count in this block.

    It is for what is short, and without which the work before it would be lost.
    """
    token = _deadlines.set(())
    try:
        yield
    finally:
        _deadlines.reset(token)


@contextmanager
def finishing(limit: float | None = None) -> Iterator[None]:
    """Allow a little time beyond the deadlines in this block.

    The block ends quietly where that does not suffice. It is for checks of a result, which is then
    returned without them.

    Parameters
    ----------
    limit : float, optional
        Seconds of the work that the checks belong to.

    Yields
    ------
    None
        Nothing.

    Examples
    --------
    >>> with within(Deadline(-9.0)), finishing():
    ...     tick("a check")
    """
    known = [deadline for deadline in _deadlines.get() if deadline.seconds is not None]
    limits = [seconds for d in known if (seconds := d.seconds) is not None] + ([] if limit is None else [limit])
    allowed = None if not limits else _LATE + _LATER * max(min(limits), 0.0)
    if allowed is not None and limit is None:
        allowed += min((left for d in known if (left := d.left()) is not None), default=0.0)
    with unhurried(), within(Deadline(allowed)), suppress(TimeIsUp):
        yield


@contextmanager
def telling(tell: Callable[[str], None] | None) -> Iterator[None]:
    """A block in which ``tell`` is called now and then with what is being done."""
    token = _voice.set(None if tell is None else _Voice(tell))
    try:
        yield
    finally:
        _voice.reset(token)


def seconds_left() -> float | None:
    """Seconds until the earliest deadline of this block, or None without one.

    They are at least a thousandth.
    """
    found = [left for deadline in _deadlines.get() if (left := deadline.left()) is not None]
    return max(min(found), _LEAST) if found else None


def expect(seconds: float, doing: str) -> None:
    """Raise TimeIsUp where what comes next would end far beyond a deadline.

    It takes so many seconds, and cannot be ended.

    >>> with within(Deadline(9.0)):
    ...     expect(60.0, "a matrix")
    Traceback (most recent call last):
    ...
    oamip_model.clock.TimeIsUp: the time limit of 9 s leaves too little for some 60 s: a matrix
    """
    for deadline in _deadlines.get():
        left = deadline.left()
        if left is not None and seconds > left + _GRACE:
            told = f"the time limit of {deadline.seconds:g} s leaves too little for some {seconds:.0f} s"
            raise TimeIsUp(f"{told}: {doing}")


def tick(doing: str) -> None:
    """Raise TimeIsUp where a deadline of this block is over.

    What is being done is noted for progress.

    >>> with within(Deadline(-1.0)):
    ...     tick("bounds of layer fc1")
    Traceback (most recent call last):
    ...
    oamip_model.clock.TimeIsUp: the time limit of -1 s was over: bounds of layer fc1
    """
    voice = _voice.get()
    if voice is not None and time.monotonic() - voice.last >= _SILENCE:
        voice.last = time.monotonic()
        voice.tell(doing)
    for deadline in _deadlines.get():
        if deadline.over(_GRACE):
            raise TimeIsUp(f"the time limit of {deadline.seconds:g} s was over: {doing}")
