"""Options of a verb, made from the fields of options classes.

They are shown by --help in groups, one for each object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, fields
from typing import Any, TypeVar

import click

from oamip_model.checks import key_of_field, shown_default, spec_of
from oamip_model.cli import names, numbers
from oamip_model.kinds import Choice, File, Kind, Named, Number, Several, Switch, Whole

Function = TypeVar("Function", bound=Callable[..., Any])
REST = "Options"


class ObjectOption(click.Option):
    """An option that is a field of one object or more.

    group: the heading of its place in --help; names: what the fields are called, in error messages too; shown: the
    default in words.
    """

    def __init__(self, *arguments: Any, group: str, names: tuple[str, ...], shown: str, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.group, self.names, self.shown = group, names, shown

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag and its help, with the default of the field."""
        record = super().get_help_record(ctx)
        if record is None or not self.shown:
            return record
        first, rest = record[0], record[1]
        return first, f"{rest[:-1]}; default: {self.shown}]" if rest.endswith("]") else (
            f"{rest}  [default: {self.shown}]"
        )


class GroupedHelp(click.Command):
    """A command whose --help shows options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group under its heading, and what is in none first."""
        groups: dict[str, list[tuple[str, str]]] = {REST: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(param, "group", REST), []).append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def object_options(
    *groups: tuple[str, tuple[type[Any], ...]], without: Iterable[str] = (), types: dict[str, Any] | None = None
) -> Callable[[Function], Function]:
    """Add an option for each field with a flag of these classes, once each.

    It is in the first group that has it.

    groups: headings, and classes under each; without: keys that the verb makes itself; types: click's types of some
    keys. An option that is not given is None, or an empty tuple where it may be repeated.
    """
    made: dict[str, dict[str, Any]] = {}
    for heading, key, one in _places(groups):
        if key in without:
            continue
        spec = spec_of(one)
        known = made.setdefault(key, {"flag": spec.flag, "group": heading, "field": one, "names": {key}})
        known["names"].add(one.name)

    def add(function: Function) -> Function:
        for key, known in reversed(made.items()):
            function = _click_option(key, known, (types or {}).get(key))(function)
        return function

    return add


def _places(groups: tuple[tuple[str, tuple[type[Any], ...]], ...]) -> Iterator[tuple[str, str, Field[Any]]]:
    for heading, classes in groups:
        for cls in classes:
            for one in fields(cls):
                if spec_of(one).flag:
                    yield heading, key_of_field(one), one


def _click_option(key: str, known: dict[str, Any], type_: Any) -> Callable[[Function], Function]:
    one: Field[Any] = known["field"]
    spec = spec_of(one)
    attributes: dict[str, Any] = {"help": spec.help, "default": None, "cls": ObjectOption, "group": known["group"]}
    attributes |= {"names": tuple(sorted(known["names"])), "shown": _shown(one)}
    if isinstance(spec.kind, Switch):
        flag = f"{spec.flag}/{spec.off}" if spec.off else spec.flag
        return click.option(flag, key, is_flag=True, **attributes)
    if isinstance(spec.kind, Several):
        attributes |= {"multiple": True, "default": ()}
    return click.option(spec.flag, key, type=type_ or _click_type(spec.kind), **attributes)


def _shown(one: Field[Any]) -> str:
    """The default of a field as --help shows it, "" where there is nothing to show."""
    spec = spec_of(one)
    if spec.shown:
        return spec.shown
    if one.default is None or isinstance(one.default, bool):
        return ""
    return ", ".join(one.default) if isinstance(one.default, tuple) else shown_default(one)


def _click_type(kind: Kind) -> Any:
    """Click's type of a kind, which refuses a wrong value before any work."""
    if isinstance(kind, Number):
        least = None if kind.least == float("-inf") else kind.least
        most = None if kind.most == float("inf") else kind.most
        return numbers.Number(least, most, least_open=kind.least_open, most_open=kind.most_open)
    if isinstance(kind, Whole):
        return numbers.Whole(kind.least, kind.most)
    if isinstance(kind, Several):
        return _click_type(kind.each)
    if isinstance(kind, Named):
        return names.Named(kind.registry.names)
    if isinstance(kind, Choice):
        return click.Choice(kind.names)
    return click.Path() if isinstance(kind, File) else click.STRING


def given(asked: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {key: value for key, value in asked.items() if value is not None and value != ()}
