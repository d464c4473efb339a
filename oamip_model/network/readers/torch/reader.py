"""Torch modules and exported programs (.pt2) as an operator graph.

They are exported by torch.export without decompositions.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import InputKind, OutputKind
from torch.nn.parameter import is_lazy

from oamip_model.errors import InputError
from oamip_model.network.graph import Graph, Value, refuse
from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.judge import Ending
from oamip_model.network.readers.torch.call import Activations, Call, Weights
from oamip_model.network.readers.torch.families.places import MOVING_VIEWS
from oamip_model.network.readers.torch.nodes import (
    ending_of,
    first_line,
    is_in_place,
    is_size,
    layer_of,
    memory,
    needed,
    operator_of,
    output_names,
    owner_of,
)
from oamip_model.network.readers.torch.operators import emit, is_accepted
from oamip_model.network.readers.torch.quiet import quiet
from oamip_model.network.types import IMAGE

_VIEWS = {
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "alias", "detach", "contiguous", "to",
    "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout",
}  # fmt: skip
"""Operators whose result shares its input's memory."""


def export_module(module: torch.nn.Module, input_shape: Shape) -> torch.export.ExportedProgram:
    """The module as an exported program for a batch of two images.

    Raises InputError where the module is in training mode or torch.export cannot trace it.
    """
    for name, part in module.named_modules():
        if part.training:
            where = f"layer {name} ({type(part).__name__})" if name else f"module {type(module).__name__}"
            raise InputError(f"{where} is in training mode; call .eval() on the module first")
        if ".quantized." in f"{type(part).__module__}.":
            raise InputError(f"layer {name} ({type(part).__name__}) is quantised; accepted are floating-point weights")
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        part = f"layer {owner_of(name)}: its {name.rpartition('.')[2]}"
        if tensor.is_meta or is_lazy(tensor):
            raise InputError(f"{part} holds no values")
        if tensor.is_complex():
            raise InputError(f"{part} holds complex numbers; accepted are real ones")
    parameter = next((p for p in module.parameters() if p.is_floating_point()), None)
    dtype, device = (parameter.dtype, parameter.device) if parameter is not None else (torch.float32, None)
    example = torch.zeros(2, *input_shape, dtype=dtype, device=device)
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(module, (example,), strict=False)
    except Exception as error:
        if "DataDependent" in type(error).__name__ or "data-dependent" in str(error):
            raise InputError(
                f"module {type(module).__name__}: what it computes depends on the values of its images, by a branch, a "
                "loop or .item(); accepted are the same layers for all images"
            ) from error
        raise InputError(
            f"module {type(module).__name__}: torch.export cannot trace it on images of shape {input_shape} "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def read_exported(
    program: torch.export.ExportedProgram, hooked: Collection[str] = (), output: str | None = None
) -> tuple[Graph, Ending | None]:
    """The operator graph of an exported program, and its :class:`Ending`.

    ``hooked`` names the layers that have a hook, ``output`` the one of several outputs that is read.

    Raises InputError for an operator that is not accepted, several inputs, and an input that is not a batch.
    """
    return _Reader(program, hooked, output).run()


_PLAIN = {"Linear", "Conv1d", "Conv2d", "Conv3d", "BatchNorm1d", "BatchNorm2d", "ReLU", "MaxPool2d", "AvgPool2d",
          "AdaptiveAvgPool2d", "ZeroPad2d", "Flatten", "Dropout", "Identity"}  # fmt: skip
"""Modules that compute nothing but accepted operators, unless somebody adds to them."""


class _Reader:
    def __init__(self, program: torch.export.ExportedProgram, hooked: Collection[str], output: str | None) -> None:
        self.program, self.hooked, self.output = program, hooked, output
        self.constants: dict[torch.fx.Node, Any] = {}
        self.owners: dict[torch.fx.Node, str] = {}
        self.values: dict[torch.fx.Node, Value | list[Value]] = {}
        # The memory of an activation. Views share it, so that operators in place change all of them.
        self.tensors: dict[torch.fx.Node, int] = {}
        self.moved: set[int] = set()
        image = self._placeholders()
        shape = image.meta["val"].shape
        if len(shape) < 2:
            raise InputError(f"network: its input has shape {tuple(shape)}; accepted are batches of images (n, ...)")
        self.batch = shape[0]
        self.graph = Graph(self._fixed(shape[1:], "input"))
        self.values[image], self.tensors[image] = IMAGE, 0
        self.graph.single = not any(getattr(t, "dtype", None) is torch.float64 for t in self.constants.values())

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

    def run(self) -> tuple[Graph, Ending | None]:
        outputs = self.program.graph_signature.output_specs
        results = next(node for node in self.program.graph.nodes if node.op == "output").args[0]
        if any(spec.kind == OutputKind.BUFFER_MUTATION for spec in outputs):
            raise InputError("network: it changes one of its buffers while it predicts; accepted are fixed weights")
        names = output_names(self.program)
        if self.output is None and len(names) != 1:
            shown = ", ".join(names[:10])
            raise InputError(f"network: it gives {len(names)} outputs ({shown}); accepted is one, named by output")
        if self.output is not None and self.output not in names:
            raise InputError(f"output: got {self.output!r}, but the outputs of the network are {names}")
        result = results[0 if self.output is None else names.index(self.output)]
        if outputs[0].kind != OutputKind.USER_OUTPUT or not isinstance(result, torch.fx.Node):
            raise InputError("network: its output is no tensor; accepted is one tensor of logits")
        result, ending = ending_of(result)
        live = needed(self.program.graph, result)
        for node in self.program.graph.nodes:
            if node.op == "call_function" and node in live and not is_size(node):
                self._visit(node)
        value = self.values.get(result)
        if not isinstance(value, int):
            raise InputError("network: its output does not depend on its input")
        self.graph.output = value
        return self.graph, ending

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
        return Weights(constant.detach().cpu().to(torch.float64, copy=True).numpy(), self.owners[node])

    def _fixed(self, shape: Sequence[Any], where: str) -> Shape:
        if not all(isinstance(length, int) for length in shape):
            raise InputError(
                f"layer {where}: shape {tuple(shape)} is not fixed; accepted is a free size of the batch alone"
            )
        return tuple(shape)
