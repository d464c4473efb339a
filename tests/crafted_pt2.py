"""Crafted .pt2 files: archives of torch.export.save with one part changed, each of which would leave a marker file."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Parts = dict[str, bytes]
MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Payload:
    """Leaves a marker where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.marker,))


def saved(payload: Payload) -> bytes:
    """What torch.save writes of a payload."""
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    return buffer.getvalue()


def parts_of(path: Path) -> Parts:
    """The parts of an archive without its root folder."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(path: Path, parts: Parts, root: str = "net/", compression: int = zipfile.ZIP_STORED) -> Path:
    """An archive of these parts."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(root + name, data)
    return path


def graph(parts: Parts, change: Callable[[Any], None]) -> None:
    """Change the record of the graph."""
    record = json.loads(parts[MODEL])
    change(record)
    parts[MODEL] = json.dumps(record).encode()


def config(parts: Parts, name: str, change: Callable[[Any], None]) -> None:
    """Change the record of the weights or constants."""
    record = json.loads(parts[name])
    change(record["config"])
    parts[name] = json.dumps(record).encode()


def python(marker: Path) -> str:
    """An expression that leaves the marker."""
    return f"__import__('os').mkdir({str(marker)!r})"


def _node(record: Any) -> Any:
    return record["graph_module"]["graph"]["nodes"][0]


def _call(record: Any) -> Any:
    return record["graph_module"]["module_call_graph"][0]["signature"]


def _rename(record: Any, old: str, new: str) -> Any:
    return json.loads(json.dumps(record).replace(json.dumps(old), json.dumps(new)))


def _first(record: Any) -> Any:
    return record[next(iter(record))]


def _pickled_weight(parts: Parts, marker: Path) -> None:
    config(parts, WEIGHTS, lambda c: _first(c).update(use_pickle=True))
    parts["data/weights/weight_0"] = saved(Payload(marker))


def _constant(name: str, data: Callable[[Payload], bytes]) -> Callable[[Parts, Path], None]:
    def change(parts: Parts, marker: Path) -> None:
        entry = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
        config(parts, CONSTANTS, lambda c: c.update(k=entry))
        parts[f"data/constants/{name}"] = data(Payload(marker))

    return change


def _legacy(name: str) -> Callable[[Parts, Path], None]:
    def change(parts: Parts, marker: Path) -> None:
        parts[name] = saved(Payload(marker))

    return change


def _in_graph(change: Callable[[Any, str], None]) -> Callable[[Parts, Path], None]:
    def changed(parts: Parts, marker: Path) -> None:
        graph(parts, lambda record: change(record, python(marker)))

    return changed


def _name(record: Any, code: str) -> None:
    record["graph_module"]["graph"] = _rename(record["graph_module"]["graph"], "relu", f"relu = {code} #")


def _dead_system(record: Any, code: str) -> None:
    folder = code.partition("mkdir(")[2].rstrip(")").strip("'")
    node = dict(_node(record)) | {"target": "torch.serialization.os.mkdir", "name": "dead", "outputs": []}
    node["inputs"] = [{"name": "", "arg": {"as_string": folder}, "kind": 1}]
    record["graph_module"]["graph"]["nodes"].append(node)


def _symbol(record: Any, code: str) -> None:
    for value in record["graph_module"]["graph"]["tensor_values"].values():
        value["sizes"][0] = {"as_expr": {"expr_str": code, "hint": {"as_int": 2}}}


def _defaultdict(record: Any, code: str) -> None:
    tree = {"type": "collections.defaultdict", "children_spec": [],
            "context": json.dumps({"default_factory_module": "this", "default_factory_name": "s"})}  # fmt: skip
    _call(record)["in_spec"] = json.dumps([1, tree])


def _enum(record: Any, code: str) -> None:
    leaf = {"type": None, "context": None, "children_spec": []}
    keys = json.dumps([{"__enum__": True, "fqn": "this:s", "name": "x"}])
    _call(record)["out_spec"] = json.dumps([1, {"type": "builtins.dict", "context": keys, "children_spec": [leaf]}])


def _from_file(record: Any, code: str) -> None:
    graph_record = record["graph_module"]["graph"]
    node = dict(_node(record)) | {"target": "torch.ops.aten.from_file.default", "name": "dead", "metadata": {}}
    node["outputs"] = [{"as_tensor": {"name": "dead"}}]
    node["inputs"] = [{"name": "filename", "arg": {"as_string": "marker"}, "kind": 1},
                      {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
                      {"name": "size", "arg": {"as_int": 4}, "kind": 1}]  # fmt: skip
    graph_record["tensor_values"]["dead"] = graph_record["tensor_values"]["relu"]
    graph_record["nodes"].append(node)


def _weight_name(parts: Parts, marker: Path) -> None:
    name = f'a"),{python(marker)},("'
    old = next(iter(json.loads(parts[WEIGHTS])["config"]))
    for part in (MODEL, WEIGHTS):
        parts[part] = json.dumps(_rename(json.loads(parts[part]), old, name)).encode()


def _operator_argument(record: Any, code: str) -> None:
    _node(record)["inputs"].append({"name": "x", "arg": {"as_operator": "torch.serialization.os.mkdir"}, "kind": 1})


def _samples(parts: Parts, marker: Path) -> None:
    parts["data/sample_inputs/model.pt"] = saved(Payload(marker))


def _old_samples(parts: Parts, marker: Path) -> None:
    parts["data/sample_inputs/model.pt"] = pickle.dumps(Payload(marker))


CRAFTED: list[tuple[str, Callable[[Parts, Path], None], str]] = [
    ("pickled weight", _pickled_weight, "is pickled"),
    ("pickled constant", _constant("tensor_0", saved), "is pickled"),
    ("script object", _constant("custom_obj_0", saved), "data/constants/custom_obj_0"),
    ("opaque object", _constant("opaque_obj_0", pickle.dumps), "data/constants/opaque_obj_0"),
    ("sample inputs", _samples, "data/sample_inputs/model.pt"),
    ("sample inputs, old pickle", _old_samples, "data/sample_inputs/model.pt"),
    ("legacy weights", _legacy("data/weights/model.pt"), "data/weights/model.pt"),
    ("legacy constants", _legacy("data/constants/model.pt"), "data/constants/model.pt"),
    ("compiled code", _legacy("data/aotinductor/model/a.so"), "compiled code"),
    ("second model", _legacy("models/other.json"), "models/other.json"),
    ("size", _in_graph(_symbol), "expr_str"),
    ("guard", _in_graph(lambda r, code: r.update(guards_code=[code])), "guards_code"),
    ("name of a node", _in_graph(_name), "accepted is a name"),
    ("name of an argument", _in_graph(lambda r, code: _call(r).update(forward_arg_names=[code])), "forward_arg_names"),
    ("name of a weight", _weight_name, "accepted is a name"),
    ("python function", _in_graph(_dead_system), "torch.serialization.os.mkdir"),
    ("operator as argument", _in_graph(_operator_argument), "as_operator"),
    ("file operator", _in_graph(_from_file), "from_file"),
    ("module of a dictionary", _in_graph(_defaultdict), "in_spec"),
    ("module of an enum", _in_graph(_enum), "out_spec"),
    ("verifier", _in_graph(lambda r, code: r.update(verifiers=[code])), "verifiers"),
]
"""Name, change, and what the refusal names."""
