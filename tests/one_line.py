"""The text of an error that is to be one line."""

from __future__ import annotations

import pytest


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def without_signs_of_life(text: str) -> str:
    """Standard error without the lines that a slow machine is given while it works."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("oamip: ["))
