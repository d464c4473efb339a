"""Ctrl-C during a solve: noted, so that the solver can be told to stop, instead of raised in the middle of it."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """Notes SIGINT while a solve runs in the main thread; ``pressed`` says whether one came.

    Elsewhere (another thread, or a program that handles SIGINT itself) nothing is changed and ``pressed`` stays False.

    >>> with Interrupts() as interrupts:
    ...     signal.raise_signal(signal.SIGINT)
    >>> interrupts.pressed
    True
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: signal._HANDLER = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            current = signal.getsignal(signal.SIGINT)
            if current is signal.default_int_handler:
                self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
