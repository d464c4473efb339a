"""The bar of a run in Python: there where somebody looks, else nothing; a function that is given gets its place."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.clock import tick
from oamip_model.runs import bars


def problem():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    return module, np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 2


@pytest.fixture
def notebook(monkeypatch):
    """What is below the cell of a notebook's kernel that has no widgets, at each change."""
    below: list[dict[str, str]] = []

    def display(data, raw, display_id):
        assert raw
        assert display_id
        below.append(data)
        return SimpleNamespace(update=lambda data, raw: below.append(data))

    shell = SimpleNamespace(kernel="of a notebook")
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    return below


def test_a_notebook_is_looked_at_and_a_shell_without_a_kernel_is_not(notebook, monkeypatch):
    assert bars.somebody_looks()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not bars.somebody_looks()


def test_a_bar_below_a_cell_moves_and_is_gone_after_the_run(notebook, monkeypatch, capsys):
    monkeypatch.setattr(bars, "_PAUSE", 0.0)
    scores = om.score(*problem(), method="forward")
    assert scores.status == "optimal"
    assert capsys.readouterr() == ("", "")
    assert len(notebook) > 2
    last = notebook[-2]
    assert notebook[0]["text/html"].startswith("<progress></progress>")
    done, total = last["text/plain"].split()[0].split("/")
    assert done == total
    assert f'<progress value="{done}" max="{total}">' in last["text/html"]
    assert notebook[-1] == {"text/plain": "", "text/html": ""}


def test_what_a_run_says_is_no_html(notebook, monkeypatch):
    monkeypatch.setattr(bars, "_PAUSE", 0.0)
    with bars.moving_bar("programs") as move:
        move(1, 2, "<b>&")
    assert "&lt;b&gt;&amp;</code>" in notebook[-2]["text/html"]


def test_quick_steps_change_a_bar_below_a_cell_a_few_times_a_second(notebook):
    with bars.moving_bar("programs") as move:
        for number in range(1000):
            move(number, 1000, "")
    assert len(notebook) < 20


def test_on_a_terminal_of_80_columns_only_the_line_gives_way(monkeypatch, capsys):
    monkeypatch.setattr(bars, "somebody_looks", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with bars.moving_bar("programs") as move:
        assert bars.bars_shown() == 1
        move(1, 12, "a line that is much wider than what is left beside the bar " * 3)
    assert bars.bars_shown() == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    lines = [line for part in shown.split("\n") for line in part.split("\r") if "12 programs" in line]
    assert lines
    for line in lines:
        assert len(line) <= 80
        assert re.search(r"1/12 programs \S+ 0:00:00 a line", line)


def test_a_run_shows_a_bar_on_standard_error_where_somebody_looks(monkeypatch, capsys):
    om.score(*problem())
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(bars, "somebody_looks", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    scores = om.score(*problem(), method="forward")
    shown = capsys.readouterr()
    assert "programs" in shown.err
    assert shown.out == ""
    assert scores.status == "optimal"


def test_a_function_or_false_takes_the_place_of_the_bar(monkeypatch, capsys):
    monkeypatch.setattr(bars, "somebody_looks", lambda: True)
    lines: list[str] = []
    om.score(*problem(), run=om.Run(progress=lambda done, total, line: lines.append(line)))
    om.score(*problem(), run=om.Run(progress=False))
    assert capsys.readouterr() == ("", "")
    assert lines


def test_what_is_done_between_steps_is_shown_under_the_bar(monkeypatch):
    moved = []

    class Told:
        def __enter__(self):
            return lambda done, total, line: moved.append((done, total, line))

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(bars, "moving_bar", lambda unit: Told())
    monkeypatch.setattr("oamip_model.clock._SILENCE", 0.0)
    with bars.shown(None, True, "programs") as step:
        step(1, 3, "one")
        tick("columns")
    assert moved == [(1, 3, "one"), (1, 3, "columns")]
