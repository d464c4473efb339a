"""Each study does what it says: its cells are compared with the same done by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oamip_benchmarks.experiments.catalogue import STUDIES
from oamip_benchmarks.experiments.cells import Cell, published_rule, score_rule
from oamip_benchmarks.experiments.conduct import conduct
from oamip_benchmarks.experiments.engine import stored_cells
from oamip_benchmarks.experiments.scorers import make_scores
from oamip_benchmarks.experiments.studies.images import BATCHES
from oamip_benchmarks.experiments.study import Asked, published_recipe
from oamip_benchmarks.experiments.workshop import Workshop

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.scoring.asked import as_objects

pytestmark = pytest.mark.xdist_group("studies")  # what its fixtures make takes long

RECIPE = {"optimizer": "rmsprop", "learning_rate": 1e-3, "batch_size": 128, "epochs": 8, "threads": 1}
SHAPE = (1, 4, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all studies, whose networks are trained once."""
    return tmp_path_factory.mktemp("studies")


def small(data: str, **asked: Any) -> Asked:
    return Asked(("dense-6-4",), data, 1, epochs=8, shares=(0.5,), **asked)


def done(name: str, asked: Asked, folder: Path) -> list[tuple[Cell, dict[str, Any]]]:
    """The cells of a study and their results, after it was conducted."""
    found = conduct(STUDIES[name], asked, folder)
    assert all(path.stat().st_size for path in found.files)
    assert {path.name for path in found.files} == {f"{name}.csv", f"{name}-cells.csv", f"{name}.png"}
    results = stored_cells(folder)
    return [(cell, results[cell.key]["result"]) for cell in STUDIES[name].plan(asked)]


def only(found: Sequence[tuple[Cell, dict[str, Any]]], **tags: Any) -> dict[str, Any]:
    """The result of the one cell with these tags."""
    chosen = [result for cell, result in found if all(cell.tags[name] == value for name, value in tags.items())]
    assert len(chosen) == 1
    return chosen[0]


def test_the_mask_of_one_data_set_is_trained_from_its_initial_weights_on_the_other(
    data: str, other: str, folder: Path
) -> None:
    asked = small(data, methods=("taylor",), target=other)
    found = done("transfer", asked, folder)
    first, second = (om.load_dataset(name, split="train") for name in (data, other))
    trained = om.make_network("dense-6-4", SHAPE, 3, seed=0)
    om.train(trained, *first, seed=0, **RECIPE)
    network = om.read_network(trained, SHAPE)
    keep = om.choose_units(om.baseline_scores(network, "taylor", images=first), network, amount=0.5)
    initial = om.make_network("dense-6-4", SHAPE, 3, seed=0)
    ticket, _ = om.retrain(initial, keep, *second, seed=0, **RECIPE)
    expected = om.accuracy(ticket, *om.load_dataset(other, split="test"))
    assert only(found, scored_on=data, trained_on=other)["accuracy"] == pytest.approx(expected)
    full = om.make_network("dense-6-4", SHAPE, 3, seed=0)
    om.train(full, *second, seed=0, **RECIPE)
    reference = only(found, method="reference", trained_on=other)
    assert reference["accuracy"] == pytest.approx(om.accuracy(full, *om.load_dataset(other, split="test")))
    assert {cell.tags["trained_on"] for cell, _ in found} == {data, other}
    with pytest.raises(InputError, match=r"target: .* holds the same images"):
        STUDIES["transfer"].plan(replace(asked, target=data))
    with pytest.raises(InputError, match="shares: a share is needed, or the method published"):
        STUDIES["transfer"].plan(replace(asked, shares=()))


def test_by_the_threshold_a_mask_of_any_other_method_is_as_large_as_the_published(
    data: str, other: str, folder: Path
) -> None:
    asked = replace(small(data, methods=("published", "forward", "random"), target=other), shares=())
    found = done("transfer", asked, folder)
    setting = next(cell.options["setting"] for cell, _ in found if cell.tags["scored_on"] == data)
    shop = Workshop(folder)
    network = shop.trained(setting).network
    scores, _ = shop.scores(setting, published_rule())
    gone = {name: [int((values < 0.1).sum()), len(values)] for name, values in scores.by_layer.items()}
    assert any(count for count, _ in gone.values())
    assert only(found, scored_on=data, method="published")["layers"] == gone
    assert only(found, scored_on=data, method="random")["layers"] == gone
    score = {"strategy": "forward", "weight": 5.0}
    layers = om.choose_units(
        om.score(network, om.load_dataset(data, split="train"), **as_objects(**score)), network, threshold=0.1
    )
    result = only(found, scored_on=data, method="forward")["layers"]
    assert {name: gone for name, (gone, _) in result.items()} == {k: len(v) for k, v in layers.removed.items()}


