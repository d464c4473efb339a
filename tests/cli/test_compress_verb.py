"""``oamip compress`` and ``oamip check-certificate``."""

from __future__ import annotations

import json

import numpy as np
import pytest

import oamip_model as om


def test_a_network_is_compressed_and_its_certificate_checked(files, call, tmp_path):
    small, certificate = tmp_path / "small.onnx", tmp_path / "c.json"
    done = call("compress", files.net, "--domain", "0,0.3", "--out", small, "--certificate", certificate, "--json")
    assert done.code == 0
    told = done.json()
    assert told["complete"]
    assert told["checker"] in ("scip", "cbc")
    gone = sum(layer["never_on"] + layer["folded"] for layer in told["layers"].values())
    assert gone > 0
    net, less = om.read_network(files.net), om.read_network(small)
    assert sum(g.size for g in net.groups) - sum(g.size for g in less.groups) == gone
    x = np.random.default_rng(0).uniform(0, 0.3, (200, *net.input_shape))
    assert np.abs(net.replay(x) - less.replay(x)).max() < 1e-6
    assert "proved again by cbc" in call("check-certificate", certificate, files.net, small, "--solver", "cbc").out
    record = json.loads(certificate.read_text())
    record["domain"]["upper"] = [5.0]
    certificate.write_text(json.dumps(record))
    assert call("check-certificate", certificate, files.net, small, "--solver", "cbc").code == 5


def test_what_is_printed_is_a_table(files, call):
    done = call("compress", files.net, "--domain", "0,0.3", "--checker", "none")
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["layer", "units", "never", "on", "always", "on", "folded"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--domain", "1,0"], "--domain"),
        (["--domain", "x"], "--domain"),
        (["--domain", "missing.npz"], "--domain"),
        ([], "--domain"),
        (["--domain", "0,1", "--out", "small.txt"], "--out"),
        (["--domain", "0,1", "--certificate", "c.npz"], "--certificate"),
        (["--domain", "0,1", "--certificate", "nowhere/c.json"], "--certificate"),
        (["--domain", "0,1", "--solver", "nosuch"], "--solver"),
        (["--domain", "0,1", "--checker", "nosuch"], "nosuch"),
        (["--domain", "0,1", "--time-limit", "0"], "--time-limit"),
    ],
)
def test_bad_input_is_told_in_one_line(files, call, arguments, said):
    done = call("compress", files.net, *arguments)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert said in done.err


def test_what_is_no_certificate_is_refused(files, call, tmp_path):
    done = call("check-certificate", files.net, files.net, files.net)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
