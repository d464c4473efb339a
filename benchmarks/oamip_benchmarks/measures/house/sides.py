"""Source trees of the package, each with processes that work with its code.

A source tree is a plain folder: it needs no git, and none of its packages has to be installed.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from oamip_model.records import parse_json

T = TypeVar("T")
PARTS = (".", "backends", "benchmarks")
"""The folders of a source tree that hold packages."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def code_of(folder: Path) -> str:
    """A hash of all code and instances of a source tree, in git or not.

    Parameters
    ----------
    folder : Path
        The root of the source tree.

    Returns
    -------
    str
        The first digits of the hash.
    """
    found = hashlib.sha256()
    for package in ("oamip_model", "backends", "benchmarks"):
        for path in sorted((folder / package).rglob("*")):
            if path.suffix in (".py", ".json", ".onnx", ".npz") and path.is_file():
                found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def offer(folder: Path, into: Path) -> Path:
    """Write the entry points of a source tree as those of an installed package.

    Parameters
    ----------
    folder : Path
        The root of the source tree.
    into : Path
        An empty folder.

    Returns
    -------
    Path
        The folder, for the path on which Python looks for packages.
    """
    setup = configparser.ConfigParser()
    setup.read(folder / "setup.cfg", encoding="utf-8")
    groups = setup["options.entry_points"] if setup.has_section("options.entry_points") else {}
    info = into / "oamip_model-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oamip_model\nVersion: 0\n")
    (info / "entry_points.txt").write_text("".join(f"[{name}]{lines}\n" for name, lines in groups.items()))
    return into


class Side:
    """A process with a source tree's code, which answers lines of JSON by such lines.

    Parameters
    ----------
    folder : Path
        The root of the source tree.
    script : Path
        The script that answers.
    scratch : Path
        An empty folder for what only this process needs.
    """

    def __init__(self, folder: Path, script: Path, scratch: Path) -> None:
        folder = folder.resolve()
        # What else is on the path holds the packages that both sides need, after this side's own.
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        path = os.pathsep.join([*(str(folder / part) for part in PARTS), str(offer(folder, scratch)), *given])
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)], env=os.environ | _ONE_THREAD | {"PYTHONPATH": path}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=scratch,
        )  # fmt: skip

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer. Raises RuntimeError where the process ends without one."""
        to, answers = self._process.stdin, self._process.stdout
        assert to is not None
        assert answers is not None
        line = ""
        try:
            to.write(json.dumps(asked) + "\n")
            to.flush()
            line = answers.readline()
        except BrokenPipeError:
            pass
        if not line:
            code = self._process.wait()
            raise RuntimeError(f"the process of {self.folder} ended with {code}, asked for {asked}")
        told: dict[str, Any] = parse_json(line.encode(), f"the process of {self.folder}")
        return told

    def close(self) -> None:
        """End the process."""
        try:
            self._process.communicate()
        except (BrokenPipeError, ValueError):
            self._process.kill()
            self._process.wait()


def in_turns(work: Callable[[T], dict[str, Any]], items: Sequence[T], jobs: int) -> Iterator[dict[str, Any]]:
    """The result of each item as soon as it is there, ``jobs`` of them at a time.

    Parameters
    ----------
    work : callable
        Makes the result of an item, in a thread.
    items : sequence
        The items, which are begun in this order.
    jobs : int
        Threads at a time.

    Yields
    ------
    dict
        A result. What an item raises is raised, and no other item is begun then.
    """
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(work, item) for item in items]
        try:
            for one in as_completed(waiting):
                yield one.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
