"""A refit that was killed or interrupted continues from its file, and ends as if it had not been."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pytest
from pruning.conftest import build
from refit_masks import masks
from safetensors.numpy import load_file, save_file

import oamip_model as om
from oamip_model.refit import run


class KilledError(Exception):
    """What ends a refit here, where a kill would."""


def problem(kind: str):
    network = om.read_network(*build(kind))
    return network, masks(network, 1), np.random.default_rng(0).normal(size=(120, *network.input_shape))


def ended_at(line: str, by: type[BaseException]):
    """A function of progress that raises an error at a line that begins so."""

    def told(said: str) -> None:
        if said.startswith(line):
            raise by

    return told


@pytest.mark.parametrize("line", ["least-squares", "output", "pass 1", "pass 3", "pass 4", "outgoing"])
@pytest.mark.parametrize("kind", ["mlp", "residual"])
def test_a_killed_refit_ends_as_one_that_was_not_killed(tmp_path, kind, line):
    network, keep, images = problem(kind)
    path = tmp_path / "state.safetensors"
    asked = om.Refit(level="outgoing", passes=4, checkpoint=path)
    wanted, whole = om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=4))
    with pytest.raises(KilledError):
        om.refit_network(network, keep, images, asked, ended_at(line, KilledError))
    said: list[str] = []
    found, report = om.refit_network(network, keep, images, asked, said.append)
    assert found.fingerprint == wanted.fingerprint
    assert report.outgoing == whole.outgoing
    assert report.output == whole.output
    assert [(s.name, s.loss, s.agreement) for s in report.stages] == [
        (s.name, s.loss, s.agreement) for s in whole.stages
    ]
    if line.startswith("pass"):
        first = int(line.removeprefix("pass ")) + 1
        assert [text.split(":")[0] for text in said] == [*(f"pass {n}" for n in range(first, 5)), "outgoing"]


def test_levels_that_are_finished_are_not_computed_again(tmp_path, monkeypatch):
    network, keep, images = problem("mlp")
    asked = om.Refit(level="outgoing", passes=2, checkpoint=tmp_path / "state.safetensors")
    wanted, _ = om.refit_network(network, keep, images, asked)

    def never(*_):
        raise AssertionError

    for name in ("fit_layers", "fit_output"):
        monkeypatch.setattr(run, name, never)
    found, report = om.refit_network(network, keep, images, asked, ended_at("pass", AssertionError))
    assert found.fingerprint == wanted.fingerprint
    assert len(report.stages) == 4


@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_gives_the_best_pass_so_far_and_the_same_refit_continues(tmp_path, kept):
    network, keep, images = problem("mlp")
    path = tmp_path / "state.safetensors"
    asked = om.Refit(level="outgoing", passes=5, checkpoint=path if kept else None)
    found, report = om.refit_network(network, keep, images, asked, ended_at("pass 2", KeyboardInterrupt))
    assert report.interrupted
    assert report.outgoing is not None
    assert (report.outgoing.passes, report.outgoing.planned) == (2, 5)
    assert report.outgoing.after <= report.outgoing.before
    assert "of 2, interrupted before 5" in report.summary()
    assert found.fingerprint != network.fingerprint
    again, whole = om.refit_network(network, keep, images, asked)
    assert not whole.interrupted
    assert (
        again.fingerprint
        == om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=5))[0].fingerprint
    )
    assert path.exists() == kept


def test_the_file_of_another_refit_is_refused_and_left_as_it_is(tmp_path):
    network, keep, images = problem("mlp")
    path = tmp_path / "state.safetensors"
    om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=1, checkpoint=path))
    before = path.read_bytes()
    others = [
        (keep, images, om.Refit(level="outgoing", passes=2, checkpoint=path)),
        (keep, images + 1, om.Refit(level="outgoing", passes=1, checkpoint=path)),
        (masks(network, 2), images, om.Refit(level="outgoing", passes=1, checkpoint=path)),
    ]
    for other in others:
        with pytest.raises(om.InputError, match="is of another refit; remove it, or give another file"):
            om.refit_network(network, *other)
    assert path.read_bytes() == before


def test_a_file_that_is_none_of_a_refit_is_refused(tmp_path):
    network, keep, images = problem("mlp")
    path = tmp_path / "state.safetensors"
    asked = om.Refit(level="outgoing", passes=1, checkpoint=path)
    om.refit_network(network, keep, images, asked)
    whole, arrays = path.read_bytes(), load_file(path)
    record = json.loads(arrays["record"].tobytes())
    cases: list[tuple[bytes | dict, str]] = [
        (b"not at all", "cannot be read"),
        (whole[:-7], "cannot be read"),
        (struct.pack("<Q", 2**60) + whole[8:], "cannot be read"),
        ({name: value for name, value in arrays.items() if name != "record"}, "is no file of a refit"),
        (arrays | {"record": np.frombuffer(b"{", np.uint8)}, "cannot be read as JSON"),
        (arrays | {"record": _as_bytes(record | {"stages": 3})}, "stages"),
        (
            arrays | {"record": _as_bytes(record | {"passes": {"made": -1, "kept": 0, "before": 1.0, "best": 1.0}})},
            "made",
        ),
        (arrays | {"now.0": arrays["now.0"][:1]}, "does not fit the refit, its now.0 is missing or another"),
        (arrays | {"best.0": arrays["best.0"] * np.nan}, "does not fit the refit, its best.0"),
        ({name: value for name, value in arrays.items() if name != "exp_avg.1"}, "its exp_avg.1 is missing"),
    ]
    for content, told in cases:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(content, path)
        held = path.read_bytes()
        with pytest.raises(om.InputError, match=told) as refusal:
            om.refit_network(network, keep, images, asked)
        assert "\n" not in str(refusal.value)
        assert path.read_bytes() == held
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(om.InputError, match="pipe or a device"):
        om.refit_network(network, keep, images, asked)


def _as_bytes(record: dict) -> np.ndarray:
    return np.frombuffer(json.dumps(record).encode(), np.uint8)
