"""The studies of a refit, and of fine-tuning after it, are compared with the same done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from oamip_benchmarks.experiments.catalogue import STUDIES
from oamip_benchmarks.experiments.conduct import conduct
from oamip_benchmarks.experiments.engine import stored_cells
from oamip_benchmarks.experiments.importances import IMPORTANCES, cut_by
from oamip_benchmarks.experiments.study import Asked
from oamip_benchmarks.experiments.workshop import Workshop

import oamip_model as om
from oamip_model.errors import InputError

pytestmark = pytest.mark.xdist_group("refit studies")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for both studies, whose network is trained once."""
    return tmp_path_factory.mktemp("refit-studies")


def small(data: str, **asked: object) -> Asked:
    return Asked(("dense-12-8",), data, 1, epochs=8, shares=(0.5,), **asked)  # type: ignore[arg-type]


def conducted(name: str, asked: Asked, folder: Path) -> list[tuple[dict, dict]]:
    assert all(path.stat().st_size for path in conduct(STUDIES[name], asked, folder).files)
    results = stored_cells(folder)
    return [(cell.tags, results[cell.key]["result"]) for cell in STUDIES[name].plan(asked)]


def test_every_level_of_a_refit_is_what_prune_gives(data: str, folder: Path) -> None:
    asked = small(data, methods=("weight-l1", "elimination"), levels=("removal", "least-squares"), refit_images=60)
    found = conducted("refit", asked, folder)
    assert len(found) == 1 + 2 * 2
    setting = STUDIES["refit"].plan(asked)[0].options["setting"]
    trained = Workshop(folder).trained(setting)
    train, test = (om.load_dataset(data, split=split) for split in ("train", "test"))
    images = om.choose_images(train, n=60, seed=0).images
    scores = om.baseline_scores(trained.network, "weight-l1")
    for level, refit in (("removal", {}), ("least-squares", {"refit": "least-squares", "images": images})):
        expected = om.accuracy(om.prune(trained.module, scores, amount=0.5, network=trained.network, **refit), *test)
        (result,) = [one for tags, one in found if tags["method"] == "weight-l1" and tags["level"] == level]
        assert result["accuracy"] == pytest.approx(expected)
        assert result["units"] == 0.5


def test_elimination_takes_a_share_of_each_layer_only(data: str) -> None:
    asked = small(data, methods=("elimination",), scopes=("global",))
    with pytest.raises(InputError, match="scope: got global, the method elimination takes a share of each layer"):
        STUDIES["pruning"].plan(asked)


def test_fine_tuned_compares_with_torch_pruning_itself(data: str, folder: Path) -> None:
    asked = small(
        data, methods=("weight-l1",), levels=("least-squares",), tunes=(0, 2), importances=("tp-magnitude", "tp-taylor")
    )
    found = conducted("fine-tuned", asked, folder)
    assert len(found) == 2 * (1 + 1 + 2)
    sizes = {result["parameters_left"] for tags, result in found if tags["method"] != "reference"}
    assert len(sizes) == 1, "all methods leave a network of the same size"
    before, after = ([r["accuracy"] for t, r in found if t["tuned"] == tuned] for tuned in (None, 2))
    assert np.mean(after) > np.mean(before)


@pytest.mark.parametrize("importance", sorted(IMPORTANCES))
def test_a_cut_by_torch_pruning_is_by_its_own_ranking(importance: str) -> None:
    torch.manual_seed(0)
    module = om.make_network("dense-8-6", (4,), 3)
    train = om.load_dataset((np.random.default_rng(0).random((30, 4)), np.arange(30) % 3))
    kept = module.fc1.weight.clone()
    cut = cut_by(importance, module, 0.5, train, seed=0)
    assert [part.out_features for part in cut.modules() if isinstance(part, torch.nn.Linear)] == [4, 3, 3]
    assert torch.equal(module.fc1.weight, kept)
    assert all(p.grad is None for p in cut.parameters())
    if importance == "tp-magnitude":
        with torch.no_grad():
            strength = module.fc1.weight.square().sum(1) + module.fc2.weight.square().sum(0)
        assert torch.equal(cut.fc1.weight, module.fc1.weight[strength.topk(4).indices.sort().values])
