"""The example of the page on budgets runs, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "budgets.md"


def test_the_example_keeps_to_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, object] = {}
    exec(compile(blocks[0], str(PAGE), "exec"), names)
    report = names["report"]
    assert report.size_after.macs <= 0.5 * report.size_before.macs
    assert report.size_after.parameters <= 0.6 * report.size_before.parameters
    assert all(kept % 4 == 0 for kept in report.plan.kept.values())
    assert "the best plan by errors of elimination" in capsys.readouterr().out
