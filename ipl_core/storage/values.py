"""One check for each kind of value that a person or a program sends: whole numbers, numbers, choices, yes or no.

Each gives the value as it is kept, or raises InputError that names the field, the range and the value. Types are meant
strictly: True is no number and "3" isn't 3, but 3.0, which a slider or JSON sends, is the whole number 3. Text is
checked by `words.clean_line`. This module imports nothing of the project but its error and its words.
"""

from __future__ import annotations

from collections.abc import Collection
from numbers import Real
from typing import Any

from ..errors import InputError
from .words import quoted

#: Truncation ψ of drawn people: 0 is the mean picture, 1 leaves latents as they are.
MAX_PSI = 1.5


def whole(value: Any, what: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`. what: the field as an error calls it, such as “Steps”."""
    if not within(value, low, high) or value != int(value):
        raise InputError(f"{what} must be a whole number from {low} to {high}, not {quoted(value)}.")
    return int(value)


def number(value: Any, what: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`, both of which are finite."""
    if not within(value, low, high):
        raise InputError(f"{what} must be a number from {low:g} to {high:g}, not {quoted(value)}.")
    return float(value)


def truncation(value: Any) -> float:
    """The truncation of people who are drawn, 0 to MAX_PSI."""
    return number(value, "Truncation", 0, MAX_PSI)


def choice(value: Any, what: str, choices: Collection[str]) -> str:
    """One of a closed list of texts."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)}, not {quoted(value)}.")
    return value


def flag(value: Any, what: str) -> bool:
    """True or false, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise InputError(f"{what} must be true or false, not {quoted(value)}.")
    return value


def within(value: Any, low: float, high: float) -> bool:
    """Whether it is a number from `low` to `high`; NaN, which fails every comparison, is none."""
    return isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high
