"""What is counted in checkouts, on small ones that are made here."""

from __future__ import annotations

from pathlib import Path

import pytest
from oamip_benchmarks.measures.house.counts import Checkout, asking, circles, naming, parameter_counts, rows, table
from oamip_benchmarks.measures.house.revisions import contradict, ended_alike


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
