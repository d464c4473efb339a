"""Solvers by name, from entry points and from registered classes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, TypeAlias, TypeGuard

from oamip_model.registry import fault, offered
from oamip_model.solving.protocol import Backend, Capability, InputError, SolverMissingError

GROUP = "oamip_model.backends"
"""The entry-point group in which a package offers a backend."""

_registered: dict[str, Callable[[], Backend]] = {}

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_FAMILY = "pyomo"
"""The backend that serves many solvers. A colon and the name of one of them follow its name."""


@dataclass(frozen=True)
class SolverInfo:
    """One solver, as ``oamip solvers`` lists it.

    Parameters
    ----------
    name : str
        The name that users give.
    available : bool
        Whether it can be used here.
    version, licence : str, optional
        None where the solver cannot be loaded.
    problem : str, default ""
        Why it cannot be used, and what to install.
    capabilities : frozenset of Capability
        What it can do besides solving.
    """

    name: str
    available: bool
    version: str | None = None
    licence: str | None = None
    problem: str = ""
    capabilities: frozenset[Capability] = frozenset()


def get_backend(name: str | Backend) -> Backend:
    """The usable backend of that name. A backend object is returned as it is.

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
        For a name that no package offers.
    SolverMissingError
        Where the solver is not installed. The message says what to install.

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
    """Register a backend under the attribute ``name`` of its class.

    It is known in this process and in its workers. Installed packages offer theirs by an entry
    point instead. The same class may be registered again.

    Parameters
    ----------
    make : callable
        The class of the backend. Each use makes a new object.

    Raises
    ------
    InputError
        Where the class has no name of a backend, or another backend has its name.
    """
    name = getattr(make, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"solver: the name of {make!r} is {name!r}, accepted is a name such as my-solver")
    other = _entries().get(name)
    if other is not None and _source(other) != _source(make):
        raise InputError(f"solver: there is one named {name} already, give yours another name")
    _require_backend(make(), f"solver: {_source(make)}")
    _registered[name] = make


def registered_backends() -> tuple[Callable[[], Backend], ...]:
    """The classes of registered backends, for processes that work for this one.

    Returns
    -------
    tuple of callable
        Classes of backends.
    """
    return tuple(_registered.values())


def list_solvers() -> list[SolverInfo]:
    """All solvers that installed packages offer, sorted by name, usable or not.

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
    # A third party's module may raise anything when it is imported. Its solver is then missing, and the rest works.
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
    why = fault(type(candidate), Backend)
    if why:
        raise InputError(f"{what} is not a backend, {why}: see docs/how-to/backends.md")


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
    except Exception as error:  # as in _load: one broken backend must not break the listing
        reason = str(error) if isinstance(error, SolverMissingError) else f"{name}: {type(error).__name__}: {error}"
        return SolverInfo(shown, False, None, licence, " ".join(reason.split()), capabilities)
