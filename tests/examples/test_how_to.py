"""What the pages show works: Python blocks run as they stand there, commands are ones that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from oamip_model.cli.app import oamip

DOCS = Path(__file__).parents[2] / "docs"
RUN_ELSEWHERE = {"own-objects.md", "budgets.md", "backends.md"}
"""Pages whose blocks other tests run, or compare with an example that is run."""
BLOCKS = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = {page.name: page for page in sorted(DOCS.rglob("*.md"))}
WITH_BLOCKS = [name for name, page in PAGES.items() if BLOCKS.search(page.read_text())]
WITH_COMMANDS = [name for name, page in PAGES.items() if "\n    oamip " in page.read_text()]


@pytest.mark.parametrize("name", [name for name in WITH_BLOCKS if name not in RUN_ELSEWHERE])
def test_blocks_of_a_page_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in BLOCKS.findall(PAGES[name].read_text()):
        exec(compile(block, name, "exec"), names)


def test_pages_with_blocks_are_known():
    assert set(WITH_BLOCKS) >= RUN_ELSEWHERE
    assert len(WITH_BLOCKS) > len(RUN_ELSEWHERE)


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_commands_of_a_page_are_ones_that_exist(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGES[name].read_text().replace("\\\n", " ")
    for line in re.findall(r"^ {4,}(oamip .*)$", text, re.MULTILINE):
        given = shlex.split(line, comments=True)[1:]
        for word in given:  # folders of a command before
            if re.fullmatch(r"my-run|before|after|files|study|with-[\d.]+", word):
                (tmp_path / word).mkdir(exist_ok=True)
        context, command = click.Context(oamip), oamip
        while isinstance(command, click.Group):
            verb, *given = given
            found = command.get_command(context, verb)
            assert found is not None, line
            command = found
        with command.make_context(verb, given, parent=context):
            pass
