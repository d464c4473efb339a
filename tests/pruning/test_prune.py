"""Pruned modules: removed, masked, and the network without the units are one function."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thinned import examples
from torch import nn

from oamip_model import read_network
from oamip_model.errors import InputError
from oamip_model.network.types import Network
from oamip_model.pruning import baseline_scores, prune, prune_with_report, to_module
from oamip_model.scoring.result import Scores

REBUILT = {"functional", "fixed-view", "tied"}
Case = tuple[str, nn.Module, tuple[int, ...]]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def logits(module: nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.tensor(images, dtype=torch.float32)).numpy()


def images_for(shape: tuple[int, ...], seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((20, *shape)).astype(np.float32)


def assert_same_function(module: nn.Module, network: Network, keep: dict[str, np.ndarray]) -> None:
    images = images_for(network.input_shape)
    want = network.replay(images, keep)
    np.testing.assert_allclose(logits(module, images), want, atol=1e-5 * max(1, np.abs(want).max()))


@pytest.mark.thinned(20)
@pytest.mark.parametrize(("method", "amount"), [("random", 0.3), ("weight-norm", 0.6)])
def test_removed_masked_and_replayed_logits_are_equal(case: Case, network_of: Any, method: Any, amount: float) -> None:
    name, module, _ = case
    network = network_of(name)
    scores = baseline_scores(network, method, seed=2)
    before = copy.deepcopy(module.state_dict())
    smaller, report = prune_with_report(module, scores, amount=amount, network=network)
    masked, masked_report = prune_with_report(module, scores, amount=amount, mode="mask", network=network)
    keep = {group.name: np.ones(group.size) for group in network.groups}
    for group, units in report.removed.items():
        keep[group][units] = 0.0
    assert any(len(units) for units in report.removed.values())
    assert_same_function(smaller, network, keep)
    assert_same_function(masked, network, keep)
    assert report.rebuilt == (name in REBUILT)
    assert report.parameters_after == count(smaller) < count(module) == report.parameters_before
    assert masked_report.parameters_after == count(smaller)
    if name not in REBUILT:
        assert [p.shape for p in masked.parameters()][:1] == [p.shape for p in module.parameters()][:1]
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])
    if name != "grouped":
        assert not report.zeroed


def test_removed_units_are_gone_from_every_layer(case: Case, network_of: Any) -> None:
    name, module, shape = case
    network = network_of(name)
    smaller, report = prune_with_report(module, baseline_scores(network, "random"), amount=0.5, network=network)
    again = read_network(smaller, shape)
    sizes = [group.size for group in again.groups]
    left = [g.size - len(report.removed[g.name]) + len(report.zeroed.get(g.name, ())) for g in network.groups]
    assert sizes == left, name


def test_a_single_unit_saves_what_its_group_says() -> None:
    torch.manual_seed(0)
    convolutional = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    ).eval()
    for module, shape in (
        (nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)).eval(), (6,)),
        (convolutional, (1, 6, 6)),
    ):
        network = read_network(module, shape)
        for group in network.groups:
            scores = {g.name: np.ones(g.size) for g in network.groups}
            scores[group.name][1] = 0.0
            smaller = prune(module, scores, threshold=0.5, network=network)
            assert count(module) - count(smaller) == group.parameters[1]


@pytest.mark.parametrize("name", ["mlp-norm", "max-pool", "pool-first", "residual", "norm-after-addition", "nested"])
@pytest.mark.parametrize("mode", ["remove", "mask"])
def test_a_unit_with_score_0_gives_0_bias_and_shift_included(module_of: Any, name: str, mode: Any) -> None:
    module, shape = module_of(name)
    # Shifts so large that a unit that is not removed whole would show.
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.sub_(3.0)
    network = read_network(module, shape)
    for group in network.groups:
        scores = {g.name: np.ones(g.size) for g in network.groups}
        scores[group.name][:2] = 0.0
        result = prune(module, scores, threshold=0.5, network=network, mode=mode)
        assert_same_function(result, network, scores)


def test_grouped_convolution_is_cut_evenly_and_the_rest_is_zeroed_and_named(module_of: Any) -> None:
    module, shape = module_of("grouped")  # 1 to 6 channels, then 6 to 8 in two groups
    network = read_network(module, shape)
    first, second = (group.name for group in network.groups)
    scores = {first: np.array([0, 1, 0, 0, 1, 1.0]), second: np.array([0, 0, 1, 1, 0, 1, 1, 1.0])}
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    convolutions = [part for part in smaller.modules() if isinstance(part, nn.Conv2d)]
    # Inputs 0 and 3 have the same place in their groups; outputs leave one from each group.
    assert [part.out_channels for part in convolutions] == [4, 6]
    assert {name: units.tolist() for name, units in report.zeroed.items()} == {first: [2], second: [1]}
    assert_same_function(smaller, network, scores)
    assert "zeroed" in report.summary()


def test_a_grouped_convolution_that_cannot_be_cut_is_zeroed_whole(module_of: Any) -> None:
    module, shape = module_of("grouped")
    network = read_network(module, shape)
    first, second = (group.name for group in network.groups)
    scores = {first: np.array([0, 1, 1, 1, 1, 1.0]), second: np.ones(8)}
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    assert report.zeroed[first].tolist() == [0]
    assert not report.rebuilt
    assert report.parameters_after == report.parameters_before
    assert_same_function(smaller, network, scores)


def test_residual_group_is_cut_in_all_of_its_layers(module_of: Any) -> None:
    module, shape = module_of("projection")
    network = read_network(module, shape)
    group = next(g for g in network.groups if len(g.producers) == 3)
    scores = {g.name: np.ones(g.size) for g in network.groups}
    scores[group.name][[1, 4]] = 0.0
    smaller = prune(module, scores, threshold=0.5, network=network)
    assert [smaller.get_submodule(name).out_channels for name in group.producers] == [4, 4, 4]
    assert smaller.bn2.num_features == 4
    assert smaller.conv1.out_channels == 5


def test_a_module_that_must_be_rebuilt_says_so(module_of: Any) -> None:
    for name in REBUILT:
        module, shape = module_of(name)
        _, report = prune_with_report(
            module,
            baseline_scores(read_network(module, shape), "random"),
            amount=0.5,
            network=read_network(module, shape),
        )
        assert report.rebuilt
        assert "rebuilt from the network" in report.summary()


def test_a_network_can_be_pruned(network_of: Any) -> None:
    network = network_of("residual")
    smaller, report = prune_with_report(network, baseline_scores(network, "random"), amount=0.5)
    assert report.rebuilt
    assert count(smaller) == report.parameters_after < count(to_module(network))


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("name", ["max-pool", "projection", "depthwise"])
def test_files_can_be_pruned(module_of: Any, tmp_path: Path, name: str, suffix: str) -> None:
    from oamip_model.pruning import save_module

    module, shape = module_of(name)
    network = read_network(save_module(module, tmp_path / f"net{suffix}", shape))
    scores = baseline_scores(network, "random")
    smaller, report = prune_with_report(tmp_path / f"net{suffix}", scores, amount=0.5)
    keep = {g.name: np.isin(np.arange(g.size), report.removed[g.name], invert=True) * 1.0 for g in network.groups}
    assert report.rebuilt
    assert not report.zeroed
    assert_same_function(smaller, network, keep)
    other = ".onnx" if suffix == ".pt2" else ".pt2"
    again = read_network(save_module(smaller, tmp_path / f"small{other}", shape))
    assert [g.size for g in again.groups] == [int(mask.sum()) for mask in keep.values()]


def test_masks_are_torch_masks_and_survive_training(module_of: Any) -> None:
    module, shape = module_of("max-pool")
    network = read_network(module, shape)
    scores = {g.name: np.ones(g.size) for g in network.groups}
    scores["0.0"][[0, 2]] = 0.0
    masked = prune(module, scores, threshold=0.5, network=network, mode="mask")
    assert all(torch.nn.utils.prune.is_pruned(masked.get_submodule(path)) for path in ("0.0", "0.1"))
    optimiser = torch.optim.SGD(masked.parameters(), lr=0.1)
    masked(torch.tensor(images_for(shape))).square().sum().backward()
    optimiser.step()
    masked(torch.tensor(images_for(shape)))
    for path in ("0.0", "0.1"):
        part = masked.get_submodule(path)
        assert not part.weight[[0, 2]].any()
        assert not part.bias[[0, 2]].any()
        assert part.weight[[1, 3]].all()


def test_a_masked_module_can_be_pruned_again(module_of: Any) -> None:
    module, shape = module_of("mlp-norm")
    network = read_network(module, shape)
    scores = np.linspace(0, 1, 8)
    masked = prune(module, {"0": scores}, threshold=0.3, network=network, mode="mask")
    smaller = prune(masked, {"0": scores}, threshold=0.3, network=read_network(masked, shape))
    assert_same_function(smaller, network, {"0": (scores >= 0.3) * 1.0})


def test_what_can_be_trained_stays_so(module_of: Any) -> None:
    module, shape = module_of("mlp")
    module[0].requires_grad_(False)
    scores = baseline_scores(read_network(module, shape), "random")
    smaller = prune(module, scores, amount=0.5, network=read_network(module, shape))
    assert [p.requires_grad for p in smaller.parameters()] == [p.requires_grad for p in module.parameters()]
    assert not any(part.training for part in smaller.modules())


def test_nothing_below_the_threshold_leaves_the_module_equal(module_of: Any) -> None:
    module, shape = module_of("residual")
    network = read_network(module, shape)
    smaller, report = prune_with_report(module, {g.name: np.ones(g.size) for g in network.groups}, threshold=0.5,
                                        network=network)  # fmt: skip
    assert report.parameters_share == report.units_share == 0
    assert all(torch.equal(a, b) for a, b in zip(smaller.parameters(), module.parameters(), strict=True))


def test_one_unit_of_each_layer_stays_and_is_reported(module_of: Any) -> None:
    module, shape = module_of("mlp")
    network = read_network(module, shape)
    smaller, report = prune_with_report(module, {"0": np.zeros(8), "2": np.zeros(5)}, threshold=1.0, network=network)
    assert [p.shape[0] for p in smaller.parameters()] == [1, 1, 1, 3, 3]
    assert {name for name, _ in report.forced} == {"0", "2"}
    assert "best of its layer" in report.summary()


@pytest.mark.parametrize("name", ["shared", "tied"])
def test_shared_weights_are_counted_once(module_of: Any, name: str) -> None:
    module, shape = module_of(name)
    network = read_network(module, shape)
    group = network.groups[0]
    scores = {g.name: np.ones(g.size) for g in network.groups}
    scores[group.name][0] = 0.0
    assert count(to_module(network)) - count(module) in (0, 5)  # a bias that is used twice is two
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    assert report.parameters_after == count(smaller) < count(module)


def test_pruning_works_where_gradients_are_off(module_of: Any) -> None:
    module, shape = module_of("mlp")
    scores = baseline_scores(read_network(module, shape), "random")
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            smaller, report = prune_with_report(module, scores, amount=0.5, network=read_network(module, shape))
        assert not report.zeroed
        assert count(smaller) < count(module)


def test_input_shape_is_taken_from_the_scores_options(module_of: Any) -> None:
    module, shape = module_of("conv")
    network = read_network(module, shape)
    options = {"input_shape": list(shape)}
    scores = Scores(
        baseline_scores(network, "random").by_layer,
        "joint",
        "subtractive",
        "highs",
        "1",
        False,
        (),
        options,
        "",
        network.fingerprint,
    )
    assert count(prune(module, scores, amount=0.5)) < count(module)


@settings(deadline=None, derandomize=True, max_examples=examples(10, 25))
@given(name=st.sampled_from(["conv", "residual", "depthwise", "grouped", "nested"]), seed=st.integers(0, 10**6))
def test_any_choice_of_units_can_be_removed(network_of: Any, module_of: Any, name: str, seed: int) -> None:
    (module, _), network = module_of(name), network_of(name)
    random = np.random.default_rng(seed)
    scores = {g.name: random.integers(0, 2, g.size).astype(float) for g in network.groups}
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    keep = {name: np.array(values) for name, values in scores.items()}
    for group, unit in report.forced:
        keep[group][unit] = 1.0
    assert_same_function(smaller, network, keep)


def test_bad_arguments_are_refused_in_one_line(module_of: Any, tmp_path: Path) -> None:
    module, shape = module_of("mlp")
    network = read_network(module, shape)
    scores = baseline_scores(network, "random").by_layer
    other = module_of("mlp-norm")
    training = copy.deepcopy(module).train()
    bad: list[tuple[Any, dict[str, Any], str]] = [
        (module, {"mode": "zero"}, "mode: got 'zero'"),
        (training, {"network": network}, "training mode"),
        (other[0], {"network": network}, "not this module's"),
        (module_of("conv")[0], {"network": network}, "does not take its images"),
        (7, {"network": network}, "module: got int"),
        (read_network(*other), {"network": network}, "not the one that is to be pruned"),
        (tmp_path / "no.onnx", {}, "there is no file"),
        (tmp_path / "no.onnx", {"network": network}, "there is no file"),
    ]
    for given_module, options, message in bad:
        with pytest.raises(InputError, match=message) as caught:
            prune(given_module, scores, amount=0.5, **options)
        assert "\n" not in str(caught.value)
