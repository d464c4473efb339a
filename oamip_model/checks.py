"""Options as frozen dataclasses that check their fields.

Each field states its kind, range, default, help and flag once.

The command line, the docstrings and the records in results are made from the same fields. This module loads nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

from oamip_model.errors import InputError
from oamip_model.kinds import Choice, Kind, Number, Whole

T = TypeVar("T")
_FLAG = re.compile(r"--([a-z][a-z-]*)")
_TOLD = ("told", "fingerprint")
"""Attributes that describe an object in a record that does not hold the object itself, such as bounds and networks."""


@dataclass(frozen=True)
class Needs:
    """A field that has a use only with some values of another field of its object.

    With ``values`` None it is any value that is given. ``why`` is the message for a field without a
    use. By default it names the other field and its value.
    """

    other: str
    values: tuple[Any, ...] | Callable[[], tuple[Any, ...]] | None
    why: str = ""

    def refusal(self, holder: Any) -> str | None:
        """Why the field has no use in this object, None where it has one."""
        value = getattr(holder, self.other)
        values = self.values() if callable(self.values) else self.values
        if (value is not None) if values is None else (value in values):
            return None
        return self.why or f"{self.other} {value} has no use for it"


@dataclass(frozen=True)
class Flag:
    """The flag of a field on the command line.

    Parameters
    ----------
    name : str
        The flag, "" where the field has none.
    key : str, optional
        The field's name among the options of a verb, where it is another.
    off : str, optional
        The flag that sets a switch to False.
    """

    name: str = ""
    key: str = ""
    off: str = ""


@dataclass(frozen=True)
class Spec:
    """The specification of a field besides its default.

    ``help`` is its meaning, for the command line and the docstring. ``flag`` is its name there, and
    ``off`` the flag that turns a switch off. ``key`` is its name among the options of a verb.
    ``shown`` is the default in words, where the value does not say it. ``needs`` are the fields
    that it has a use with.
    """

    kind: Kind
    help: str
    flag: str
    key: str
    optional: bool
    shown: str
    needs: tuple[Needs, ...]
    off: str


def option(
    *,
    default: Any = MISSING,
    kind: Kind,
    help: str,
    flag: str | Flag = "",
    optional: bool | None = None,
    shown: str = "",
    needs: tuple[Needs, ...] = (),
    kw_only: bool = True,
) -> Any:
    """A field of an options class, from the arguments of :class:`Spec`.

    A field whose default is None takes None. kw_only: False for a field that may be given by place.
    """
    empty = default is None if optional is None else optional
    named = flag if isinstance(flag, Flag) else Flag(flag)
    spec = Spec(kind, help, named.name, named.key, empty, shown, needs, named.off)
    return field(default=default, kw_only=kw_only, metadata={"option": spec})


def spec_of(one: Field[Any]) -> Spec:
    """The spec of a field of an options class."""
    found: Spec = one.metadata["option"]
    return found


def key_of_field(one: Field[Any]) -> str:
    """Name of a field among the options of a verb."""
    return spec_of(one).key or one.name


class Checked:
    """Base of options classes, which check their values when an object is made.

    An object's text shows what is not a default.

    called: what the objects are in a record.
    """

    called: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_kinds(self)
        check_needs(self)

    def __repr__(self) -> str:
        shown = []
        for one in fields(self):  # type: ignore[arg-type]
            value = getattr(self, one.name)
            if value != one.default:
                shown.append(f"{value!r}" if not one.kw_only else f"{one.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def options(cls: type[T]) -> type[T]:
    """A class of :class:`Checked` as a frozen dataclass.

    Its docstring lists its fields.

    Examples
    --------
    >>> from oamip_model.kinds import Whole
    >>> @options
    ... class Pace(Checked):
    ...     '''How fast.'''
    ...
    ...     steps: int = option(default=3, kind=Whole(1), help="Steps at a time.")
    >>> Pace(steps=4), Pace()
    (Pace(steps=4), Pace())
    >>> Pace(steps=0)
    Traceback (most recent call last):
    ...
    oamip_model.errors.InputError: steps: got 0, accepted is a whole number >= 1
    """
    made = dataclass(frozen=True, kw_only=True, repr=False)(cls)
    made.__doc__ = _with_parameters(inspect.cleandoc(made.__doc__ or ""), fields(made))  # type: ignore[arg-type]
    return made


def _with_parameters(docstring: str, every: Sequence[Field[Any]]) -> str:
    """A docstring with a section of an options class's fields, before its examples."""
    lines = ["Parameters", "----------"]
    for one in every:
        spec = spec_of(one)
        # Help is written for the command line, whose flags are named after the fields.
        said = _FLAG.sub(lambda found: f"``{found[1].replace('-', '_')}``", spec.help)
        kind = str(one.type).replace("'", "")
        default = f", default {shown_default(one)}" if one.default is not MISSING else ""
        lines += [f"{one.name} : {kind}{_FLAG.sub(lambda found: found[1], default)}", f"    {said}"]
        lines += [f"    Accepted {spec.kind.accepted}."] if isinstance(spec.kind, Number | Whole | Choice) else []
    before, examples, after = docstring.partition("Examples\n--------\n")
    return "\n".join([before.rstrip(), "", *lines, *(["", examples + after] if examples else [])])


