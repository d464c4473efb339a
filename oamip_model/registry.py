"""Objects by their names, from here, from other packages and from programs."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeAlias, TypeVar

from oamip_model.errors import InputError

T = TypeVar("T")
Extensions: TypeAlias = tuple[tuple[str, str, tuple[Any, ...]], ...]
"""Of each registry its home, its entry-point group, and what was registered in it."""

_REGISTRIES: dict[str, Registry[Any]] = {}
"""Those that were made so far, by entry-point group."""
_NAME = re.compile(r"[a-z][a-z0-9-]*")


class Registry(Generic[T]):
    """The objects of one kind, such as all gates, each under its name.

    An object is imported only when it is used.

    Parameters
    ----------
    option : str
        The name of the kind for users.
    group : str
        The entry-point group in which packages offer such objects.
    own : mapping of str to str
        The package's own objects, "module:class" by name.
    base : str
        "module:class" of their base class.
    home : str
        The module that makes the registry.
    """

    def __init__(self, option: str, group: str, own: Mapping[str, str], base: str, home: str) -> None:
        self.option, self.group, self.own, self.base, self.home = option, group, own, base, home
        _REGISTRIES[group] = self
        self._known: dict[str, T] = {}
        self._registered: dict[str, T] = {}

    def names(self) -> tuple[str, ...]:
        """All names: this package's, then registered ones, then other packages'."""
        return tuple(dict.fromkeys([*self.own, *self._registered, *sorted(offered(self.option, self.group))]))

    def check(self, name: Any) -> None:
        """Raise InputError unless this is the name of an object."""
        if isinstance(name, str) and (name in self.own or name in self._registered):
            return
        names = self.names()
        if name not in names:
            raise InputError(f"{self.option}: got {name!r}, accepted are {', '.join(names)}")

    def named(self, name: str) -> T:
        """The object of that name.

        Parameters
        ----------
        name : str
            A name.

        Returns
        -------
        object
            The object.

        Raises
        ------
        InputError
            For a name that no package offers, or an object that is unfit.
        """
        if name in self._known:
            return self._known[name]
        self.check(name)
        if name in self.own:
            module, _, entry = self.own[name].partition(":")
            found = getattr(import_module(module), entry)
        else:
            found = load(self.option, offered(self.option, self.group)[name])
        self._known[name] = self._fit(found, name)
        return self._known[name]

    def register(self, thing: T | type[T]) -> T:
        """Make an object known under its attribute ``name``, here and in workers.

        A class stands for an object of it.

        The same class may be registered again. Raises InputError for a name that another object has, or an object that
        is unfit.
        """
        made = self._fit(thing, None)
        name = str(getattr(made, "name", ""))
        other = self._registered.get(name)
        same = other is not None and (type(other).__module__, type(other).__qualname__) == (
            type(made).__module__, type(made).__qualname__,
        )  # fmt: skip
        if not same and name in self.names():
            raise InputError(f"{self.option}: there is one named {name} already, give yours another name")
        self._registered[name] = self._known[name] = made
        return made

    def registered(self) -> tuple[T, ...]:
        """The objects that :meth:`register` was given.

        Processes that work for this one need them too.
        """
        return tuple(self._registered.values())

    def _fit(self, thing: Any, wanted: str | None) -> T:
        """The object, or an object of the class, which is one of this kind and has the name that is wanted."""
        module, _, entry = self.base.partition(":")
        base: type[T] = getattr(import_module(module), entry)
        kind = thing if isinstance(thing, type) else type(thing)
        if not issubclass(kind, base):
            shown = f"got an object of type {kind.__name__}" if wanted is None else f"{wanted} is no such object"
            raise InputError(f"{self.option}: {shown}, accepted are subclasses of {base.__module__}.{base.__name__}")
        why = fault(kind, base)
        if why:
            raise InputError(f"{self.option}: {why}")
        try:
            made: T = thing() if isinstance(thing, type) else thing
        except Exception as error:  # a class of another package may raise anything
            raise InputError(f"{self.option}: {thing.__name__} cannot be made ({_told(error)})") from error
        name = getattr(made, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(
                f"{self.option}: the name of {type(made).__name__} is {name!r}, accepted is a name such as my-own"
            )
        if wanted is not None and name != wanted:
            raise InputError(f"{self.option}: what a package offers as {wanted} has the name {name}")
        return made


def fault(cls: type, base: type) -> str:
    """What a class lacks of the methods of its base class, "" where it has all.

    Parameters
    ----------
    cls : type
        A class, often of another package.
    base : type
        Its base class, or a protocol that it follows.

    Returns
    -------
    str
        The methods that are missing, or the first that cannot be called as that of the base class.

    Examples
    --------
    >>> from abc import ABC, abstractmethod
    >>> class Shape(ABC):
    ...     @abstractmethod
    ...     def scaled(self, factor, centre=0.0): ...
    >>> fault(type("Circle", (Shape,), {"__module__": "shapes"}), Shape)
    'Circle of shapes lacks scaled(factor, centre=0.0)'
    >>> fault(type("Square", (Shape,), {"__module__": "shapes", "scaled": lambda self, factor: self}), Shape)
    'Square.scaled of shapes takes (factor), accepted is scaled(factor, centre=0.0)'
    """
    place = f" of {cls.__module__}"
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        return f"{cls.__qualname__}{place} lacks {', '.join(name + _arguments(cls, name) for name in missing)}"
    for name, wanted in vars(base).items():
        own = inspect.getattr_static(cls, name, None)
        if name.startswith("_") or own is wanted or not (inspect.isfunction(own) and inspect.isfunction(wanted)):
            continue
        given = inspect.signature(wanted).parameters.values()
        named = {one.name: None for one in given if one.kind is one.KEYWORD_ONLY}
        try:
            inspect.signature(own).bind(*(None for one in given if one.kind is one.POSITIONAL_OR_KEYWORD), **named)
        except TypeError:
            return (
                f"{cls.__qualname__}.{name}{place} takes {_arguments(cls, name)}, "
                f"accepted is {name}{_arguments(base, name)}"
            )
    return ""


def _arguments(cls: type, name: str) -> str:
    """The parameters of a method after the object itself, without their types."""
    method = inspect.getattr_static(cls, name)
    if not inspect.isfunction(method):
        return ""
    signature = inspect.signature(method)
    bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()][1:]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def installed(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group in all packages on the path.

    To read them takes 3 ms with 90 packages, and each solve asks for its solver by name. So they are
    read again only where the path, or a folder on it, has changed.
    """
    return _read(group, tuple(map(_state, sys.path)))


