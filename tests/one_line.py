"""The text of an error that is to be one line."""

from __future__ import annotations

import pytest


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text
