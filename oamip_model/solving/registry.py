"""Solvers by name: the backends of this package and of third parties, by the entry points of what is installed."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from oamip_model.solving.protocol import (
    Array,
    Arrays,
    Backend,
    Capability,
    CostSession,
    InputError,
    Options,
    RebuildSession,
    Session,
    Solution,
    SolverMissingError,
    TreeSession,
    check_options,
)
from oamip_model.solving.scaling import Scale, ScaledSession

__all__ = [
    "GROUP", "SolverInfo", "get_backend", "list_solvers", "open_cost_session", "open_session", "open_tree_session",
    "solve_once",
]  # fmt: skip

GROUP = "oamip_model.backends"
"""The entry-point group in which a package offers a backend."""

_FAMILY = "pyomo"
"""The backend that stands for many solvers: its name is followed by a colon and the name of one."""


@dataclass(frozen=True)
class SolverInfo:
    """One solver, for ``oamip solvers``.

    available: usable here; version, licence: None where it cannot be loaded; problem: why it is not usable, and what to
    install; capabilities: what it can do beyond solving.
    """

    name: str
    available: bool
    version: str | None = None
    licence: str | None = None
    problem: str = ""
    capabilities: frozenset[Capability] = frozenset()


def get_backend(name: str | Backend) -> Backend:
    """The backend of that name, usable here; a backend object is handed back as it is.

    name: one of :func:`list_solvers`, or ``pyomo:NAME`` for a solver that Pyomo knows by NAME. Raises InputError for a
    name that nobody offers, and SolverMissingError, saying what to install, where the solver is not there.

    >>> get_backend("highs").name
    'highs'
    """
    if not isinstance(name, str):
        _require_backend(name, f"solver: got an object of type {type(name).__name__}")
        return name
    entries = _entries()
    base, colon, inner = name.partition(":")
    if base not in entries or (colon and base != _FAMILY):
        shown = sorted(f"{_FAMILY}:NAME" if entry == _FAMILY else entry for entry in entries)
        close = difflib.get_close_matches(base.lower(), entries, n=1)
        hint = f"; did you mean {close[0]}?" if close and close[0] != base else ""
        raise InputError(f"solver: got {name!r}, accepted are {', '.join(shown)}{hint}")
    make = _load(entries[base])
    if base == _FAMILY and not inner:
        raise InputError(f"solver: got {name!r}, accepted is {_FAMILY}:NAME with a solver's name, such as pyomo:glpk")
    backend: Backend = make(inner) if base == _FAMILY else make()
    _require_backend(backend, f"solver: the entry point {entries[base].value} of {base}")
    backend.check()
    return backend


def list_solvers() -> list[SolverInfo]:
    """Every solver that some installed package offers, by name, usable or not. A broken one does not hide the others.

    >>> [solver.available for solver in list_solvers() if solver.name == "highs"]
    [True]
    """
    return [_describe(name, entry) for name, entry in sorted(_entries().items())]


def open_session(backend: Backend, arrays: Arrays, options: Options, *, proofs: bool = True) -> Session:
    """A session of the backend for these arrays, which are scaled on their way to the solver.

    It is the backend's own where it has one, else one that passes the whole model each time. proofs: bounds of linear
    programs are those that their duals prove; without, they are what the solver says, for callers that use points only.
    Raises InputError for an option that the backend cannot honour.
    """
    return _scaled(backend, arrays, options, getattr(backend, "session", None), proofs)


def open_cost_session(backend: Backend, arrays: Arrays, options: Options) -> CostSession:
    """A session whose costs can be changed; otherwise as :func:`open_session`."""
    able = Capability.COST_CHANGE in backend.capabilities
    return _scaled(backend, arrays, options, getattr(backend, "session", None) if able else None)


def open_tree_session(backend: Backend, arrays: Arrays, options: Options) -> TreeSession:
    """A session for a search tree; otherwise as :func:`open_session`."""
    able = Capability.BOUND_CHANGE in backend.capabilities
    return _scaled(backend, arrays, options, getattr(backend, "session", None) if able else None)


def solve_once(backend: Backend, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
    """The solution of one program, scaled on its way to the solver."""
    return _scaled(backend, arrays, options, None).solve(start)


def _scaled(
    backend: Backend,
    arrays: Arrays,
    options: Options,
    own: Callable[[Arrays, Options], Session] | None,
    proofs: bool = True,
) -> ScaledSession:
    check_options(backend, options)
    scale = Scale.of(arrays)
    scaled, sizes = scale.program(arrays)
    inner = RebuildSession(backend, scaled, options) if own is None else own(scaled, options)
    return ScaledSession(arrays, scale, inner, sizes, proofs)


def _entries() -> dict[str, EntryPoint]:
    # An editable install beside a built one lists the same entry point twice, so equal values count once.
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise InputError(
                f"solver: two packages offer a backend {entry.name}, {other.value} and {entry.value}: uninstall one"
            )
    return found


def _load(entry: EntryPoint) -> Any:
    # A third party's module may fail in any way when it is imported: that is its solver missing, not our failure.
    try:
        return entry.load()
    except Exception as error:
        package = entry.dist.name if entry.dist is not None else "an unknown package"
        reason = " ".join(str(error).split())
        raise SolverMissingError(
            f"{entry.name}: the backend {entry.value} of {package} cannot be imported "
            f"({type(error).__name__}: {reason})"
        ) from error


def _require_backend(candidate: object, what: str) -> None:
    missing = [
        part
        for part in ("name", "capabilities", "licence", "check", "version", "solve")
        if not hasattr(candidate, part)
    ]
    if missing or isinstance(candidate, type):
        lack = f"lacks {', '.join(missing)}" if missing else "is a class, not an object"
        raise InputError(f"{what} is not a backend, it {lack}: see docs/BACKENDS.md")


def _describe(name: str, entry: EntryPoint) -> SolverInfo:
    shown = f"{_FAMILY}:NAME" if name == _FAMILY else name
    try:
        make = _load(entry)
    except SolverMissingError as error:
        return SolverInfo(shown, False, problem=str(error))
    licence: str | None = getattr(make, "licence", None)
    capabilities: frozenset[Capability] = getattr(make, "capabilities", frozenset())
    try:
        backend = make()
        backend.check()
        return SolverInfo(shown, True, backend.version(), licence, capabilities=capabilities)
    except Exception as error:  # as above: one broken backend must not break the listing
        reason = str(error) if isinstance(error, SolverMissingError) else f"{name}: {type(error).__name__}: {error}"
        return SolverInfo(shown, False, None, licence, " ".join(reason.split()), capabilities)
