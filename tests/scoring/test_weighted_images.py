"""Weights of images in programs: a whole weight is an image that is there so often, and 0 one that is not."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.formulation.losses import loss_named
from oamip_model.refit.elimination import units
from oamip_model.refit.importance import Importance
from oamip_model.scoring.layer_options import Exchanges
from oamip_model.scoring.layerwise.exchange import exchange_units
from oamip_model.scoring.layerwise.losses import summed_loss
from oamip_model.scoring.layerwise.task import measure
from oamip_model.torchnet.layers import TorchLayers

NONE = Importance(torch.zeros(1), torch.zeros(1))
"""The importance of a layer on which the answer does not depend."""

EXACT = om.Solver(tolerance=1e-7)


def several(problem_of, kind: str, n: int, seed: int = 0):
    """A network, with images and labels."""
    network = problem_of(kind, seed, 1).network
    pick = np.random.default_rng(seed)
    return network, pick.normal(size=(n, *network.input_shape)), pick.integers(0, network.classes, n)


def repeated(x, y, often, classes):
    return om.Dataset(np.repeat(x, often, axis=0), np.repeat(y, often), classes=classes)


def weighted(x, y, weights, classes):
    return om.Dataset(x, y, classes=classes, weights=weights)


def brute(network, x, y, weights, form):
    """The least objective over all binary scores, by the definition."""
    units = [group.size for group in network.groups]
    best = np.inf
    for flat in product((0.0, 1.0), repeat=sum(units)):
        scores = network.by_group(np.array(flat))
        losses = loss_named(form.loss).values(network.replay(x, scores), y, form.margin)
        best = min(best, form.weight * float((weights * losses).sum() / weights.sum()) + float(np.mean(flat)))
    return best


JOINT = [
    (om.Formulation(sparsity="mean"), "solver"),
    (om.Formulation(loss="hinge", sparsity="published"), "solver"),
    (om.Formulation(sparsity="mean", relaxed=True), "solver"),
    (om.Formulation(sparsity="parameters", scores="binary", gate="switch"), om.TreeSearch()),
    (om.Formulation(sparsity="mean", scores="binary"), om.TreeSearch(image_cuts_from=0)),
]


@pytest.mark.parametrize(("form", "search"), JOINT, ids=["rounds", "hinge", "relaxed", "tree", "image-cuts"])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.thinned(5)
def test_a_joint_program_with_weights_is_that_of_repeated_images(form, search, scale, problem_of):
    network, x, y = several(problem_of, "dense", 3)
    method = om.Joint(form, search=search)
    one = om.score(network, weighted(x, y, scale * np.array([3.0, 1, 0]), network.classes), method=method, solver=EXACT)
    two = om.score(network, repeated(x, y, [3, 1, 0], network.classes), method=method, solver=EXACT)
    even = om.score(network, om.Dataset(x, y, classes=network.classes), method=method, solver=EXACT)
    assert one.status == two.status == "optimal"
    assert one.objective == pytest.approx(two.objective, rel=1e-6)
    assert one.loss == pytest.approx(one.programs[0].replayed_loss, rel=1e-5) or form.relaxed
    assert abs(one.objective - even.objective) > 1e-3
    assert [program.images for program in one.programs] == [(0, 1)]


@pytest.mark.parametrize("weights", [(1.0, 1e-8, 1e8), (1e8, 3.0, 1e-8), (0.2, 7.0, 1.0)])
@pytest.mark.parametrize("loss", ["cross-entropy", "hinge"])
@pytest.mark.parametrize("search", ["solver", "tree"])
@pytest.mark.thinned(3)
def test_the_optimum_with_weights_is_that_of_brute_force(weights, loss, search, problem_of):
    network, x, y = several(problem_of, "dense", 3, seed=1)
    form = om.Formulation(scores="binary", sparsity="mean", loss=loss)
    given = weighted(x, y, np.array(weights), network.classes)
    found = om.score(network, given, method=om.Joint(form, search=search), solver=EXACT)
    assert found.proved
    assert found.objective == pytest.approx(brute(network, x, y, np.array(weights), form), rel=1e-6)
    assert "3 weighted images" in found.summary()


RELAXED = om.Formulation(sparsity="mean", relaxed=True)


@pytest.mark.parametrize("method", [om.Batches(RELAXED, size=1), om.PerClass(RELAXED)], ids=["batches", "class"])
def test_programs_that_are_averaged_count_by_the_mean_weight_of_their_images(method, problem_of):
    network, x, _ = several(problem_of, "dense", 2)
    y = np.array([0, 1])
    alone = [om.score(network, om.Dataset(x[k : k + 1], y[k : k + 1], classes=3), method=method) for k in (0, 1)]
    both = om.score(network, weighted(x, y, [3.0, 1.0], 3), method=method)
    for name, values in both.by_layer.items():
        np.testing.assert_allclose(values, 0.75 * alone[0].by_layer[name] + 0.25 * alone[1].by_layer[name], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "head"),
    [("dense", "pattern"), ("conv", "pattern"), ("dense", "linear"), ("dense", "rest"), ("dense", "refit")],
)
def test_layer_programs_with_weights_are_those_of_repeated_images(head, kind, problem_of, monkeypatch):
    # The classes of its importance are drawn image by image. Without it outputs count by their variance.
    monkeypatch.setattr(units, "output_importance", lambda network, *_: [NONE] * len(network.layers))
    network, x, y = several(problem_of, kind, 8)
    often = np.array([3, 1, 0, 2] * 2)
    method = om.Decoupled(head=head, **({"program_images": 100} if head == "rest" else {}))
    one = om.score(
        network, weighted(x, y, often * 0.125, network.classes), method=method, solver=om.Solver(tolerance=1e-5)
    )
    two = om.score(network, repeated(x, y, often, network.classes), method=method, solver=om.Solver(tolerance=1e-5))
    if head == "linear":  # its training sees other batches, so only that it was trained with weights is compared
        even = om.score(
            network, om.Dataset(x, y, classes=network.classes), method=method, solver=om.Solver(tolerance=1e-5)
        )
        assert abs(one.objective - two.objective) < abs(even.objective - two.objective)
        return
    assert one.objective == pytest.approx(two.objective, rel=1e-4)
    assert one.loss == pytest.approx(two.loss, rel=5e-3)


@pytest.mark.parametrize("kind", ["residual"])
def test_errors_and_exchanges_with_weights_are_those_of_repeated_images(kind, problem_of):
    network, x, y = several(problem_of, kind, 40)
    often = np.random.default_rng(1).integers(1, 4, len(x))
    layers, shares = TorchLayers(network), often / often.mean()
    pick = np.random.default_rng(2)
    keep = {g: pick.permutation(np.arange(s.size) * 2 < s.size).astype(float)
            for g, s in enumerate(network.groups)}  # fmt: skip
    rows = np.repeat(np.arange(len(x)), often)
    one = measure(layers, x, y, keep, summed_loss("hinge", 1.0, shares))
    two = measure(layers, x[rows], y[rows], keep, summed_loss("hinge", 1.0))
    assert one == pytest.approx(two, rel=1e-5)
    every = Exchanges(rounds=50, candidates=100, pairs=100)
    found = exchange_units(layers, x, y, keep, loss=summed_loss("hinge", 1.0, shares), options=every)
    wanted = exchange_units(layers, x[rows], y[rows], keep, options=every)
    assert found.after == pytest.approx(wanted.after, rel=1e-4)
    assert {g: m.tolist() for g, m in found.keep.items()} == {g: m.tolist() for g, m in wanted.keep.items()}


def test_one_logit_takes_weights_too():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).eval()
    network, pick = om.read_network(module, (2,)), np.random.default_rng(0)
    x, weights = pick.normal(size=(3, 2)), np.array([5.0, 1.0, 0.25])
    for loss, y in (("squared", pick.normal(size=3)), ("logistic", np.array([0.0, 1, 1]))):
        form = om.Formulation(loss=loss, scores="binary", sparsity="mean")
        found = om.score(network, weighted(x, y, weights, 1), method=om.Joint(form), solver=EXACT)
        assert found.objective == pytest.approx(brute(network, x, y, weights, form), rel=1e-6)


def test_a_finished_program_of_other_weights_is_not_taken_from_the_store(problem_of, tmp_path):
    network, x, y = several(problem_of, "dense", 4)
    run = om.Run(store=str(tmp_path / "runs.jsonl"))
    for method in (om.Joint(om.Formulation(relaxed=True, sparsity="mean")), om.Decoupled()):
        found = [om.score(network, weighted(x, y, [1, 1, 1, last], network.classes), method=method, run=run).objective
                 for last in (1, 30, 1, 30)]  # fmt: skip
        assert found[0] == found[2] != found[1] == found[3]


def test_the_result_file_says_that_images_had_weights(problem_of, tmp_path):
    network, x, y = several(problem_of, "dense", 4)
    for method in (om.Elimination(), om.Decoupled(), om.Joint(om.Formulation(relaxed=True))):
        found = [om.score(network, weighted(x, y, w, network.classes), method=method) for w in ([1] * 4, [1, 2, 3, 2])]
        told = om.load_scores(found[1].save(tmp_path / "scores.json")).options["weights"]
        assert (told["least"], told["most"], len(told["fingerprint"])) == (0.5, 1.5, 16)
        assert "weights" not in found[0].options
        assert "4 weighted images" in found[1].summary()


def test_weights_without_a_use_are_one_line(problem_of):
    network, x, y = several(problem_of, "dense", 2)
    given = weighted(x, y, [1, 2], network.classes)
    with pytest.raises(InputError, match="weights: the loss margin holds every image by rows"):
        om.score(network, given, method=om.Joint(om.Formulation(loss="margin")))
    with pytest.raises(InputError, match="weights: the loss margin"):
        om.build_instance(network, given, formulation=om.Formulation(loss="margin"))
    bounds = om.compute_bounds(network, x, "lp", cutoff=om.Cutoff(1e3, y.tolist()))
    with pytest.raises(InputError, match="bounds: computed with a cutoff, in which all images count alike"):
        om.build_instance(network, given, bounds=bounds)
