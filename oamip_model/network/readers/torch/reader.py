"""Torch modules and exported programs (.pt2) as an operator graph.

They are exported by torch.export without decompositions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import InputKind

from oamip_model.errors import InputError
from oamip_model.network.emit.pointwise import scaled
from oamip_model.network.graph import Graph, Value, refuse
from oamip_model.network.held import LARGE
from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.torch.call import Activations, Call, Weights
from oamip_model.network.readers.torch.endings import choose_output
from oamip_model.network.readers.torch.families.places import MOVING_VIEWS
from oamip_model.network.readers.torch.nodes import (
    first_line,
    is_in_place,
    is_size,
    layer_of,
    memory,
    needed,
    operator_of,
    owner_of,
)
from oamip_model.network.readers.torch.operators import emit, is_accepted
from oamip_model.network.types import IMAGE

_VIEWS = {
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "alias", "detach", "contiguous", "to",
    "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout",
}  # fmt: skip
"""Operators whose result shares its input's memory."""


@dataclass(frozen=True)
class Exported:
    """What is read of an exported program.

    ``place`` is that of the output that is read. ``notes`` say what was left out behind it; where something was,
    ``logits`` gives the program's forward pass up to there, in a precision.
    """

    graph: Graph
    place: int
    notes: tuple[str, ...]
    logits: Callable[[torch.dtype], Callable[[Array], Array]] | None


def read_exported(
    program: torch.export.ExportedProgram, hooked: Collection[str] = (), output: str | None = None, owned: bool = False
) -> Exported:
    """The operator graph of an exported program.

    ``hooked`` names the layers that have a hook, ``output`` the one of several outputs that is read. ``owned``: nobody
    else has the program's weights.

    Raises InputError for an operator that is not accepted, several inputs, and an input that is not a batch.
    """
    reader = _Reader(program, hooked, output, owned)
    reader.run()
    notes = reader.tail.notes
    return Exported(
        reader.graph, reader.place, notes, reader.forward if reader.tail.gone or reader.tail.label else None
    )


_PLAIN = {"Linear", "Conv1d", "Conv2d", "Conv3d", "BatchNorm1d", "BatchNorm2d", "ReLU", "MaxPool2d", "AvgPool2d",
          "AdaptiveAvgPool2d", "ZeroPad2d", "Flatten", "Dropout", "Identity"}  # fmt: skip
"""Modules that compute nothing but accepted operators, unless somebody adds to them."""