def test_a_schedule_is_that_of_every_training(data: str, other: str, folder: Path) -> None:
    asked = replace(small(data, methods=("random",), target=other), schedule="cosine")
    full = om.make_network("dense-6-4", SHAPE, 3, seed=0)
    om.train(full, *om.load_dataset(data, split="train"), seed=0, **(RECIPE | {"schedule": "cosine"}))
    found = done("transfer", asked, folder)
    setting = next(cell.options["setting"] for cell, _ in found if cell.tags["trained_on"] == data)
    trained = Workshop(folder).trained(setting).module
    assert np.array_equal(trained.fc1.weight.detach().numpy(), full.fc1.weight.detach().numpy())
    assert all((c.options.get("target") or c.options["setting"])["recipe"]["schedule"] == "cosine" for c, _ in found)


def test_pruning_at_initialisation_uses_the_scores_of_the_untrained_network(data: str, folder: Path) -> None:
    found = done("initialisation", small(data, methods=("weight-norm",)), folder)
    train, test = (om.load_dataset(data, split=part) for part in ("train", "test"))
    trained = om.make_network("dense-6-4", SHAPE, 3, seed=0)
    om.train(trained, *train, seed=0, **RECIPE)
    for of, scored in (("initial", om.make_network("dense-6-4", SHAPE, 3, seed=0)), ("trained", trained)):
        network = om.read_network(scored, SHAPE)
        keep = om.choose_units(om.baseline_scores(network, "weight-norm"), network, amount=0.5)
        ticket, _ = om.retrain(om.make_network("dense-6-4", SHAPE, 3, seed=0), keep, *train, seed=0, **RECIPE)
        assert only(found, scored=of)["accuracy"] == pytest.approx(om.accuracy(ticket, *test))


def test_pruning_while_training_is_that_of_the_library(data: str, folder: Path) -> None:
    asked = small(data, methods=("random",), every=3)
    found = done("while-training", asked, folder)
    train, test = (om.load_dataset(data, split=part) for part in ("train", "test"))

    def choose(module: Any, epoch: int) -> Any:
        network = om.read_network(module, SHAPE)
        return om.choose_units(om.baseline_scores(network, "random", 0), network, amount=0.5)

    for beside, pruned in ((False, "while training"), (True, "while training, full network beside")):
        initial = om.make_network("dense-6-4", SHAPE, 3, seed=0)
        result = om.prune_while_training(initial, *train, choose, every=3, beside=beside, seed=0, **RECIPE)
        assert only(found, pruned=pruned)["accuracy"] == pytest.approx(om.accuracy(result.module, *test))
    with pytest.raises(InputError, match="every: got 8, accepted are numbers below the 8 epochs"):
        STUDIES["while-training"].plan(replace(asked, every=8))


def test_images_compares_the_scores_with_those_of_the_most(data: str, folder: Path) -> None:
    asked = small(data, methods=("taylor", "published"), counts=(None, 12))
    found = done("images", asked, folder)
    shop = Workshop(folder)
    (cell,) = (cell for cell, _ in found if cell.work == "change" and cell.tags["method"] == "taylor")
    assert (cell.tags["images"], cell.options["rule"]["images"], cell.options["against"]["images"]) == (12, 12, 90)
    setting = cell.options["setting"]
    train = om.load_dataset(data, split="train")
    network = shop.trained(setting).network
    some = om.baseline_scores(network, "taylor", images=om.choose_images(train, n=12, seed=0)).by_layer
    every = om.baseline_scores(network, "taylor", images=train).by_layer
    expected = np.mean(np.abs(np.concatenate([some[name] - every[name] for name in some])))
    results = [result for each, result in found if each is cell]
    assert expected > 0
    assert results[0]["difference"] == pytest.approx(expected)
    draws = {cell.options["rule"]["draw"] for cell, _ in found if cell.tags["method"] == "published"}
    assert draws == set(range(BATCHES))
    with pytest.raises(InputError, match="methods: random looks at no images"):
        STUDIES["images"].plan(replace(asked, methods=("random",)))


