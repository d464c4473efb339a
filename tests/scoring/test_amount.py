"""An amount as the goal: of each layer, or of all layers by one weight along a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.formulation import cross_entropy
from oamip_model.pruning import choose_units
from oamip_model.runs.store import RunStore
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.layer_options import PATH
from oamip_model.scoring.layerwise.heads.convex_layer import _along_weights
from oamip_model.scoring.layerwise.plan import Plan
from oamip_model.scoring.layerwise.task import LayerTask


def labelled(network: om.Network, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(n, *network.input_shape))
    return images, network.replay(images + 0.3 * rng.normal(size=images.shape)).argmax(axis=1)


def harm_of_cut(network: om.Network, data: Any, scores: Any, amount: float) -> tuple[float, float]:
    """Share of the images classified wrongly, and the loss, with a bit of room for single precision."""
    keep = choose_units(scores, network, amount=amount, scope="global").keep
    logits = network.replay(data[0], {name: mask.astype(float) for name, mask in keep.items()})
    wrong = float((logits.argmax(axis=1) != data[1]).mean())
    return wrong, round(float(cross_entropy(logits, data[1]).mean()), 4)


@pytest.fixture(scope="module")
def problem(problem_of: Any) -> tuple[om.Network, tuple[np.ndarray, np.ndarray]]:
    network = problem_of("dense", 3, 1).network
    return network, labelled(network, 200)


@pytest.mark.parametrize("sparsity", ["published", "mean"])
def test_one_weight_for_all_layers_is_the_one_of_the_path_whose_cut_does_best(problem: Any, sparsity: str) -> None:
    network, data = problem
    options: dict[str, Any] = {"strategy": "decoupled", "sparsity": sparsity, "tolerance": 1e-5}
    found = om.score(network, *data, **as_objects(**options, amount=0.4, scope="global"))
    harm = harm_of_cut(network, data, found, 0.4)
    total = sum(group.size for group in network.groups)
    for weight in PATH:
        parts = [group.size * len(network.groups) / total for group in network.groups]
        by_layer = {}
        for group, part in zip(network.groups, parts, strict=True):
            own = weight if sparsity == "published" else weight / part
            by_layer[group.name] = om.score(network, *data, **as_objects(**options, weight=own)).by_layer[group.name]
        assert harm <= harm_of_cut(network, data, by_layer, 0.4)
    weights = [program.weight for program in found.programs]
    if sparsity == "published":
        assert len(set(weights)) == 1
        assert weights[0] in PATH
    else:
        per_unit = [w * group.size for w, group in zip(weights, network.groups, strict=True)]
        assert per_unit[0] == pytest.approx(per_unit[1]), "every unit of the network has the same price"
    for program, group in zip(found.programs, network.groups, strict=True):
        logits = network.replay(data[0], named(network) | {group.name: found.by_layer[group.name]})
        assert program.replayed_loss == pytest.approx(cross_entropy(logits, data[1]).mean(), rel=1e-4)


def named(network: om.Network) -> dict[str, np.ndarray]:
    return {group.name: np.ones(group.size) for group in network.groups}


@pytest.mark.parametrize("kind", ["dense", "residual", "conv"])
@pytest.mark.parametrize("strategy", ["forward", "backward"])
def test_sweeps_do_no_worse_and_remove_what_was_asked(problem_of: Any, kind: str, strategy: str) -> None:
    network = problem_of(kind, 2, 1).network
    data = labelled(network, 100)
    amount = 0.35
    alone = om.score(network, *data, method=om.Decoupled(amount=amount, scope="global"))
    none = om.score(network, *data, **as_objects(strategy=strategy, amount=amount, scope="global", sweeps=0))
    swept = om.score(network, *data, **as_objects(strategy=strategy, amount=amount, scope="global", sweeps=2))
    for name, values in alone.by_layer.items():
        np.testing.assert_array_equal(none.by_layer[name], values)
    before, after = (harm_of_cut(network, data, scores, amount) for scores in (alone, swept))
    assert after <= before
    sizes = {group.name: group.size for group in network.groups}
    keep = choose_units(swept, network, amount=amount, scope="global").keep
    gone = sum(int((~mask).sum()) for mask in keep.values())
    assert gone == min(round(amount * sum(sizes.values()) - 1e-9), sum(sizes.values()) - len(sizes))


def test_another_amount_takes_the_path_from_the_store(problem: Any, tmp_path: Path) -> None:
    network, data = problem
    options: dict[str, Any] = {"strategy": "decoupled", "scope": "global", "store": tmp_path / "runs.jsonl"}
    for amount in (0.3, 0.5, 0.7):
        found = om.score(network, *data, **as_objects(**options, amount=amount))
        assert len(RunStore(tmp_path / "runs.jsonl").records) == len(network.groups)
        fresh = om.score(network, *data, **as_objects(**options | {"store": None}, amount=amount))
        for name, values in fresh.by_layer.items():
            np.testing.assert_array_equal(found.by_layer[name], values)


def test_mixed_integer_programs_have_a_path_too(problem_of: Any) -> None:
    p = problem_of("dense", 1, 3)
    options: dict[str, Any] = {"strategy": "decoupled", "amount": 0.4, "scope": "global"}
    found = om.score(p.network, p.images, p.labels, **as_objects(head="rest", relaxation="partition-2", **options))
    assert found.status == "optimal"
    assert found.replay.passed
    assert len({program.weight for program in found.programs}) == 1


@pytest.mark.parametrize("amount", [0.2, 0.4, 0.6, 0.8])
def test_the_weight_of_a_layer_gets_to_the_amount(problem: Any, amount: float) -> None:
    network, (images, labels) = problem
    size = network.groups[0].size
    task = LayerTask(network, images, labels, 0, {}, Plan(amount=amount))

    def solve(weight: float) -> Any:
        """Scores of which one more is 1 for each factor of 1.4 in the weight."""
        return SimpleNamespace(scores=(np.arange(size) < np.log(weight / 0.1) / np.log(1.4)).astype(float))

    weights, results = _along_weights(task, solve)
    kept = [int(result.scores.sum()) for result in results]
    stay = int(task.cut(np.ones(size)).sum())
    assert stay in kept
    steps = [weight for weight in weights if weight in PATH]
    assert steps == list(PATH[: len(steps)])
    assert sum(count > stay for count in kept[: len(steps)]) <= 2, "weights far beyond the amount are not solved"
    # Without an amount the plan's weights are solved, and no other.
    assert _along_weights(replace(task, plan=Plan(path=(1.0, 9.0))), solve)[0] == [1.0, 9.0]


def test_two_jobs_find_what_one_finds(problem: Any) -> None:
    network, data = problem
    options: dict[str, Any] = {"strategy": "decoupled", "head": "linear", "amount": 0.5, "scope": "global"}
    one, two = (om.score(network, *data, **as_objects(**options, jobs=jobs)) for jobs in (1, 2))
    for name, values in one.by_layer.items():
        np.testing.assert_allclose(two.by_layer[name], values, atol=1e-9)
    assert [p.weight for p in one.programs] == [p.weight for p in two.programs]
