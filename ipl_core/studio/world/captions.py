"""Captions of studio pictures: the wording of a domain, a noun for the sitter, and traits of the sitter.

The attributes of every picture are known, so `truth` can tell of which pictures a caption is true, and training never
counts a fitting caption as a wrong one. Captions name colours also in a domain that loses them: a network can only
learn what a sketch makes of pink hair if the caption says pink. Such a word counts as neither true nor false of the
picture. This module knows nothing about networks.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import torch

from ...clip.vocabulary import Phrase
from .domains import DOMAINS, PHOTO
from .subject import SUBJECTS, Subject
from .traits import Trait

#: Captions of pictures that raise the CLIP score without showing the domain.
BROKEN = (
    "a broken picture",
    "a distorted picture",
    "a damaged picture",
    "a ruined image",
    "a picture full of artifacts",
)
BROKEN_INDEX = len(DOMAINS)
#: Templates around a noun that add no meaning.
PLAIN = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "an image of a {}", "a portrait, {}")
#: Around a wording and a noun, "a pencil sketch of a dog".
_FIGURE = ("{} of a {}", "a {} of a {}", "{}, a {}")
#: Phrases that people and this project put around a domain; they count as known words.
PHRASES = (*PLAIN, *_FIGURE, *BROKEN, "style of the with and from person's dog's")
_SILENT, _NEVER, _UNSEEN = -1, -2, -3
#: Numbers of traits that a caption may mention. Now and then it mentions all of them, so that training reaches every
#: place in a long sentence.
_COUNTS = (0, 0, 1, 2, 3, 3, 4, 6, 8)
_ALL_TRAITS = 0.05
#: Share of captions whose words all stand in front of the noun.
_IN_FRONT = 0.3
_TRAITS = sum(len(subject.traits) for subject in SUBJECTS)
#: Where the traits of each subject begin among the claims, after subject and domain.
_FIRST_TRAIT = {s.name: 2 + sum(len(t.traits) for t in SUBJECTS[:i]) for i, s in enumerate(SUBJECTS)}


@dataclass(frozen=True)
class Caption:
    """text: what it says. claims (2 + traits of all subjects,) int64: subject, domain, trait labels; −1 = silent."""

    text: str
    claims: torch.Tensor


@dataclass(frozen=True)
class Description(Phrase):
    """The words that describe a sitter, in front of the noun and behind it.

    labels: the mentioned traits, by their places among the subject's traits, with their labels.
    """

    labels: dict[int, int]


#: The description without words.
PLAINLY = Description("", "", {})


def describe(
    subject: Subject, traits: torch.Tensor, count: int, rng: random.Random, in_front: bool = False
) -> Description:
    """A true description of a sitter with these labels (T,), by `count` of the traits in random order.

    Traits whose label nobody would mention are left out, so there may be fewer than `count`. Colours are named whatever
    the domain. in_front: only words in front of the noun, where a learned prompt has its words.
    """
    before, behind, labels = [], [], {}
    for i in rng.sample(range(len(subject.traits)), len(subject.traits)):
        if len(labels) == count:
            break
        trait, label = subject.traits[i], int(traits[i])
        forms = [(before, trait.before[label])] + [(behind, trait.after[label])] * (not in_front)
        forms = [(place, words) for place, words in forms if words]
        if forms:
            place, words = rng.choice(forms)
            place.append(words)
            labels[i] = label
    return Description(" ".join(before), " and ".join(behind), labels)


def claims(subject: Subject, domain: int, labels: dict[int, int], names_subject: bool) -> torch.Tensor:
    """The claims of a caption, (2 + traits of all subjects,) int64: subject, domain, labels of traits; −1 is none."""
    claimed = torch.full((2 + _TRAITS,), _SILENT, dtype=torch.int64)
    claimed[1] = domain
    if names_subject or labels:  # traits are a subject's own: blue eyes are said of people, or of dogs
        claimed[0] = SUBJECTS.index(subject)
    for i, label in labels.items():
        claimed[_FIRST_TRAIT[subject.name] + i] = label
    return claimed


def caption(subject: Subject, domain: int, traits: torch.Tensor, rng: random.Random) -> Caption:
    """A caption of a sitter with these labels (T,) in domain number `domain`; BROKEN_INDEX is a broken picture."""
    if domain == BROKEN_INDEX:
        return Caption(rng.choice(BROKEN), claims(subject, domain, {}, False))
    kind = DOMAINS[domain]
    count = len(subject.traits) if rng.random() < _ALL_TRAITS else rng.choice(_COUNTS)
    said = describe(subject, traits, count, rng, in_front=rng.random() < _IN_FRONT)
    wording = kind.name if rng.random() < 0.4 else rng.choice(kind.wordings)
    noun = rng.choice((subject.noun, subject.noun, *subject.nouns))
    whole = rng.random()
    if kind is PHOTO and whole < 0.25:
        text = rng.choice(PLAIN).format(said.of(noun))
    elif whole < 0.5:
        text = rng.choice(_FIGURE).format(wording, said.of(noun))
    else:
        text = rng.choice(PLAIN + (PLAIN[2],) * 3).format(said.of(wording))
    return Caption(text, claims(subject, domain, said.labels, whole < 0.5))


def labels_in_words(subject: Subject, trait: Trait, rng: random.Random | None = None) -> dict[int, str]:
    """A sentence for each label of a trait, such as "a photo of a person with glasses"; none for unmentioned labels.

    rng: chooses template, noun and, where there are two, the place of the words; without it the plainest are taken.
    """
    frame = rng.choice(PLAIN) if rng else PLAIN[2]
    noun = rng.choice((subject.noun, *subject.nouns)) if rng else subject.noun
    behind = rng.random() < 0.5 if rng else True
    said = {}
    for label, (before, after) in enumerate(zip(trait.before, trait.after)):
        if after and (behind or not before):
            said[label] = frame.format(f"{noun} {after}")
        elif before:
            said[label] = frame.format(f"{before} {noun}")
    return said


def facts(subject: Subject, domains: torch.Tensor, traits: torch.Tensor) -> torch.Tensor:
    """The facts of pictures: domains (B,), traits (B, T) of one subject → (B, 2 + traits of all subjects) int64.

    Colours are _UNSEEN in domains that lose them; traits of other subjects are _NEVER.
    """
    known = torch.full((len(domains), 2 + _TRAITS), _NEVER, dtype=torch.int64)
    known[:, 0], known[:, 1] = SUBJECTS.index(subject), domains
    first = _FIRST_TRAIT[subject.name]
    coloured = torch.tensor([trait.colour for trait in subject.traits])
    seen = torch.tensor([d == BROKEN_INDEX or DOMAINS[d].colours for d in domains.tolist()])
    known[:, first : first + len(subject.traits)] = torch.where(coloured & ~seen[:, None], _UNSEEN, traits)
    return known


def truth(known: torch.Tensor, claims: torch.Tensor) -> torch.Tensor:
    """Which captions are true of which pictures: facts (B, C), claims (N, C) → bool (B, N).

    A claim about an unseen fact is ignored, so the rest of the caption decides.
    """
    claimed, fact = claims[None], known[:, None]
    return ((claimed < 0) | (claimed == fact) | (fact == _UNSEEN)).all(-1)


def known_words() -> list[str]:
    """Every word that captions are made of, sorted."""
    texts = [*PHRASES, *(w for d in DOMAINS for w in d.wordings)]
    for subject in SUBJECTS:
        texts += [subject.noun, *subject.nouns, *(w for t in subject.traits for w in (*t.before, *t.after))]
    return sorted({word for text in texts for word in re.findall(r"[a-z0-9'-]+", text.lower())})
