"""Vocabularies: phrases from which a CLIP model picks those that describe a picture. Two lists, or the user's own.

A vocabulary is a text. Semicolons or line breaks separate groups, commas separate the alternatives of a group (they
exclude each other), and slashes separate synonyms: "bald / {} with a bald head, curly; smiling, frowning". A phrase
stands before the noun; with {} in it, {} stands for the noun. This module knows nothing about pictures, and asks a
CLIP model only which words it knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError
from ..storage.words import quoted

if TYPE_CHECKING:
    from .model import Critic

MAX_TEXT = 20_000  # characters of a vocabulary that a person types
MAX_PHRASE = 80

#: The embedded CLIP model knows the first words of most groups; `known_to` leaves out the others for it.
FACES = """
bald / {} with a bald head, {} with a buzz cut, short haired / {} with short hair, {} with a side part, \
{} with a fringe, {} with a bob, long haired / {} with long hair, curly / {} with curly hair, {} with a bun, \
{} with braids, {} with a ponytail
black haired / {} with black hair, dark brown haired / {} with dark brown hair, brown haired / {} with brown hair, \
auburn haired / {} with auburn hair, red haired / {} with red hair, blond haired / {} with blond hair, \
platinum haired / {} with platinum hair, grey haired / {} with grey hair, blue haired / {} with blue hair, \
pink haired / {} with pink hair
brown eyed / {} with brown eyes, amber eyed / {} with amber eyes, green eyed / {} with green eyes, \
blue eyed / {} with blue eyes, grey eyed / {} with grey eyes
{} without glasses, {} wearing round glasses, {} wearing square glasses, {} wearing sunglasses
clean shaven / {} without a beard, unshaven / {} with stubble, {} with a moustache, {} with a goatee, \
bearded / {} with a full beard
{} without a hat, {} wearing a knitted cap, {} wearing a brimmed hat, {} wearing a baseball cap, {} wearing a headscarf
{} without earrings, {} with ear studs, {} with hoop earrings
{} in a t-shirt, {} in a shirt with a collar, {} in a v-neck, {} in a turtleneck, {} in a suit, {} in a jacket
frowning / {} with a frown, smiling / {} with a smile, laughing, surprised, serious, sad
{} with closed lips, {} with an open mouth
young, old / {} with wrinkles, middle-aged, {} of a child
pale / {} with light skin, dark skinned / {} with dark skin, tanned
{} looking left, {} looking ahead, {} looking right
{} lit from the left, {} lit from the right
narrow faced / {} with a narrow face, wide faced / {} with a wide face
{} with small eyes, {} with big eyes
{} with thin eyebrows, {} with thick eyebrows
{} with thin lips, {} with full lips
{} with a narrow nose, {} with a wide nose
{} of a woman, {} of a man
freckled, {} wearing makeup
{} outdoors, {} indoors, {} in front of a plain wall
"""

ANIMALS = """
prick eared / {} with pointed ears, {} with half dropped ears, droopy eared / {} with hanging ears, \
{} with folded ears, {} with rose ears
black furred / {} with black fur, dark brown furred / {} with dark brown fur, brown furred / {} with brown fur, \
red furred / {} with red fur, golden furred / {} with golden fur, cream furred / {} with cream fur, \
grey furred / {} with grey fur, white furred / {} with white fur, orange furred / {} with orange fur
{} without markings, {} with a blaze, masked / {} with a mask, {} with an eye patch, spotted / {} with spots, \
{} with eyebrow markings, {} with a saddle, striped / {} with stripes
short furred / {} with short fur, {} with medium fur, shaggy / {} with shaggy fur, fluffy
{} with a long muzzle, {} with a broad head, flat faced / {} with a flat face, {} with a fox face
{} with a closed mouth, {} with an open mouth, {} with its tongue out
brown eyed / {} with brown eyes, amber eyed / {} with amber eyes, blue eyed / {} with blue eyes, \
yellow eyed / {} with yellow eyes
{} with a black nose, {} with a brown nose, {} with a pink nose
{} without a collar, {} wearing a leather collar, {} wearing a collar with a tag, {} wearing a bandana
{} looking left, {} looking ahead, {} looking right
{} leaning left, {} leaning right
{} lit from the left, {} lit from the right
{} with small eyes, {} with big eyes
{} with small ears, {} with big ears
{} of a dog, {} of a cat, {} of a lion, {} of a tiger, {} of a leopard, {} of a cheetah
{} on grass, {} in snow, {} indoors
"""

#: The built-in vocabularies by name.
LISTS = {"faces": FACES, "animals": ANIMALS}


@dataclass(frozen=True)
class Phrase:
    """The words before and after a noun; either may be empty."""

    before: str
    behind: str

    def of(self, noun: str) -> str:
        """The noun among its words, such as “pink haired photo wearing sunglasses”."""
        return " ".join(part for part in (self.before, noun, self.behind) if part)

    def __str__(self) -> str:
        return self.before or self.behind


#: A group of alternatives that exclude each other, each as a list of synonymous phrases.
Group = tuple[tuple[Phrase, ...], ...]


def parse(text: str) -> tuple[Group, ...]:
    """The groups of a vocabulary.

    Raises InputError for a text that is too long or has no group of two alternatives, and for a phrase that is too
    long or has {} more than once.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"A vocabulary has at most {MAX_TEXT} characters; this one has {len(text)}.")
    groups = _usable(
        [[_phrase(form) for form in alternative.split("/") if form.strip()] for alternative in line.split(",")]
        for line in re.split(r"[;\n]", text)
    )
    if not groups:
        raise InputError(
            f"The vocabulary {quoted(text)} has no group of two alternatives: write some, such as "
            "“smiling, frowning; {} with glasses, {} without glasses”."
        )
    return groups