def shown_default(one: Field[Any]) -> str:
    """The default of a field in words."""
    shown = spec_of(one).shown
    return shown or ("none" if one.default is None else str(one.default))


def check_kinds(holder: Any) -> None:
    """Raise InputError for the first field whose value is not of its kind.

    The values are kept as the kinds do.
    """
    for one in fields(holder):
        spec, value = spec_of(one), getattr(holder, one.name)
        if value is None and spec.optional:
            continue
        try:
            object.__setattr__(holder, one.name, spec.kind.take(value))
        except ValueError:
            raise InputError(f"{key_of_field(one) if spec.key == 'solver' else one.name}: got {value!r}, "
                             f"accepted {spec.kind.accepted}") from None  # fmt: skip


def check_needs(holder: Any) -> None:
    """Raise InputError for the first field that is set and has no use.

    A field is set where it is not its default; whether it has a use depends on the values of other fields.
    """
    for one in fields(holder):
        value = getattr(holder, one.name)
        if value is None or value == one.default:
            continue
        for need in spec_of(one).needs:
            why = need.refusal(holder)
            if why is not None:
                raise InputError(f"{one.name}: got {value!r}, but {why}")


def check_used(holder: Any, used: Sequence[str], by: str) -> None:
    """Raise InputError for the first field that is set and not used.

    A field is set where it is not its default.

    by: what has no use for it, in words.
    """
    for one in fields(holder):
        value = getattr(holder, one.name)
        if one.name not in used and value != one.default:
            raise InputError(f"{key_of_field(one)}: got {value!r}, but {by} has no use for it")


def by_class(parts: Sequence[type[Any]], given: Mapping[str, Any]) -> tuple[dict[type[Any], dict[str, Any]], list[str]]:
    """Options by name, sorted into the first of these classes that has each.

    Returns the names that none of them has, too.
    """
    values: dict[type[Any], dict[str, Any]] = {part: {} for part in parts}
    left = []
    for key, value in given.items():
        places = [(part, one) for part in parts for one in fields(part) if key_of_field(one) == key]
        if not places:
            left.append(key)
        for part, one in places[:1]:
            values[part][one.name] = value
    return values, left


def to_record(holder: Any) -> dict[str, Any]:
    """An options object in plain types: its class's name under "kind", and its fields.

    Any other object is recorded by its description, its fingerprint, or its class's name.

    Examples
    --------
    >>> from oamip_model.solving.options import Solver
    >>> record = to_record(Solver("cbc", seed=2))
    >>> record["kind"], record["name"], from_record(record, {"Solver": Solver})
    ('Solver', 'cbc', Solver('cbc', seed=2))
    """
    return {"kind": type(holder).__name__} | {one.name: _plain(getattr(holder, one.name)) for one in fields(holder)}


def _plain(value: Any) -> Any:
    if isinstance(value, Checked):
        return to_record(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {"kind": "given", "as": {str(name): _plain(one) for name, one in value.items()}}
    told = next((str(getattr(value, name)) for name in _TOLD if hasattr(value, name)), type(value).__name__)
    return {"kind": "given", "as": told}


def from_record(record: Any, classes: Mapping[str, type[T]], where: str = "options") -> T:
    """The options object of a record that :func:`to_record` gave.

    Its class is one of these. Raises InputError for a record of another kind, and for fields that
    the class does not have. It does so too where a value was an object that no file holds.
    """
    if not isinstance(record, dict) or record.get("kind") not in classes:
        raise InputError(f"{where}: is no record of {', '.join(classes)}")
    cls = classes[record["kind"]]
    assert is_dataclass(cls)
    names = {one.name for one in fields(cls)}
    values = {}
    for name, value in record.items():
        if name == "kind":
            continue
        if name not in names:
            raise InputError(f"{where}: {record['kind']} has no field {name}")
        if isinstance(value, dict) and value.get("kind") == "given":
            raise InputError(f"{where}: {name} was given as an object ({value['as']}), which the file does not hold")
        values[name] = from_record(value, classes, f"{where}: {name}") if isinstance(value, dict) else value
    return cls(**values)
