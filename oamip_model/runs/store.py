"""The append-only store of a run, so that nothing is done twice.

It has one JSON line for each finished piece of work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from oamip_model.errors import InputError
from oamip_model.files import append_line, check_writable, drop_unfinished, only_writer
from oamip_model.records import checked, read_lines

T = TypeVar("T")

_FIRST = b'{"key": "'
"""The beginning of every line. It distinguishes a line that a kill cut short from a file of another kind."""


@dataclass(frozen=True)
class _Line:
    """One line of a store."""

    key: str
    record: dict[str, Any]


def key_of(**parts: Any) -> str:
    """Hash of what a solve depends on; parts must be of plain types.

    Examples
    --------
    >>> key_of(solver="highs", seed=0) == key_of(seed=0, solver="highs")
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


class LineStore:
    """Lines of JSON in a file that is appended to, each on disk before the next.

    A last line that a kill cut short is dropped before the next one is written. Readers do not
    change it.

    Parameters
    ----------
    path : Path
        The file, which need not exist.
    what : str
        The kind of file, at the beginning of errors.

    Raises
    ------
    InputError
        Where the file holds something else. It is not changed then.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.lines: dict[str, Any] = {}
        self._whole: int | None = None
        if path.exists():
            self.lines, self._whole = read_lines(path, what, _FIRST)

    def append(self, line: str) -> None:
        """Append a line; it is on disk when this returns."""
        if self._whole is not None and self.path.exists():
            drop_unfinished(self.path, self._whole)
        self._whole = None
        append_line(self.path, line)


class RunStore:
    """Records by key, appended to a file of lines.

    Without a path they are kept in memory only.

    Parameters
    ----------
    path : str or Path, optional
        The file.

    Raises
    ------
    InputError
        Where the file cannot be written or is no store; it is left as it is.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else check_writable(path, "store")
        self._lines = None if self.path is None else LineStore(self.path, "store")
        self.records: dict[str, dict[str, Any]] = {}
        for where, line in ({} if self._lines is None else self._lines.lines).items():
            entry = checked(_Line, line, f"{where} is not a record of finished solves: it")
            self.records[entry.key] = entry.record

    def alone(self) -> AbstractContextManager[None]:
        """Let no other process write to the file in this block.

        Raises InputError where one does.
        """
        return nullcontext() if self.path is None else only_writer(self.path, "store")

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a finished solve, None where there is none."""
        return self.records.get(key)

    def read(self, key: str, make: Callable[[dict[str, Any]], T]) -> T | None:
        """What ``make`` makes of the record of a finished solve, None where there is none.

        Raises InputError where the record is not one that ``make`` can read.
        """
        record = self.get(key)
        try:
            return None if record is None else make(record)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            raise InputError(f"store: the record {key} of {self.path} is damaged ({reason})") from None

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Keep a record; it is on disk when this returns."""
        line = json.dumps({"key": key, "record": record})
        # The value is as it would be read again, whether it is written to a file or not.
        self.records[key] = json.loads(line)["record"]
        if self._lines is not None:
            self._lines.append(line)

    def remove(self) -> None:
        """Delete the file: the run is finished and its result is stored elsewhere."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
