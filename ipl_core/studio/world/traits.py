"""How people speak of an attribute: the words for each of its labels, and where a number's labels part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trait:
    """An attribute as people speak of it.

    before[i], after[i]: how label i reads in front of the noun and behind it; empty where nobody would say it.
    edges: for a continuous attribute, where its labels part; for a categorical one, empty.
    colour: whether it speaks of a colour of the sitter, which some domains lose.
    """

    attribute: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    edges: tuple[float, ...] = ()
    colour: bool = False
