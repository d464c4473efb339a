"""What can be pruned: modules in every state, networks and files; and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from same_function import REBUILT, assert_same_function, count

from oamip_model import read_network
from oamip_model.errors import InputError
from oamip_model.pruning import baseline_scores, prune, prune_with_report, to_module
from oamip_model.scoring.result import Scores


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
