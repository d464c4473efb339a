"""A solver from outside the package is used by its name, here and in processes that work for this one.

The conformance suite, in tests/conformance, runs on it as on every other solver.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from oamip_model.errors import InputError, SolverError
from oamip_model.solving.protocol import Arrays, Options, Solution, Status
from oamip_model.solving.registry import get_backend, list_solvers, names, open_session, register_backend, solve_once
from oamip_model.solving.workers import parallel
from oamip_model.solving.workers.extensions import adopt, extensions

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "backends.md"


def test_the_example_runs_and_agrees_with_the_default_solver(example, capsys):
    example("own_solver").main()
    first, second = capsys.readouterr().out.splitlines()
    assert first.replace("highs", "scipy") == second
    assert second.startswith("scipy: optimal")


def test_the_manual_shows_the_example_as_it_is(example):
    text = Path(example("own_solver").__file__).read_text()
    part = text[text.index("class OwnRun(") : text.index("register_backend(OwnSolver)")].rstrip()
    assert part in DOCS.read_text()


def test_it_is_listed_and_found_by_its_name(example):
    before = {solver.name for solver in list_solvers()}
    module = example("own_solver")
    assert "scipy" not in before
    listed = {solver.name: solver for solver in list_solvers()}
    assert (listed["scipy"].available, listed["scipy"].licence) == (True, "BSD-3-Clause")
    assert isinstance(get_backend("scipy"), module.OwnSolver)
    with pytest.raises(InputError, match=r"accepted are .*scipy; did you mean scipy"):
        get_backend("sciPy")


def test_its_linear_programs_are_certified_and_its_false_claims_are_not_believed(example, monkeypatch):
    module = example("own_solver")
    one = np.ones(2)
    arrays = Arrays(sp.csr_array([[1.0, 2.0]]), -one, 0 * one, one, one[:1] - 1, 1.5 * one[:1], one < 0)
    found = open_session(module.OwnSolver(), arrays, Options()).solve()
    assert (found.status, found.objective, found.certified) == (Status.OPTIMAL, pytest.approx(-1.25), True)
    false = Solution(Status.INFEASIBLE, "scipy", "1")
    monkeypatch.setattr(module.OwnSolver, "solve", lambda self, arrays, options, start=None: false)
    found = open_session(module.OwnSolver(), arrays, Options()).solve()
    assert (found.status, found.solver, found.objective) == (Status.OPTIMAL, "highs", pytest.approx(-1.25))
    assert found.message == "numerical trouble: scipy claims that the program is infeasible, highs has a point"


def names_known(shared, item, tell):
    """What a worker finds under the name."""
    from oamip_model.solving.registry import get_backend

    return get_backend(item).name


def test_worker_processes_know_it(example):
    example("own_solver")
    found = dict(parallel.Workers(jobs=2).run(names_known, None, {"a": "scipy", "b": "highs"}))
    assert found == {"a": "scipy", "b": "highs"}


def test_what_is_registered_is_told_to_other_processes(example, monkeypatch):
    module = example("own_solver")
    told = extensions()
    monkeypatch.setattr(names, "_registered", {})
    with pytest.raises(InputError, match="scipy"):
        get_backend("scipy")
    adopt(told)
    adopt(told)
    assert isinstance(get_backend("scipy"), module.OwnSolver)


def test_a_class_that_is_no_backend_or_has_anothers_name_is_refused_in_one_line(example):
    own = example("own_solver").OwnSolver

    class Highs(own):
        name = "highs"

    class Nameless(own):
        name = "Own Solver"

    class Half:
        name = "half"

    class Short(own):
        name = "short"

        def solve(self, arrays, options):
            return None

    for make, told in (
        (Highs, "there is one named highs already"), (Nameless, "accepted is a name such as my-solver"),
        (Half, "lacks capabilities, licence, check, version, solve"), (lambda: None, "is None"),
        (Short, r"Short\.solve of .* takes \(arrays, options\), accepted is solve\(arrays, options, start=None\)"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=rf"^solver: .*{told}") as caught:
            register_backend(make)
        assert "\n" not in str(caught.value)
    assert set(names._registered) == {"scipy"}


def test_a_solve_that_gives_no_solution_is_named(example):
    own = example("own_solver").OwnSolver

    class Mute(own):
        name = "mute"

        def solve(self, arrays, options, start=None):
            return None

    arrays = Arrays(
        sp.csr_array((0, 1)), np.ones(1), np.zeros(1), np.ones(1), np.zeros(0), np.zeros(0), np.zeros(1) > 0
    )
    with pytest.raises(SolverError, match=r"^mute: its solve gave an object of type NoneType, accepted is a Solution$"):
        solve_once(Mute(), arrays, Options())
