"""A linear map from outside the package is read, bounded, scored, cut and refitted as those inside it are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.formulation import cross_entropy
from oamip_model.network.counting.choices import count_choices
from oamip_model.network.maps import LinearMap
from oamip_model.network.readers.onnx.operators import register_onnx_operator
from oamip_model.network.readers.torch.operators import register_torch_operator
from oamip_model.torchnet.layers import TorchLayers
from oamip_model.torchnet.maps import register_map, torch_map

SHAPE = (1, 4, 4)


@pytest.fixture
def own(example):
    return example("own_map")


@pytest.fixture
def network(own):
    return om.read_network(own.make_module(), SHAPE)


@pytest.fixture
def images():
    return np.random.default_rng(1).uniform(size=(4, *SHAPE))


def test_the_example_runs(own, capsys):
    own.main()
    same, solved, sizes, losses = capsys.readouterr().out.splitlines()
    assert same.endswith("True")
    assert solved.startswith("optimal")
    assert sizes == "parameters: 68, then 34"
    before, after = (float(word.strip(",")) for word in losses.split() if word[0].isdigit())
    assert after < before


def test_the_map_is_its_matrix_in_numpy_and_in_torch(own):
    map, x = own.RunningSum(), np.random.default_rng(0).normal(size=(2, 3, 2, 4))
    matrix = map.matrix((3, 2, 4)).toarray()
    assert np.allclose(map.apply(x).reshape(2, -1), x.reshape(2, -1) @ matrix.T, atol=1e-12)
    assert np.allclose(map.transposed((3, 2, 4))(x.reshape(2, -1)), x.reshape(2, -1) @ matrix)
    assert np.array_equal(map.matrix_rows((3, 2, 4))(np.array([5, 0])), matrix[[5, 0]])
    y = torch.as_tensor(x)
    assert torch.equal(torch_map(map).forward(map, y, torch.as_tensor), torch_map(map).module(map, None, ())(y))
    assert np.allclose(torch_map(map).forward(map, y, torch.as_tensor).numpy(), map.apply(x))


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_files_hold_the_network_of_the_module(own, network, tmp_path, form):
    module, path = own.make_module(), tmp_path / f"network.{form}"
    if form == "onnx":
        torch.onnx.export(module, torch.zeros(1, *SHAPE), path, dynamo=False)
    else:
        torch.export.save(torch.export.export(module, (torch.zeros(2, *SHAPE),)), path)
    assert om.read_network(path).fingerprint == network.fingerprint
    assert [type(term.map).__name__ for layer in network.layers for term in layer.terms].count("RunningSum") == 2
    assert {group.name: group.size for group in network.groups} == {"0": 3, "3": 2}


def test_without_it_the_module_is_refused():
    class Sums(nn.Module):
        def forward(self, x):
            return torch.cumsum(x, dim=3)

    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), Sums(), nn.Flatten(), nn.Linear(18, 2)).eval()
    with pytest.raises(om.InputError, match=r"^layer 2.cumsum \(operator cumsum\) is not supported; accepted are "):
        om.read_network(module, SHAPE)


@pytest.mark.parametrize(
    ("axis", "message"), [(2, "sums along another axis than rows"), (1, "sums along another axis than rows")]
)
def test_an_operator_used_otherwise_is_refused(own, axis, message):
    class Sums(nn.Module):
        def forward(self, x):
            return torch.cumsum(x, dim=axis)

    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), Sums(), nn.Flatten(), nn.Linear(18, 2)).eval()
    with pytest.raises(om.InputError, match=message):
        om.read_network(module, SHAPE)


@pytest.mark.parametrize("method", ["interval", "crown", "lp"])
def test_bounds_hold_for_every_score(network, images, method):
    bounds = om.compute_bounds(network, images, method)
    random = np.random.default_rng(2)
    for _ in range(50):
        scores = {g.name: random.uniform(size=g.size).round(random.integers(0, 3)) for g in network.groups}
        for k, (a, _) in enumerate(network.layer_values(images, scores)):
            flat = a.reshape(len(images), -1)
            assert (flat >= bounds.lower[k] - 1e-9).all()
            assert (flat <= bounds.upper[k] + 1e-9).all()


def test_the_optimum_is_that_of_all_binary_scores(network, images):
    labels = np.array([0, 1, 2, 0])
    formulation = om.Formulation(gate="switch", scores="binary", sparsity="mean", weight=5.0)
    found = om.solve_instance(om.build_instance(network, images, labels, formulation), om.Solver(tolerance=1e-6))
    best = np.inf
    for bits in np.ndindex(*(2,) * 5):
        s = np.array(bits, dtype=float)
        logits = network.replay(images, network.by_group(s))
        best = min(best, 5.0 * float(cross_entropy(logits, labels).mean()) + s.mean())
    assert found.status == "optimal"
    assert found.objective == pytest.approx(best, rel=1e-5)


def test_scores_layer_by_layer_replay(network):
    random = np.random.default_rng(3)
    images, labels = random.uniform(size=(40, *SHAPE)), random.integers(0, 3, 40)
    found = om.score(network, images, labels, om.Forward(amount=0.4))
    assert all(program.replay.passed for program in found.programs)


@pytest.mark.parametrize("scores", [{"0": [1, 0, 1], "3": [1, 1]}, {"0": [0, 1, 0], "3": [1, 0]}])
def test_cut_units_are_taken_out(own, network, images, scores):
    module = own.make_module()
    smaller, report = om.prune_with_report(module, scores, threshold=0.5, network=network)
    assert not report.rebuilt
    masks = {name: np.array(values, dtype=float) for name, values in scores.items()}
    with torch.no_grad():
        logits = smaller(torch.as_tensor(images, dtype=torch.float32)).numpy()
    assert np.allclose(logits, network.replay(images, masks), atol=1e-5)
    counts = count_choices(network, {name: [mask > 0] for name, mask in masks.items()})
    assert om.read_network(smaller, SHAPE).size == counts.at([0, 0])


def test_it_is_made_a_module_again(network, images):
    rebuilt = om.to_module(network)
    assert om.read_network(rebuilt, SHAPE).fingerprint == network.fingerprint
    with torch.no_grad():
        outputs = TorchLayers(network, dtype=torch.float64).output(torch.as_tensor(images), {}).numpy()
    assert np.allclose(outputs, network.replay(images), atol=1e-12)


def test_a_refit_behind_it_gives_no_larger_error(network):
    images = np.random.default_rng(4).uniform(size=(100, *SHAPE))
    _, report = om.refit_network(network, {"0": [True, False, True], "3": [True, True]}, images)
    assert [layer.layer for layer in report.layers] == ["3", "7"]
    assert report.layers[0].after < 0.9 * report.layers[0].before
    assert report.layers[1].after <= report.layers[1].before


def test_what_does_not_fit_the_registries_is_refused(own):
    with pytest.raises(om.InputError, match=r"^map: got an object of type RunningSum, accepted are subclasses of"):
        register_map(own.RunningSum())
    with pytest.raises(om.InputError, match=r"^ONNX operator: Conv is read already"):
        register_onnx_operator("Conv", own.read_onnx)
    with pytest.raises(om.InputError, match=r"^operator of torch: rot90 is to be read by str"):
        register_torch_operator("rot90", "own")
    register_torch_operator("cumsum", own.read_torch)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import oamip_model as om

if __name__ == "__main__":
    import own_head, own_map
    network = om.read_network(own_map.make_module(), (1, 4, 4))
    random = np.random.default_rng(0)
    images, labels = random.uniform(size=(20, 1, 4, 4)), random.integers(0, 3, 20)
    method = om.Decoupled(head="prototypes")
    both = [om.score(network, images, labels, method, run=om.Run(jobs=jobs)).by_layer for jobs in (1, 2)]
    print(all(np.array_equal(both[0][name], both[1][name]) for name in both[0]))
"""


def test_worker_processes_know_it_and_a_head(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    folder = Path(__file__).parents[2] / "examples"
    told = subprocess.run([sys.executable, program, folder], capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


def test_a_map_without_its_matrix_is_refused_with_what_is_missing(own):
    whole = own.RunningSum

    class Half(LinearMap):
        name = "half"
        apply, output_shape = whole.apply, whole.output_shape

    with pytest.raises(om.InputError, match=r"^map: .*Half of .* lacks magnitude\(\), matrix\(shape\)$"):
        Half()
