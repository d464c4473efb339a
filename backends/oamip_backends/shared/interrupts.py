"""Notes Ctrl-C, or SIGTERM, during a solve, so that the solver can be stopped."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """A context that notes SIGINT while a solve runs in the main thread.

    In another thread, or in a program that handles SIGINT itself, nothing is changed and nothing is
    noted.

    Attributes
    ----------
    pressed : bool
        Whether a signal came.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     signal.raise_signal(signal.SIGINT)
    >>> interrupts.pressed
    True
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: signal._HANDLER = None
        self._ending: signal._HANDLER = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        if number == signal.SIGTERM:
            self._ending.noted()  # type: ignore[union-attr]

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            current = signal.getsignal(signal.SIGINT)
            if current is signal.default_int_handler:
                self._before = signal.signal(signal.SIGINT, self._note)
            ending = signal.getsignal(signal.SIGTERM)
            if hasattr(ending, "noted"):  # a program that treats SIGTERM like Ctrl-C, as the command line does
                self._ending = ending
                signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
        if self._ending is not None:
            signal.signal(signal.SIGTERM, self._ending)
            self._ending = None
