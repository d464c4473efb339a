"""JSON records that came from a file.

They are parsed strictly, and checked against the types that declare them.

A declaration is a dataclass, a TypedDict, or any other annotation made of the types below. ``Annotated`` adds a rule
for the value: :class:`Within`, :class:`Matches`, :data:`INFINITE`, :data:`ONE_KEY` or :data:`OPEN`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from oamip_model.errors import InputError
from oamip_model.read import read_bytes

LARGEST: Final = 2**28
"""Bytes of the largest record that is read; the largest that this package writes are below a tenth of it."""
_LARGEST_LINES: Final = 2**32


@dataclass(frozen=True)
class Within:
    """The rule that a number is neither below ``low`` nor above ``high``."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Matches:
    """The rule that a text matches a regular expression whole.

    It says how messages call such a text, too.
    """

    pattern: str
    name: str


@dataclass(frozen=True)
class _Flag:
    name: str


INFINITE: Final = _Flag("infinite")
"""The rule that a number may be infinite. Without it numbers are finite; NaN is never accepted."""
ONE_KEY: Final = _Flag("one key")
"""The rule that an object of optional fields has exactly one of them."""
OPEN: Final = _Flag("open")
"""The rule that an object may have fields that are not declared, which are left out."""

Share = Annotated[float, Within(0, 1)]
Count = Annotated[int, Within(0)]
Number = Annotated[float, INFINITE]


def read_json(path: Path, where: str) -> Any:
    """Reads the JSON value that a file holds.

    where: what the file is, as errors begin. Raises InputError where :func:`~oamip_model.read.read_bytes` does, and for
    what is no JSON as :func:`parse_json` takes it.
    """
    return parse_json(read_bytes(path, where, LARGEST), where)


def read_lines(path: Path, what: str, first: bytes) -> tuple[dict[str, Any], int]:
    """The JSON values of a file of lines, and how many of its bytes are whole.

    Whole lines are appended to such a file. ``what`` is the kind of file, for errors. Every line
    begins with ``first``. A last line that begins so was cut short by a kill. Values are by the
    line's name for errors. Raises InputError for a line that is no JSON, and a last one that begins
    in another way.
    """
    data = read_bytes(path, f"{what}: {path}", _LARGEST_LINES)
    end = data.rfind(b"\n") + 1
    *lines, rest = data.split(b"\n")
    where = [f"{what}: line {number} of {path}" for number in range(1, len(lines) + 2)]
    found = {name: parse_json(line, name) for name, line in zip(where, lines, strict=False)}
    if rest[: len(first)] != first[: len(rest)]:
        raise InputError(f"{where[-1]} has no end, and is none that was being written")
    return found, end


def parse_json(data: bytes, where: str) -> Any:
    """Parses JSON in UTF-8, without NaN and without keys that an object has twice.

    Raises InputError for anything else, also for numbers and nesting beyond what Python reads.

    Examples
    --------
    >>> parse_json(b'{"a": 1, "a": 2}', "store: line 1")
    Traceback (most recent call last):
    oamip_model.errors.InputError: store: line 1 cannot be read as JSON (the key 'a' occurs twice)
    """
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
        if b"\\ud" in data.lower():
            # Halves of characters cannot be written, except those that stand for bytes of a file's name.
            json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape")
        return found
    except UnicodeDecodeError:
        reason = "it is not in UTF-8"
    except UnicodeEncodeError:
        reason = "a text holds half a character"
    except RecursionError:
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        reason = str(error)
    except ValueError as error:
        reason = "a number has too many digits" if "integer string conversion" in str(error) else str(error)
    raise InputError(f"{where} cannot be read as JSON ({reason})")


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("a number is NaN")
    return float(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_shown(twice)} occurs twice")
    return found


def checked(kind: Any, value: Any, where: str) -> Any:
    """Gives the value of a declared type that a parsed JSON value stands for.

    A dataclass is made from an object, whose fields must be those declared; fields with a default
    may be missing. A TypedDict gives a dictionary. Lists become tuples where the declaration says
    so.

    Raises InputError, naming the field, for a value of another type, or one that breaks a rule.

    Examples
    --------
    >>> checked(dict[str, list[Share]], {"fc1": [0.5, 2]}, "scores: a.json")
    Traceback (most recent call last):
    oamip_model.errors.InputError: scores: a.json: fc1[1] is 2.0, accepted is a number from 0 to 1
    """
    try:
        return _check(kind, value, "")
    except _WrongError as wrong:
        at = f": {wrong.at.lstrip('.')}" if wrong.at else ""
        raise InputError(f"{where}{at} {wrong.text}") from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None


class _WrongError(Exception):
    def __init__(self, at: str, text: str) -> None:
        super().__init__(at, text)
        self.at, self.text = at, text


