"""Where and with what a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, TypedDict

from oamip_model.records import OPEN, Count, Number, checked, read_json

_PACKAGES = ("oamip_model", "pyomo", "numpy", "scipy", "highspy", "pyscipopt", "gurobipy", "pulp", "onnx")


class Environment(TypedDict, total=False):
    """What :func:`describe` gives, as far as it is read again."""

    machine: str
    system: str
    cpu: str
    cpus: Count | None
    memory_gib: Number
    python: str
    versions: dict[str, str]
    revision: str | None
    date: str


def read_environment(path: Path, what: str) -> dict[str, Any]:
    """Read what :func:`describe` gave, from a file.

    Raises InputError, beginning with ``what``, for anything else.
    """
    where = f"{what}: {path}"
    found: dict[str, Any] = checked(dict[str, Any], read_json(path, where), where)
    known: dict[str, Any] = checked(Annotated[Environment, OPEN], found, where)
    return found | known


def describe() -> dict[str, Any]:
    """Machine, processor, memory, versions, revision and date, of plain types.

    The revision is that of git, None outside a checkout.
    """
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": platform.node(), "system": platform.platform(), "cpu": _cpu(), "cpus": os.cpu_count(),
        "memory_gib": round(memory, 1), "python": platform.python_version(), "versions": versions,
        "revision": revision_of(Path(__file__).parent), "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def same_machine(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two descriptions are of one machine."""
    return all(a.get(name) == b.get(name) for name in ("machine", "cpu", "cpus"))


def _cpu() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def revision_of(folder: Path) -> str | None:
    """The commit of a working copy, None where there is none.

    Where files have changed since, "+changes" follows it.
    """
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        dirty = subprocess.run(
            [*command[:3], "status", "--porcelain"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told + ("+changes" if dirty.stdout.strip() else "")
