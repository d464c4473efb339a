"""What holds for every verb: light help, JSON, solvers, one line for an error."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import oamip_model as om

HEAVY = ("torch", "pyomo", "matplotlib", "highspy", "onnx", "scipy", "numpy")


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["prune", "--help"],
                                       ["demo", "--help"], ["bounds", "--help"], ["solvers", "--help"],
                                       ["tightness", "--help"], ["experiment", "pruning", "--help"],
                                           ["bench", "run", "--help"]])  # fmt: skip
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; from oamip_model.cli import run; code = run({arguments!r}); "
    code += f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr.strip()) == (0, "[]")
    assert found.stdout


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["no-such-verb"], 2)])
def test_python_m_is_the_same_command(arguments: list[str], code: int) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "oamip_model", *arguments], capture_output=True, text=True, check=False
    )
    assert (found.returncode, "oamip" in found.stdout + found.stderr) == (code, True)
    assert "Traceback" not in found.stderr


def test_help_tells_the_exit_codes(call: Any) -> None:
    told = call("--help").out
    assert all(f"\n    {code}  " in told for code in (0, 1, 2, 3, 4, 5, 130))


def test_solvers(call: Any) -> None:
    told = call("solvers", "--json")
    assert (told.code, told.err) == (0, "")
    by_name = {s["name"]: s for s in told.json()["solvers"]}
    assert by_name["highs"]["usable"]
    assert {"cbc", "gurobi", "scip", "pyomo:NAME"} <= set(by_name)
    assert all(s["usable"] or s["problem"] for s in by_name.values())


def test_solvers_says_what_to_install(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from oamip_backends.highs import Highs

    def missing(self: Any) -> None:
        raise om.SolverMissingError("highs: install it with pip install highspy")

    monkeypatch.setattr(Highs, "check", missing)
    told = call("solvers")
    assert told.code == 0
    assert "install it with pip install highspy" in told.out
    assert any(line.split()[:2] == ["highs", "no"] for line in told.out.splitlines())


@pytest.mark.parametrize(("error", "code"), [
    (om.InputError("x: y"), 2), (om.SolverError("x: y"), 1), (om.SolverMissingError("x: y"), 4),
    (om.CheckError("x: y"), 5), (KeyboardInterrupt(), 130), (MemoryError(), 1),
    (OSError(28, "No space left on device"), 1),
])  # fmt: skip
def test_an_error_is_one_line(error: BaseException, code: int, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from oamip_model.solving import registry

    def fail() -> None:
        raise error

    monkeypatch.setattr(registry, "list_solvers", fail)
    told = call("solvers", "--json")
    assert (told.code, told.out) == (code, "")
    assert told.err.startswith("oamip: error: ")
    assert told.err.count("\n") == 1


def test_a_reader_that_leaves_is_no_failure() -> None:
    code = "import sys; from oamip_model.cli import main; sys.argv = ['oamip', 'solvers', '--json']; main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.wait(timeout=60)
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


def test_an_interruption_outside_of_a_verb_is_told_in_one_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from oamip_model.cli.app import Verbs

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Verbs, "get_command", interrupted)
    told = call("solvers")
    # Click writes an empty line before.
    assert (told.code, told.out, told.err.lstrip()) == (130, "", "oamip: error: interrupted\n")
