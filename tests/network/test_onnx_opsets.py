"""Every operator that is read, in opsets that have it: the logits are those of onnxruntime, and of the other judge.

``python -m oamip_benchmarks.measures.matrix --route operators`` reads each in every opset.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from oamip_benchmarks.measures.matrix import files
from oamip_benchmarks.measures.matrix.moves import LAST

import oamip_model as om
from oamip_model.network.readers.onnx.numbers import Numbers
from oamip_model.network.readers.onnx.runs import judges_of

FAILS = {"Resize nearest": 10, "Resize linear": 10, "ConvTranspose grouped": files.FIRST + LAST}
"""Operators that the reference implementation of onnx 1.23 cannot run, up to an opset."""


def some(name: str) -> list[int]:
    """The first and the last opset of an operator, and one between, another one for each operator."""
    opsets = files.opsets_of(name)
    return sorted({opsets[0], opsets[-1], opsets[list(files.SINGLE).index(name) % len(opsets)]})


def test_every_opset_is_read() -> None:
    assert {opset for name in files.SINGLE for opset in some(name)} == set(range(files.FIRST, LAST + 1))


@pytest.mark.parametrize("name", files.SINGLE)
def test_logits_are_those_of_onnxruntime_in_opsets_that_have_an_operator(name: str, tmp_path: Path) -> None:
    for opset in some(name):
        path = tmp_path / f"{opset}.onnx"
        shape = files.write(path, opset, name)
        x = np.random.default_rng(1).normal(size=(3, *shape))
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        wanted = session.run(None, {"x": x.astype(np.float32)})[0]
        network = om.read_network(path)
        np.testing.assert_allclose(network.replay(x), wanted, rtol=1e-5, atol=1e-5, err_msg=f"opset {opset}")
        if opset <= FAILS.get(name, 0):
            continue
        # The judge where there is no onnxruntime.
        reference = judges_of(onnx.load(path), Numbers(path), "x")[-1]
        # Batch norm folds to single precision, in which the file is.
        np.testing.assert_allclose(network.replay(x), reference.run(x), rtol=1e-6, atol=1e-6, err_msg=f"opset {opset}")
