"""A table of text keeps to a width: texts are shortened, columns left out or put below, and numbers are never cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oamip_model.network.table import text_table, without

WORDS = st.text("abcdefgh-", min_size=1, max_size=30)


@st.composite
def tables(draw):
    columns = draw(st.integers(1, 7))
    heads = [f"h{k}" + "x" * draw(st.integers(0, 8)) for k in range(columns)]
    rows = draw(st.lists(st.lists(WORDS, min_size=columns, max_size=columns), max_size=4))
    return heads, rows


@given(tables(), st.integers(0, 3))
def test_no_line_is_wider_than_asked_where_two_columns_fit(table, left):
    heads, rows = table
    text = text_table(heads, rows, range(min(left, 1), len(heads)), width=80)
    assert max(map(len, text.split("\n"))) <= 80


@given(tables())
def test_every_number_is_there_whole_at_any_width(table):
    heads, rows = table
    text = text_table(heads, rows, range(1, len(heads)), width=40)
    assert all(head in text.split() for head in heads)
    assert all(cell in text.split() for row in rows for cell in row[1:])


def test_a_width_that_suffices_changes_nothing():
    heads, rows = ["name", "size"], [["a", "10"]]
    assert text_table(heads, rows, {1}, width=10) == text_table(heads, rows, {1})


def test_the_last_of_the_columns_that_may_go_is_left_out_first():
    heads, rows = ["name", "one", "two", "three"], [["a", "1", "2", "3"]]
    assert without(heads, rows, ["one", "two"], 16)[0] == ["name", "one", "three"]
    assert without(heads, rows, ["one", "two"], 11) == (["name", "three"], [["a", "3"]])
    assert without(heads, rows, ["one", "two"], 80)[0] == heads
    assert without(heads, rows, ["one", "two"], 1)[0] == ["name", "three"]


def test_the_longest_text_is_shortened_before_columns_go_below():
    heads, rows = ["network", "seconds"], [["a-very-long-name-of-a-network", "1.5"], ["short", "2.5"]]
    lines = text_table(heads, rows, {1}, rule=False, width=30).split("\n")
    assert lines[1].split() == ["a-very-long-name-of-…", "1.5"]
    assert max(map(len, lines)) == 30