@lru_cache(maxsize=64)
def _read(group: str, _path: tuple[tuple[str, int, int] | None, ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def _state(folder: str) -> tuple[str, int, int] | None:
    """What differs once a package is installed there, None where there is nothing."""
    try:
        found = os.stat(folder or ".")
    except OSError:
        return None
    return folder, found.st_ino, found.st_mtime_ns


def offered(option: str, group: str, kind: str = "one named") -> dict[str, EntryPoint]:
    """What installed packages offer in an entry-point group, by name.

    option, kind: what messages call one of them. Raises InputError where two offer different things by one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in installed(group):
        other = found.setdefault(entry.name, entry)
        # An editable install beside a built one lists the same entry point twice, so equal values count once.
        if other.value != entry.value:
            raise InputError(
                f"{option}: two packages offer {kind} {entry.name}, {other.value} and {entry.value}: uninstall one"
            )
    return found


def load(option: str, entry: EntryPoint) -> Any:
    """What an entry point offers. Raises InputError where it cannot be imported."""
    try:
        return entry.load()
    except Exception as error:  # another package may raise anything
        package = entry.dist.name if entry.dist is not None else "an unknown package"
        raise InputError(f"{option}: {entry.value} of {package} cannot be imported ({_told(error)})") from error


def extensions() -> Extensions:
    """What was registered in this process, for others to :func:`adopt`."""
    parts = ((known.home, group, known.registered()) for group, known in _REGISTRIES.items())
    return tuple((home, group, things) for home, group, things in parts if things)


def adopt(found: Extensions) -> None:
    """Register what :func:`extensions` gave in another process."""
    for home, group, things in found:
        import_module(home)
        for thing in things:
            _REGISTRIES[group].register(thing)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
