"""Random modules, their files, and what is pruned from either: one network each, whatever way it took."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thinned import examples
from torch import nn

import oamip_model as om


@st.composite
def _families(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """Convolutions behind each other, with what may stand between them, and dense layers behind; or dense ones only."""
    torch.manual_seed(draw(st.integers(0, 9999)))
    layers: list[nn.Module] = []
    shape: tuple[int, ...] = (2, 6, 6) if draw(st.booleans()) else (5,)
    channels = shape[0]
    for _ in range(draw(st.integers(1, 2)) if len(shape) == 3 else 0):
        if draw(st.booleans()):
            layers.append(nn.ZeroPad2d(draw(st.sampled_from([(1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 1)]))))
        wide, padding = draw(st.integers(2, 4)), draw(st.sampled_from([0, 1, "same"]))
        layers.append(nn.Conv2d(channels, wide, 2, padding=padding, bias=draw(st.booleans())))
        channels = wide
        norm = draw(st.sampled_from(["none", "before", "behind"]))
        layers += [nn.BatchNorm2d(wide)] if norm == "before" else []
        layers.append(nn.ReLU())
        layers += [nn.BatchNorm2d(wide, affine=draw(st.booleans()))] if norm == "behind" else []
        layers += draw(st.sampled_from([
            [], [nn.MaxPool2d(2, ceil_mode=True)], [nn.MaxPool2d(3, 2, 1)], [nn.AvgPool2d(2, 1, 1)],
            [nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)],
            [nn.ZeroPad2d((0, 1, 1, 0)), nn.MaxPool2d(2)], [nn.ZeroPad2d((0, 1, 1, 0)), nn.AvgPool2d(2)],
        ]))  # fmt: skip
    size = nn.Sequential(*layers, nn.Flatten()).eval()(torch.zeros(1, *shape)).shape[1]
    layers.append(nn.Flatten())
    for _ in range(draw(st.integers(1, 2))):
        wide = draw(st.integers(2, 4))
        layers += [nn.Linear(size, wide, bias=draw(st.booleans()))]
        layers += [nn.BatchNorm1d(wide)] if draw(st.booleans()) else []
        layers += [nn.ReLU()]
        layers += [nn.BatchNorm1d(wide)] if draw(st.integers(0, 3)) == 0 else []
        size = wide
    module = nn.Sequential(*layers, nn.Linear(size, 3)).eval()
    _train_norms(module)
    return module, shape


def _train_norms(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            if part.affine:
                nn.init.normal_(part.bias)
                nn.init.normal_(part.weight)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, derandomize=True, max_examples=examples(3, 5))
@given(family=_families())
def test_any_module_its_files_and_what_is_pruned_from_them_are_one_network(
    family: tuple[nn.Module, tuple[int, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    module, shape = family
    folder = tmp_path_factory.mktemp("family")
    network = om.read_network(module, shape)
    scores = om.baseline_scores(network, "random")
    images = np.random.default_rng(0).normal(size=(4, *shape))
    smaller = om.prune(module, scores, amount=0.5, network=network)
    small = om.read_network(smaller, shape)
    made = {"module": smaller}
    for suffix in (".pt2", ".onnx"):
        path = om.save_module(module, folder / f"net{suffix}", shape)
        again = om.read_network(path)
        assert again.fingerprint == network.fingerprint
        assert [group.size for group in again.groups] == [group.size for group in network.groups]
        np.testing.assert_allclose(again.replay(images), network.replay(images), atol=1e-5)
        made[suffix] = om.prune(path, scores, amount=0.5)
    for name, pruned in made.items():
        assert om.read_network(pruned, shape).fingerprint == small.fingerprint, name
        for suffix in (".pt2", ".onnx"):
            found = om.read_network(om.save_module(pruned, folder / f"{name}{suffix}", shape))
            assert found.fingerprint == small.fingerprint, (name, suffix)
            np.testing.assert_allclose(found.replay(images), small.replay(images), atol=1e-5)
