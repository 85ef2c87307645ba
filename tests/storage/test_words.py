"""Text from strangers: what remains of it, and what an error quotes."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipl_core import InputError
from ipl_core.storage.words import MAX_QUOTED, clean_line, csv_cell, quoted, read_json, reason

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text(max_size=200))
def test_a_cleaned_line_can_be_shown_and_written(text: str) -> None:
    line = clean_line(text, "The name", 1000)
    assert line == " ".join(line.split())
    assert not set(line) & {chr(code) for code in (0, 7, 0x1B, 0x202E, 0x2066, 0xFEFF)}
    assert line.encode().decode() == line
    assert clean_line(line, "The name", 1000) == line


def test_a_name_with_marks_that_turn_it_round_loses_them() -> None:
    assert clean_line("photo\u202egnp.exe\x00\n 2", "The name", 60) == "photo gnp.exe 2"


@pytest.mark.parametrize("text", ["half \ud83d of a character", 7, None, b"bytes", ["a"]])
def test_what_is_no_text_that_can_be_written_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match=r"^The name ") as refused:
        clean_line(text, "The name", 60)
    str(refused.value).encode()


def test_a_long_text_is_refused_without_being_said_back() -> None:
    with pytest.raises(InputError, match=r"10000000 characters; at most 60") as refused:
        clean_line("x" * 10_000_000, "The name", 60)
    assert len(str(refused.value)) < 200


@given(ANYTHING)
def test_any_value_is_quoted_in_few_characters(value: Any) -> None:
    assert len(quoted(value)) <= MAX_QUOTED + 10
    quoted(value).encode()


def test_quoting_never_walks_into_what_doubles_without_end() -> None:
    doubled: Any = ()
    for _ in range(60):
        doubled = (doubled, doubled)
    assert quoted(doubled) == "a tuple of 2"
    assert quoted(10**5000) == "a number of more than 30 digits"
    assert quoted(math.inf) == "inf"


@given(st.text(max_size=30))
def test_no_cell_begins_a_formula(text: str) -> None:
    cell = csv_cell(text)
    try:
        float(cell)
    except ValueError:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_cells_keep_their_words_and_numbers() -> None:
    out = io.StringIO()
    csv.writer(out).writerow([csv_cell(cell) for cell in ("=1+1", "-0.5", -0.5, "zombie", "@SUM(A1)")])
    assert next(csv.reader([out.getvalue()])) == ["'=1+1", "-0.5", "-0.5", "zombie", "'@SUM(A1)"]


@given(ANYTHING)
def test_any_error_has_a_reason_of_one_line(value: Any) -> None:
    for kind in (ValueError, KeyError, RuntimeError, OSError):
        line = reason(kind(value))
        assert 0 < len(line) <= 200
        assert len(line.splitlines()) == 1
        line.encode()
    assert reason(KeyError(tuple([doubled()]))) == "KeyError"
    assert reason(InputError("What is wrong. What to do.")) == "What is wrong. What to do"


def doubled() -> Any:
    value: Any = ()
    for _ in range(60):
        value = (value, value)
    return value


@given(ANYTHING)
def test_json_of_anything_is_read_or_refused(value: Any) -> None:
    try:
        text = json.dumps(value)
    except TypeError:  # bytes
        return
    try:
        read = read_json(text, "The text", 10_000)
    except InputError as error:
        assert str(error).startswith("The text ")  # noqa: PT017
        return
    json.dumps(read, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deep"),
        ("[" * 30 + "]" * 30, "nested too deep"),
        ("9" * 5000, "is damaged"),
        ("nothing", "is damaged"),
        ('"' + "x" * 200_000 + '"', "has 200002 characters, more than the 150000"),
        ('{"\\ud800": 1}', "half a character"),
    ],
)
def test_json_that_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=f"^The text .*{says}"):
        read_json(text, "The text", 150_000)