class _Reader:
    def __init__(
        self, program: torch.export.ExportedProgram, hooked: Collection[str], output: str | None, owned: bool
    ) -> None:
        self.program, self.hooked, self.owned = program, hooked, owned
        self.constants: dict[torch.fx.Node, Any] = {}
        self.owners: dict[torch.fx.Node, str] = {}
        self.values: dict[torch.fx.Node, Value | list[Value]] = {}
        # The memory of an activation. Views share it, so that operators in place change all of them.
        self.tensors: dict[torch.fx.Node, int] = {}
        self.moved: set[int] = set()
        self.image = image = self._placeholders()
        shape = image.meta["val"].shape
        if len(shape) < 2:
            raise InputError(f"network: its input has shape {tuple(shape)}; accepted are batches of images (n, ...)")
        self.batch = shape[0]
        self.graph = Graph(self._fixed(shape[1:], "input"))
        self.values[image], self.tensors[image] = IMAGE, 0
        self.graph.single = not any(getattr(t, "dtype", None) is torch.float64 for t in self.constants.values())
        self.place, self.tail = choose_output(program, output, image)
        self.live = needed(program.graph, self.tail.result)

    def _placeholders(self) -> torch.fx.Node:
        """Bind weights and constants; the one placeholder that is left, the image."""
        program, images = self.program, []
        kinds = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        stored = {**program.constants, **program.state_dict}
        # Weights that two modules share have the name that comes first.
        first = {memory(tensor): name for name, tensor in reversed(program.state_dict.items())}
        for node in program.graph.nodes:
            if node.op != "placeholder":
                continue
            spec = kinds[node.name]
            if spec.kind == InputKind.USER_INPUT:
                if not isinstance(node.meta.get("val"), torch.Tensor):
                    raise InputError(f"network: its input {node.name} is not a tensor; accepted is one batch of images")
                images.append(node)
            elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
                self.constants[node] = stored[spec.target].detach()
                self.owners[node] = owner_of(first.get(memory(stored[spec.target]), spec.target))
            else:
                raise InputError(
                    f"network: its input {node.name} is a {spec.kind.name}; accepted is one batch of images"
                )
        if len(images) != 1:
            raise InputError(f"network: it takes {len(images)} inputs; accepted is one batch of images")
        image: torch.fx.Node = images[0]
        return image

    def run(self) -> None:
        for node in self.program.graph.nodes:
            if node in self.tail.gone:
                source, factor = self.tail.gone[node]
                value = self.values[source]
                assert isinstance(value, int)
                value = value if factor == 1 else scaled(self.graph, node.name, value, np.asarray(factor))
                self.values[node], self.tensors[node] = value, len(self.tensors)
            elif node.op == "call_function" and node in self.live and not is_size(node):
                self._visit(node)
        value = self.values.get(self.tail.result, [])
        if not isinstance(value, int):
            raise InputError("network: its output does not depend on its input")
        self.graph.output = value

    def forward(self, dtype: torch.dtype) -> Callable[[Array], Array]:
        """The forward pass of what is read, node by node in a precision."""

        def cast(value: Any) -> Any:
            floats = isinstance(value, torch.Tensor) and value.is_floating_point()
            return value.cpu().to(dtype) if floats else value

        def run(images: Array) -> Array:
            found: dict[torch.fx.Node, Any] = {self.image: torch.from_numpy(images).to(dtype, copy=True)}

            def given(node: torch.fx.Node) -> Any:
                return found[node] if node in found else cast(self.constants[node])

            for node in self.program.graph.nodes:
                if node in self.tail.gone:
                    source, factor = self.tail.gone[node]
                    found[node] = given(source) * factor
                elif node.op == "call_function" and node in self.live and node not in self.constants:
                    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), given)
                    found[node] = node.target(*args, **kwargs)
            return np.asarray(found[self.tail.result].to(torch.float64).numpy())

        with_no_grad: Callable[[Array], Array] = torch.no_grad()(run)
        return with_no_grad

    def _visit(self, node: torch.fx.Node) -> None:
        sources = node.all_input_nodes
        if node.target is operator.getitem and sources[0] in self.values:
            self._one_of_several(node, sources[0])
            return
        if all(source in self.constants for source in sources):
            self._evaluate(node)
            return
        call = self._call(node)
        value = emit(self.graph, call)
        first = value if isinstance(value, int) else value[0]
        if call.shape != self.graph.shape(first):
            raise call.error(f"gives an output of shape (n, *{call.shape}) that this reader does not understand")
        views = call.operator in _VIEWS or call.operator in MOVING_VIEWS or is_in_place(node)
        self.tensors[node] = self._storage(node) if views else len(self.tensors)
        if call.operator in MOVING_VIEWS:
            self.moved.add(self.tensors[node])
        lists = isinstance(node.meta.get("val"), list | tuple)
        self.values[node] = value if lists or isinstance(value, int) else first
        if is_in_place(node):
            if self.tensors[node] in self.moved:
                raise call.error("changes in place a tensor of which a transpose, a slice or the like is also used")
            # Views of the same memory that are read later have the written values.
            for other, storage in self.tensors.items():
                shared = self.values[other]
                if storage == self.tensors[node] and isinstance(shared, int):
                    self.values[other] = self.graph.reshape(call.name, first, self.graph.shape(shared))

    def _storage(self, node: torch.fx.Node) -> int:
        return self.tensors[next(source for source in node.all_input_nodes if source in self.tensors)]

    def _one_of_several(self, node: torch.fx.Node, source: torch.fx.Node) -> None:
        """Take one of the tensors that an operator gives; of a pooling, only the first is ever accepted."""
        given, place = self.values[source], node.args[1]
        if isinstance(given, int) and place != 0:
            name, kind = layer_of(node)
            raise refuse(name, kind, "reads a second output of an operator")
        assert isinstance(place, int)
        self.values[node], self.tensors[node] = given if isinstance(given, int) else given[place], self.tensors[source]

    def _evaluate(self, node: torch.fx.Node) -> None:
        """Work out a tensor that depends on weights alone."""
        name, kind = layer_of(node)
        if is_in_place(node):
            raise refuse(name, kind, "changes a weight or buffer in place (a module exported in training mode does)")
        target: Any = node.target
        args: Any = torch.fx.node.map_arg(node.args, self.constants.__getitem__)
        kwargs: Any = torch.fx.node.map_arg(node.kwargs, self.constants.__getitem__)
        with torch.no_grad():
            value = self.constants[node] = target(*args, **kwargs)
            draws = torch.Tag.nondeterministic_seeded in getattr(target, "tags", ())
            if draws and not torch.equal(value, target(*args, **kwargs)):  # as a dropout that is switched off is
                raise refuse(name, kind, f"draws random numbers ({operator_of(node)})")
        owners = [self.owners[source] for source in node.all_input_nodes if self.owners.get(source)]
        self.owners[node] = owners[0] if owners else ""

    def _call(self, node: torch.fx.Node) -> Call:
        name, kind = layer_of(node)
        operator_name = operator_of(node)
        meta = node.meta.get("val")
        output = meta[0] if isinstance(meta, list | tuple) and meta else meta
        if isinstance(output, torch.Tensor) and output.is_complex():
            raise refuse(name, kind, "computes complex numbers")
        if not isinstance(node.target, torch._ops.OpOverload) or not is_accepted(operator_name):
            if name in self.hooked:
                raise refuse(name, kind, f"has a forward hook that changes what it reads or gives ({operator_name})")
            if kind in _PLAIN:
                raise refuse(name, kind, f"also computes {operator_name}, as with a forward hook")
            raise refuse(name, kind)
        if not isinstance(output, torch.Tensor) or not output.dtype.is_floating_point:
            raise refuse(name, kind)
        if output.ndim == 0 or output.shape[0] != self.batch:
            raise refuse(name, kind, "mixes the images of a batch")
        arguments: dict[str, Any] = {}
        for position, entry in enumerate(node.target._schema.arguments):
            given = (
                node.args[position] if position < len(node.args) else node.kwargs.get(entry.name, entry.default_value)
            )
            # Numbers of the code take the precision of the tensors, which an .onnx file's constants have, too.
            given = float(np.float32(given)) if isinstance(given, float) and self.graph.single else given
            arguments[entry.name] = torch.fx.node.map_arg(given, self._argument)

        def run(numbers: Array) -> list[Array]:
            return self._run(node, name, kind, numbers)

        return Call(name, kind, operator_name, arguments, self._fixed(output.shape[1:], name), run)

    def _run(self, node: torch.fx.Node, name: str, kind: str, numbers: Array) -> list[Array]:
        """Work an operator out for numbers in the place of its activations."""

        def given(source: torch.fx.Node) -> Any:
            if source in self.values:
                return torch.from_numpy(numbers)
            if source in self.constants:
                return self.constants[source]
            size = source.meta.get("val")
            if isinstance(size, torch.SymInt):  # a batch whose size is open
                return len(numbers)
            raise refuse(name, kind, "works with the size of a tensor")

        target: Any = node.target
        try:
            with torch.no_grad():
                found = target(*torch.fx.node.map_arg(node.args, given), **torch.fx.node.map_arg(node.kwargs, given))
        except RuntimeError as error:
            raise refuse(name, kind, f"cannot be worked out ({first_line(error)})") from error
        return [part.numpy() for part in (found if isinstance(found, list | tuple) else [found])]

    def _argument(self, node: torch.fx.Node) -> Any:
        value = self.values.get(node)
        if isinstance(value, int):
            return Activations(value)
        if node not in self.constants:
            return None
        constant = self.constants[node]
        if not isinstance(constant, torch.Tensor):
            return constant
        # Single precision is enough to hold what it holds. A module may change its weights later, a file's are ours.
        narrow = constant.dtype in (torch.float32, torch.float16, torch.bfloat16) and constant.numel() >= LARGE
        dtype = torch.float32 if narrow else torch.float64
        copied = constant.detach().cpu().to(dtype, copy=not (narrow and self.owned))
        return Weights(copied.numpy(), self.owners[node])

    def _fixed(self, shape: Sequence[Any], where: str) -> Shape:
        if not all(isinstance(length, int) for length in shape):
            raise InputError(
                f"layer {where}: shape {tuple(shape)} is not fixed; accepted is a free size of the batch alone"
            )
        return tuple(shape)
