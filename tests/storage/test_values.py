"""Values that people and programs send: what is taken, and what an error says of the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipl_core import AdaptConfig, InputError, InvertConfig
from ipl_core.drawing.interpolate import Walk
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.latents import MAX_SEED, parse_seeds
from ipl_core.methods.config import MAX_PREVIEWS
from ipl_core.pictures.media import check_animation
from ipl_core.storage.values import MAX_PSI, choice, flag, number, truncation, whole
from ipl_core.storage.words import quoted

HUGE = 10**5000  # more digits than Python writes out
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
CHECKS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda value: whole(value, "Steps", 1, 5000),
    "number": lambda value: number(value, "Rate", 0.5, 2),
    "truncation": truncation,
    "choice": lambda value: choice(value, "Easing", ("smooth", "even")),
    "flag": lambda value: flag(value, "Loop"),
    "seeds": parse_seeds,
    "rate": lambda value: check_animation("a.webp", value),
    "person": SeedPerson.parse,
    "seed": lambda value: SeedPerson("studio", value),
    "previews": lambda value: AdaptConfig("x", preview_seeds=value),
    **{f"walk.{name}": lambda value, name=name: Walk(**{name: value}) for name in ("frames", "easing", "space", "psi")},
    **{
        f"adapt.{name}": lambda value, name=name: AdaptConfig(**{"target": "x", name: value})
        for name in AdaptConfig.__annotations__
    },
    **{
        f"invert.{name}": lambda value, name=name: InvertConfig(**{name: value})
        for name in InvertConfig.__annotations__
    },
}


@pytest.mark.parametrize("name", CHECKS)
@settings(deadline=None, max_examples=50)  # a busy machine is no fault
@given(value=ODD)
def test_any_value_is_taken_or_refused_in_a_sentence(name: str, value: Any) -> None:
    try:
        CHECKS[name](value)
    except InputError as error:
        words = str(error)
        assert 0 < len(words) <= 400
        assert words.endswith(".")
        assert len(words.splitlines()) == 1
        words.encode()


def test_whole_numbers_may_come_as_floats() -> None:
    assert type(whole(3.0, "Steps", 1, 5)) is int
    assert whole(3.0, "Steps", 1, 5) == Walk(frames=3.0).frames == 3
    assert whole(Fraction(4, 2), "Steps", 1, 5) == 2


@pytest.mark.parametrize(
    "value", [True, "3", 3.5, None, math.nan, math.inf, [3], {"3": 3}, 0, 6, HUGE, 3 + 0j], ids=quoted
)
def test_what_is_no_whole_number_of_the_range_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"^Steps must be a whole number from 1 to 5, not ") as refused:
        whole(value, "Steps", 1, 5)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    "value", [True, "0.7", None, math.nan, math.inf, -math.inf, -0.1, 1.6, HUGE, [0.7]], ids=quoted
)
def test_truncation_is_a_number_of_its_range(value: Any) -> None:
    with pytest.raises(InputError, match=f"^Truncation must be a number from 0 to {MAX_PSI}, not "):
        truncation(value)


@pytest.mark.parametrize("value", [1, 0, "true", None, []])
def test_only_true_and_false_are_flags(value: Any) -> None:
    with pytest.raises(InputError, match=r"^Loop must be true or false"):
        flag(value, "Loop")


def test_endless_previews_are_not_counted_to_the_end() -> None:
    with pytest.raises(InputError, match=f"from 1 to {MAX_PREVIEWS}"):
        AdaptConfig("x", preview_seeds=iter(int, 1))
    with pytest.raises(InputError, match=f"Seeds go from 0 to {MAX_SEED}"):
        parse_seeds("7" * 100)
