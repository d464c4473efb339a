"""Kinds of public networks, in the shapes that exporters of their time wrote: read as they are, or refused by name.

``public_kinds.py`` says how the tables beside this file are written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from one_line import one_line
from onnx.reference import ReferenceEvaluator
from public_kinds import KINDS, Kind
from scipy import special

import oamip_model as om
from oamip_model.network.readers.onnx.mended import mended

ENDS = {
    "softmax": lambda z: special.softmax(z, axis=1),
    "log_softmax": lambda z: special.log_softmax(z, axis=1),
    "sigmoid": special.expit,
    "argmax": lambda z: z.argmax(axis=1),
    "flat_argmax": lambda z: z.argmax(axis=1),
    "tanh": np.tanh,
    "softplus": lambda z: np.logaddexp(0, z),
    "scaled_tanh": lambda z: 2 * np.tanh((z + 1) / 2) - 1,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_of_public_network_is_read_right_or_refused_by_name(kind: Kind, tmp_path: Path) -> None:
    model, path = kind.model(), tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    given = kind.options.get("shape")
    shape = None if given is None else tuple(int(n) for n in given.split("x"))
    if kind.refused is not None:
        with pytest.raises(om.InputError) as told:
            om.read_network(path, shape, output=kind.options.get("ask"))
        assert kind.refused in one_line(told)
        return
    network = om.read_network(path, shape, output=kind.options.get("ask"))
    axes = (
        [1, *shape]
        if shape is not None and "whole" not in kind.options
        else [n if isinstance(n, int) and n > 0 else 1 for n in kind.axes]
    )
    x = np.random.default_rng(0).normal(size=axes).astype(np.float64 if "double" in kind.options else np.float32)
    x = np.arange(x.size, dtype=np.uint8).reshape(x.shape) if "bytes" in kind.options and "q" not in kind.weights else x
    name = kind.options.get("ask", "y")
    if kind.opset < 7:  # which onnxruntime lacks
        wanted = ReferenceEvaluator(model, new_ops=mended(kind.opset)).run([name], {"x": x})[0]
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        wanted = session.run([name], {"x": x})[0]
    found = network.replay(x.reshape(-1, *network.input_shape))
    if "end" in kind.options:
        # A segmentation has two classes at each pixel.
        found = ENDS[kind.options["end"]](found.reshape(1, 2, -1) if "pixel" in kind.name else found)
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found.ravel(), np.ravel(wanted), rtol=0, atol=1e-5 * scale)
