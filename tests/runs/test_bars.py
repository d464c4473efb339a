"""The bar of a run in Python: there where somebody looks, else nothing; a function that is given gets its place."""

from __future__ import annotations

import sys

import numpy as np
import torch

import oamip_model as om
from oamip_model.clock import tick
from oamip_model.runs import bars


def problem():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    return module, np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 2


def test_a_notebook_is_looked_at(monkeypatch):
    assert not bars.somebody_looks()
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert bars.somebody_looks()


def test_a_run_shows_a_bar_on_standard_error_where_somebody_looks(monkeypatch, capsys):
    om.score(*problem())
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(bars, "somebody_looks", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    scores = om.score(*problem())
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
