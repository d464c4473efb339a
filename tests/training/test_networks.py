from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.errors import InputError

LAYERS = {
    "fc3": [(300, 784), (100, 300), (10, 100)],
    "fc4": [(200, 784), (100, 200), (100, 100), (10, 100)],
    "lenet5": [(6, 1, 5, 5), (16, 6, 5, 5), (120, 256), (84, 120), (10, 84)],
    "dense-7": [(7, 784), (10, 7)],
}


@pytest.mark.parametrize("name", LAYERS)
def test_named_networks_have_their_published_sizes(name):
    module = om.make_network(name)
    assert [tuple(p.shape) for p in module.parameters() if p.ndim > 1] == LAYERS[name]
    assert not module.training
    assert module(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_lenet5_has_4684_relus_on_28_by_28():
    sizes = []
    module = om.make_network("lenet5")
    for part in module.modules():
        if isinstance(part, nn.ReLU):
            part.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.numel()))
    module(torch.zeros(1, 1, 28, 28))
    assert sum(sizes) == 4684


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("fc3", (64,), 4),
        ("fc4", (3, 32, 32), 100),
        ("lenet5", (3, 32, 32), 10),
        ("lenet5", (1, 16, 19), 2),
        ("dense-5-6-7", (1, 8, 8), 3),
        ("vgg16-bn-0.02", (1, 28, 28), 3),
        ("vgg16-bn-0.02", (3, 64, 33), 4),
        ("resnet20-0.1", (2, 9, 12), 5),
    ],
)
def test_other_inputs_and_class_numbers(name, shape, classes):
    module = om.make_network(name, shape, classes)
    assert module(torch.zeros(2, *shape)).shape == (2, classes)
    names = [n for n, part in module.named_children() if list(part.parameters())]
    convolutions = [n for n in names if n.startswith("conv")]
    dense = [n for n in names if n.startswith("fc")]
    assert convolutions == [f"conv{i + 1}" for i in range(len(convolutions))]
    assert dense == [f"fc{i + 1}" for i in range(len(dense))]


def test_published_sizes_of_vgg16_and_resnet20():
    # Parameters of ResNet-20 with projections on CIFAR-10; the paper's 0.27 M.
    assert sum(p.numel() for p in om.make_network("resnet20", (3, 32, 32)).parameters()) == 272_474
    filters = [p.shape[0] for p in om.make_network("vgg16-bn", (3, 32, 32)).parameters() if p.ndim > 1]
    assert filters == [64, 64, 128, 128, *[256] * 3, *[512] * 8, 10]
    narrow = [p.shape[0] for p in om.make_network("vgg16-bn-0.25", (1, 28, 28)).parameters() if p.ndim > 1]
    assert narrow == [size // 4 for size in filters[:-1]] + [10]


@pytest.mark.parametrize(
    ("shape", "pools", "features"), [((1, 28, 28), 4, 10), ((3, 32, 32), 5, 10), ((3, 64, 96), 5, 60)]
)
def test_vgg16_pools_while_there_is_something_to_pool(shape, pools, features):
    module = om.make_network("vgg16-bn-0.02", shape)
    assert sum(isinstance(part, nn.MaxPool2d) for part in module.modules()) == pools
    assert module.fc1.in_features == features


def test_weights_follow_the_seed_and_leave_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, same, other = (om.make_network("dense-8", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.fc1.weight, same.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "vgg99"}, "accepted are fc3, fc4, lenet5, dense-H1-H2-..., vgg16-bn, resnet20, vgg16-bn-WIDTH"),
        ({"name": "vgg16-bn-0", "input_shape": (3, 32, 32)}, "network: got 'vgg16-bn-0', accepted is a width above 0"),
        ({"name": "resnet20-99"}, "accepted is a width above 0 and up to 16"),
        ({"name": "resnet20-"}, "network: got 'resnet20-'"),
        ({"name": "vgg16-bn-0.5", "input_shape": (784,)}, "vgg16-bn-0.5 takes (channels, height, width)"),
        ({"name": "dense-"}, "network: got 'dense-'"),
        ({"name": "dense-0"}, "network: got 'dense-0'"),
        ({"name": "dense--3"}, "network: got 'dense--3'"),
        ({"name": "dense-3\n"}, "network: got"),
        ({"name": ""}, "network: got ''"),
        ({"name": "fc3", "input_shape": ()}, "input_shape: got"),
        ({"name": "fc3", "input_shape": (1, 0, 28)}, "input_shape: got"),
        ({"name": "fc3", "input_shape": 784}, "input_shape: got 784"),
        ({"name": "lenet5", "input_shape": (1, 8, 8)}, "lenet5 takes"),
        ({"name": "lenet5", "input_shape": (784,)}, "lenet5 takes"),
        ({"name": "fc3", "classes": 0}, "classes: got 0"),
        ({"name": "fc3", "seed": -1}, "seed: got -1"),
    ],
)
def test_what_cannot_be_made_is_refused(options, words):
    with pytest.raises(InputError) as error:
        om.make_network(**options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_importing_the_room_does_not_load_torch():
    code = "import sys, oamip_model.training; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
