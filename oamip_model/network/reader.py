"""Reading a trained network, and checking what was read.

It comes from a torch module, a .pt2, an .onnx or a .nnet file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.fold import fold
from oamip_model.network.graph import Affine, Graph
from oamip_model.network.groups import assign_groups
from oamip_model.network.maps import Shape
from oamip_model.network.readers.judge import Source, check_replay
from oamip_model.network.types import Layer, Network

if TYPE_CHECKING:
    import torch


def read_network(
    source: torch.nn.Module | str | Path, input_shape: Sequence[int] | None = None, *, output: str | None = None
) -> Network:
    """The trained network as plain data.

    It is read from a torch module, an exported program (.pt2), an .onnx or a .nnet file. Accepted is whatever is
    linear with constant weights, ReLU, max pooling, and what ReLUs make up: LeakyReLU, PReLU, ReLU6,
    clamp, abs, max and min. Probabilities and labels at the end are left out, as ``network.notes`` says.
    Before it is returned, the result is compared with its source on random images.

    Parameters
    ----------
    source : torch.nn.Module, str or Path
        A module in eval mode, which is left as it is, or the path of a .pt2, .onnx or .nnet file.
    input_shape : sequence of int, optional
        Shape of one image, such as (1, 28, 28). It is needed for modules that do not begin with a
        Linear layer; files carry it with them.
    output : str, optional
        Which output is read, where the source has several: its name in an .onnx file, else its place
        or key in what the module returns.

    Returns
    -------
    Network
        The network, in double precision, with batch norm folded in.

    Raises
    ------
    InputError
        For a layer that is not accepted, which is named, or a module in training mode. Also for
        weights that are not finite, a missing or unreadable file, or a wrong input shape.
    CheckError
        Where the replay differs by more than 1e-5.

    Examples
    --------
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
            from oamip_model.network.readers.torch.source import read_pt2

            found = read_pt2(path, shape, output)
        elif path.suffix == ".onnx":
            from oamip_model.network.readers.onnx.source import read_onnx

            found = read_onnx(path, shape, output)
        elif path.suffix == ".nnet":
            from oamip_model.network.readers.nnet import read_nnet

            found = read_nnet(path, shape, output)
        else:
            raise InputError(
                f"network: {path} is a {path.suffix or 'nameless'} file; accepted are .pt2, .onnx and .nnet"
                + (_FROM_PICKLES if path.suffix in (".pt", ".pth", ".ckpt", ".bin") else "")
            )
        name = str(path)
    else:
        from oamip_model.network.readers.torch.source import read_module

        found = read_module(source, shape, output)
        name = type(source).__name__
    return _checked(found, name)


_FROM_PICKLES = (
    ", as such a file may run code when it is opened; make one where the module is at hand (after "
    "module.load_state_dict(torch.load(FILE, weights_only=True)) for a state_dict): torch.export.save("
    "torch.export.export(module.eval(), (images[:2],)), 'net.pt2')"
)


def check_shape(input_shape: Sequence[int]) -> Shape:
    """The shape of one image as a tuple.

    Raises InputError unless it holds whole numbers above 0.
    """
    try:
        shape = tuple(input_shape)
    except TypeError:
        shape = ()
    if not shape or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in shape):
        raise InputError(f"input_shape: got {input_shape!r}, accepted is the shape of one image, such as (1, 28, 28)")
    return tuple(int(n) for n in shape)


def _checked(source: Source, name: str) -> Network:
    """The network of a source's graph, replayed against the source."""
    graph = source.graph
    layers, groups = assign_groups(fold(graph))
    network = Network(graph.input_shape, layers, groups, name, (*source.notes, *_folded(graph, layers)))
    check_replay(network, source)
    return network


def _folded(graph: Graph, layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """What became part of the weights beside it, in words."""
    names = {layer.name for layer in layers} | {term.name for layer in layers for term in layer.terms}
    gone = dict.fromkeys(
        node.operator.owner or node.name
        for node in graph.nodes
        if isinstance(node.operator, Affine) and node.operator.map.factors(node.shape[0]) is not None
    )
    folded = [name for name in gone if name not in names]
    return (f"folded into the weights beside them: {', '.join(folded)}",) if folded else ()
