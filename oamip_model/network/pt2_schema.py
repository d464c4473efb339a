"""The JSON shapes of a .pt2 file's graph that torch may see.

Every field that is passed on has its form here.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypedDict

from oamip_model.records import INFINITE, ONE_KEY, OPEN, Matches, Within

Name = Annotated[str, Matches(r"[A-Za-z_][A-Za-z0-9_]*", "a name of letters, digits and _")]
ModuleName = Annotated[str, Matches(r"[\w :/+-]+(\.[\w :/+-]+)*", "a name of modules and a tensor, with dots between")]
_Text = Annotated[str, Matches(r"[\w .,:+>-]{0,200}", "a text of letters, digits and spaces")]
_Int = Annotated[int, Within(-(2**63), 2**63 - 1)]
_Code = Annotated[int, Within(0, 64)]
_Target = Annotated[
    str,
    Matches(
        r"torch\.ops\.aten\.(?!__)[a-z0-9_]+\.(?!_)[A-Za-z0-9_]+"
        r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
        r"|math\.(ceil|floor|trunc)|torch\.sym_(max|min|int|float|not|sum)",
        "an operator of torch.ops.aten, or of arithmetic with sizes",
    ),
]


class _FixedFields(TypedDict):
    as_int: Annotated[int, Within(0, 2**48)]


Fixed = Annotated[_FixedFields, ONE_KEY]
"""A size that does not depend on the batch."""


class _Hint(TypedDict, total=False):
    as_int: _Int
    as_bool: bool
    as_float: float


class _Expression(TypedDict):
    expr_str: str
    hint: Annotated[_Hint, ONE_KEY] | None


class _Symbolic(TypedDict, total=False):
    as_expr: Annotated[_Expression, OPEN]
    as_int: _Int
    as_float: Annotated[float, INFINITE]
    as_bool: bool


_Size = Annotated[_Symbolic, ONE_KEY]


class _Device(TypedDict, total=False):
    type: Annotated[str, Matches("[a-z]+", "the type of a device")]
    index: Annotated[int, Within(0, 1024)] | None


class _TensorMeta(TypedDict):
    dtype: _Code
    sizes: list[_Size]
    strides: list[_Size]
    storage_offset: _Size
    requires_grad: bool
    device: Annotated[_Device, OPEN]
    layout: _Code


class _Named(TypedDict):
    name: Name


_Tensor = Annotated[_Named, OPEN]


class _SymbolFields(TypedDict, total=False):
    as_name: Name
    as_int: _Int
    as_float: float
    as_bool: bool


_Symbol = Annotated[_SymbolFields, ONE_KEY]


class _OptionalFields(TypedDict, total=False):
    as_tensor: _Tensor
    as_none: bool


_Optional = Annotated[_OptionalFields, ONE_KEY]


class _ArgumentFields(TypedDict, total=False):
    as_none: bool
    as_tensor: _Tensor
    as_tensors: list[_Tensor]
    as_optional_tensor: _Optional
    as_optional_tensors: list[_Optional]
    as_int: _Int
    as_ints: list[_Int]
    as_float: Annotated[float, INFINITE] | Literal["Infinity", "-Infinity", "NaN"]
    as_floats: list[float]
    as_bool: bool
    as_bools: list[bool]
    as_string: _Text
    as_strings: list[_Text]
    as_sym_int: _Symbol
    as_sym_ints: list[_Symbol]
    as_sym_float: _Symbol
    as_sym_floats: list[_Symbol]
    as_sym_bool: _Symbol
    as_sym_bools: list[_Symbol]
    as_scalar_type: _Code
    as_memory_format: _Code
    as_layout: _Code
    as_device: Annotated[_Device, OPEN]


_Argument = Annotated[_ArgumentFields, ONE_KEY]


class _InputFields(TypedDict):
    name: Annotated[str, Matches(r"[A-Za-z_][A-Za-z0-9_]*|", "a name of letters, digits and _")]
    arg: _Argument
    kind: Annotated[int, Within(0, 2)] | None


class _Metadata(TypedDict, total=False):
    nn_module_stack: Annotated[str, Matches(r"[^\n\r\"'\\\x00]*", "a text in one line, without quotes")]


class _Node(TypedDict):
    target: _Target
    inputs: list[Annotated[_InputFields, OPEN]]
    outputs: list[_Argument]
    metadata: Annotated[_Metadata, OPEN]
    name: Name | None


class _Graph(TypedDict):
    inputs: list[_Argument]
    outputs: list[_Argument]
    nodes: list[Annotated[_Node, OPEN]]
    tensor_values: dict[Name, Annotated[_TensorMeta, OPEN]]
    sym_int_values: dict[Name, _Size]
    sym_bool_values: dict[Name, _Size]
    is_single_tensor_return: bool


class _OfArgument(TypedDict):
    arg: _Argument


class _OfParameter(TypedDict):
    arg: _Tensor
    parameter_name: ModuleName


class _OfBuffer(TypedDict):
    arg: _Tensor
    buffer_name: ModuleName
    persistent: bool


class _OfConstant(TypedDict):
    arg: _Tensor
    tensor_constant_name: ModuleName


class _Value(TypedDict, total=False):
    as_none: bool
    as_int: _Int
    as_float: float
    as_string: _Text
    as_bool: bool


class _OfNumber(TypedDict):
    name: Name
    value: Annotated[_Value, ONE_KEY]


class _InputSpec(TypedDict, total=False):
    user_input: _OfArgument
    parameter: _OfParameter
    buffer: _OfBuffer
    tensor_constant: _OfConstant
    constant_input: _OfNumber


class _Mutation(TypedDict):
    arg: _Tensor
    buffer_name: ModuleName


class _OutputSpec(TypedDict, total=False):
    user_output: _OfArgument
    buffer_mutation: _Mutation


class _Signature(TypedDict):
    input_specs: list[Annotated[_InputSpec, ONE_KEY]]
    output_specs: list[Annotated[_OutputSpec, ONE_KEY]]


class _CallSignature(TypedDict):
    in_spec: str
    out_spec: str
    forward_arg_names: list[Name] | None


class _CallEntry(TypedDict):
    fqn: str
    signature: Annotated[_CallSignature, OPEN] | None


class _GraphModule(TypedDict):
    graph: Annotated[_Graph, OPEN]
    signature: Annotated[_Signature, OPEN]
    module_call_graph: list[Annotated[_CallEntry, OPEN]]


class _Range(TypedDict):
    min_val: _Int | None
    max_val: _Int | None


class _Version(TypedDict):
    major: Annotated[int, Within(0, 1000)]
    minor: Annotated[int, Within(0, 1000)]


SYMBOL: Final = r"s\d{1,9}"


class Program(TypedDict):
    """The record of an exported program."""

    graph_module: Annotated[_GraphModule, OPEN]
    opset_version: dict[Literal["aten"], Annotated[int, Within(0, 1000)]]
    range_constraints: dict[Annotated[str, Matches(SYMBOL, "the size of a batch")], Annotated[_Range, OPEN]]
    schema_version: Annotated[_Version, OPEN]
    verifiers: list[Literal["ATEN", "TRAINING"]]


class Tree(TypedDict):
    """One level of how inputs or outputs are nested."""

    type: Literal["builtins.tuple", "builtins.list", "builtins.dict"] | None
    context: str | None
    children_spec: list[Any]