def _usable(groups: Iterable[Iterable[Sequence[Phrase]]]) -> tuple[Group, ...]:
    """The groups without alternatives that have no phrase; groups with fewer than two alternatives are dropped."""
    left = (tuple(tuple(forms) for forms in group if forms) for group in groups)
    return tuple(group for group in left if len(group) > 1)


def _phrase(form: str) -> Phrase:
    words = " ".join(form.split())
    before, noun, behind = words.partition("{}")
    if len(words) > MAX_PHRASE or "{}" in behind or not (before + behind).strip():
        raise InputError(
            f"The vocabulary's phrase {quoted(words)} can't be used: give at most {MAX_PHRASE} characters, "
            "with {} once at most, where the noun stands."
        )
    return Phrase(before.strip(), behind.strip() if noun else "")


def known_to(critic: Critic, name: str) -> tuple[Group, ...]:
    """The groups of a vocabulary, all in words that the CLIP model knows.

    name: a name in LISTS, or the text of a vocabulary. Phrases of LISTS with unknown words are left out. Raises
    InputError for unknown words in the user's own text, for a text that isn't a vocabulary, and for a list in which
    the model knows no group of two alternatives.
    """
    if name not in LISTS:
        groups = parse(name)
        unknown = [words for group in groups for words in _unknown(critic, group)]
        if unknown:
            raise InputError(
                f"The CLIP model “{critic.name}” was never taught {', '.join(map(quoted, dict.fromkeys(unknown[:8])))} "
                "of the vocabulary: leave those words out, or choose a CLIP model that knows them."
            )
        return groups
    groups = _usable(
        [[phrase for phrase in forms if not _unknown(critic, ((phrase,),))] for forms in group]
        for group in parse(LISTS[name])
    )
    if not groups:
        raise InputError(
            f"The CLIP model “{critic.name}” knows too few words of the vocabulary “{name}” to describe pictures; "
            "give a vocabulary of words that it was taught."
        )
    return groups


def _unknown(critic: Critic, group: Group) -> list[str]:
    return [word for forms in group for phrase in forms for word in critic.unknown_words(phrase.of(""))]
