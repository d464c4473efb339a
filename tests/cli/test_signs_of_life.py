"""Whoever waits for a command hears from it, on standard error alone."""

from __future__ import annotations

import threading
from typing import Any

import click
import pytest
from click.testing import CliRunner

from oamip_model.cli import output
from oamip_model.cli.options import Verb
from oamip_model.clock import tick


def _run(silences: tuple[float, ...], monkeypatch: pytest.MonkeyPatch, body: Any) -> Any:
    monkeypatch.setattr(output, "_SILENCES", silences)
    monkeypatch.setattr("oamip_model.clock._SILENCE", 0.0)
    return CliRunner().invoke(click.command(cls=Verb)(body), catch_exceptions=False)


def test_a_long_silence_ends_with_what_is_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = threading.Event()
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        heard.set()

    monkeypatch.setattr(output, "note", note)

    def body() -> None:
        tick("layer fc1")
        # As in a native call, which looks at no clock.
        assert heard.wait(60)

    ended = _run((0.0, 1e9), monkeypatch, body)
    assert (ended.exit_code, ended.output) == (0, "")
    assert len(lines) == 1
    assert lines[0].startswith("oamip: [")
    assert lines[0].endswith(" s] layer fc1")


def test_a_quick_command_says_nothing_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = _run((1e9,), monkeypatch, lambda: tick("layer fc1"))
    assert (ended.exit_code, ended.output) == (0, "")
    assert not any(thread.name == "signs of life" for thread in threading.enumerate())
