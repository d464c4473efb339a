"""Registries: names of this package, registered ones, and those that packages offer, each refused in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import oamip_model as om
from oamip_model import registry
from oamip_model.cli.app import run
from oamip_model.formulation import Linear, Loss, Switch
from oamip_model.formulation.gates import GATES, gate_named, gate_names, is_sound, register_gate
from oamip_model.formulation.losses import LOSSES, loss_named, register_loss
from oamip_model.formulation.sparsities import SPARSITIES, sparsity_named


class Mine(Switch):
    name = "mine"


class Nameless(Switch):
    name = "Not A Name"


class Broken(Switch):
    name = "broken"

    def __init__(self):
        raise RuntimeError("no\nway")


class Other(Switch):
    name = "mine"


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
    for known in (GATES, LOSSES, SPARSITIES):
        monkeypatch.setattr(known, "_registered", {})
        monkeypatch.setattr(known, "_known", {})


@pytest.fixture
def offered(monkeypatch):
    """offered((name, value), ...): the only gates that any package has."""

    def offer(*pairs):
        real = registry.installed

        def found(group):
            if group != GATES.group:
                return real(group)
            return tuple(EntryPoint(name, value, group) for name, value in pairs)

        monkeypatch.setattr(registry, "installed", found)

    return offer


@pytest.mark.parametrize("named", [gate_named, loss_named, sparsity_named])
@pytest.mark.parametrize("given", ["Mean", "", None, 3, ("mean",)])
def test_unknown_names_are_refused_with_those_that_are_accepted(named, given):
    option = named.__name__.split("_")[0]
    with pytest.raises(om.InputError, match=rf"^{option}: got .*, accepted are [a-z-]+(, [a-z-]+)+$"):
        named(given)


def test_a_registered_gate_is_known_by_its_name_until_another_wants_it():
    made = register_gate(Mine)
    assert gate_named("mine") is made
    assert gate_names() == (*GATES.own, "mine")
    assert register_gate(Mine()).name == "mine"
    with pytest.raises(om.InputError, match=r"^gate: there is one named mine already, give yours another name$"):
        register_gate(Other)


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (3, "got an object of type int, accepted are subclasses of oamip_model.formulation.gates.base.Gate"),
        (Linear, "got an object of type Linear, accepted are subclasses of .*Gate"),
        (Nameless, "the name of Nameless is 'Not A Name', accepted is a name such as my-own"),
        (Broken, r"Broken cannot be made \(RuntimeError: no way\)"),
        (type("Switch", (Switch,), {}), "there is one named switch already, give yours another name"),
    ],
)
def test_what_is_no_gate_is_refused_in_one_line(thing, why):
    with pytest.raises(om.InputError, match=f"^gate: {why}$"):
        register_gate(thing)
    assert gate_names() == tuple(GATES.own)


def test_a_loss_without_slopes_is_refused_when_it_is_registered():
    class Half(Loss):
        name = "half"

        def values(self, logits, labels, margin):
            return logits[:, 0]

    with pytest.raises(om.InputError, match=r"^loss: .*Half of .* lacks slopes\(logits, labels, margin\)$"):
        register_loss(Half)


def test_a_method_with_other_arguments_is_refused_when_it_is_registered():
    odd = {"name": "odd", "values": lambda self, o, y: o[:, 0], "slopes": lambda self, o, y, m: o}
    why = r"^loss: Odd\.values of .* takes \(o, y\), accepted is values\(logits, labels, margin\)$"
    with pytest.raises(om.InputError, match=why):
        register_loss(type("Odd", (Loss,), odd))
    # More arguments are fine where they have defaults.
    odd["values"] = lambda self, o, y, m, more=1: o[:, 0]
    assert register_loss(type("Odd", (Loss,), odd)).name == "odd"


def test_a_gate_that_a_package_offers_is_found_by_its_name(offered, monkeypatch, problem_of):
    monkeypatch.setitem(sys.modules, "their_package", type(sys)("their_package"))
    sys.modules["their_package"].Mine = Mine
    offered(("mine", "their_package:Mine"))
    assert gate_names()[-1] == "mine"
    assert is_sound("mine")
    instance = problem_of("dense", 0, 1).build(gate="mine", scores="binary", sparsity="mean")
    assert om.solve_instance(instance).status == "optimal"


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([("gone", "no_such_package:Gate")], "no_such_package:Gate of .* cannot be imported .*no_such_package.*"),
        ([("gone", "json:dumps")], "gone is no such object, accepted are subclasses of .*Gate"),
        (
            [("gone", "oamip_model.formulation.gates.switch:Switch")],
            "what a package offers as gone has the name switch",
        ),
        ([("gone", "a:b"), ("gone", "c:d")], "two packages offer one named gone, a:b and c:d: uninstall one"),
    ],
)
def test_a_broken_offer_is_told_in_one_line_and_hides_nothing_else(offered, pairs, why):
    offered(*pairs)
    with pytest.raises(om.InputError, match=f"^gate: {why}$"):
        gate_named("gone")
    assert gate_named("switch").sound


def test_a_result_of_a_gate_that_is_not_installed_here_counts_as_unsound():
    assert is_sound("switch")
    assert not is_sound("published")
    assert not is_sound("somebody-elses")


@pytest.mark.parametrize("verb", ["score", "bounds", "tightness"])
def test_the_command_line_lists_registered_names_and_refuses_others(verb, capsys):
    register_gate(Mine)
    assert run([verb, "--help"]) == 0
    names = [*GATES.own, "mine"]
    assert f"[{'|'.join(names)}]" in capsys.readouterr().out.replace("\n", "").replace(" ", "")
    assert run([verb, "net.onnx", "--gate", "yours"]) == 2
    told = capsys.readouterr().err
    assert f"'yours' is not one of {', '.join(map(repr, names))}" in told
    assert told.count("\n") == 1


def test_the_helps_load_no_gate_and_look_for_none_at_the_top():
    code = (
        "import sys\nfrom oamip_model.cli.app import run\nrun(['--help'])\n"
        "print(sorted(m for m in sys.modules if m.startswith('oamip_model.formulation.') and m.count('.') > 2))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_a_package_that_is_installed_later_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = gate_names()
    info = tmp_path / "later-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[oamip_model.gates]\nlater = later_package:Later\n")
    assert gate_names() == (*before, "later")
    shutil.rmtree(info)
    assert gate_names() == before
