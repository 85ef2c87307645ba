"""Checks of values that a person or a program sends: whole numbers, numbers, choices, booleans.

Each check returns the value in its normal type, or raises an InputError that names the field, the range and the value.
Types are strict: True isn't a number and "3" isn't 3; but 3.0, which a slider or JSON may send, counts as the whole
number 3. `words.clean_line` checks text. This module imports only errors and `words` from the project.
"""

from __future__ import annotations

from collections.abc import Collection
from numbers import Real
from typing import Any

from ..errors import InputError
from .words import quoted

#: Largest truncation ψ for drawing people: 0 gives the mean picture, 1 leaves latents as they are.
MAX_PSI = 1.5


def whole(value: Any, what: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`. what: the field's name in errors, such as “Steps”."""
    if not within(value, low, high) or value != int(value):
        raise InputError(f"{what} must be a whole number from {low} to {high}, not {quoted(value)}.")
    return int(value)


def number(value: Any, what: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`, both of which are finite."""
    if not within(value, low, high):
        raise InputError(f"{what} must be a number from {low:g} to {high:g}, not {quoted(value)}.")
    return float(value)


def truncation(value: Any) -> float:
    """The truncation for drawing people, 0 to MAX_PSI."""
    return number(value, "Truncation", 0, MAX_PSI)


def choice(value: Any, what: str, choices: Collection[str]) -> str:
    """One of a fixed list of texts."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)}, not {quoted(value)}.")
    return value


def flag(value: Any, what: str) -> bool:
    """True or false; other truthy or falsy values are refused."""
    if not isinstance(value, bool):
        raise InputError(f"{what} must be true or false, not {quoted(value)}.")
    return value


def within(value: Any, low: float, high: float) -> bool:
    """Whether it is a number from `low` to `high`; NaN fails every comparison, so it isn't."""
    return isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high
