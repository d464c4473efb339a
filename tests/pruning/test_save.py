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


def check_saved(module: nn.Module, path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).standard_normal((5, *shape)).astype(np.float32)
    with torch.no_grad():
        want = module(torch.tensor(images)).numpy()
    got = read_network(save_module(module, path, shape)).replay(images)
    np.testing.assert_allclose(got, want, atol=1e-5 * max(1, np.abs(want).max()))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.thinned(20)
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_pruned_modules_are_saved_and_read_back(case: Case, network_of: Any, tmp_path: Path, suffix: str) -> None:
    name, module, shape = case
    network = network_of(name)
    smaller = prune(module, baseline_scores(network, "random"), amount=0.5, network=network)
    check_saved(smaller, tmp_path / f"net{suffix}", shape)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("name", ["mlp-norm", "nested", "projection", "functional"])
def test_masked_modules_are_saved_with_their_zeros(
    name: str, module_of: Any, network_of: Any, tmp_path: Path, suffix: str
) -> None:
    (module, shape), network = module_of(name), network_of(name)
    masked = prune(module, baseline_scores(network, "random"), amount=0.5, network=network, mode="mask")
    check_saved(masked, tmp_path / f"net{suffix}", shape)


def test_rebuilt_modules_are_saved_as_onnx_and_read_back(case: Case, network_of: Any, tmp_path: Path) -> None:
    check_saved(to_module(network_of(case[0])), tmp_path / "net.onnx", case[2])


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
    masked = prune(
        module,
        {"0": np.linspace(0, 1, 8), "2": np.ones(5)},
        threshold=0.5,
        mode="mask",
        network=read_network(module, shape),
    )
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


@pytest.mark.parametrize("ending", [nn.Softmax(1), nn.Sigmoid()])
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_module_with_a_softmax_or_sigmoid_at_its_end_is_saved_with_it(ending, suffix, tmp_path):
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), ending).eval()
    path = save_module(module, tmp_path / f"net{suffix}", (4,))
    read = read_network(path)
    assert any("left out" in note for note in read.notes)
    assert read.fingerprint == read_network(module, (4,)).fingerprint