def test_snip_keeps_the_share_of_all_units_together(data: str, folder: Path) -> None:
    found = done("snip", replace(small(data), keep=0.3), folder)
    layers = only(found, method="snip", scope="global")["layers"]
    assert sum(gone for gone, _ in layers.values()) == 7
    layers = only(found, method="snip", scope="layer")["layers"]
    assert layers == {"fc1": [4, 6], "fc2": [3, 4]}


def test_a_larger_weight_of_the_loss_removes_no_more_units(data: str, folder: Path) -> None:
    asked = small(data, methods=("decoupled",), weights=(0.01, 50.0))
    found = done("weight", asked, folder)
    light, heavy = (only(found, weight=weight)["units"] for weight in (0.01, 50.0))
    assert light > heavy
    with pytest.raises(InputError, match="methods: random has no weight"):
        STUDIES["weight"].plan(replace(asked, methods=("random",)))


def test_classes_alone_and_together(data: str, folder: Path) -> None:
    found = done("classes", replace(small(data), per_class=4), folder)
    for label in range(3):
        result = only(found, method="one class", **{"class": label})
        row = result["confusion"][label]
        assert result["class_accuracy"] == pytest.approx(row[label] / sum(row))
        assert (result["averaged"], result["score_images"]) == (False, 4)
    assert only(found, method="joint")["score_images"] == 3
    for method in ("averaged over classes", "averaged over batches"):
        result = only(found, method=method)
        assert (result["averaged"], result["score_images"]) == (True, 12)


def test_a_share_is_of_each_layer_or_of_all_units_together(data: str, folder: Path) -> None:
    asked = replace(small(data, methods=("decoupled", "weight-l1")), shares=(0.4,), scopes=("layer", "global"))
    found = done("pruning", asked, folder)
    for method in asked.methods:
        by_layer = only(found, method=method, scope="layer")["layers"]
        assert by_layer == {"fc1": [2, 6], "fc2": [2, 4]}
        together = only(found, method=method, scope="global")["layers"]
        assert sum(gone for gone, _ in together.values()) == 4
    (cell,) = (c for c, _ in found if c.tags["scope"] == "global" and c.tags["method"] == "decoupled")
    setting = cell.options["setting"]
    network, train = Workshop(folder).trained(setting).network, om.load_dataset(data, split="train")
    scores = om.score(network, train, method=om.Decoupled(amount=0.4, scope="global"))
    kept, _ = Workshop(folder).scores(setting, cell.options["rule"])
    assert all(np.array_equal(kept.by_layer[name], values) for name, values in scores.by_layer.items())


def test_a_curve_has_every_share(data: str, folder: Path) -> None:
    asked = replace(small(data, methods=("random", "published")), shares=(0.25, 0.5))
    found = done("accuracy-curve", asked, folder)
    assert [(c.tags["method"], c.tags["share"]) for c, _ in found] == [
        ("reference", None), ("random", 0.25), ("random", 0.5), ("published", 0.25), ("published", 0.5),
    ]  # fmt: skip


def test_scores_of_one_class_see_that_class_alone(data: str) -> None:
    train = om.load_dataset(data, split="train")
    network = om.read_network(om.make_network("dense-6-4", SHAPE, 3, seed=0), SHAPE)
    rule = published_rule(images=5) | {"only": 2}
    scores = make_scores(rule, network, train, seed=0)
    assert set(train.labels[list(scores.programs[0].images)]) == {2}
    assert "class 2" in scores.source
    other = make_scores(published_rule() | {"draw": 1}, network, train, seed=0)
    assert set(other.programs[0].images) != set(make_scores(published_rule(), network, train, 0).programs[0].images)


def test_the_recipe_is_the_published_one() -> None:
    assert published_recipe("lenet5", "cifar-10", None)["epochs"] == 256
    assert published_recipe("fc3", "fashion-mnist-2000", None) == dict(om.PUBLISHED["fashion-mnist"])
    assert published_recipe("vgg16-bn-0.25", "cifar-10", 2) == {
        "optimizer": "sgd", "learning_rate": 0.1, "epochs": 2, "greedy": True,
    }  # fmt: skip
    assert score_rule("forward", 0.3, None)["score"] == {"strategy": "forward", "amount": 0.3}
