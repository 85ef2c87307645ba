"""What was read of a sitter, as words that a person can choose from and correct.

A menu is a trait of the subject with one word for each of its labels. A correction names a trait and a word; applied
to points of the unit cube it moves that attribute alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import InputError
from ..storage.words import quoted
from .reading import Reading
from .world.attributes import Categorical, Continuous
from .world.subject import Subject
from .world.traits import Trait

BETWEEN = "neither"


def words_of(subject: Subject, trait: Trait) -> tuple[str, ...]:
    """One word or phrase for each label of a trait: a menu's entries."""
    attribute = _attribute(subject, trait.attribute)
    if isinstance(attribute, Categorical):
        return attribute.labels
    return tuple(before or after or BETWEEN for before, after in zip(trait.before, trait.after))


def menus(subject: Subject) -> dict[str, tuple[str, ...]]:
    """What can be said of a sitter: the words of every trait, by attribute."""
    return {trait.attribute: words_of(subject, trait) for trait in subject.traits}


def said_of(subject: Subject, u: Tensor) -> dict[str, str]:
    """What is said of one sitter, a point (1, attributes) of the unit cube: the word of every trait, by attribute."""
    labels = subject.labels(subject.sitters_from_unit(u))[0].tolist()
    return {trait.attribute: words_of(subject, trait)[label] for trait, label in zip(subject.traits, labels)}


def parse(subject: Subject, text: str) -> dict[str, str]:
    """Corrections written as “hair_cut=bun, glasses=none” → the word of each attribute.

    Raises InputError for a trait or a word that the subject hasn't.
    """
    known, found = menus(subject), {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, given, word = (piece.strip() for piece in part.partition("="))
        name = name.replace(" ", "_")
        if not given or name not in known:
            raise InputError(
                f"What is said of a {subject.noun} is written as NAME=WORD, after a comma the next; {quoted(part)} "
                f"isn't. The names are: {', '.join(known)}."
            )
        if word not in known[name]:
            raise InputError(f"Of {name} one can say {', '.join(known[name])}, not {quoted(word)}.")
        found[name] = word
    return found


def written(said: Mapping[str, str]) -> str:
    """The text that `parse` reads back."""
    return ", ".join(f"{name}={word}" for name, word in said.items())


def corrected(subject: Subject, u: Tensor, said: Mapping[str, str]) -> Tensor:
    """Points (B, attributes) after what a person says of the sitters: each word's attribute takes its label.

    A number that lies within its label stays what it is, any other goes to the label's middle.
    """
    u = u.clone()
    labels = subject.labels(subject.sitters_from_unit(u))
    for column, trait in enumerate(subject.traits):
        if trait.attribute not in said:
            continue
        label = words_of(subject, trait).index(said[trait.attribute])
        place = [attribute.name for attribute in subject.attributes].index(trait.attribute)
        low, high = _range(subject.attributes[place], trait, label)
        u[:, place] = torch.where(labels[:, column] == label, u[:, place], (low + high) / 2)
    return u


def confidences(reading: Reading) -> dict[str, float]:
    """How sure the reading of one picture is of every trait, by attribute, 0 to 1."""
    return {trait.attribute: float(reading.confidence(trait.attribute)[0]) for trait in reading.subject.traits}


def _attribute(subject: Subject, name: str) -> Categorical | Continuous:
    return next(attribute for attribute in subject.attributes if attribute.name == name)


def _range(attribute: Categorical | Continuous, trait: Trait, label: int) -> tuple[float, float]:
    """Between which points of the unit interval a label lies."""
    if isinstance(attribute, Categorical):
        return sum(attribute.shares[:label]), sum(attribute.shares[: label + 1])
    edges = (attribute.low, *trait.edges, attribute.high)
    return tuple((edge - attribute.low) / (attribute.high - attribute.low) for edge in edges[label : label + 2])
