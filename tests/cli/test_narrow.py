"""On a terminal of 80 columns no line is wider: help, tables and sentences; in a pipe nothing is cut."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import click
import pytest

from oamip_model.cli import output
from oamip_model.cli.app import oamip


def verbs(group: click.Group, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every verb, and every verb of a verb."""
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append((*before, name))
        if isinstance(command, click.Group):
            found += verbs(command, (*before, name))
    return found


VERBS = sorted(verbs(oamip))


def widest(text: str) -> str:
    return max(text.split("\n"), key=len)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("verb", [(), *VERBS], ids=" ".join)
@pytest.mark.usefixtures("narrow")
def test_help_fits(verb, call):
    told = call(*verb, "--help")
    assert told.code == 0
    assert len(widest(told.out)) <= 80, widest(told.out)


@pytest.mark.usefixtures("narrow")
def test_what_verbs_print_fits(files, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["solvers"], ["--version"], ["bench", "list", "--size", "small"],
        ["score", files.net, "--data", files.data, "--images", "6", "--strategy", "joint"],
        ["bounds", files.net, "--data", files.data, "--images", "4", "--method", "crown"],
        ["prune", files.net, "--scores", files.scores, "--data", files.data, "--amount", "0.5"],
        ["tightness", files.net, "--data", files.data, "--images", "2", "--bounds", "interval"],
    ):  # fmt: skip
        told = call(*arguments)
        assert told.code in (0, 3), (arguments, told.err)
        assert len(widest(told.out)) <= 80, (arguments, widest(told.out))


@pytest.mark.usefixtures("narrow")
def test_a_column_that_is_left_out_is_named(capsys):
    output.print_table(["name", "one", "two"], [["a" * 40, "1" * 30, "2" * 30]], less=["one"])
    told = capsys.readouterr()
    assert "two" in told.out
    assert "one" not in told.out
    assert told.err == "not shown, in --json: one\n"


def test_a_pipe_gets_every_column_whole(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    output.print_table(["name", "one", "two"], [["a" * 60, "1" * 30, "2" * 30]], less=["one"])
    output.say("word " * 40)
    told = capsys.readouterr()
    assert [len(line) for line in told.out.splitlines()] == [94 + 30, 94 + 30, 200]
    assert told.err == ""


def test_notes_and_errors_break_between_words_on_a_terminal_of_80_columns(tmp_path):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "oamip_model", "score", "missing.onnx", "--gate", "a-gate-of-nobody-whom-we-know"]
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, cwd=tmp_path) as process:
        os.close(follower)
        told = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(leader, 4096):
                told += part
    os.close(leader)
    assert process.returncode == 2
    lines = told.decode().replace("\r\n", "\n").strip().split("\n")
    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines), lines
    assert " ".join(lines).startswith("oamip: error: ")
