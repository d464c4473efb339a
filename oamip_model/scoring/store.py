"""Finished solves in a file: one JSON line each, on disk before the next solve starts, so that nothing is solved
twice."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from oamip_model.errors import InputError
from oamip_model.files import append_line, check_writable, only_writer

_FIRST = b'{"key": "'
"""What every line begins with, so that a line that a kill cut short is told from a file of another kind."""


def key_of(**parts: Any) -> str:
    """Hash of what a solve depends on; parts must be of plain types.

    Example:
        >>> key_of(solver="highs", seed=0) == key_of(seed=0, solver="highs")
        True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


class RunStore:
    """Records by key, appended to a JSON-lines file and synced; without a path, kept in memory only.

    A last line that a kill cut short is dropped. Raises InputError where the file cannot be written or is no store, and
    leaves it as it is.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else check_writable(path, "store")
        self.records: dict[str, dict[str, Any]] = {}
        if self.path is not None and self.path.exists():
            self._read(self.path)

    def alone(self) -> AbstractContextManager[None]:
        """A block in which no other process may write to the file. Raises InputError where one does."""
        return nullcontext() if self.path is None else only_writer(self.path, "store")

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        end = data.rfind(b"\n") + 1
        lines = data[:end].decode(errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                self.records[entry["key"]] = entry["record"]
            except (json.JSONDecodeError, KeyError, TypeError):
                raise InputError(f"store: line {number} of {path} is not a record of finished solves") from None
        rest = data[end:]
        if rest[: len(_FIRST)] != _FIRST[: len(rest)]:
            raise InputError(f"store: line {len(lines) + 1} of {path} is not a record of finished solves")
        if rest:
            with path.open("r+b") as file:
                file.truncate(end)

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a finished solve, None where there is none."""
        return self.records.get(key)

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Keep a record; it is on disk when this returns."""
        self.records[key] = record
        if self.path is None:
            return
        append_line(self.path, json.dumps({"key": key, "record": record}))

    def remove(self) -> None:
        """Delete the file: the run is finished and its result is stored elsewhere."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
