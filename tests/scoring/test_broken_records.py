"""A scores file or a store that is no record of ours is refused by name, before anything is solved or written."""

from __future__ import annotations

import json

import numpy as np
import pytest

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.runs.store import RunStore
from oamip_model.scoring.asked import as_objects


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A network's saved scores: the record, and a folder."""
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    folder = tmp_path_factory.mktemp("scored")
    result = om.score(module, np.random.default_rng(0).random((4, 2)), [0, 1, 0, 1], "forward")
    return json.loads(result.save(folder / "good.json").read_text()), folder


def changed(record, *path, value):
    copy = json.loads(json.dumps(record))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


CHANGES = [
    (("by_layer", "0"), [0.5, 1.5, 0.0]), (("by_layer", "0"), [0.5, "x", 0.0]), (("by_layer", "0"), [[0.5], 0.1, 0.2]),
    (("by_layer",), []), (("by_layer",), {"file": "../other.safetensors", "layers": ["0"]}),
    (("by_layer",), {"file": "missing.safetensors", "layers": ["0"]}), (("by_layer",), {"file": "a", "layers": 3}),
    (("network",), None), (("strategy",), 3), (("planned",), -1), (("planned",), 1.5), (("interrupted",), "no"),
    (("seconds",), None), (("seconds",), {"solve": "long"}), (("options",), []), (("images",), None),
    (("programs",), None), (("programs",), [None]), (("programs", 0, "status"), "excellent"),
    (("programs", 0, "images"), 3), (("programs", 0, "replay"), []), (("programs", 0, "replay", "passed"), 1),
    (("programs", 0, "objective"), "low"), (("programs", 0, "rounds"), None), (("format",), "oamip-scores-9"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_a_changed_field_is_named(scored, path, value, tmp_path):
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(changed(scored[0], *path, value=value)))
    with pytest.raises(InputError, match="scores: ") as told:
        om.load_scores(file)
    assert len(str(told.value).splitlines()) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.json"]


@pytest.mark.parametrize("name", ["by_layer", "programs", "strategy", "network", "seconds"])
def test_a_missing_field_is_named(scored, name, tmp_path):
    record = {key: value for key, value in scored[0].items() if key != name}
    (tmp_path / "bad.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=name):
        om.load_scores(tmp_path / "bad.json")


BYTES = {
    "text": b"hello", "nothing": b"", "zeros": b"\0" * 20, "not UTF-8": b'{"format": "\xff"}', "a list": b"[1, 2]",
    "digits": b'{"format": ' + b"9" * 5000 + b"}", "deep": b"[" * 100_000, "twice": b'{"a": 1, "a": 2}',
}  # fmt: skip


@pytest.mark.parametrize("kind", BYTES)
def test_bytes_that_are_no_scores_file_are_refused_in_one_line(kind, tmp_path):
    (tmp_path / "bad.json").write_bytes(BYTES[kind])
    with pytest.raises(InputError, match="scores: ") as told:
        om.load_scores(tmp_path / "bad.json")
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("kind", BYTES)
def test_a_store_with_such_a_line_is_refused_and_left_as_it_is(kind, tmp_path):
    path = tmp_path / "runs.jsonl"
    good = b'{"key": "a", "record": {}}\n'
    path.write_bytes(good + BYTES[kind] + b"\n" + good)
    with pytest.raises(InputError, match="store: line 2"):
        RunStore(path)
    assert path.read_bytes() == good + BYTES[kind] + b"\n" + good


@pytest.mark.parametrize("record", [{}, {"scores": 3}, {"result": None}, {"scores": [2.0], "keep": [], "result": {}}])
@pytest.mark.parametrize("strategy", ["batches", "decoupled"])
def test_a_record_of_another_kind_is_refused_by_its_key(record, strategy, problem_of, tmp_path):
    p, store = problem_of("dense", 0), tmp_path / "runs.jsonl"
    om.score(p.network, p.images, p.labels, **as_objects(strategy=strategy, store=store))
    lines = [json.loads(line) for line in store.read_text().splitlines()]
    store.write_text("".join(json.dumps({"key": line["key"], "record": record}) + "\n" for line in lines))
    before = store.read_bytes()
    with pytest.raises(InputError, match="store"):
        om.score(p.network, p.images, p.labels, **as_objects(strategy=strategy, store=store))
    assert store.read_bytes() == before
