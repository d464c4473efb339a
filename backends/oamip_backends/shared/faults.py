"""Errors and printed lines of a solver's library, as messages with its name."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from oamip_model.solving.protocol import InputError, SolverError, SolverMissingError


def failure(solver: str, error: Exception) -> str:
    """The message for an error that a solver's library raised.

    Parameters
    ----------
    solver : str
        The solver's name.
    error : Exception
        The error.

    Returns
    -------
    str
        One line.
    """
    reason = " ".join(str(error).split())
    return f"{solver} failed: {type(error).__name__}" + (f": {reason}" if reason else "")


@contextmanager
def told_by(solver: str) -> Iterator[None]:
    """A context that turns errors of a solver's library into a one-line SolverError.

    Errors of this package are not changed, nor are Ctrl-C and a want of memory.

    Parameters
    ----------
    solver : str
        The solver's name.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    SolverError
        For any other error.

    Examples
    --------
    >>> with told_by("mysolver"):
    ...     raise RuntimeError("error in LP")
    Traceback (most recent call last):
    oamip_model.errors.SolverError: mysolver failed: RuntimeError: error in LP
    """
    try:
        yield
    except (InputError, SolverError, SolverMissingError, MemoryError):
        raise
    except Exception as error:  # a library raises whatever it likes
        raise SolverError(failure(solver, error)) from error


class StandardError:
    """Standard error of the whole process, caught in a file while a solve needs that.

    A library in C writes to the descriptor, which Python's ``sys.stderr`` does not see. Threads
    share the descriptor: the first that enters redirects it, and the last that leaves restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._before: int | None = None
        self._file: BinaryIO | None = None

    @contextmanager
    def caught(self, marks: tuple[str, ...]) -> Iterator[list[str]]:
        """A context in which lines with certain marks are caught.

        Other lines are written out after it.

        Parameters
        ----------
        marks : tuple of str
            The marks.

        Yields
        ------
        list of str
            The caught lines, once the context has ended.
        """
        lines: list[str] = []
        self._enter()
        try:
            yield lines
        finally:
            self._leave(marks, lines)

    def _enter(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            if sys.stderr is not None:
                sys.stderr.flush()
            try:
                self._before = os.dup(2)
            except OSError:  # a process without standard error has nothing to keep clean
                return
            self._file = tempfile.TemporaryFile(prefix="oamip-stderr-", buffering=0)  # noqa: SIM115
            os.dup2(self._file.fileno(), 2)

    def _leave(self, marks: tuple[str, ...], lines: list[str]) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth or self._before is None or self._file is None:
                return
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(self._before, 2)
            os.close(self._before)
            self._before = None
            self._file.seek(0)
            written = self._file.read()
            self._file.close()
            self._file = None
            for line in written.splitlines(keepends=True):
                text = line.decode(errors="replace")
                if any(mark in text for mark in marks):
                    lines.append(text.strip())
                else:
                    os.write(2, line)


STANDARD_ERROR = StandardError()
"""Standard error of this process."""
