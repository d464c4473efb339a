"""The graph of a .pt2 file as JSON, reduced to the parts that torch may see.

Each name and number is checked.

torch writes names into Python source that it runs, and looks operators up by their dotted names. It
evaluates sizes that depend on the batch as Python. Fields that are not declared here are left out,
and declared ones are accepted by their form.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from oamip_model.errors import InputError
from oamip_model.network.readers.torch.pt2_schema import SYMBOL, Name, Program, Tree
from oamip_model.records import OPEN, checked, parse_json

_UNWANTED: Final = {
    "as_graph": "a graph of its own", "as_operator": "an operator as an argument",
    "as_custom_obj": "an object of a custom class", "custom_obj": "an object of a custom class",
}  # fmt: skip
_CALLS: Final = {
    "Integer", "Add", "Mul", "Max", "Min", "FloorDiv", "Mod", "PythonMod", "CleanDiv", "CeilDiv", "And", "Or", "Not",
    "Equality", "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "Eq", "Ne", "Ge", "Le",
    "Gt", "Lt",
}  # fmt: skip
_GUARD: Final = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.cmpop, ast.BinOp,
    ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Subscript, ast.Constant, ast.Load,
)  # fmt: skip


def checked_program(record: Any, where: str) -> dict[str, Any]:
    """That part of a parsed models/model.json which torch needs.

    Nothing in it runs anything.

    Raises InputError, beginning with ``where`` and naming the field, for whatever is not of an accepted form.
    """
    for key, value in _texts(record):
        if key in _UNWANTED and value:
            raise InputError(f"{where} has {_UNWANTED[key]} ({key}), which could run code")
    found: dict[str, Any] = checked(Annotated[Program, OPEN], record, where)
    for key, value in _texts(found):
        if key == "expr_str":
            _check_size(value, where)
    guards = checked(list[str], record.get("guards_code", []), f"{where}: guards_code")
    for guard in guards:
        _check_guard(guard, where)
    module = found["graph_module"]
    root = next((entry for entry in module["module_call_graph"] if entry["fqn"] == ""), None)
    if root is None or root["signature"] is None:
        raise InputError(f"{where} has no module_call_graph of the whole network")
    call = root["signature"]
    for key in ("in_spec", "out_spec"):
        _check_tree(parse_json(call[key].encode(), f"{where}: {key}"), f"{where}: {key}")
    root["signature"] = call | {"inputs": [], "outputs": []}
    module["module_call_graph"] = [root]
    return found


def _texts(record: Any) -> Iterator[tuple[str, Any]]:
    """Yields every key of every object in a record, with its value."""
    waiting = [record]
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict):
            yield from at.items()
            waiting.extend(at.values())
        elif isinstance(at, list):
            waiting.extend(at)


def _parsed(text: str, what: str) -> ast.expr:
    try:
        if len(text) > 2000:
            raise ValueError
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"{what} is {text[:60]!r}, which is no expression of sizes") from None


def _check_size(text: str, where: str) -> None:
    """Checks a size that depends on the batch, which torch has sympy evaluate."""
    what = f"{where}: expr_str"
    if not _is_size(_parsed(text, what)):
        raise InputError(f"{what} is {text[:60]!r}, which is no expression of sizes")


def _is_size(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    if isinstance(node, ast.Constant):
        return type(node.value) is int and abs(node.value) < 2**63
    if isinstance(node, ast.Name):
        return node.id in ("true", "false")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    if node.func.id == "Symbol":
        plain = [entry.value for entry in node.args if isinstance(entry, ast.Constant)]
        named = len(node.args) == len(plain) == 1 and re.fullmatch(SYMBOL, str(plain[0])) is not None
        rules = all(isinstance(k.value, ast.Constant) and isinstance(k.value.value, bool) for k in node.keywords)
        return named and rules and all(k.arg in ("positive", "integer", "nonnegative") for k in node.keywords)
    return node.func.id in _CALLS and not node.keywords and all(map(_is_size, node.args))


def _check_guard(text: str, where: str) -> None:
    """Checks a condition on sizes of the inputs. It is not needed, but torch would run it."""
    what = f"{where}: guards_code"
    body = _parsed(text, what)
    callees = {id(node.func) for node in ast.walk(body) if isinstance(node, ast.Call) and not node.args + node.keywords}
    for node in ast.walk(body):
        method = isinstance(node, ast.Attribute) and id(node) in callees and node.attr in ("size", "stride", "dim")
        call = isinstance(node, ast.Call) and id(node.func) in callees and isinstance(node.func, ast.Attribute)
        inputs = isinstance(node, ast.Name) and node.id == "L"
        if not (method or call or inputs or isinstance(node, _GUARD)):
            raise InputError(f"{what} is {text[:60]!r}, which is no condition on sizes")


def _check_tree(record: Any, where: str) -> None:
    """Checks how inputs or outputs are nested: in tuples, lists and dictionaries, of which torch imports no class."""
    pair = checked(tuple[Literal[1], Tree], record, where)
    waiting: list[tuple[Any, int]] = [(pair[1], 0)]
    while waiting:
        at, depth = waiting.pop()
        tree: Tree = checked(Tree, at, where)
        if depth > 20:
            raise InputError(f"{where} is nested too deeply")
        if tree["type"] == "builtins.dict":
            keys = parse_json((tree["context"] or "").encode(), where)
            if len(checked(list[Name], keys, where)) != len(tree["children_spec"]):
                raise InputError(f"{where} has another number of names than of entries")
        elif tree["context"] != (None if tree["type"] is None else "null"):
            raise InputError(f"{where} has the context {str(tree['context'])[:60]!r}, accepted is none")
        waiting.extend((child, depth + 1) for child in tree["children_spec"])
