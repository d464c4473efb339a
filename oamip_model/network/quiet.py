"""Silence for libraries whose remarks would mean nothing to a user."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, logging and torch's prints of graphs in this block.

    Torch prints graphs that it fails to trace or to export.
    """
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    # The exporter to ONNX prints past Python.
    prints = torch._C._jit_is_onnx_log_enabled()
    torch._C._jit_set_onnx_log_enabled(False)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch._C._jit_set_onnx_log_enabled(prints)
        logging.disable(level)
