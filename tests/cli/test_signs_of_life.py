"""Whoever waits for a command hears from it, on standard error alone."""

from __future__ import annotations

import threading
import time
from typing import Any

import click
import pytest
from click.testing import CliRunner

from oamip_model.cli import output
from oamip_model.cli.options import Verb
from oamip_model.clock import tick
from oamip_model.runs import bars


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


def test_under_a_bar_of_the_package_itself_no_line_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(output, "note", lines.append)
    monkeypatch.setattr(bars, "somebody_looks", lambda: True)

    def body() -> None:
        with bars.moving_bar("programs") as move:
            assert move is not None
            tick("layer fc1")
            time.sleep(0.5)

    assert _run((0.0,), monkeypatch, body).exit_code == 0
    assert lines == []
