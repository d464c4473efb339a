"""Reading a trained network from a torch module, a .pt2 or an .onnx file, and checking what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oamip_model.errors import CheckError, InputError
from oamip_model.network.fold import fold
from oamip_model.network.graph import Graph, batched
from oamip_model.network.groups import assign_groups
from oamip_model.network.ops import Array, Shape
from oamip_model.network.types import Network

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-5
"""Largest difference of a logit between what was read and its source, relative to the largest logit (if above 1)."""


def read_network(source: torch.nn.Module | str | Path, input_shape: Sequence[int] | None = None) -> Network:
    """The trained network as plain data, read from a torch module, an exported program (.pt2) or an .onnx file.

    Accepted are dense and 2-d convolutional layers, batch norm, ReLU, max and average pooling, reshapes and residual
    additions. Before it is handed on, the result is replayed against its source on random images.

    source: a module in eval mode, which is left as it is, or the path of a .pt2 or .onnx file
    input_shape: shape of one image, such as (1, 28, 28); needed for modules that do not begin with a Linear layer;
        files carry it with them

    Raises InputError for a layer that is not accepted (naming it), a module in training mode, weights that are not
    finite, a missing or unreadable file, a wrong input shape; CheckError where the replay differs by more than 1e-5.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> [(layer.name, layer.activation) for layer in read_network(net).layers]
        [('0', 'relu'), ('2', 'none')]
    """
    shape = None if input_shape is None else check_shape(input_shape)
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise InputError(f"network: {path} is a folder" if path.is_dir() else f"network: there is no file {path}")
        if path.suffix == ".pt2":
            from oamip_model.network.torch_source import read_pt2

            graph, run, batch = read_pt2(path, shape)
        elif path.suffix == ".onnx":
            from oamip_model.network.onnx_source import read_onnx

            graph, run, batch = read_onnx(path, shape)
        else:
            raise InputError(f"network: {path} is a {path.suffix or 'nameless'} file; accepted are .pt2 and .onnx")
        name = str(path)
    else:
        from oamip_model.network.torch_source import read_module

        graph, run, batch = read_module(source, shape)
        name = type(source).__name__
    return _checked(graph, run, batch, name)


def check_shape(input_shape: Sequence[int]) -> Shape:
    """The shape of one image as a tuple. Raises InputError unless it holds whole numbers above 0."""
    try:
        shape = tuple(input_shape)
    except TypeError:
        shape = ()
    if not shape or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in shape):
        raise InputError(f"input_shape: got {input_shape!r}, accepted is the shape of one image, such as (1, 28, 28)")
    return tuple(int(n) for n in shape)


def _checked(graph: Graph, run: Callable[[Array], Array], batch: int | None, name: str) -> Network:
    """The network of a graph, replayed against its source.

    run: the source's own forward pass, on ``batch`` images at once (None: any number of them)
    """
    output = graph.shape(graph.output)
    if len(output) == 0 or max(output) != int(np.prod(output)):
        raise InputError(f"network: its output has shape {batched(output)}; accepted is one vector of logits per image")
    layers, groups = assign_groups(fold(graph))
    network = Network(graph.input_shape, layers, groups, name)
    # Not two, the batch that the graph was traced with: a batch size that was taken for a constant comes out here.
    size = batch or 3
    images = np.random.default_rng(0).uniform(-1.0, 1.0, (size * -(-3 // size), *graph.input_shape))
    images[::2] = np.abs(images[::2])
    wanted = np.concatenate([run(part) for part in np.split(images, len(images) // size)]).reshape(len(images), -1)
    if not np.isfinite(wanted).all():
        raise InputError("network: its logits are NaN or infinite on random images with pixels from -1 to 1")
    difference = np.abs(wanted - network.replay(images)).max() / max(1.0, np.abs(wanted).max())
    if not difference <= TOLERANCE:
        raise CheckError(
            f"network: what was read from {name} differs from it by {difference:.2g} (relative) on random images, "
            f"more than {TOLERANCE:g}: please report this network"
        )
    return network
