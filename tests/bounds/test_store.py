"""Bounds come back from a file as they were, and a file that is not whole, or does not fit, is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import oamip_model as om
from oamip_model.scoring.asked import as_objects


@pytest.fixture
def saved(problem_of, tmp_path):
    p = problem_of("conv")
    bounds = om.compute_bounds(p.network, p.images, "lp")
    bounds.save(tmp_path / "bounds.npz")
    return p, bounds, tmp_path / "bounds.npz"


def test_saved_and_loaded_bounds_are_equal_and_used(saved):
    p, bounds, path = saved
    loaded = om.load_bounds(path)
    for side in ("lower", "upper", "output_lower", "output_upper"):
        for mine, theirs in zip(getattr(bounds, side), getattr(loaded, side), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    for name in ("method", "validity", "epsilon", "network", "images", "reports"):
        assert getattr(loaded, name) == getattr(bounds, name)
    assert len(p.build(bounds=loaded).z) == len(p.build(bounds=bounds).z)


@pytest.mark.parametrize(
    ("options", "culprit"),
    [({"gate": "published"}, "validity"), ({"images": -1.0}, "images"), ({"bias": 1e-9}, "network")],
)
def test_loaded_bounds_of_something_else_are_refused(saved, options, culprit):
    p, _, path = saved
    other = p
    if "images" in options:
        other = replace(p, images=p.images * options["images"])
    if "bias" in options:
        last = p.network.layers[-1]
        last = replace(last, bias=last.bias + options["bias"])
        other = replace(p, network=replace(p.network, layers=(*p.network.layers[:-1], last)))
    gate = {"gate": "published"} if "gate" in options else {}
    with pytest.raises(om.InputError, match=f"^bounds: computed for {culprit}[^\n]*$"):
        other.build(bounds=om.load_bounds(path), **gate)


def change(path, **entries):
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    np.savez(path, **(found | entries))


def test_a_file_that_was_changed_cut_or_is_something_else_is_refused(saved):
    _, bounds, path = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(om.InputError, match=r"^bounds: [^\n]*cannot be read[^\n]*$"):
        om.load_bounds(path)
    path.write_bytes(b"")
    with pytest.raises(om.InputError, match=r"^bounds: [^\n]*cannot be read[^\n]*$"):
        om.load_bounds(path)
    path.write_bytes(whole)
    change(path, upper_1=bounds.upper[1] / 2)
    with pytest.raises(om.InputError, match=r"^bounds: [^\n]*as they were saved$"):
        om.load_bounds(path)
    path.write_bytes(whole)
    change(path, facts=np.array(json.dumps({"format": 99})))
    with pytest.raises(om.InputError, match=r"^bounds: [^\n]*$"):
        om.load_bounds(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(om.InputError, match=r"^bounds: [^\n]*cannot be read[^\n]*$"):
        om.load_bounds(path)
    path.unlink()
    with pytest.raises(om.InputError, match=r"^bounds: there is no file [^\n]*$"):
        om.load_bounds(path)


def test_a_place_that_cannot_be_written_is_named(saved, tmp_path):
    _, bounds, _ = saved
    for name, culprit in [("bounds.json", "not a name ending in .npz"), ("nowhere/b.npz", "there is no folder")]:
        with pytest.raises(om.InputError, match=culprit):
            bounds.save(tmp_path / name)
    assert not list(tmp_path.glob(".*"))


def test_the_published_gate_keeps_the_bounds_that_define_it(problem_of):
    p = problem_of("conv")
    box = {"validity": "trained network", "epsilon": 1e-5}
    interval, crown = (om.compute_bounds(p.network, p.images, method, **box) for method in ("interval", "crown"))
    assert p.build(gate="published", bounds=interval).nvariables() == p.build(gate="published").nvariables()
    for tighter in (crown, "crown"):
        with pytest.raises(om.InputError, match=r"^bounds: the gate published is defined by interval bounds[^\n]*$"):
            p.build(gate="published", bounds=tighter)


def test_a_program_names_what_it_takes(problem_of):
    with pytest.raises(om.InputError, match=r"^bounds: got 'lp', accepted are interval, crown, or what [^\n]*$"):
        problem_of("conv").build(bounds="lp")


@pytest.mark.parametrize("method", ["crown", "lp"])
def test_scores_take_the_method_by_name(problem_of, method):
    p = problem_of("conv", 0, 1)
    options = {"strategy": "joint", "gate": "switch", "scores": "binary", "sparsity": "mean"}
    named = om.score(p.network, p.images, p.labels, **as_objects(bounds=method, **options))
    given = om.compute_bounds(p.network, p.images, method)
    handed = om.score(p.network, p.images, p.labels, **as_objects(bounds=given, **options))
    assert named.objective == pytest.approx(handed.objective)
    assert named.objective == pytest.approx(
        om.score(p.network, p.images, p.labels, **as_objects(**options)).objective, rel=1e-3
    )
