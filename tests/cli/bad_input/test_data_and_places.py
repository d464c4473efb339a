"""Arrays, networks and scores that do not fit together, and places where nothing may be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.pruning.save import save_module

SHAPE, CLASSES = (1, 3, 3), 3
NET, DATA, SCORES = "{net}", "{data}", "{scores}"
ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"images": np.ones((6, 1, 3, 3), dtype="U3"), "labels": np.arange(6) % 3}, "pixels of type"),
    ({"images": np.ones((6, 1, 3, 3), dtype=complex), "labels": np.arange(6) % 3}, "pixels of type"),
    ({"images": np.full((6, 1, 3, 3), np.inf), "labels": np.arange(6) % 3}, "image 0"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.arange(5) % 3}, "labels"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.arange(6) / 2}, "label"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.full(6, np.nan)}, "label"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.ones((6, 2), dtype=int)}, "labels"),
    ({"images": np.float64(3.0), "labels": np.arange(6)}, "images"),
    ({"pixels": np.ones((6, 1, 3, 3)), "labels": np.arange(6)}, "images"),
    ({"images": np.ones((6, 1, 3, 3))}, "labels"),
    ({"images": np.ones((0, 1, 3, 3)), "labels": np.zeros(0, dtype=int)}, "no images"),
    ({"images": np.ones((6, 3, 3, 1, 2)), "labels": np.arange(6) % 3}, "images"),
    ({"images": np.array([{}] * 6, dtype=object), "labels": np.arange(6)}, "bad.npz"),
]


@pytest.mark.parametrize(("arrays", "told"), ARRAYS, ids=[str(number) for number in range(len(ARRAYS))])
@pytest.mark.parametrize("verb", ["score", "bounds", "tightness", "baseline", "prune"])
def test_arrays_are_refused(
    verb: str, arrays: dict[str, Any], told: str, refused: Callable[[list[str], str], None], tmp_path: Path
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    first = {"baseline": ["baseline", "snip"]}
    first["prune"] = ["prune", "--scores", SCORES, "--amount", "0.5", "--split", "all"]
    refused([*first.get(verb, [verb]), NET, "--data", str(tmp_path / "bad.npz")], told)


@pytest.mark.parametrize("verb", ["score", "bounds", "tightness", "baseline", "prune"])
def test_a_network_of_other_classes_is_refused(
    verb: str, refused: Callable[[list[str], str], None], tmp_path: Path
) -> None:
    if verb in ("bounds", "baseline"):
        pytest.skip("it reads no labels")
    net = save_module(om.make_network("dense-5-4", SHAPE, CLASSES - 1), tmp_path / "two.onnx", SHAPE)
    refused([verb, str(net), "--data", DATA, *(["--scores", SCORES, "--amount", "0.5"] if verb == "prune" else [])],
            "accepted are integers from 0 to 1")  # fmt: skip


@pytest.mark.parametrize("change", [{"by_layer": {"nosuch": [0.5]}}, {"by_layer": []}, {"strategy": 3}])
def test_scores_of_unknown_layers_or_kinds_are_refused(
    change: dict[str, Any], refused: Callable[[list[str], str], None], files: Any, tmp_path: Path
) -> None:
    record = json.loads(Path(files.scores).read_text()) | change
    (tmp_path / "changed.json").write_text(json.dumps(record))
    told = "nosuch" if change.get("by_layer") else "changed.json"
    for verb in (["prune", NET, "--amount", "0.5"], ["baseline", "critical", NET]):
        refused([*verb, "--data", DATA, "--scores", str(tmp_path / "changed.json")], told)


@pytest.mark.parametrize("folder", ["no-permission"])
def test_a_folder_without_permission_is_refused(
    folder: str, refused: Callable[[list[str], str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be allowed everything, so the question is answered here.
    monkeypatch.setattr("oamip_model.files.os.access", lambda path, mode: False)
    (tmp_path / folder).mkdir()
    for verb in (["score", NET], ["baseline", "random", NET], ["bounds", NET]):
        name = "bounds.npz" if verb[0] == "bounds" else "scores.json"
        refused([*verb, "--data", DATA, "--out", str(tmp_path / folder / name)], "permission denied")
    refused(["demo", "--out", str(tmp_path / folder)], "permission denied")
