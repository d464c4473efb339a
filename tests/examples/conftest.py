"""Examples are loaded from their files, and what they register is forgotten after each test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from oamip_model.formulation.gates import GATES
from oamip_model.formulation.losses import LOSSES
from oamip_model.formulation.sparsities import SPARSITIES
from oamip_model.network.readers.onnx import operators as onnx_operators
from oamip_model.network.readers.torch import operators as torch_operators
from oamip_model.scoring.layerwise.heads import HEADS
from oamip_model.solving.registry import names as solvers
from oamip_model.torchnet.maps import MAPS

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
    for registry in (GATES, LOSSES, SPARSITIES, MAPS, HEADS):
        monkeypatch.setattr(registry, "_registered", {})
        monkeypatch.setattr(registry, "_known", {})
    for operators in (onnx_operators.OPERATORS, torch_operators.OPERATORS):
        monkeypatch.setattr(operators, "_registered", {})
    monkeypatch.setattr(solvers, "_registered", {})


@pytest.fixture
def example(monkeypatch):
    """example(name): the module of examples/NAME.py, run as an import of it would."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        with monkeypatch.context() as patch:
            # Only while it runs: a class of a module that nobody can import is sent to workers by value.
            patch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
        return module

    return load
