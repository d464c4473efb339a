"""Silence for libraries whose remarks would mean nothing to a user."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Without warnings, and without this logger's messages below an error.

    For Torch-Pruning's remarks on layers that it takes for elementwise, and the exporters' on their own future; what
    both give is checked anyway.
    """
    voice = logging.getLogger(logger)
    level = voice.level
    voice.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        voice.setLevel(level)
