"""Compression is exact on the box, and its certificate says nothing that another solver does not prove."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_modules import FixedView, Residual
from torch import nn

import oamip_model as om
from oamip_model.certify.box import Box
from oamip_model.certify.certificate import TOLERANCE, claims_of
from oamip_model.certify.stable import find_stable

DOMAIN = (-0.5, 0.5)


def dense(seed: int, inputs: int | None = None) -> om.Network:
    torch.manual_seed(seed)
    pick = np.random.default_rng(seed)
    first = int(pick.integers(1, 4)) if inputs is None else inputs
    width = int(pick.integers(3, 7))
    parts = [nn.Linear(first, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)]
    return om.read_network(nn.Sequential(*parts).eval(), (first,))


def convolutions(first: nn.Conv2d, last: nn.Conv2d, flat: int) -> om.Network:
    parts = [first, nn.ReLU(), last, nn.ReLU(), nn.Flatten(), nn.Linear(flat, 2)]
    return om.read_network(nn.Sequential(*parts).eval(), (1, 4, 4))


def difference(one: om.Network, other: om.Network, domain=DOMAIN, count: int = 400) -> float:
    x = Box.of(domain, one.input_shape).sample(count, seed=5).reshape(-1, *one.input_shape)
    return float(np.abs(one.replay(x) - other.replay(x)).max())


def test_small_networks_are_equal_on_the_box():
    removed = folded = units = 0
    for seed in range(50):
        network = dense(seed)
        found = om.compress(network, DOMAIN, checker=None)
        assert difference(network, found.network) <= TOLERANCE
        for size, gone, merged in found.removed.values():
            units, removed, folded = units + size, removed + gone, folded + merged
    assert removed > 0.1 * units
    assert folded > 0


def test_every_stable_unit_is_found_and_no_other():
    for seed in range(12):
        network = dense(seed, inputs=2)
        grid = np.linspace(*DOMAIN, 301)
        x = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
        states = list(network.layer_values(x))
        claims = claims_of(network, find_stable(network, Box.of(DOMAIN, (2,)), om.Solver()))
        for claim, group in zip(claims, network.groups, strict=True):
            a = states[group.layers[0]][0]
            # Between the points of the grid a unit may change its state by a little.
            clear = 0.02 * np.abs(a).max()
            for unit in range(group.size):
                least, most = a[:, unit].min(), a[:, unit].max()
                assert (str(unit) in claim.never) <= (most <= 0)
                assert (str(unit) in claim.always) <= (least >= 0)
                assert (str(unit) in claim.never) or most > -clear
                assert (str(unit) in claim.always) or least < clear


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (FixedView, (1, 8, 8)),
        (lambda: Residual(True), (1, 6, 6)),
        (lambda: Residual(False), (1, 6, 6)),
        (
            lambda: nn.Sequential(
                nn.Conv2d(1, 6, 2), nn.ReLU(), nn.Conv2d(6, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
            ),
            (1, 6, 6),
        ),
    ],
    ids=["max pooling", "projection", "shortcut", "convolutions"],
)
def test_channels_that_are_stable_at_all_positions_leave(make, shape):
    torch.manual_seed(1)
    module = make().eval()
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.data += torch.randn_like(parameter)
    network = om.read_network(module, shape)
    found = om.compress(network, (0.0, 0.05), checker="cbc")
    assert sum(gone + folded for _, gone, folded in found.removed.values()) > 0
    assert found.network.parameters < network.parameters
    assert difference(network, found.network, (0.0, 0.05)) <= TOLERANCE


def test_channels_that_are_always_on_are_folded():
    torch.manual_seed(0)
    first, last = nn.Conv2d(1, 8, 2), nn.Conv2d(8, 3, 2)
    first.bias.data += 5.0
    network = convolutions(first, last, 12)
    found = om.compress(network, (0.0, 0.5), checker="cbc")
    # A kernel of 2 x 2 of one channel has four dimensions.
    assert found.removed["0"] == (8, 0, 4)
    assert difference(network, found.network, (0.0, 0.5)) <= TOLERANCE


def test_padding_in_the_reader_forbids_to_fold_a_constant():
    torch.manual_seed(0)
    first, last = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 3, 3, padding=1)
    first.bias.data += 5.0
    network = convolutions(first, last, 48)
    assert om.compress(network, (0.0, 0.5), checker=None).removed["0"] == (8, 0, 0)


def test_a_layer_that_is_never_on_keeps_one_unit():
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    module[0].bias.data -= 9.0
    network = om.read_network(module, (2,))
    found = om.compress(network, (0.0, 1.0), checker=None)
    assert found.network.layers[0].size == 1
    assert difference(network, found.network, (0.0, 1.0)) == 0


def test_without_time_units_are_kept_and_the_certificate_says_so():
    torch.manual_seed(0)
    parts = [nn.Linear(20, 60), nn.ReLU(), nn.Linear(60, 60), nn.ReLU(), nn.Linear(60, 3)]
    network = om.read_network(nn.Sequential(*parts).eval(), (20,))
    found = om.compress(network, (-0.1, 0.1), solver=om.Solver(time_limit=1e-3), checker=None)
    assert not found.certificate.complete
    assert difference(network, found.network, (-0.1, 0.1)) <= TOLERANCE


@pytest.fixture(scope="module")
def case():
    network = dense(6)
    return network, om.compress(network, DOMAIN, checker=None)


def test_a_certificate_is_saved_read_and_checked(case, tmp_path):
    network, found = case
    found.certificate.save(tmp_path / "c.json")
    known = om.load_certificate(tmp_path / "c.json")
    assert known == found.certificate
    om.check_certificate(network, found.network, known, "cbc")


def test_false_claims_are_not_proved_again(case):
    network, found = case
    told = 0
    for k, claim in enumerate(found.certificate.claims):
        for unit in range(claim.units):
            for side in ("never", "always"):
                if str(unit) in claim.never or str(unit) in claim.always:
                    continue
                false = replace(claim, **{side: {**getattr(claim, side), str(unit): "bounds"}})
                claims = tuple(false if n == k else c for n, c in enumerate(found.certificate.claims))
                with pytest.raises(om.CheckError, match=f"unit {unit} of {claim.group} is {side} on"):
                    om.check_certificate(network, found.network, replace(found.certificate, claims=claims), "cbc")
                told += 1
    assert told


def test_another_network_and_a_larger_box_are_refused(case):
    network, found = case
    with pytest.raises(om.InputError, match="it is of network"):
        om.check_certificate(dense(7), found.network, found.certificate, "cbc")
    wide = replace(found.certificate, domain=replace(found.certificate.domain, lower=(-9.0,), upper=(9.0,)))
    with pytest.raises(om.CheckError):
        om.check_certificate(network, found.network, wide, "cbc")
    with pytest.raises(om.CheckError):
        om.check_certificate(network, network, found.certificate, "cbc")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format"), ({"kind": "else"}, "kind"), ({"claims": 3}, "claims"), ({"more": 1}, "more"),
        ({"domain": {"lower": [0.0]}}, "upper"), ({"complete": "yes"}, "complete"),
    ],
)  # fmt: skip
def test_a_damaged_certificate_is_refused(case, tmp_path, change, said):
    path = tmp_path / "c.json"
    case[1].certificate.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(om.InputError, match=said):
        om.load_certificate(path)


def test_units_that_a_group_does_not_have_are_refused(case, tmp_path):
    path = tmp_path / "c.json"
    for unit in ("99", "-1", "x", "", "00", "9" * 5000, "٣", "²"):
        claim = replace(case[1].certificate.claims[0], never={unit: "bounds"})
        replace(case[1].certificate, claims=(claim, *case[1].certificate.claims[1:])).save(path)
        with pytest.raises(om.InputError, match="has no unit"):
            om.load_certificate(path)


def test_the_file_of_a_folded_network_holds_it_to_the_last_digit(tmp_path):
    from oamip_model.certify.compression import double_precision

    network = next(net for net in map(dense, range(99)) if not om.compress(net, DOMAIN, checker=None).exact_in_single)
    found = om.compress(network, DOMAIN, checker=None)
    with double_precision():
        module = om.to_module(found.network)
    om.save_module(module, tmp_path / "small.onnx", network.input_shape)
    assert difference(network, om.read_network(tmp_path / "small.onnx")) <= TOLERANCE
