"""What a training of the outgoing weights sees: mixed images, from behind the first layer where that is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning.conftest import build
from refit_masks import masks
from torch import Tensor, nn

import oamip_model as om
from oamip_model.network.types import Network
from oamip_model.refit import shown
from oamip_model.refit.shown import Shown
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk


def dense(count: int = 60) -> tuple[Network, np.ndarray, dict[str, np.ndarray]]:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(18, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3)
    ).eval()
    network = om.read_network(module, (2, 3, 3))
    return network, np.random.default_rng(0).normal(size=(count, 2, 3, 3)), masks(network, 1)


def seen(network: Network, images: np.ndarray, keep: dict[str, np.ndarray]) -> tuple[Walk, Shown]:
    walk = Walk(network, slim_network(network, keep), image_stream(network, images))
    return walk, Shown(walk)


def from_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "_reads_once", lambda network: False)


def test_mixed_pre_activations_are_those_of_mixed_pixels(monkeypatch):
    problem = dense()
    walk, behind = seen(*problem)
    assert behind.behind
    assert behind.rows.shape == (60, 9)
    from_pixels(monkeypatch)
    _, pixels = seen(*problem)
    assert pixels.rows.shape == (60, 2, 3, 3)
    mixed = [one.varied(one.rows, 0.2, torch.Generator().manual_seed(3)) for one in (behind, pixels)]
    assert not torch.allclose(mixed[0], behind.rows, atol=1e-3)
    torch.testing.assert_close(mixed[0], walk.trained.before(0, mixed[1], {}), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(behind.taught(mixed[0]), pixels.taught(mixed[1]), atol=1e-5, rtol=0.0)
    logits = [one.logits(walk.cut, rows, {}) for one, rows in zip((behind, pixels), mixed, strict=True)]
    torch.testing.assert_close(logits[0], logits[1], atol=1e-5, rtol=0.0)
    # The cut network as it stands, by a pass of its own through the pixels.
    torch.testing.assert_close(logits[1], walk.cut.output(mixed[1], {}), atol=0.0, rtol=0.0)


def test_the_weights_do_not_depend_on_where_steps_begin(monkeypatch):
    network, images, keep = dense(450)
    options = om.Refit(level="outgoing", passes=3)
    one, report = om.refit_network(network, keep, images, options)
    from_pixels(monkeypatch)
    other, again = om.refit_network(network, keep, images, options)
    assert report.outgoing is not None
    assert again.outgoing is not None
    assert report.outgoing.kept == again.outgoing.kept > 0
    assert report.outgoing.after == pytest.approx(again.outgoing.after, rel=1e-4)
    for layer, twin in zip(one.layers, other.layers, strict=True):
        np.testing.assert_allclose(layer.terms[0].map.weight, twin.terms[0].map.weight, atol=1e-4)
        np.testing.assert_allclose(layer.bias, twin.bias, atol=1e-4)


def test_half_of_the_images_are_mixed_at_first_and_none_at_the_end():
    _, images = seen(*dense(400))
    rows = images.rows

    def moved(done: float) -> float:
        varied = images.varied(rows, done, torch.Generator().manual_seed(0))
        assert float(varied.max()) <= float(rows.max())
        return float((varied != rows).any(1).double().mean())

    assert moved(0.0) == pytest.approx(0.5, abs=0.08)
    assert moved(0.5) == pytest.approx(0.25, abs=0.08)
    assert moved(1.0) == 0.0


@pytest.mark.parametrize("kind", ["mlp", "residual", "conv"])
def test_steps_begin_with_the_image_where_more_than_a_narrow_first_layer_reads_it(kind):
    module, shape = build(kind)
    network = om.read_network(module, shape)
    images = np.random.default_rng(0).normal(size=(20, *shape))
    walk, found = seen(network, images, masks(network, 1))
    assert not found.behind
    np.testing.assert_allclose(found.rows, images, atol=1e-6)
    torch.testing.assert_close(found.logits(walk.cut, found.rows, {}), walk.cut.output(found.rows, {}))


def test_a_gate_behind_the_first_layer_is_passed():
    network, images, keep = dense()
    _, found = seen(network, images, {group.name: np.ones(group.size, dtype=bool) for group in network.groups})
    gate = {0: torch.as_tensor(keep[network.groups[0].name], dtype=torch.float32)}
    expected = found._trained.output(torch.as_tensor(images, dtype=torch.float32), gate)
    torch.testing.assert_close(found.logits(found._trained, found.rows, gate), expected, atol=1e-5, rtol=0.0)


def test_images_are_mixed_with_each_other_only_if_asked(monkeypatch):
    network, images, keep = dense()
    calls: list[Tensor] = []
    real = Shown.varied

    def varied(self: Shown, rows: Tensor, done: float, generator: torch.Generator) -> Tensor:
        calls.append(rows)
        return real(self, rows, done, generator)

    monkeypatch.setattr(Shown, "varied", varied)
    om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=2, varied=False))
    assert not calls
    om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=2))
    assert len(calls) == 2


@pytest.mark.parametrize(("kind", "passes"), [("mlp", 30), ("conv", 20)])
def test_networks_that_convolve_make_fewer_passes_by_default(kind, passes):
    module, shape = build(kind)
    network = om.read_network(module, shape)
    images = np.random.default_rng(0).normal(size=(20, *shape))
    _, report = om.refit_network(network, masks(network, 1), images, "outgoing")
    assert report.outgoing is not None
    assert report.outgoing.passes == passes
    with pytest.raises(om.InputError, match="passes: got 0, accepted is a whole number from 1"):
        om.Refit(passes=0)
