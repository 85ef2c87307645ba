"""The subjects of portraits, people and dogs: their attributes, traits, nouns, domains and renderers.

Training scripts and metrics work with any Subject and don't ask which one it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...errors import InputError
from .attributes import Attribute, Categorical, Sitters, sitters_from_unit, unit_from_sitters
from .dogs.attributes import ATTRIBUTES as DOG_ATTRIBUTES
from .dogs.attributes import TRAITS as DOG_TRAITS
from .dogs.renderer import draw_dogs
from .domains import DOMAINS, Domain, domain_number
from .form import Form
from .people.attributes import ATTRIBUTES as PEOPLE_ATTRIBUTES
from .people.attributes import TRAITS as PEOPLE_TRAITS
from .people.renderer import draw_people
from .portrait import Portrait
from .traits import Trait

#: Width of z of the embedded generators: room for every attribute of every subject.
LATENT_WIDTH = 64
_MARGIN = 1e-3  # the outermost quantiles, whose latents would be infinitely far out
_MOST_KNOWN = 0.95  # of z's mean square, at most, that may lie in what stands for attributes


@dataclass(frozen=True)
class Subject:
    """One kind of sitter.

    noun: "person", "dog". nouns: further words for it. attributes: all that is known of one, in the order of the
    unit cube. traits: what captions say and the judge reads. draw: sitters, samples a side, form → layers.
    domains: the ways it can be portrayed, the photo first.
    """

    name: str
    noun: str
    nouns: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    traits: tuple[Trait, ...]
    draw: Callable[[Sitters, int, Form], Portrait]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The places of `domains` in domains.DOMAINS."""
        return tuple(i for i, domain in enumerate(DOMAINS) if self.name in domain.subjects)

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The domains in which this subject is portrayed, in the order of domains.DOMAINS."""
        return tuple(domain for domain in DOMAINS if self.name in domain.subjects)

    def domain(self, words: str) -> Domain:
        """The domain that a wording stands for; InputError for words of no domain of this subject."""
        domain = DOMAINS[domain_number(words)]
        of_others = () if self.name == "people" else domain.of_people
        if domain not in self.domains or " ".join(words.lower().split()) in of_others:
            raise InputError(
                f"The portrait studio doesn't portray {self.name} as “{words}”, so nothing can be measured of "
                f"it; of {self.name} it has: {', '.join(d.name for d in self.domains)}."
            )
        return domain

    def sitters_from_unit(self, u: torch.Tensor) -> Sitters:
        """Points of the unit cube, (B, attributes) in [0, 1] → sitters."""
        if u.ndim != 2 or u.shape[1] != len(self.attributes):
            raise InputError(
                f"{self.name.capitalize()} are drawn from points of shape (B, {len(self.attributes)}); "
                f"this one has shape {tuple(u.shape)}."
            )
        return sitters_from_unit(self.attributes, u)

    def sitters_from_latents(self, z: torch.Tensor) -> Sitters:
        """Latents z (B, z_dim ≥ attributes) → the sitters that the embedded generator was taught to draw for them.

        z is first scaled to unit mean square, as the generator's own PixelNorm does, so that its length carries
        nothing; the normal CDF then makes each of the first coordinates uniform.
        """
        z = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        return self.sitters_from_unit(torch.special.ndtr(z[:, : len(self.attributes)]))

    def latents_from_unit(self, u: torch.Tensor) -> torch.Tensor:
        """The inverse of the map of `sitters_from_latents`: points (B, attributes) in [0, 1] → z (B, LATENT_WIDTH).

        The coordinates that stand for no attribute bring z to unit mean square, so that scaling changes nothing. A
        point too far out for that, further than one in hundreds of random ones, has its numbers drawn towards the
        middle of their ranges until it fits; labels stay.
        """
        known = len(self.attributes)
        z = torch.special.ndtri(u.double().clamp(_MARGIN, 1 - _MARGIN))
        labels = torch.tensor([isinstance(attribute, Categorical) for attribute in self.attributes])
        fixed, free = ((z.square() * chosen).sum(1, keepdim=True) for chosen in (labels, ~labels))
        room = _MOST_KNOWN * LATENT_WIDTH - fixed
        z = torch.where(labels, z, z * (room / free.clamp_min(1e-9)).clamp(0, 1).sqrt())
        rest = LATENT_WIDTH - known
        signs = 1.0 - 2.0 * (torch.arange(rest) % 2)
        filling = ((LATENT_WIDTH - z.square().sum(1, keepdim=True)) / rest).sqrt() * signs
        return torch.cat([z, filling], 1).float()

    def latents_from_sitters(self, sitters: Sitters) -> torch.Tensor:
        """Latents z (B, LATENT_WIDTH) of which the embedded generator was taught to draw these sitters.

        `sitters_from_latents` gives the same labels back, and the same numbers but for those at the ends of their
        ranges; see `latents_from_unit`.
        """
        return self.latents_from_unit(unit_from_sitters(self.attributes, sitters))

    def random(self, count: int, generator: torch.Generator) -> Sitters:
        """`count` sitters, every attribute drawn independently."""
        return self.sitters_from_unit(torch.rand(count, len(self.attributes), generator=generator))

    def labels(self, sitters: Sitters) -> torch.Tensor:
        """Label of every trait for every sitter, (B, traits) int64."""
        columns = [
            torch.bucketize(sitters[t.attribute].contiguous(), torch.tensor(t.edges))
            if t.edges
            else sitters[t.attribute]
            for t in self.traits
        ]
        return torch.stack(columns, 1)

    def portrait(self, sitters: Sitters, form: Form, resolution: int = 128, supersample: int = 1) -> Portrait:
        """The layers of a batch; `supersample` draws at that multiple of the resolution and averages down."""
        layers = self.draw(sitters, resolution * supersample, form)
        return layers if supersample == 1 else layers.halved(supersample)

    def render(
        self,
        domain: Domain,
        sitters: Sitters,
        generator: torch.Generator,
        resolution: int = 128,
        supersample: int = 1,
    ) -> torch.Tensor:
        """Sitters in a domain: pictures (B, 3, H, W) in [−1, 1]. The generator draws paper, grain and strokes."""
        return domain.stylise(self.portrait(sitters, domain.form, resolution, supersample), generator)


PEOPLE = Subject("people", "person", ("human", "face", "human face"), PEOPLE_ATTRIBUTES, PEOPLE_TRAITS, draw_people)
DOGS = Subject("dogs", "dog", ("hound", "puppy", "dog's face"), DOG_ATTRIBUTES, DOG_TRAITS, draw_dogs)
SUBJECTS = (PEOPLE, DOGS)


def subject_named(name: str) -> Subject:
    """The subject of that name; InputError for any other."""
    for subject in SUBJECTS:
        if subject.name == name:
            return subject
    raise InputError(f"The portrait studio has no subject “{name}”; it has: {', '.join(s.name for s in SUBJECTS)}.")
