"""What is counted in checkouts, on small ones that are made here."""

from __future__ import annotations

from pathlib import Path

import pytest
from oamip_benchmarks.measures.house.counts import Checkout, asking, circles, naming, parameter_counts, rows, table
from oamip_benchmarks.measures.house.revisions import contradict, ended_alike, in_pairs
from oamip_benchmarks.measures.house.sides import Side, code_of, in_turns, offer


@pytest.fixture
def checkout(tmp_path):
    """checkout(name, files): a folder with these files of oamip_model."""

    def make(name, files):
        for path, text in files.items():
            (tmp_path / name / "oamip_model" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "oamip_model" / path).write_text(text)
        return Checkout(tmp_path / name)

    return make


def test_a_gate_counts_where_its_name_stands_alone(checkout):
    files = checkout("a", {"a.py": "x = 'switch'", "b.py": "x = 'switches'", "c.py": '"""The gate switch."""'}).core
    assert naming(files, "switch") == [Path("oamip_model/a.py")]


def test_questions_for_a_kind_of_map_are_counted(checkout):
    files = checkout("a", {"a.py": "isinstance(m, (Dense, int))", "b.py": "isinstance(m, Gate)", "c.py": "Dense(w)"})
    assert asking(files.core) == [Path("oamip_model/a.py")]


@pytest.mark.parametrize(("text", "counts"), [
    ("def f(a, /, b, *c, d, **e): ...", [5]), ("class A:\n    def f(self, a): ...", [1]),
    ("@click.command()\ndef f(a): ...", []), ("class _A:\n    def f(self, a): ...", []), ("def _f(a): ...", []),
])  # fmt: skip
def test_parameters_are_those_of_public_functions(text, counts):
    assert parameter_counts({Path("a.py"): text}) == counts


def test_two_files_that_import_each_other_are_a_circle(checkout):
    texts = {
        "a.py": "from oamip_model.b import x",
        "b.py": "def f():\n    from oamip_model import a",
        "c.py": "import oamip_model.a",
    }
    assert circles(checkout("a", texts).files) == {("oamip_model.a", "oamip_model.b")}


def test_the_table_has_a_column_for_each_checkout(checkout):
    old = checkout("old", {"a.py": "def f(a, b, c, d, e, f, g, h, i): ..."})
    new = checkout("new", {"room/a.py": "def f(a): ...\n", "room/b.py": ""})
    assert rows(old)["public functions with more than eight parameters"] == "1"
    assert rows(new)["files in the largest folder"] == "2 (`oamip_model/room`)"
    lines = table([old, new]).splitlines()
    assert lines[0] == "|  | old | new |"
    assert "| parameters of the ten largest public functions | 9 | 1 |" in lines
    assert len(lines) == 2 + len(rows(new))


def ends(status="optimal", objective=1.0, bound=1.0):
    return {"status": status, "objective": objective, "bound": bound}


@pytest.mark.parametrize(
    ("other", "alike", "wrong"),
    [
        (ends(), True, False),
        (ends(bound=0.9999), True, False),
        (ends(bound=0.99), False, False),
        (ends(objective=1.1, bound=1.1), False, True),
        (ends("feasible", 1.2, 0.5), False, False),
        (ends("feasible", None, 0.5), False, False),
        (ends("feasible", 0.9, 0.5), False, True),
    ],
)
def test_two_revisions_end_alike_where_optima_and_bounds_agree(other, alike, wrong):
    row = {"before": ends(bound=0.99995), "after": other}
    assert (ended_alike(row), contradict(row)) == (alike, wrong)
    # The same program as one of a maximum.
    turned = {
        side: told | {k: None if told[k] is None else -told[k] for k in ("objective", "bound")}
        for side, told in row.items()
    }
    assert (ended_alike(turned), contradict(turned)) == (alike, wrong)


class Counted:
    """A side that notes when it is asked, and needs fewer seconds each time."""

    def __init__(self, name, order):
        self.name, self.order = name, order

    def ask(self, asked):
        self.order.append(self.name)
        return {"wall": 9.0 / len(self.order), "cpu": 1.0, "solver": 1.0, "status": "optimal"}


@pytest.mark.parametrize("turned", [False, True])
def test_the_sides_of_a_pair_take_turns_and_the_least_time_counts(turned):
    order = []
    sides = {name: Counted(name, order) for name in ("before", "after")}
    row = in_pairs(sides, {"instance": "x", "solver": "highs", "limit": 1.0, "seed": 0}, 2, turned)
    first, second = ("after", "before") if turned else ("before", "after")
    assert order == [first, second, second, first]
    assert (row[first]["wall"], row[second]["wall"]) == (9.0 / 4, 9.0 / 3)


def test_a_plain_folder_is_a_side_without_git_or_an_installation(tmp_path):
    tree = tmp_path / "tree"
    (tree / "oamip_model").mkdir(parents=True)
    (tree / "oamip_model" / "__init__.py").write_text("which = 'the one of the tree'\n")
    (tree / "setup.cfg").write_text("[options.entry_points]\nmy.group =\n    one = oamip_model:which\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import json, sys\nfrom importlib.metadata import entry_points\n"
        "for line in sys.stdin:\n"
        "    if 'end' in line: sys.exit(3)\n"
        "    print(json.dumps([one.load() for one in entry_points(group='my.group')]), flush=True)\n"
    )
    side = Side(tree, script, tmp_path / "scratch")
    assert side.ask({"a": 1}) == ["the one of the tree"]
    with pytest.raises(RuntimeError, match="ended with 3, asked for"):
        side.ask({"end": True})
    side.close()


def test_the_code_of_a_folder_changes_with_any_file_of_it(checkout):
    one, same, other = (
        checkout(name, {"a.py": text, "b.py": ""}).folder for name, text in (("1", "x"), ("2", "x"), ("3", "y"))
    )
    assert code_of(one) == code_of(same) != code_of(other)


def test_a_folder_without_entry_points_offers_none(tmp_path):
    assert (offer(tmp_path, tmp_path / "into") / "oamip_model-0.dist-info" / "entry_points.txt").read_text() == ""


def test_results_come_as_they_are_made_and_an_error_ends_the_run():
    def work(item):
        if item == 2:
            raise RuntimeError("two")
        return {"item": item}

    assert sorted(made["item"] for made in in_turns(work, [0, 1, 3], 2)) == [0, 1, 3]
    with pytest.raises(RuntimeError, match="two"):
        list(in_turns(work, [2, 3, 4], 1))
