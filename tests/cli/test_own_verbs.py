"""Verbs that other packages offer: a broken one says what it is, and hides no other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import click
import pytest

from oamip_model import registry
from oamip_model.cli import app


@click.command()
@click.argument("name")
def greet(name: str) -> None:
    """Greet somebody."""
    click.echo(f"hello {name}")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """offered((name, value), ...): the only verbs that other packages have."""

    def offer(*pairs: tuple[str, str]) -> None:
        real = registry.installed

        def found(group: str) -> tuple[EntryPoint, ...]:
            return tuple(EntryPoint(*pair, group) for pair in pairs) if group == app.COMMANDS else real(group)

        for module in (registry, app):
            monkeypatch.setattr(module, "installed", found)

    theirs = type(sys)("their_verbs")
    theirs.greet, theirs.number = greet, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their_verbs", theirs)
    return offer


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("gone", "no_such_package:verb")], "no_such_package:verb of an unknown package cannot be imported"),
        ([("gone", "their_verbs:nothing")], "their_verbs:nothing of an unknown package cannot be imported"),
        ([("gone", "their_verbs:number")], "is no command of click"),
        ([("gone", "json:dumps")], "is no command of click"),
        ([("gone", "a:b"), ("gone", "c:d")], "two packages offer one named gone"),
    ],
)
def test_a_broken_verb_is_told_in_one_line_and_hides_no_other(
    pairs: list[tuple[str, str]], said: str, offered: Callable[..., None], call: Any
) -> None:
    offered(*pairs, ("greet", "their_verbs:greet"))
    for arguments in ([], ["--help"], ["x", "--y=3"]):
        told = call("gone", *arguments)
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
        assert said in told.err
    page = call("--help")
    assert page.code == 0
    assert "gone" in page.out
    assert call("solvers", "--json").code == 0
    if "two packages" not in said:
        assert call("greet", "you").out == "hello you\n"
        assert "Greet somebody." in page.out
