"""Modules as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from oamip_model import read_network
from oamip_model.errors import InputError
from oamip_model.pruning import baseline_scores, prune, save_module, to_module

Case = tuple[str, nn.Module, tuple[int, ...]]


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_pruned_modules_are_saved_and_read_back(case: Case, tmp_path: Path, suffix: str) -> None:
    _, module, shape = case
    network = read_network(module, shape)
    scores = baseline_scores(network, "random")
    images = np.random.default_rng(0).standard_normal((5, *shape)).astype(np.float32)
    for mode in ("remove", "mask"):
        result = prune(module, scores, amount=0.5, network=network, mode=mode)
        path = save_module(result, tmp_path / f"{mode}{suffix}", shape)
        with torch.no_grad():
            want = result(torch.tensor(images)).numpy()
        np.testing.assert_allclose(read_network(path).replay(images), want, atol=1e-5 * max(1, np.abs(want).max()))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{mode}{suffix}" for mode in ("remove", "mask"))


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_rebuilt_modules_are_saved_and_read_back(case: Case, tmp_path: Path, suffix: str) -> None:
    _, module, shape = case
    network = read_network(module, shape)
    path = save_module(to_module(network), tmp_path / f"rebuilt{suffix}", shape)
    images = np.random.default_rng(0).standard_normal((5, *shape))
    np.testing.assert_allclose(read_network(path).replay(images), network.replay(images), atol=1e-5)


def test_files_take_batches_of_any_size(module_of: Any, tmp_path: Path) -> None:
    import onnxruntime

    module, shape = module_of("average-pool")
    onnx = save_module(module, tmp_path / "net.onnx", shape)
    pt2 = torch.export.load(save_module(module, tmp_path / "net.pt2", shape)).module()
    session = onnxruntime.InferenceSession(str(onnx))
    for size in (1, 2, 7):
        images = torch.randn(size, *shape)
        with torch.no_grad():
            want = module(images)
            torch.testing.assert_close(pt2(images), want)
        (got,) = session.run(None, {"images": images.numpy()})
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_saving_masks_leaves_the_module_masked(module_of: Any, tmp_path: Path) -> None:
    module, shape = module_of("mlp")
    masked = prune(module, {"0": np.linspace(0, 1, 8), "2": np.ones(5)}, threshold=0.5, input_shape=shape, mode="mask")
    masked(torch.randn(2, *shape)).sum().backward()
    save_module(masked, tmp_path / "masked.pt2", shape)
    assert torch.nn.utils.prune.is_pruned(masked)


def test_bad_paths_and_modules_are_refused_and_nothing_is_written(module_of: Any, tmp_path: Path) -> None:
    module, shape = module_of("mlp")
    (tmp_path / "folder.onnx").mkdir()
    sigmoid = nn.Sequential(nn.Linear(6, 3), nn.Sigmoid(), nn.Linear(3, 2)).eval()
    bad: list[tuple[nn.Module, str, tuple[int, ...], str]] = [
        (module, "net.pth", shape, "ends in .pth"),
        (module, "net", shape, "no suffix"),
        (module, "folder.onnx", shape, "is a folder"),
        (module, "missing/net.onnx", shape, "no folder"),
        (module, "net.onnx", (7,), "cannot export"),
        (module, "net.pt2", (7,), "cannot export"),
        (sigmoid, "net.onnx", shape, "Sigmoid"),
        (sigmoid, "net.pt2", shape, "igmoid"),
    ]
    for given, name, image, message in bad:
        with pytest.raises(InputError, match=message) as caught:
            save_module(given, tmp_path / name, image)
        assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.onnx"]
