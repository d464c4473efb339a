"""Records that came from a file are parsed strictly, and checked by their declarations."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypedDict

import pytest

from oamip_model.errors import InputError
from oamip_model.records import (
    INFINITE,
    LARGEST,
    ONE_KEY,
    OPEN,
    Count,
    Matches,
    Number,
    Share,
    Within,
    checked,
    parse_json,
    read_json,
    read_lines,
)


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple[int, ...] = ()


class Entry(TypedDict, total=False):
    name: Required[Annotated[str, Matches("[a-z]+", "a name")]]
    point: Point
    kind: Literal["a", "b", 3]


ACCEPTED: list[tuple[Any, Any, Any]] = [
    (int, 3, 3), (float, 3, 3.0), (str, "a", "a"), (bool, True, True), (int | None, None, None),
    (float | str, "a", "a"), (Share, 1, 1.0), (Count, 0, 0), (Number, float("inf"), float("inf")),
    (list[int], [1, 2], [1, 2]), (tuple[int, str], [1, "a"], (1, "a")), (tuple[int, ...], [], ()),
    (dict[str, Share], {"a": 0}, {"a": 0.0}), (Point, {"x": 1}, Point(1.0)), (Any, {"x": [None]}, {"x": [None]}),
    (Point, {"x": 1, "y": [2, 3]}, Point(1.0, (2, 3))), (Entry, {"name": "a"}, {"name": "a"}),
    (Entry, {"name": "a", "kind": 3}, {"name": "a", "kind": 3}), (Annotated[Entry, OPEN], {"name": "a", "z": 1},
                                                                  {"name": "a"}),
    (Annotated[Entry, ONE_KEY], {"name": "a"}, {"name": "a"}),
]  # fmt: skip
REFUSED: list[tuple[Any, Any, str]] = [
    (int, True, "is true, accepted is a whole number"), (int, 1.0, "is 1.0"), (int, "1", "is '1'"),
    (int, 2**63, "accepted is a whole number of 64 bits"), (int, 10**4000, "64 bits"), (float, None, "is null"),
    (float, float("nan"), "is nan"), (float, float("inf"), "is inf"), (float, 10**400, "accepted is a number"),
    (bool, 1, "is 1, accepted is true or false"), (str, 3, "accepted is a text"), (Share, 1.5, "from 0 to 1"),
    (Count, -1, "from 0 on"), (Annotated[float, INFINITE], float("nan"), "is nan"), (list[int], {}, "is an object"),
    (dict[str, int], [], "accepted is an object"), (list[int], [1, "a"], r"\[1\] is 'a'"), (None, 3, "is 3"),
    (tuple[int, int], [1], "is a list of 1, accepted is one of 2"), (Point, {}, "has no field x"),
    (Point, [], "a list"),
    (Point, {"x": 1, "z": 1}, "has the field z, which is not known"), (Point, {"x": 1, "y": [0.5]}, r"y\[0\] is 0.5"),
    (Entry, {"name": "A"}, "name is 'A', accepted is a name"), (Entry, {"name": "a", "kind": "c"}, "kind is 'c'"),
    (Entry, {"name": "a", "kind": True}, "kind is true"), (Entry, {"name": "a", "point": {"x": ""}}, "point.x is ''"),
    (Annotated[Entry, ONE_KEY], {"name": "a", "kind": "a"}, "has 2 fields, accepted is one"),
    (dict[str, Share], {"a\nb": 2}, "is 2.0"), (Annotated[int, Within(1, 2)], 3, "from 1 to 2"),
    (int, "x" * 10_000, r"xxx\.\.\."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "wanted"), ACCEPTED)
def test_a_value_of_its_declared_kind_is_taken(kind: Any, value: Any, wanted: Any) -> None:
    found = checked(kind, value, "it")
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(("kind", "value", "told"), REFUSED)
def test_another_one_is_refused_in_one_short_line(kind: Any, value: Any, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        checked(type(None) if kind is None else kind, value, "it")
    assert str(error.value).startswith("it")
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(("data", "told"), [
    (b"", "Expecting value"), (b"{", "Expecting"), (b"\xff", "not in UTF-8"), (b"[" * 10**5, "nested too deeply"),
    (b"9" * 5000, "too many digits"), (b'{"a": 1, "a": 1}', "the key 'a' occurs twice"), (b"[NaN]", "a number is NaN"),
    (b'["\\ud800"]', "half a character"), (b"[1] 2", "Extra data"), (b"\0", "Expecting value"),
])  # fmt: skip
def test_what_is_no_json_is_refused_in_one_line(data: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        parse_json(data, "it")
    assert len(str(error.value).splitlines()) == 1


def test_names_of_files_that_are_not_utf_8_come_back() -> None:
    name = os.fsdecode(b"a\xff")
    assert parse_json(json.dumps([name, "\U0001f600", -1e999]).encode(), "it") == [name, "\U0001f600", float("-inf")]


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(("make", "told"), [
    (lambda path: None, "there is no such file"), (lambda path: path.mkdir(), "is a folder"),
    (make_pipe, "is a pipe or a device"), (lambda path: path.symlink_to("/dev/zero"), "is a pipe or a device"),
    (lambda path: path.symlink_to("nowhere"), "there is no such file"),
    (lambda path: path.symlink_to(path), "loop|Too m"),
    (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), LARGEST + 1), "is too large"),
])  # fmt: skip
def test_what_is_no_file_is_refused_and_never_waited_for(make: Any, told: str, tmp_path: Path) -> None:
    make(tmp_path / "record.json")
    with pytest.raises(InputError, match=told):
        read_json(tmp_path / "record.json", "it")


def test_a_link_to_a_record_is_followed(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("[1]")
    (tmp_path / "link.json").symlink_to("record.json")
    assert read_json(tmp_path / "link.json", "it") == [1]


def test_lines_are_read_up_to_the_one_that_a_kill_cut(tmp_path: Path) -> None:
    path, first = tmp_path / "lines.jsonl", b'{"key": "'
    whole = b'{"key": "a"}\n{"key": "b"}\n'
    for rest in (b"", b"{", first, first + b"c", first + b'c"}'):
        path.write_bytes(whole + rest)
        lines, end = read_lines(path, "it", first)
        assert list(lines.values()) == [{"key": "a"}, {"key": "b"}]
        assert end == len(whole)
    for rest in (b"x", b'{"kex', b"\0"):
        path.write_bytes(whole + rest)
        with pytest.raises(InputError, match="it: line 3 of"):
            read_lines(path, "it", first)
    path.write_bytes(b'{"key": "a"}\n\n')
    with pytest.raises(InputError, match="it: line 2 of"):
        read_lines(path, "it", first)


def test_a_required_key_of_an_open_record_may_not_be_missing() -> None:
    class Row(TypedDict, total=False):
        key: Required[str]
        nodes: int

    assert checked(Annotated[Row, OPEN], {"key": "a", "else": 1}, "run: rows") == {"key": "a"}
    with pytest.raises(InputError, match=r"run: rows.*key"):
        checked(Annotated[Row, OPEN], {"nodes": 3}, "run: rows")
