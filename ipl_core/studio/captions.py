"""Captions of studio pictures: a domain's wording, who sits for it, and up to three traits that the picture has.

Because the truth is known, a caption also says exactly of which pictures it is true (`truth`), so that
training never counts a fitting caption as a wrong one. Knows nothing about networks.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import torch

from .domains import DOMAINS, PHOTO, Domain
from .subject import SUBJECTS, Subject
from .traits import Trait

#: What a fooling picture is called: something that pleases a critic without being what it says.
BROKEN = (
    "a broken picture",
    "a distorted picture",
    "a damaged picture",
    "a ruined image",
    "a picture full of artifacts",
)
BROKEN_INDEX = len(DOMAINS)
_PLAIN = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "an image of a {}", "a portrait, {}")
#: Around a wording and a noun, "a pencil sketch of a dog".
_FIGURE = ("{} of a {}", "a {} of a {}", "{}, a {}")
#: Phrases that people and this project put around a domain; they count as known words.
PHRASES = (*_PLAIN, *_FIGURE, *BROKEN, "style of the with and from person's dog's")
_SILENT, _NEVER = -1, -2
_TRAITS = sum(len(subject.traits) for subject in SUBJECTS)
#: Where the traits of each subject begin among the claims, after subject and domain.
_FIRST_TRAIT = {s.name: 2 + sum(len(t.traits) for t in SUBJECTS[:i]) for i, s in enumerate(SUBJECTS)}


@dataclass(frozen=True)
class Caption:
    """text: what it says. claims (2 + traits of all subjects,) int64: subject, domain, trait labels; −1 = silent."""

    text: str
    claims: torch.Tensor


def caption(subject: Subject, domain: int, traits: torch.Tensor, rng: random.Random) -> Caption:
    """A caption of a sitter with these labels (T,) in domain number `domain`; BROKEN_INDEX is a fooling picture."""
    claims = torch.full((2 + _TRAITS,), _SILENT, dtype=torch.int64)
    claims[1] = domain
    if domain == BROKEN_INDEX:
        return Caption(rng.choice(BROKEN), claims)
    kind = DOMAINS[domain]
    before, after = [], []
    for i in rng.sample(range(len(subject.traits)), rng.choice((0, 0, 1, 2, 3, 3))):
        trait, label = subject.traits[i], int(traits[i])
        if trait.colour and not kind.colours:
            continue
        forms = [(before, trait.before[label]), (after, trait.after[label])]
        forms = [(place, words) for place, words in forms if words]
        if forms:
            place, words = rng.choice(forms)
            place.append(words)
            claims[_FIRST_TRAIT[subject.name] + i] = label
    wording = kind.name if rng.random() < 0.4 else rng.choice(kind.wordings)
    noun = rng.choice((subject.noun, subject.noun, *subject.nouns))
    whole = rng.random()
    if before or after or whole < 0.5:  # traits are a subject's own: blue eyes are said of people, or of dogs
        claims[0] = SUBJECTS.index(subject)
    if kind is PHOTO and whole < 0.25:
        text = rng.choice(_PLAIN).format(" ".join([*before, noun]))
        claims[0] = SUBJECTS.index(subject)
    elif whole < 0.5:
        text = rng.choice(_FIGURE).format(wording, " ".join([*before, noun]))
    else:
        text = rng.choice(_PLAIN + (_PLAIN[2],) * 3).format(" ".join([*before, wording]))
    return Caption(" ".join([text, " and ".join(after)]).strip(), claims)


def labels_in_words(subject: Subject, trait: Trait, rng: random.Random | None = None) -> dict[int, str]:
    """What is said of a sitter with each label of a trait, "a photo of a person with glasses"; silent labels lack.

    rng: chooses frame, noun and, where there are two, the place of the words; without it the plainest are taken.
    """
    frame = rng.choice(_PLAIN) if rng else _PLAIN[2]
    noun = rng.choice((subject.noun, *subject.nouns)) if rng else subject.noun
    behind = rng.random() < 0.5 if rng else True
    said = {}
    for label, (before, after) in enumerate(zip(trait.before, trait.after)):
        if after and (behind or not before):
            said[label] = frame.format(f"{noun} {after}")
        elif before:
            said[label] = frame.format(f"{before} {noun}")
    return said


def adjectives(subject: Subject, traits: torch.Tensor, domain: Domain, rng: random.Random) -> str:
    """Up to three words in front of the noun that are true of a sitter with these labels; may be empty."""
    spoken = [
        trait.before[int(label)]
        for trait, label in zip(subject.traits, traits)
        if trait.before[int(label)] and (domain.colours or not trait.colour)
    ]
    return " ".join(rng.sample(spoken, min(len(spoken), rng.choice((1, 2, 3)))))


def facts(subject: Subject, domains: torch.Tensor, traits: torch.Tensor) -> torch.Tensor:
    """What is true of pictures: domains (B,), traits (B, T) of one subject → (B, 2 + traits of all subjects)."""
    known = torch.full((len(domains), 2 + _TRAITS), _NEVER, dtype=torch.int64)
    known[:, 0], known[:, 1] = SUBJECTS.index(subject), domains
    first = _FIRST_TRAIT[subject.name]
    known[:, first : first + len(subject.traits)] = traits
    return known


def truth(known: torch.Tensor, claims: torch.Tensor) -> torch.Tensor:
    """Which captions are true of which pictures: facts (B, C), claims (N, C) → bool (B, N)."""
    return ((claims[None] < 0) | (claims[None] == known[:, None])).all(-1)


def known_words() -> list[str]:
    """Every word that captions are made of, sorted."""
    texts = [*PHRASES, *(w for d in DOMAINS for w in d.wordings)]
    for subject in SUBJECTS:
        texts += [subject.noun, *subject.nouns, *(w for t in subject.traits for w in (*t.before, *t.after))]
    return sorted({word for text in texts for word in re.findall(r"[a-z0-9'-]+", text.lower())})
