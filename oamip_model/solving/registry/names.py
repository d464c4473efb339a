"""Solvers by name: those that installed packages offer by entry points, and those that a program registered."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any, TypeAlias, TypeGuard

from oamip_model.registry import offered
from oamip_model.solving.proofs.scaling import Others, Scale, ScaledSession
from oamip_model.solving.protocol import (
    Array,
    Arrays,
    Backend,
    Capability,
    CostSession,
    InputError,
    Options,
    Session,
    Solution,
    SolverError,
    SolverMissingError,
    TreeSession,
    check_options,
)  # fmt: skip
from oamip_model.solving.rebuild import RebuildSession

__all__ = [
    "GROUP", "SolverInfo", "get_backend", "list_solvers", "open_cost_session", "open_session", "open_tree_session",
    "register_backend", "registered_backends", "solve_once",
]  # fmt: skip

GROUP = "oamip_model.backends"
"""The entry-point group in which a package offers a backend."""

_registered: dict[str, Callable[[], Backend]] = {}

_SECOND = ("highs", "cbc", "scip")
"""Whom others are asked about what they claim without a proof, where installed: solvers without a licence's limits."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
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

    Parameters
    ----------
    name : str or Backend
        One of :func:`list_solvers`, or ``pyomo:NAME`` for a solver that Pyomo knows by NAME.

    Returns
    -------
    Backend
        An object that solves arrays.

    Raises
    ------
    InputError
        For a name that nobody offers.
    SolverMissingError
        Where the solver is not there; the message says what to install.

    Examples
    --------
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
    _require_backend(backend, f"solver: {_source(entries[base])} of {base}")
    backend.check()
    return backend


def register_backend(make: Callable[[], Backend]) -> None:
    """Make a backend known under the attribute ``name`` of its class, in this process and in its workers.

    Installed packages offer theirs by an entry point instead. The same class may be registered again.

    Parameters
    ----------
    make : callable
        The class of the backend, which is made anew for each use.

    Raises
    ------
    InputError
        Where the class has no name of a backend, or another backend has its name.
    """
    name = getattr(make, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"solver: the name of {make!r} is {name!r}, accepted are such as my-solver")
    other = _entries().get(name)
    if other is not None and _source(other) != _source(make):
        raise InputError(f"solver: there is one named {name} already, give yours another name")
    _require_backend(make(), f"solver: {_source(make)}")
    _registered[name] = make


def registered_backends() -> tuple[Callable[[], Backend], ...]:
    """What :func:`register_backend` was given, which processes that work for this one need too."""
    return tuple(_registered.values())


def list_solvers() -> list[SolverInfo]:
    """Every solver that some installed package offers, by name, usable or not.

    A broken one does not hide the others.

    Returns
    -------
    list of SolverInfo
        Name, version, licence and capabilities, and the problem of one that is not usable.

    Examples
    --------
    >>> [solver.available for solver in list_solvers() if solver.name == "highs"]
    [True]
    """
    return [_describe(name, entry) for name, entry in sorted(_entries().items())]


def open_session(backend: Backend, arrays: Arrays, options: Options, *, proofs: bool = True) -> Session:
    """A session of the backend for arrays, which are scaled on their way to it.

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
    return _alone(backend, arrays, options, own, partial(_others, backend, options), proofs)


def _alone(
    backend: Backend,
    arrays: Arrays,
    options: Options,
    own: Callable[[Arrays, Options], Session] | None = None,
    others: Others | None = None,
    proofs: bool = True,
) -> ScaledSession:
    scale = Scale.of(arrays)
    scaled, sizes = scale.program(arrays)
    inner = RebuildSession(backend, scaled, options) if own is None else own(scaled, options)
    return ScaledSession(arrays, scale, inner, sizes, others, proofs)


def _others(
    backend: Backend, options: Options, program: Arrays, time_limit: float | None, spent: float
) -> Iterator[Solution]:
    """The solutions of a linear program by the backend's interior point method, and by other solvers that are here."""
    limit, began = options.time_limit if time_limit is None else time_limit, time.monotonic() - spent
    ways = [(backend, True)] if Capability.INTERIOR_POINT in backend.capabilities else []
    for name in _SECOND:
        if name != backend.name:
            with suppress(InputError, SolverMissingError):
                ways.append((get_backend(name), False))
    for other, interior in ways:
        left = None if limit is None else limit - (time.monotonic() - began)
        if left is not None and left <= 0:
            return
        # As many threads as before: HiGHS has one count of them for all solves of a process.
        threads = options.threads if Capability.THREADS in other.capabilities else 1
        asked = Options(left, threads=threads, feasibility=options.feasibility, interior_point=interior)
        with suppress(SolverMissingError, SolverError):  # such as a program beyond the size of a licence
            called = f"{other.name} by an interior point" if interior else other.name
            yield replace(_alone(other, program, asked).solve(), solver=called)


_Entry: TypeAlias = EntryPoint | Callable[[], Backend]


def _is_entry_point(entry: _Entry) -> TypeGuard[EntryPoint]:
    """Whether this is an entry point, perhaps of the package importlib_metadata.

    Where that is imported, as by dask, its own class stands for that of the standard library.
    """
    return hasattr(entry, "load") and hasattr(entry, "value")


def _source(entry: _Entry) -> str:
    """Where a backend comes from: its entry point, or the class that was registered."""
    if _is_entry_point(entry):
        return f"the entry point {entry.value}"
    return f"the class {entry.__module__}.{getattr(entry, '__qualname__', '')}"


def _entries() -> dict[str, _Entry]:
    return {**offered("solver", GROUP, "a backend"), **_registered}


def _load(entry: _Entry) -> Any:
    if not _is_entry_point(entry):
        return entry
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
    parts = ("name", "capabilities", "licence", "check", "version", "solve")
    missing = [part for part in parts if not hasattr(candidate, part)]
    if missing or isinstance(candidate, type):
        lack = f"lacks {', '.join(missing)}" if missing else "is a class, not an object"
        raise InputError(f"{what} is not a backend, it {lack}: see docs/how-to/backends.md")


def _describe(name: str, entry: _Entry) -> SolverInfo:
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
