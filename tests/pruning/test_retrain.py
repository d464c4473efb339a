"""Sub-networks trained on, trained again from their first weights, and pruned while they are trained."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.training import logits

SHAPE = (1, 6, 6)
PLAIN: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.2, "batch_size": 99}
"""One step an epoch that remembers nothing, so that a training may be cut in two."""


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    images = rng.uniform(size=(24, *SHAPE))
    images[np.arange(24), 0, labels] += 1.0
    return images, labels


@pytest.fixture
def module(module_of: Any) -> nn.Module:
    """A residual network with tied filters and batch norm, in double precision, with weights of its own."""
    return module_of("residual")[0].double()


def keep_of(module: nn.Module, seed: int, share: float = 0.5) -> dict[str, np.ndarray]:
    network = om.read_network(module, SHAPE)
    return om.choose_units(om.baseline_scores(network, "random", seed), network, amount=share).keep


def removed_outputs(module: nn.Module, keep: dict[str, np.ndarray]) -> list[torch.Tensor]:
    """Weights and biases that are in use in the rows of removed units, batch norm included."""
    module(torch.zeros(1, *SHAPE, dtype=torch.float64))
    rows = {"stem": ["stem", "conv2", "bn2", "conv3"], "conv1": ["conv1", "bn1"]}
    parts = [(module.get_submodule(path), ~keep[name]) for name, paths in rows.items() for path in paths]
    tensors = [(getattr(part, name), gone) for part, gone in parts for name in ("weight", "bias")]
    return [values[gone] for values, gone in tensors if values is not None]


def test_fine_tuning_holds_the_masks_and_leaves_the_module_alone(module: nn.Module, data: Any) -> None:
    om.train(module, *data, epochs=2, **PLAIN)
    before = copy.deepcopy(module.state_dict())
    keep = keep_of(module, 1)
    tuned, result = om.fine_tune(module, *data, keep=keep, epochs=3, optimizer="adam", weight_decay=0.1)
    assert len(result.losses) == 3
    assert not any(rows.any() for rows in removed_outputs(tuned, keep))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    again, result = om.fine_tune(tuned, *data)
    assert len(result.losses) == 1
    assert not any(rows.any() for rows in removed_outputs(again, keep))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_masked_and_removed_take_the_same_steps(module: nn.Module, data: Any, optimizer: Any) -> None:
    keep = keep_of(module, 2)
    options = {"epochs": 3, "optimizer": optimizer, "batch_size": 9, "weight_decay": 0.01, "learning_rate": 0.01}
    masked, masked_result = om.retrain(module, keep, *data, mode="mask", **options)
    smaller, result = om.retrain(module, keep, *data, **options)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in masked.parameters())
    np.testing.assert_allclose(result.losses, masked_result.losses, rtol=1e-6)
    np.testing.assert_allclose(logits(smaller, data[0]), logits(masked, data[0]), rtol=1e-4, atol=1e-4)


def test_a_ticket_begins_with_the_first_weights(data: Any) -> None:
    initial = om.make_network("dense-6-5", SHAPE, 3, seed=4)
    trained = copy.deepcopy(initial)
    om.train(trained, *data, epochs=3, learning_rate=0.05)
    keep = {"fc1": [1, 0, 1, 1, 0, 0], "fc2": [True, False, True, True, True]}
    ticket, result = om.retrain(initial, keep, *data, epochs=1, optimizer="sgd", learning_rate=1e-12)
    assert torch.allclose(ticket.fc2.weight, initial.fc2.weight[[0, 2, 3, 4]][:, [0, 2, 3]], atol=1e-9)
    assert not torch.allclose(ticket.fc2.weight, trained.fc2.weight[[0, 2, 3, 4]][:, [0, 2, 3]], atol=1e-3)
    assert result.accuracy == om.accuracy(ticket, *data)


def test_pruning_while_training_is_training_then_masking_then_training(module: nn.Module, data: Any) -> None:
    keep = keep_of(module, 3)
    found = om.prune_while_training(module, *data, lambda *_: keep, every=3, epochs=5, **PLAIN)
    om.train(module, *data, epochs=3, **PLAIN)
    wanted, result = om.fine_tune(module, *data, keep=keep, epochs=2, **PLAIN)
    np.testing.assert_allclose(logits(found.module, data[0]), logits(wanted, data[0]), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.training.losses[3:], result.losses, rtol=1e-6)
    assert (found.full, found.full_training) == (None, None)
    sizes = [group.size for group in om.read_network(found.module, SHAPE).groups]
    assert sizes == [int(mask.sum()) for mask in keep.values()]


def test_units_once_gone_stay_gone(data: Any) -> None:
    module = om.make_network("dense-4", SHAPE, 3)
    seen = []

    def choose(now: nn.Module, epoch: int) -> dict[str, list[int]]:
        seen.append((epoch, now.training, not now.fc1.weight[0].any()))
        return {"fc1": [0, 1, 1, 1] if epoch == 1 else [1, 1, 0, 1]}

    found = om.prune_while_training(module, *data, choose, every=1, epochs=3)
    assert seen == [(1, False, False), (2, False, True)]
    assert [(epoch, keep["fc1"].tolist()) for epoch, keep in found.choices] == [
        (1, [False, True, True, True]),
        (2, [False, True, False, True]),
    ]
    assert found.module.fc1.out_features == 2


def test_beside_it_the_full_network_is_trained_as_if_nothing_were_pruned(module: nn.Module, data: Any) -> None:
    masks = {2: keep_of(module, 5), 4: keep_of(module, 6), 6: keep_of(module, 6)}
    options: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.05, "batch_size": 7}
    told: list[tuple[int, float]] = []
    found = om.prune_while_training(
        module, *data, lambda _, epoch: masks[epoch], every=2, beside=True, epochs=7,
        progress=lambda *seen: told.append(seen), **options,
    )  # fmt: skip
    plain = copy.deepcopy(module)
    result = om.train(plain, *data, epochs=7, **options)
    assert found.full is not None
    assert found.full_training is not None
    assert found.full_training.losses == result.losses
    assert all(torch.equal(p, q) for p, q in zip(found.full.parameters(), plain.parameters(), strict=True))
    # The choice after epoch 6 is that after epoch 4, so that the smaller network's training goes on.
    om.train(module, *data, epochs=4, **options)
    wanted, small = om.fine_tune(module, *data, keep=masks[6], epochs=3, **options)
    assert found.training.losses[4:] == small.losses
    assert told == list(enumerate(found.training.losses, start=1))
    np.testing.assert_allclose(logits(found.module, data[0]), logits(wanted, data[0]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ([1, 0], "keep: got list"),
        ({"fc9": [1, 0]}, "keep: unknown layer 'fc9'"),
        ({"fc1": [1, 0]}, "keep: layer fc1 has 4 units, got scores of shape (2,)"),
        ({"fc1": [1, 0, 0.5, 1]}, "keep: layer fc1 has entries that are not True or False"),
        ({"fc1": [0, 0, 0, 0]}, "keep: layer fc1 keeps no unit"),
    ],
)
def test_what_cannot_be_kept_is_refused(data: Any, keep: Any, words: str) -> None:
    module = om.make_network("dense-4", SHAPE, 3)
    for call in (lambda: om.retrain(module, keep, *data), lambda: om.fine_tune(module, *data, keep=keep)):
        with pytest.raises(InputError) as error:
            call()
        assert words in str(error.value)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Parameter(torch.ones(4, 36)), nn.Parameter(torch.ones(3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.flatten(1) @ self.inner.T) @ self.outer.T


def test_gradual_pruning_refuses_what_it_cannot_do(data: Any) -> None:
    module = om.make_network("dense-4", SHAPE, 3)
    cases: list[tuple[nn.Module, dict[str, Any], str]] = [
        (module, {"every": 5, "epochs": 5}, "every: got 5, accepted are integers from 1 to below the 5 epochs"),
        (module, {"every": 0}, "every: got 0"),
        (module, {"every": 1, "early_stop": 2}, "early_stop: it does not go with"),
        (Functional().eval(), {"every": 1}, "module: its layers cannot be masked in place"),
    ]
    for network, options, words in cases:
        with pytest.raises(InputError) as error:
            om.prune_while_training(network, *data, lambda *_: {"fc1": [1, 1, 0, 0]}, **options)
        assert words in str(error.value)

    def swap(_: nn.Module, epoch: int) -> dict[str, list[int]]:
        return {"fc1": [1, 0, 0, 0] if epoch == 1 else [0, 1, 1, 1]}

    with pytest.raises(InputError, match="none of the units of layer fc1 that were left stays"):
        om.prune_while_training(module, *data, swap, every=1, epochs=3)
