"""Options as dataclasses: checked where they are made, shown by what is not a default, kept in records."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

import oamip_model as om
from oamip_model.checks import from_record, spec_of, to_record
from oamip_model.scoring.methods import METHODS

CLASSES: tuple[type[Any], ...] = (
    *METHODS.values(), om.Formulation, om.TreeSearch, om.Exchanges, om.LevelMethod, om.Solver, om.Run, om.Tightening,
    om.Budget, om.study.Grid, om.study.Objective,
)  # fmt: skip
BY_NAME = {cls.__name__: cls for cls in CLASSES}


def made(cls: type[Any], **given: Any) -> Any:
    needed = {om.Elimination: {"amount": 0.5}, om.Budget: {"macs": 0.5}}
    return cls(**needed.get(cls, {}) | given)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_field_has_a_default_a_help_and_a_line_in_the_docstring(cls: type[Any]) -> None:
    made(cls)
    for one in fields(cls):
        assert spec_of(one).help.endswith((".", "needed.")), one.name
        assert f"{one.name} : " in (cls.__doc__ or "")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_object_comes_back_from_its_record(cls: type[Any]) -> None:
    one = made(cls)
    assert from_record(json.loads(json.dumps(to_record(one))), BY_NAME) == one


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_value_of_no_kind_is_refused_by_the_name_of_its_field(cls: type[Any]) -> None:
    for one in fields(cls):
        name = "solver" if (cls, one.name) == (om.Solver, "name") else one.name
        with pytest.raises(om.InputError, match=rf"^{name}: got <object[^\n]*$"):
            made(cls, **{one.name: object()})


def test_objects_are_frozen_and_take_no_other_names() -> None:
    with pytest.raises(AttributeError):
        om.Solver().seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError, match="sweeps"):
        om.Joint(sweeps=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        om.Forward(0.5)  # type: ignore[misc]


def test_the_text_of_an_object_shows_what_is_not_a_default() -> None:
    assert repr(om.Forward(amount=0.5, exchanges=om.Exchanges(3))) == "Forward(amount=0.5, exchanges=Exchanges(3))"
    assert repr(om.Solver("cbc", time_limit=60)) == "Solver('cbc', time_limit=60.0)"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"kind": "Nothing"}, "options: is no record of"),
        ([1], "options: is no record of"),
        ({"kind": "Solver", "name": "cbc", "speed": 3}, "options: Solver has no field speed"),
        ({"kind": "Solver", "threads": 0}, "threads: got 0"),
        ({"kind": "Joint", "bounds": {"kind": "given", "as": "lp up to 3"}}, "options: bounds was given as an object"),
    ],
)
def test_a_record_that_is_none_is_refused(record: Any, message: str) -> None:
    with pytest.raises(om.InputError, match=f"^{message}"):
        from_record(record, BY_NAME)


def test_no_public_function_has_more_than_eight_parameters() -> None:
    import inspect

    assert len(inspect.signature(om.score).parameters) <= 7
    functions = [getattr(om, name) for name in dir(om)] + [om.study.tightness]
    assert {
        f.__name__ for f in functions if inspect.isfunction(f) and len(inspect.signature(f).parameters) > 8
    } == set()
