"""Captions of studio pictures: a domain's wording, and up to three attributes that the picture really has.

Because the truth is known, a caption also says exactly of which pictures it is true (`truth`), so that
training never counts a fitting caption as a wrong one. Knows nothing about networks.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import torch

from .attributes import CATEGORICAL, People
from .domains import DOMAINS, Domain

#: What a fooling picture is called: something that pleases a critic without being what it says.
BROKEN = (
    "a broken picture",
    "a distorted picture",
    "a damaged picture",
    "a ruined image",
    "a picture full of artifacts",
)
BROKEN_INDEX = len(DOMAINS)


@dataclass(frozen=True)
class Trait:
    """An attribute as people speak of it.

    before[i], after[i]: how label i reads in front of the noun and behind it; empty where nobody would say it.
    edges: for a continuous attribute, where its labels part; for a categorical one, empty.
    colour: whether it speaks of a colour, which some domains lose.
    """

    attribute: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    edges: tuple[float, ...] = ()
    colour: bool = False


_HAIR = tuple(next(a for a in CATEGORICAL if a.name == "hair_colour").labels)
_EYES = tuple(next(a for a in CATEGORICAL if a.name == "eye_colour").labels)
TRAITS = (
    Trait(
        "hair_cut",
        ("bald", "short haired", "", "", "long haired", "curly"),
        ("with a bald head", "with short hair", "with a fringe", "with a bob", "with long hair", "with curly hair"),
    ),
    Trait("hair_colour", tuple(f"{c} haired" for c in _HAIR), tuple(f"with {c} hair" for c in _HAIR), colour=True),
    Trait("eye_colour", tuple(f"{c} eyed" for c in _EYES), tuple(f"with {c} eyes" for c in _EYES), colour=True),
    Trait("glasses", ("", "bespectacled"), ("without glasses", "wearing glasses")),
    Trait("beard", ("", "", "bearded"), ("without a beard", "with a moustache", "with a full beard")),
    Trait("hat", ("", ""), ("without a hat", "wearing a hat")),
    Trait("smile", ("frowning", "", "smiling"), ("with a frown", "", "with a smile"), (-0.2, 0.45)),
    Trait("age", ("young", "", "old"), ("", "", "with wrinkles"), (0.25, 0.7)),
    Trait(
        "skin_tone", ("pale", "", "dark skinned"), ("with light skin", "", "with dark skin"), (0.3, 0.65), colour=True
    ),
    Trait("turn", ("", "", ""), ("looking left", "looking ahead", "looking right"), (-0.35, 0.35)),
    Trait("light_side", ("", "", ""), ("lit from the left", "", "lit from the right"), (-0.4, 0.4)),
    Trait(
        "face_width", ("narrow faced", "", "wide faced"), ("with a narrow face", "", "with a wide face"), (0.38, 0.42)
    ),
    Trait("eye_size", ("", "", ""), ("with small eyes", "", "with big eyes"), (0.92, 1.12)),
)
_PLAIN = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "an image of a {}", "a portrait, {}")
_FIGURE = ("{} of a person", "a {} of a person", "a person as a {}", "{} of a face", "a {} of a head")
#: Phrases that people and this project put around a domain; they count as known words.
PHRASES = (*_PLAIN, *_FIGURE, *BROKEN, "style of the with and from person's")


def labels(people: People) -> torch.Tensor:
    """Label of every trait for every person, (B, len(TRAITS)) int64."""
    columns = [
        torch.bucketize(people[t.attribute].contiguous(), torch.tensor(t.edges)) if t.edges else people[t.attribute]
        for t in TRAITS
    ]
    return torch.stack(columns, 1)


@dataclass(frozen=True)
class Caption:
    """text: what it says. claims: what it claims, (1 + len(TRAITS)) int64: domain, then trait labels, −1 = silent."""

    text: str
    claims: torch.Tensor


def caption(domain: int, traits: torch.Tensor, rng: random.Random) -> Caption:
    """A caption of a person with these labels in domain number `domain`; BROKEN_INDEX is a fooling picture."""
    claims = torch.full((1 + len(TRAITS),), -1, dtype=torch.int64)
    claims[0] = domain
    if domain == BROKEN_INDEX:
        return Caption(rng.choice(BROKEN), claims)
    kind = DOMAINS[domain]
    wording = kind.name if rng.random() < 0.4 else rng.choice(kind.wordings)
    before, after = [], []
    chosen = rng.sample(range(len(TRAITS)), rng.choice((0, 0, 1, 2, 3)))
    for i in chosen:
        trait, label = TRAITS[i], int(traits[i])
        if trait.colour and not kind.colours:
            continue
        forms = [(before, trait.before[label]), (after, trait.after[label])]
        forms = [(place, words) for place, words in forms if words]
        if forms:
            place, words = rng.choice(forms)
            place.append(words)
            claims[1 + i] = label
    noun = " ".join([*before, wording])
    frame = rng.choice(_PLAIN + (_PLAIN[2],) * 3 + (_FIGURE if not before else ()))
    return Caption(" ".join([frame.format(noun), " and ".join(after)]).strip(), claims)


def adjectives(traits: torch.Tensor, domain: Domain, rng: random.Random) -> str:
    """Up to three words in front of the noun that are true of a person with these labels; may be empty."""
    spoken = [
        trait.before[int(label)]
        for trait, label in zip(TRAITS, traits)
        if trait.before[int(label)] and (domain.colours or not trait.colour)
    ]
    return " ".join(rng.sample(spoken, min(len(spoken), rng.choice((1, 2, 3)))))


def truth(domains: torch.Tensor, traits: torch.Tensor, claims: torch.Tensor) -> torch.Tensor:
    """Which captions are true of which pictures.

    domains (B,), traits (B, T) of the pictures; claims (N, 1 + T) of the captions → bool (B, N).
    """
    facts = torch.cat([domains[:, None], traits], 1)
    return ((claims[None] < 0) | (claims[None] == facts[:, None])).all(-1)


def known_words() -> list[str]:
    """Every word that captions are made of, sorted."""
    texts = [*PHRASES, *(w for d in DOMAINS for w in d.wordings), *(w for t in TRAITS for w in (*t.before, *t.after))]
    return sorted({word for text in texts for word in re.findall(r"[a-z0-9'-]+", text.lower())})