def _check(kind: Any, value: Any, at: str, rules: tuple[Any, ...] = ()) -> Any:
    origin = get_origin(kind)
    if origin is Annotated:
        return _check(kind.__origin__, value, at, (*rules, *kind.__metadata__))
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _check_union(get_args(kind), value, at, rules)
    if origin is Literal:
        if not any(value is known or (type(value) is type(known) and value == known) for known in get_args(kind)):
            raise _WrongError(at, f"is {_shown(value)}, accepted is {' or '.join(map(repr, get_args(kind)))}")
        return value
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        return _check_fields(kind, value, at, rules)
    if origin in (list, tuple, dict):
        return _check_several(origin, get_args(kind), value, at)
    return _check_plain(kind, value, at, rules)


def _check_union(kinds: tuple[Any, ...], value: Any, at: str, rules: tuple[Any, ...]) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    for kind in kinds[:-1]:
        try:
            return _check(kind, value, at, rules)
        except _WrongError:
            continue
    return _check(kinds[-1], value, at, rules)


def _check_several(origin: Any, kinds: tuple[Any, ...], value: Any, at: str) -> Any:
    if origin is dict:
        if not isinstance(value, dict):
            raise _WrongError(at, f"is {_shown(value)}, accepted is an object")
        return {_check(kinds[0], key, f"{at}.{_short(key)}"): _check(kinds[1], entry, f"{at}.{_short(key)}")
                for key, entry in value.items()}  # fmt: skip
    if not isinstance(value, list):
        raise _WrongError(at, f"is {_shown(value)}, accepted is a list")
    if origin is list or kinds[1:] == (...,):
        return origin(_check(kinds[0], entry, f"{at}[{k}]") for k, entry in enumerate(value))
    if len(value) != len(kinds):
        raise _WrongError(at, f"is a list of {len(value)}, accepted is one of {len(kinds)}")
    pairs = zip(kinds, value, strict=True)
    return tuple(_check(kind, entry, f"{at}[{k}]") for k, (kind, entry) in enumerate(pairs))


def _check_fields(kind: Any, value: Any, at: str, rules: tuple[Any, ...]) -> Any:
    if not isinstance(value, dict):
        raise _WrongError(at, f"is {_shown(value)}, accepted is an object")
    fields, needed = _fields_of(kind)
    missing = sorted(needed - value.keys())
    if missing:
        raise _WrongError(at, f"has no field {missing[0]}")
    unknown = [key for key in value if key not in fields]
    if unknown and OPEN not in rules:
        raise _WrongError(at, f"has the field {_short(unknown[0])}, which is not known")
    found = {name: _check(fields[name], value[name], f"{at}.{name}") for name in fields if name in value}
    if ONE_KEY in rules and len(found) != 1:
        raise _WrongError(at, f"has {len(found)} fields, accepted is one")
    return found if is_typeddict(kind) else kind(**found)


@cache
def _fields_of(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Types of an object's fields by name, and the names of those that must be there."""
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        # In a file with postponed annotations the class itself does not state which of its keys are required.
        marked = {name for name, hint in hints.items() if get_origin(hint) is Required}
        return {name: _without_required(hint) for name, hint in hints.items()}, kind.__required_keys__ | marked
    fields = [entry for entry in dataclasses.fields(kind) if entry.init]
    none = dataclasses.MISSING
    needed = frozenset(entry.name for entry in fields if entry.default is none and entry.default_factory is none)
    return {entry.name: hints[entry.name] for entry in fields}, needed


def _without_required(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Required else hint


_PLAIN: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda v: isinstance(v, bool), "true or false"),
    int: (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    float: (lambda v: isinstance(v, int | float) and not isinstance(v, bool), "a number"),
    str: (lambda v: isinstance(v, str), "a text"),
    type(None): (lambda v: v is None, "null"),
}


def _check_plain(kind: Any, value: Any, at: str, rules: tuple[Any, ...]) -> Any:
    fits, name = _PLAIN[kind]
    good = fits(value)
    if kind is float and good:
        try:
            value = float(value)
        except OverflowError:
            good = False
        else:
            good = not math.isnan(value) and (math.isfinite(value) or INFINITE in rules)
    if kind is int and good and not -(2**63) <= value < 2**63:
        good, name = False, "a whole number of 64 bits"
    for rule in rules:
        if isinstance(rule, Within):
            good = good and rule.low <= value <= rule.high
            name += f" from {rule.low:g} to {rule.high:g}" if math.isfinite(rule.high) else f" from {rule.low:g} on"
        elif isinstance(rule, Matches):
            good = good and re.fullmatch(rule.pattern, value) is not None
            name = rule.name
    if not good:
        raise _WrongError(at, f"is {_shown(value)}, accepted is {name}")
    return value


def _short(key: str) -> str:
    """A key as messages show it: in one line, and not too long."""
    text = key if key.isprintable() else repr(key)
    return text if len(text) <= 60 else text[:57] + "..."


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    try:
        text = repr(value)
    except ValueError:
        return "a number of too many digits"
    return text if len(text) <= 60 else text[:57] + "..."
