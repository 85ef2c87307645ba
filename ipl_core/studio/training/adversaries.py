"""Generators that are adapted against the CLIP model while it trains, and how close to the truth their pictures are.

Their pictures are negatives: adaptation otherwise finds patterns that raise the CLIP score without showing the domain.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...generators.stylegan2.network import Generator
from ...methods.directions import image_direction, text_direction
from ..data import at_half, halved, photos, portrayed, scattered, to_bytes, to_float
from ..way import way_done
from ..world.captions import PLAINLY, describe
from ..world.domains import DOMAINS
from ..world.subject import Subject
from .ends import Ends
from .supervised import supervised
from .towers import MODEL, Towers

if TYPE_CHECKING:
    from .clip import ClipRecipe

#: Templates around a domain's words, as text directions are made of them.
FRAMES = ("{}", "a {}", "a photo of a {}", "a picture of a {}")
#: Wanted cosine of image and text direction at the very start of the way from the photo to the domain.
FIRST_AGREEMENT = 0.4
# Weight of a domain without excess agreement when a domain is drawn by lot; with excess, that is added.
_SELDOM = 0.05


def wanted_agreement(done: torch.Tensor) -> torch.Tensor:
    """The cosine that image and text direction should have after the share `done` (B,) of the way to the domain.

    It rises up to the domain itself: if half the way already gave 1, adaptation would stop there. Pictures that moved
    away from the truth (`done` below 0) get less than FIRST_AGREEMENT.
    """
    return FIRST_AGREEMENT + torch.where(done > 0, (1 - FIRST_AGREEMENT) * done, done).clamp(min=-0.6)


class Cast:
    """The training pictures of one subject at CLIP's resolution R, with their traits.

    pictures (domains, P, 3, R, R) uint8, in the order of `subject.numbers`; traits (P, T). N further sitters have one
    photo each (photos), one picture in a domain (scattered; domains (N,) says in which), and further_traits (N, T).
    `meet` adds the generator: its latents w, its pictures drawn, and the weights that drew them, shown.
    """

    def __init__(self, subject: Subject, recipe: ClipRecipe, work: Path) -> None:
        size = MODEL["vision_cfg"]["image_size"]
        z, large = portrayed(subject, recipe.sitters, 2 * size, recipe.data_seed, work)
        self.subject = subject
        self.pictures = torch.stack([halved(rows) for rows in large])
        self.traits = subject.labels(subject.sitters_from_latents(z))
        photo_z, large = photos(subject, recipe.photos, 2 * size, 0, work)
        places, larger = scattered(subject, recipe.photos, 2 * size, 0, work)
        self.photos, self.scattered = halved(large), halved(larger)
        self.domains = torch.tensor(subject.numbers)[places]
        self.further_traits = subject.labels(subject.sitters_from_latents(photo_z))
        self.places = {number: place for place, number in enumerate(subject.numbers)}
        self.source: Generator | None = None

    def meet(self, source: Generator, recipe: ClipRecipe, work: Path) -> None:
        """Takes in the subject's generator, and has it draw the last sitters in every domain."""
        self.source, kept = source, recipe.supervised_sitters
        size = 2 * MODEL["vision_cfg"]["image_size"]
        z, large = portrayed(self.subject, recipe.sitters, size, recipe.data_seed, work)
        z = z[-kept:].to(source.synthesis.input.device)
        drawn, self.shown = supervised(self.subject, source, z, large[:, -kept:], work, recipe.supervised_steps)
        self.drawn = torch.stack([halved(rows) for rows in drawn])
        with torch.no_grad():
            self.w = source.mapping(z)
        self.drawn_traits = self.traits[-kept:]

    def way_done(self, after: torch.Tensor, domain: int, owners: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`way_done` of pictures (B, 3, R, R) of the drawn sitters `owners` (B,) towards `domain`."""
        photo, true = (to_float(self.drawn[place, owners]) for place in (0, self.places[domain]))
        return way_done(photo, after.cpu(), true)


class ReplayBuffer:
    """Pictures that generators drew during adaptation, with subject, domain and sitter.

    Holds at most `size`; the ones to drop are chosen at random, so that some old ones stay. Part of the checkpoint.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[tuple[torch.Tensor, int, int, int]] = []

    def add(self, pictures: torch.Tensor, subject: int, domain: int, owners: torch.Tensor, rng: random.Random) -> None:
        """Adds pictures (B, 3, R, R) in [−1, 1] of the drawn sitters `owners` (B,)."""
        pictures = to_bytes(pictures.detach()).cpu()
        self.kept.extend((picture, subject, domain, int(owner)) for picture, owner in zip(pictures, owners))
        if len(self.kept) > self.size:
            rng.shuffle(self.kept)
            del self.kept[self.size :]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Tensors only; empty while nothing is kept."""
        if not self.kept:
            return {}
        pictures, *numbers = zip(*self.kept)
        return {"pictures": torch.stack(pictures), "numbers": torch.tensor(numbers)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restores what state_dict gave."""
        self.kept = list(zip(state["pictures"], *state["numbers"].tolist())) if state else []


class Adversaries:
    """Generators that are being adapted against the CLIP model, one for each subject and domain.

    Each step adapts one of them. After a number of steps drawn by lot a generator starts anew: at the source, on the
    way to the weights where an earlier adaptation ended, or on the way to the weights of supervised training. So the
    replay buffer has early and late pictures. Generators draw at their full size, as in a run: trained at a smaller
    one, their last layers would be free to deceive. An interrupted training forgets where its own adaptations ended.

    ends: subject → the weights where earlier runs ended.
    """

    def __init__(self, casts: list[Cast], recipe: ClipRecipe, memory: ReplayBuffer, ends: Mapping[str, Ends]) -> None:
        self.casts, self.recipe, self.memory = casts, recipe, memory
        self.attempts: dict[tuple[int, int], tuple[Generator, torch.optim.Adam, int, int]] = {}
        self.runs = {
            (number, d): found
            for number, cast in enumerate(casts)
            for d, found in ends.get(cast.subject.name, {}).items()
        }
        self.ends = dict(self.runs)
        # Running mean of (agreement − wanted agreement) by subject and domain.
        self.excess = [{d: 0.2 for d in cast.subject.numbers[1:]} for cast in casts]

    def adapt_one(self, towers: Towers, random_: torch.Generator, rng: random.Random) -> float:
        """One adaptation step of one subject towards one domain; gives its directional loss."""
        number = rng.choices(range(len(self.casts)), self.recipe.sitters_a_step)[0]
        cast, d = self.casts[number], self.weak_domain(number, rng)
        generator, optimiser, done, life = self.attempts.get((number, d)) or self._fresh(number, d, rng)
        index = torch.randint(len(cast.w), (self.recipe.adaptation_batch,), generator=random_)
        after, agreed = self._drawn(generator, cast, d, index, towers, rng)
        loss = 1 - agreed
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        towers.model.zero_grad(set_to_none=True)
        if done > self.recipe.keep_after:
            self._remember(after, number, d, index, float(agreed.detach()), rng)
        self.attempts[number, d] = (generator, optimiser, done + 1, life)
        if done + 1 >= life:
            # Only the latest few are kept: the replay buffer has pictures of earlier ones.
            ends = [*self.ends.get((number, d), ()), self.attempts.pop((number, d))[0].synthesis.state_dict()]
            self.ends[number, d] = ends[-self.recipe.ends_kept :]
        return float(loss.detach())

    @torch.no_grad()
    def look_at_run(self, towers: Towers, random_: torch.Generator, rng: random.Random) -> None:
        """Adds pictures on the way to the weights where a run of the library ended.

        Hardly any adaptation in here gets as far in its number of steps.
        """
        if not self.runs:
            return
        ((number, d),) = rng.choices(list(self.runs), [self._need(*run) for run in self.runs])
        cast, generator = self.casts[number], self._on_the_way(number, rng.choice(self.runs[number, d]), rng)
        index = torch.randint(len(cast.w), (self.recipe.adaptation_batch,), generator=random_)
        after, agreed = self._drawn(generator, cast, d, index, towers, rng)
        self._remember(after, number, d, index, float(agreed), rng)

    def _drawn(
        self, generator: Generator, cast: Cast, d: int, index: torch.Tensor, towers: Towers, rng: random.Random
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures of these sitters by `generator`, at CLIP's size, and the mean cosine of image and text direction."""
        with torch.no_grad():
            anchor = towers.images(to_float(cast.drawn[0, index]).to(cast.w.device))
            said = self._directions(cast, d, index, towers, rng)
        with towers.precision():
            after = generator.synthesis(cast.w[index])
        after = at_half(after.float())
        return after, (image_direction(anchor, towers.images(after)) * said).sum(-1).mean()

    def _remember(
        self, after: torch.Tensor, number: int, d: int, owners: torch.Tensor, agreed: float, rng: random.Random
    ) -> None:
        """Adds pictures to the replay buffer, and updates the domain's excess agreement."""
        self.memory.add(after, number, d, owners, rng)
        way, _ = self.casts[number].way_done(after.detach(), d, owners)
        excess = self.excess[number]
        excess[d] += 0.1 * (agreed - float(wanted_agreement(way).mean()) - excess[d])

    def weak_domain(self, number: int, rng: random.Random) -> int:
        """A domain of a subject by lot; the larger its excess agreement, the likelier."""
        domains = list(self.excess[number])
        return rng.choices(domains, [self._need(number, d) for d in domains])[0]

    def _need(self, number: int, d: int) -> float:
        """The weight of a domain when one is drawn by lot."""
        return _SELDOM + max(0.0, self.excess[number][d])

    def weakest(self, count: int = 5) -> str:
        """The domains with the largest excess agreement, for the log."""
        found = [
            (value, f"{DOMAINS[d].name} of {cast.subject.name}")
            for cast, excess in zip(self.casts, self.excess)
            for d, value in excess.items()
        ]
        return ", ".join(f"{name} {value:.2f}" for value, name in sorted(found, reverse=True)[:count])

    def _directions(self, cast: Cast, d: int, index: torch.Tensor, towers: Towers, rng: random.Random) -> torch.Tensor:
        """Text directions as the methods make them: (1, D) for all sitters, or (B, D) from their own descriptions.

        The latter lie between single sentences or, as in described prompts, between the means of several.
        """
        wording = rng.choice(DOMAINS[d].wordings)
        frame = rng.choice(FRAMES)
        said, several = [PLAINLY], 1
        if rng.random() < self.recipe.own_words:
            count = rng.randint(*self.recipe.own_traits)
            if rng.random() < self.recipe.several:
                count, several = self.recipe.said_at_once, self.recipe.sentences
            said = [
                describe(cast.subject, traits, count, rng)
                for traits in cast.drawn_traits[index]
                for _ in range(several)
            ]
        texts = [frame.format(description.of(noun)) for noun in ("photo", wording) for description in said]
        source, target = towers.texts(texts).unflatten(0, (2, -1, several)).mean(2)
        return text_direction(source, target)

    def _on_the_way(self, number: int, end: dict[str, torch.Tensor], rng: random.Random) -> Generator:
        """A generator somewhere between the source and these weights."""
        generator = copy.deepcopy(self.casts[number].source)
        share, own = rng.uniform(0.2, 1.0), generator.synthesis.state_dict()
        for name, tensor in end.items():
            own[name].lerp_(tensor.to(own[name]), share)
        return generator

    def _fresh(self, number: int, d: int, rng: random.Random) -> tuple[Generator, torch.optim.Adam, int, int]:
        ends = self.ends.get((number, d), ())
        if rng.random() < self.recipe.on_the_way:
            ends = self.casts[number].shown[d]
        elif rng.random() >= self.recipe.gone_on_with:
            ends = ()
        generator = (
            self._on_the_way(number, rng.choice(ends), rng) if ends else copy.deepcopy(self.casts[number].source)
        )
        generator.requires_grad_(False)
        generator.synthesis.requires_grad_(True)
        rate = rng.choice((1e-3, 2e-3, 4e-3))
        optimiser = torch.optim.Adam(generator.synthesis.parameters(), lr=rate, betas=(0.0, 0.99))
        return generator, optimiser, 0, rng.randrange(self.recipe.adaptation_steps // 3, self.recipe.adaptation_steps)
