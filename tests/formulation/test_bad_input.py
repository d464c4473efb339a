"""Bad input: one line, with the culprit named."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import oamip_model as om
from oamip_model.bounds import interval_bounds
from oamip_model.formulation import Formulation

NAN, INF = float("nan"), float("inf")


def refused(call, *args, match, **options):
    with pytest.raises(om.InputError, match=f"^{match}[^\n]*$") as caught:
        call(*args, **options)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("option", ["gate", "relaxation", "scores", "loss", "sparsity"])
@pytest.mark.parametrize("given", ["Subtractive", "", None, 3])
def test_unknown_choices(problem_of, option, given):
    p = problem_of("dense")
    message = f"{option}: got {given!r}, accepted are "
    if (option, given) != ("relaxation", None):
        refused(p.build, match=message, **{option: given})


@pytest.mark.parametrize("option", ["weight", "margin"])
@pytest.mark.parametrize("given", [NAN, INF, -INF, -1, True, "5", None, 1j])
def test_bad_numbers(problem_of, option, given):
    refused(problem_of("dense").build, match=f"{option}: got ", **{option: given})


@pytest.mark.parametrize("option", ["weight", "margin"])
@pytest.mark.parametrize("given", [2, 2.0, np.float32(2), np.int64(2)])
def test_numbers_of_every_kind_are_accepted(problem_of, option, given):
    instance = problem_of("dense").build(loss="hinge", **{option: given})
    assert getattr(instance, option).value == 2.0


@pytest.mark.parametrize("given", [NAN, INF, -1e-5, True, "small"])
def test_bad_epsilon(problem_of, given):
    refused(problem_of("dense").build, gate="published", epsilon=given, match="epsilon: got ")


def test_choices_that_do_not_go_together(problem_of):
    p = problem_of("dense")
    for gate in ("subtractive", "switch"):
        match = f"epsilon: only the gate published .* gate {gate} has none"
        refused(p.build, gate=gate, scores="binary", epsilon=1e-5, match=match)
    refused(p.build, gate="switch", match="scores: gate switch takes binary scores")
    refused(p.build, gate="switch", epsilon=0.0, match="scores: gate switch takes binary scores")
    assert Formulation(gate="switch", relaxed=True).is_relaxation
    for given in ("yes", 1, None):
        refused(p.build, relaxed=given, match=f"relaxed: got {given!r}, accepted are True and False")


@pytest.mark.parametrize("given", [[0, 3], [-1, 0], [0.5, 1], [NAN, 1], [0], [0, 1, 2], [[0, 1]], ["a", "b"], [], None])
def test_bad_labels(problem_of, given):
    p = problem_of("dense")
    refused(om.build_instance, p.network, p.images, given, match="labels")


def test_bad_images(problem_of):
    p = problem_of("conv")
    spoiled = {}
    for value in (NAN, INF):
        spoiled[value] = p.images.copy()
        spoiled[value][1, 0, 2, 2] = value
        refused(om.build_instance, p.network, spoiled[value], p.labels, match="images: image 1 has a pixel")
    refused(om.build_instance, p.network, p.images[:0], p.labels[:0], match="images: got none")
    refused(om.build_instance, p.network, p.images[:, :, :3], p.labels, match=r"images: got shape \(2, 1, 3, 4\)")
    refused(om.build_instance, p.network, p.images[0, 0, 0], p.labels, match="images: got shape")
    refused(om.build_instance, p.network, "pictures", p.labels, match="images")
    refused(om.build_instance, p.network, None, p.labels, match="images")
    refused(om.build_instance, p.network, [[1, 2], [3]], p.labels, match="images")


def test_bounds_of_something_else(problem_of):
    p, other = problem_of("dense", 0), problem_of("dense", 1)
    build = p.build
    refused(build, bounds="guess", match="bounds: got 'guess', accepted are interval")
    refused(build, bounds=None, match="bounds: got None")
    refused(build, bounds=om.compute_bounds(other.network, p.images), match="bounds: computed for network")
    refused(build, bounds=om.compute_bounds(p.network, p.images + 1e-9), match="bounds: computed for images")
    refused(
        build, bounds=om.compute_bounds(p.network, p.images, epsilon=1e-5), match="bounds: computed for epsilon 1e-05"
    )
    trained = interval_bounds(p.network, p.images, validity="trained network")
    refused(build, bounds=trained, match="bounds: computed for validity trained network")
    refused(
        build, gate="published", bounds=om.compute_bounds(p.network, p.images, epsilon=1e-5),
        match="bounds: computed for validity every score",
    )  # fmt: skip
    refused(
        build, gate="published", epsilon=1e-4, match="bounds: computed for epsilon 1e-05",
        bounds=interval_bounds(p.network, p.images, validity="trained network", epsilon=1e-5),
    )  # fmt: skip


def test_a_network_without_scores():
    network = om.read_network(nn.Sequential(nn.Linear(3, 2)).eval(), (3,))
    refused(om.build_instance, network, np.ones((1, 3)), [0], match="network: no layer carries a score")


@pytest.mark.parametrize("given", [0, 1, -1e-3, 2, NAN, INF, "small", True])
def test_bad_tolerance(given):
    refused(om.Solver, tolerance=given, match="tolerance: got ")


def test_bad_solve_options(problem_of):
    instance = problem_of("dense").build(loss="hinge")
    for options, match in (
        ({"name": "higs"}, "solver: got 'higs', .*did you mean highs"),
        ({"time_limit": 0}, "time_limit: got 0"),
        ({"time_limit": NAN}, "time_limit: got nan"),
        ({"threads": 0}, "threads: got 0"),
        ({"threads": 1.5}, "threads: got 1.5"),
        ({"seed": -1}, "seed: got -1"),
        ({"name": "scip", "threads": 2}, "threads: got 2, but the backend scip"),
    ):
        refused(lambda options=options: om.solve_instance(instance, om.Solver(**options)), match=match)
