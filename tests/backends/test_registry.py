"""Solvers are found by name, and what is wrong with a name or a solver is said in one line."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import scipy.sparse as sp

from oamip_model import registry as registries
from oamip_model.solving import registry
from oamip_model.solving.protocol import (
    Arrays,
    InputError,
    Options,
    Solution,
    SolverMissingError,
    Status,
)
from oamip_model.solving.rebuild import RebuildSession
from oamip_model.solving.registry import get_backend, list_solvers, open_session


class Plain:
    """A third party's backend: no session, no capabilities."""

    name = "plain"
    licence = "none"
    capabilities = frozenset()

    def check(self) -> None:
        pass

    def version(self) -> str:
        return "1"

    def solve(self, arrays, options, start=None):
        return Solution(Status.OPTIMAL, self.name, "1", arrays.lower, arrays.objective(arrays.lower))


class Missing(Plain):
    def check(self) -> None:
        raise SolverMissingError("plain: pip install plain")


class Broken(Plain):
    def version(self) -> str:
        raise RuntimeError("no such\nlibrary")


@pytest.fixture
def offered(monkeypatch):
    """Installs entry points beside the real ones."""

    def offer(**values: str) -> None:
        real = registries.installed(registry.GROUP)
        extra = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(registries, "installed", lambda group: [*real, *extra])
        monkeypatch.setattr(EntryPoint, "load", _load_here(EntryPoint.load))

    return offer


def _load_here(load):
    here = {"Plain": Plain, "Missing": Missing, "Broken": Broken}
    return lambda entry: here[entry.value.partition(":")[2]] if entry.value.startswith("here:") else load(entry)


def empty_program() -> Arrays:
    zero = np.zeros(2)
    return Arrays(sp.csr_array((0, 2)), np.ones(2), zero, zero + 1, zero[:0], zero[:0], zero.astype(bool))


def test_backends_of_the_package():
    assert {"highs", "cbc", "gurobi", "scip", "pyomo:NAME"} <= {solver.name for solver in list_solvers()}
    highs = next(solver for solver in list_solvers() if solver.name == "highs")
    assert (highs.available, highs.licence, highs.problem) == (True, "MIT", "")
    assert highs.version.count(".") == 2
    assert get_backend("pyomo:appsi_highs").name == "pyomo:appsi_highs"
    backend = get_backend("highs")
    assert get_backend(backend) is backend


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hihgs", "did you mean highs"),
        ("HIGHS", "did you mean highs"),
        ("nothing", "accepted are cbc, gurobi, highs, pyomo:NAME, scip"),
        ("highs:3", "accepted are"),
        ("", "accepted are"),
        ("pyomo", "pyomo:NAME"),
        ("pyomo:", "pyomo:NAME"),
        ("pyomo:appsi_hihgs", "did you mean appsi_highs"),
        (3, "int"),
        (Plain, "class"),
    ],
)
def test_a_wrong_name_is_an_input_error_in_one_line(name, told):
    with pytest.raises(InputError, match=told) as caught:
        get_backend(name)
    assert "\n" not in str(caught.value)


def test_a_solver_that_is_not_installed_says_what_to_install(offered, monkeypatch):
    offered(missing="here:Missing")
    with pytest.raises(SolverMissingError, match="pip install plain"):
        get_backend("missing")
    listed = {solver.name: solver for solver in list_solvers()}
    assert (listed["missing"].available, listed["missing"].problem) == (False, "plain: pip install plain")
    monkeypatch.setitem(__import__("sys").modules, "highspy", None)
    with pytest.raises(SolverMissingError, match="pip install highspy"):
        get_backend("highs")
    with pytest.raises(SolverMissingError, match="Pyomo knows it"):
        get_backend("pyomo:baron")


def test_a_broken_backend_hides_no_other(offered):
    offered(gone="no_such_module_anywhere:Solver", broken="here:Broken", plain="here:Plain")
    listed = {solver.name: solver for solver in list_solvers()}
    assert "no_such_module_anywhere:Solver" in listed["gone"].problem
    assert listed["broken"].problem == "broken: RuntimeError: no such library"
    assert listed["plain"].available
    assert listed["highs"].available
    with pytest.raises(SolverMissingError, match=r"gone: .*cannot be imported"):
        get_backend("gone")


def test_two_packages_with_one_name(offered):
    offered(highs="here:Plain")
    with pytest.raises(InputError, match=r"two packages offer a backend highs"):
        get_backend("highs")


def test_a_backend_without_a_session_is_given_the_model_each_time(offered):
    offered(plain="here:Plain")
    session = open_session(get_backend("plain"), empty_program(), Options())
    assert isinstance(session.inner, RebuildSession)
    assert session.solve().objective == 0.0


@pytest.mark.parametrize("options", [Options(threads=2), Options(seed=1), Options(log_file="x")])
def test_options_beyond_the_capabilities_are_refused(options):
    with pytest.raises(InputError, match=r"(threads|seed|log_file): .* plain cannot"):
        open_session(Plain(), empty_program(), options)
    assert open_session(Plain(), empty_program(), Options(threads=None, seed=None))


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_limit": 0}, {"time_limit": float("nan")}, {"gap": -1}, {"gap": float("inf")}, {"threads": 0},
        {"threads": 1.5}, {"seed": -1}, {"seed": 2**31}, {"feasibility": 0.5}, {"feasibility": 0},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Options(**wrong)
