"""Traits: attributes in words, with a phrase for each label, and the edges between the labels of a number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trait:
    """An attribute in words.

    before[i], after[i]: the words of label i in front of the noun and behind it; empty where nobody would mention it.
    edges: the values between the labels of a continuous attribute; empty for a categorical one.
    colour: whether it is a colour of the sitter, which some domains lose.
    """

    attribute: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    edges: tuple[float, ...] = ()
    colour: bool = False
