"""Options by their names, put into the objects that have a use for them.

The command line and plain rules give them.
"""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, TypedDict

from oamip_model.checks import Checked, by_class, from_record, key_of_field
from oamip_model.errors import InputError
from oamip_model.formulation.settings import Formulation, check_choice
from oamip_model.scoring.layer_options import Exchanges, LevelMethod
from oamip_model.scoring.method import Method
from oamip_model.scoring.methods import METHODS, AllLayers, by_default
from oamip_model.solving.options import Run, Solver, TreeSearch
from oamip_model.tightening.methods import Tightening


class Asked(TypedDict):
    """The arguments of :func:`oamip_model.score` after the images."""

    method: Method
    solver: Solver | None
    run: Run


def as_objects(strategy: str | None = None, **given: Any) -> Asked:
    """The objects that options by name stand for.

    They are keywords of :func:`oamip_model.score`. Without a strategy it is elimination, or forward where
    elimination has no use for an option.

    given: fields of the method's class, of its Formulation and TreeSearch, of :class:`Solver` (its name as ``solver``)
    and of :class:`Run`. None stands for an option that was not given. A method without programs gets no solver. Raises
    InputError for an option that none of them has.

    Examples
    --------
    >>> as_objects("joint", scores="binary", search="tree", solver="cbc", seed=0)["method"].formulation.relaxation
    'hull'
    >>> as_objects(amount=0.5)["method"].called, as_objects(amount=0.5, solver="cbc")["method"].called
    ('elimination', 'forward')
    >>> as_objects("joint", batch_size=5)
    Traceback (most recent call last):
    ...
    oamip_model.errors.InputError: batch_size: got 5, but strategy joint has no use for it, only batches
    """
    if strategy is None:
        return by_default(
            lambda name: as_objects(name, **given),
            lambda found: found["method"].check_given(found["solver"], found["run"]),
        )
    check_choice("strategy", strategy, tuple(METHODS))
    cls: type[Any] = METHODS[strategy]
    form = issubclass(cls, AllLayers)
    wants_tree = form and given.get("search") == "tree"
    solves = bool(cls.solver_fields)
    parts: list[type[Any]] = [
        cls,
        *([Solver] if solves else []),
        Run,
        *([Formulation] if form else []),
        *([TreeSearch] if wants_tree else []),
    ]
    # Options of the method itself, such as the seed of elimination, are no options of the solver.
    values, left = by_class(parts, given)
    for key in left:
        if given[key] is not None or not _fields_by(key):
            raise InputError(_without_use(key, given[key], strategy, form))
    if wants_tree:
        values[cls]["search"] = TreeSearch(**values.pop(TreeSearch))
    if form:
        values[cls]["formulation"] = Formulation(**values.pop(Formulation))
    solver = Solver(**values[Solver]) if solves else None
    return {"method": cls(**values[cls]), "solver": solver, "run": Run(**values[Run])}


def _fields_by(key: str) -> list[tuple[str, Field[Any]]]:
    """The fields of this key, each with the name of a strategy that has it."""
    known: dict[str, type[Any]] = {**METHODS}
    found = [(name, one) for name, cls in known.items() for one in fields(cls) if key_of_field(one) == key]
    for cls in (Formulation, TreeSearch):
        names = [name for name, method in METHODS.items() if issubclass(method, AllLayers)]
        found += [(name, one) for name in names for one in fields(cls) if key_of_field(one) == key]
    for name, method in METHODS.items():
        found += [
            (name, one) for one in fields(Solver) if one.name in method.solver_fields and key_of_field(one) == key
        ]
    return found


def _without_use(key: str, value: Any, strategy: str, form: bool) -> str:
    names = list(dict.fromkeys(name for name, _ in _fields_by(key)))
    if not names:
        return f"{key}: got {value!r}, but there is no such option"
    if form and any(key_of_field(one) == key for one in fields(TreeSearch)):
        return f"{key}: got {value!r}, but only search tree has a use for it"
    return f"{key}: got {value!r}, but strategy {strategy} has no use for it, only {', '.join(names)}"


def read_method(options: dict[str, Any]) -> Method | None:
    """The method in a result's options, None where they have none."""
    record = options.get("method")
    if not isinstance(record, dict):
        return None
    found = from_record(record, {cls.__name__: cls for cls in _READABLE}, "method")
    return found if isinstance(found, Method) else None


def read_solver(options: dict[str, Any]) -> Solver | None:
    """The solver in a result's options, None where they have none."""
    record = options.get("solver")
    return from_record(record, {"Solver": Solver}, "solver") if isinstance(record, dict) else None


_READABLE: tuple[type[Checked], ...] = (*METHODS.values(), Formulation, TreeSearch, Tightening, Exchanges, LevelMethod)
