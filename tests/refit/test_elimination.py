"""The strategy elimination: masks for the refit that follows, on networks of every kind, and as scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning.conftest import NETWORKS, build

import oamip_model as om
from oamip_model.refit.elimination.units import eliminate_units
from oamip_model.refit.importance import output_importance
from oamip_model.refit.stream import image_stream
from oamip_model.scoring.asked import as_objects


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_it_keeps_as_many_units_as_it_is_told(kind):
    network = om.read_network(*build(kind))
    images = np.random.default_rng(0).normal(size=(60, *network.input_shape))
    scores = om.score(network, images, method=om.Elimination(amount=0.4))
    keep = om.choose_units(scores, network, amount=0.4).keep
    for group in network.groups:
        values = scores.by_layer[group.name]
        assert (values > 0.5).sum() == keep[group.name].sum()
        assert (keep[group.name] == (values > 0.5)).all()
        errors = scores.options["errors"][group.name]
        if errors is None:
            assert kind == "shared"
        else:
            assert len(errors) == group.size
            assert (np.diff(errors) <= 1e-12).all()
            assert scores.options["error"][group.name] <= errors[int(keep[group.name].sum()) - 1] + 1e-9
    assert not scores.proved
    assert "nothing is proved" in scores.summary()


def test_refitted_layers_lose_less_than_by_random_masks():
    network = om.read_network(*build("residual"))
    images = np.random.default_rng(0).normal(size=(200, *network.input_shape))
    losses = []
    for scores in (
        om.score(network, images, method=om.Elimination(amount=0.5)),
        *(om.baseline_scores(network, "random", seed=seed) for seed in range(5)),
    ):
        keep = om.choose_units(scores, network, amount=0.5).keep
        losses.append(om.refit_network(network, keep, images)[1].stages[-1].loss)
    assert losses[0] < np.mean(losses[1:])


def test_the_first_group_is_judged_by_the_layer_that_reads_it():
    network = om.read_network(*build("mlp"))
    images = np.random.default_rng(0).normal(size=(500, 6))
    found = eliminate_units(network, image_stream(network, images), {"0": 3, "2": 0}, om.Refit())
    keep = {name: e.keep for name, e in found.items()}
    refitted, _ = om.refit_network(network, keep, images, om.Refit(relu_passes=0))
    cut = {name: mask.astype(float) for name, mask in keep.items()}
    weight = output_importance(network, image_stream(network, images), seed=0)[1].apart.numpy()
    wanted = network.layers[1].pre_activation([network.activations(images)[0]])
    given = refitted.layers[1].pre_activation([refitted.activations(images, cut)[0]])
    error = float((((wanted - given) ** 2).mean(0) * weight).sum())
    # The same but for the ridge, which pulls to 0 there and to the trained weights here.
    assert found["0"].error == pytest.approx(error, rel=0.05, abs=1e-8)


def test_scores_are_saved_with_their_errors(tmp_path):
    network = om.read_network(*build("mlp"))
    loader = torch.utils.data.DataLoader(torch.as_tensor(np.random.default_rng(0).normal(size=(60, 6))), batch_size=20)
    scores = om.score(network, loader, method=om.Elimination(amount=0.5, swaps=3))
    again = om.load_scores(scores.save(tmp_path / "scores.json"))
    assert again.options["errors"] == scores.options["errors"]
    assert again.method.swaps == 3
    assert again.images == 60


def test_without_an_amount_a_score_is_the_share_of_its_layer_that_is_gone_with_the_unit():
    network = om.read_network(*build("mlp"))
    images = np.random.default_rng(0).normal(size=(60, 6))
    scores = om.score(network, images)
    none = dict.fromkeys((group.name for group in network.groups), 0)
    found = eliminate_units(network, image_stream(network, images), none, om.Refit())
    for group in network.groups:
        values = scores.by_layer[group.name]
        assert np.argsort(values).tolist() == found[group.name].order.tolist()
        np.testing.assert_allclose(np.sort(values), np.arange(1, group.size + 1) / group.size)
        assert scores.options["errors"][group.name] == pytest.approx(found[group.name].errors.tolist())
        assert scores.options["swapped"][group.name] == 0
    assert scores.strategy == "elimination"
    assert not scores.proved


def test_labels_may_be_given_and_change_nothing():
    network = om.read_network(*build("mlp"))
    images = np.random.default_rng(0).normal(size=(60, 6))
    plain, told = om.score(network, images), om.score(network, images, np.zeros(60, dtype=int))
    for name, values in plain.by_layer.items():
        np.testing.assert_array_equal(values, told.by_layer[name])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, None])
def test_an_end_before_the_last_layer_leaves_the_scores_so_far(stop, monkeypatch):
    network = om.read_network(*build("mlp"))
    images = np.random.default_rng(0).normal(size=(60, 6))
    whole = om.score(network, images, method=om.Elimination(amount=0.5))

    def after_one(done, total, line):
        if stop is not None:
            raise stop
        monkeypatch.setattr("oamip_model.clock.time.monotonic", lambda: 1e12)

    run = om.Run(progress=after_one, total_time_limit=None if stop else 1e6)
    scores = om.score(network, images, method=om.Elimination(amount=0.5), run=run)
    assert (scores.interrupted, scores.out_of_time) == (stop is not None, stop is None)
    first, *rest = network.groups
    np.testing.assert_array_equal(scores.by_layer[first.name], whole.by_layer[first.name])
    assert all((scores.by_layer[group.name] == 1).all() for group in rest)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"exchanges": 5}, "swaps: got 5, but without an amount"),
        ({"amount": 1.5}, "amount"),
        (
            {"solver": "cbc"},
            r"solver: got 'cbc', but strategy elimination has no use for it, only decoup",
        ),
        ({"solver": "highs"}, "solver: got 'highs'"),
        ({"weight": 5.0}, "weight: got 5.0"),
        ({"gate": "subtractive"}, "gate: got 'subtractive', .*, only joint, batches, per-class"),
        ({"tolerance": 1e-3}, "tolerance"),
        ({"sweeps": 1}, "sweeps: got 1, .*, only forward, backward"),
        ({"amount": 0.5, "scope": "global"}, "scope"),
        ({"amount": 0.5, "head": "linear"}, "head"),
        ({"amount": 0.5, "gate": "switch", "scores": "binary"}, "gate"),
        ({"amount": 0.5, "time_limit": 5.0}, "time_limit"),
        ({"amount": 0.5, "weight": 2.0}, "weight"),
        ({"amount": 0.5, "store": "x.jsonl"}, "store"),
        ({"amount": 0.5, "jobs": 2}, "jobs"),
        ({"amount": 0.5, "device": "cuda:99"}, "device"),
    ],
)
def test_options_without_a_use_are_refused(options, told):
    network = om.read_network(*build("mlp"))
    with pytest.raises(om.InputError, match=told):
        om.score(network, np.zeros((3, 6)), **as_objects(strategy="elimination", **options))
