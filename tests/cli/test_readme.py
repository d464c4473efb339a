"""The README's examples run, and its commands are ones that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

import oamip_model as om
from oamip_model.cli.app import oamip

README = Path(__file__).parents[2] / "README.md"


def test_python_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    # A tenth of each data set, and a small network, so that the examples take seconds.
    whole = om.load_dataset
    monkeypatch.setattr(om, "load_dataset", lambda *given, **asked: whole(*given, **asked)[::10], raising=False)
    made = om.make_network
    monkeypatch.setattr(om, "make_network", lambda name: made({"fc3": "dense-30-20"}[name]), raising=False)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"smaller.onnx", "program.lp"}
    assert "optimal" in capsys.readouterr().out


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for made in ("my-run", "study"):  # by a command before
        (tmp_path / made).mkdir()
    lines = [line.strip() for line in README.read_text().splitlines() if line.startswith("    oamip ")]
    assert len(lines) >= 4
    for line in lines:
        name, *arguments = shlex.split(line)[1:]
        context = click.Context(oamip)
        verb = oamip.get_command(context, name)
        while isinstance(verb, click.Group):
            name, *arguments = arguments
            verb = verb.get_command(context, name)
        assert verb is not None, line
        with verb.make_context(name, arguments, parent=context):
            pass
