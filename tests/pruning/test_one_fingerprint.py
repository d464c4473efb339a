"""A module, its .pt2 and its .onnx file are one network: one fingerprint, the same logits, and scores that fit all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from one_line import one_line
from torch import nn

import oamip_model as om
from oamip_model.scoring.asked import as_objects


class Twice(nn.Module):
    """Calls two of its layers twice on one input, as code that is written without names for its values does."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(2 if k == 0 else 3, 3, 3, padding=1) for k in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.a(x).relu() + self.c(self.b(self.a(x).relu()).relu())).relu()


class Normalised(nn.Module):
    """Numbers of the code that single precision does not hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.rsub(torch.add((x - 0.3) / 0.7, x, alpha=0.1), 0.9)
        return nn.functional.leaky_relu(x.clamp(-0.6, 0.8), 0.3) * 1.1


MAKE = {
    "layers called twice": (lambda: [Twice(), nn.Flatten(), nn.Linear(48, 3)], (2, 4, 4)),
    "numbers of the code": (
        lambda: [nn.Linear(4, 5), nn.ReLU(), Normalised(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)], (4,),
    ),
    "dense": (
        lambda: [nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4, bias=False), nn.ReLU(),
                 nn.Linear(4, 3)],
        (6,),
    ),
    "conv": (
        lambda: [nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
                 nn.Conv2d(3, 4, 2), nn.ReLU(), nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.Flatten(), nn.Linear(36, 3)],
        (2, 9, 9),
    ),
    "uneven padding": (
        lambda: [nn.Conv2d(2, 4, 2, padding="same"), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                 nn.Flatten(), nn.Linear(4, 3)],
        (2, 5, 5),
    ),
    "residual": (lambda: [om.make_network("resnet20", (3, 8, 8), 3)], (3, 8, 8)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MAKE)
def test_a_module_and_its_files_are_one_network(kind: str, tmp_path: Path) -> None:
    make, shape = MAKE[kind]
    torch.manual_seed(0)
    module = nn.Sequential(*make()).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.running_mean, part.bias):
                nn.init.normal_(values)
            for values in (part.running_var, part.weight):
                nn.init.uniform_(values, 0.5, 2.0)
    network = om.read_network(module, shape)
    files = [om.save_module(module, tmp_path / f"net{suffix}", shape) for suffix in (".onnx", ".pt2")]
    om.baseline_scores(network, "random").save(tmp_path / "scores.json")
    scores = om.load_scores(tmp_path / "scores.json")
    images = np.random.default_rng(0).normal(size=(4, *shape))
    wanted = om.read_network(
        om.prune(module, scores, amount=0.5, network=om.read_network(module, shape)), shape
    ).replay(images)
    for path in files:
        again = om.read_network(path)
        assert again.fingerprint == network.fingerprint
        np.testing.assert_allclose(again.replay(images), network.replay(images), atol=1e-12)
        smaller = om.read_network(om.prune(path, scores, amount=0.5), shape)
        np.testing.assert_allclose(smaller.replay(images), wanted, rtol=1e-4, atol=1e-4)


def test_equal_networks_with_other_names_share_their_scores() -> None:
    parts = [nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)]
    one = om.read_network(nn.Sequential(*parts).eval())
    other = om.read_network(nn.Sequential(nn.Identity(), *parts).eval())
    scores = om.baseline_scores(one, "random")
    found = om.choose_units(scores, other, amount=0.5).removed
    assert [v.tolist() for v in found.values()] == [
        v.tolist() for v in om.choose_units(scores, one, amount=0.5).removed.values()
    ]
    assert list(found) == [group.name for group in other.groups] != [group.name for group in one.groups]


def test_tightness_of_equal_networks_with_other_names() -> None:
    parts = [nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)]
    networks = {"one": nn.Sequential(*parts).eval(), "other": nn.Sequential(nn.Identity(), *parts).eval()}
    found = om.study.tightness(
        networks, np.ones((2, 4)), [0, 1], om.study.Grid(bounds=["crown"]), solver=om.Solver(time_limit=20.0)
    )
    assert len({row.objective for row in found.rows}) == 1
    assert {row.network for row in found.rows} == {"one", "other"}


LINEAR = nn.Sequential(nn.Linear(4, 3)).eval()
ONE_LOGIT = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
STRATEGIES = ["forward", "backward", "decoupled", "joint", "batches", "per-class"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("module", "message"), [(LINEAR, "no layer carries a score"), (ONE_LOGIT, "one logit")])
def test_what_cannot_be_scored_is_refused_by_every_strategy(module: nn.Module, message: str, strategy: str) -> None:
    x, y = np.ones((2, 4)), np.zeros(2, int)
    for given in (module, om.read_network(module)):
        with pytest.raises(om.InputError, match=message) as error:
            om.score(given, x, y, **as_objects(strategy=strategy))
        one_line(error)
    with pytest.raises(om.InputError, match=message):
        om.study.tightness({"net": module}, x, y)
    with pytest.raises(om.InputError, match=message):
        om.build_instance(om.read_network(module), x, y)


def test_no_scored_layer_is_refused_by_baselines_and_pruning() -> None:
    for call in (
        lambda: om.baseline_scores(LINEAR, "random"),
        lambda: om.prune(LINEAR, {}, amount=0.5, network=om.read_network(LINEAR, (4,))),
        lambda: om.choose_units({}, om.read_network(LINEAR), threshold=0.5),
    ):
        with pytest.raises(om.InputError, match="no layer carries a score") as error:
            call()
        one_line(error)
