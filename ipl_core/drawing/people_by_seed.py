"""People by seed: one seed, or style mixing of two seeds; and which people look alike.

A person can be written as one line of text, to be stored anywhere. This module knows nothing about files.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import torch
from torch import Tensor

from ..clip.model import Critic
from ..errors import InputError
from ..generators.stylegan2.network import Generator
from ..latents import MAX_SEED
from ..memory import enough_memory, pictures_at_once
from ..storage.values import MAX_PSI as MAX_PSI
from ..storage.values import truncation
from ..storage.words import quoted
from .sampling import draw_latents, seed_latents

_TEXT = re.compile(r"(\S{1,4096}) (\d{1,10})~(\d(?:\.\d{1,4})?)(?:\+(\d{1,10})@(\d{1,2}))?")


@dataclass(frozen=True)
class SeedPerson:
    """A person whom a generator draws by seed.

    model: name of the source generator. psi: truncation, 0 to 1.5. fine: a second seed for the layers from `crossover`
    on, counted from 0 at the coarsest (style mixing, StyleGAN §3.1); None for no mixing. Raises InputError for invalid
    values.
    """

    model: str
    seed: int
    psi: float = 0.7
    fine: int | None = None
    crossover: int = 0

    def __post_init__(self) -> None:
        for seed in (self.seed, self.fine or 0):
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
                raise InputError(f"A seed is a whole number from 0 to {MAX_SEED}; got {quoted(seed)}.")
        truncation(self.psi)

    @property
    def name(self) -> str:
        """A short description."""
        return f"seed {self.seed}" if self.fine is None else f"seed {self.seed} with fine layers of {self.fine}"

    def __str__(self) -> str:
        mixed = "" if self.fine is None else f"+{self.fine}@{self.crossover}"
        model = re.sub(r"[\s%]", lambda found: quote(found[0]), self.model)  # a path may contain blanks
        return f"{model} {self.seed}~{round(self.psi, 4):g}{mixed}"

    @classmethod
    def parse(cls, text: str) -> SeedPerson:
        """The person for a text that `str` produced. Raises InputError for any other text."""
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise InputError(f"{quoted(text)} isn't how a person by seed is written, such as “studio 7~0.7”.")
        model, seed, psi, fine, crossover = found.groups()
        return cls(unquote(model), int(seed), float(psi), None if fine is None else int(fine), int(crossover or 0))

    def w_plus(self, generator: Generator) -> Tensor:
        """The latent (1, rows, w_dim), on the CPU. Raises InputError if the generator has no layer `crossover`."""
        latent = seed_latents(generator, [self.seed], self.psi)
        if self.fine is not None:
            if not 1 <= self.crossover < generator.num_layers:
                raise InputError(
                    f"The fine layers begin at a layer from 1 to {generator.num_layers - 1}, not {self.crossover}."
                )
            latent[:, self.crossover :] = seed_latents(generator, [self.fine], self.psi)[:, self.crossover :]
        return latent


def draw_people(
    generator: Generator, people: Sequence[SeedPerson], between: Callable[[], None] = lambda: None
) -> Tensor:
    """The pictures of `people` (N, 3, H, W) about [-1, 1], on the CPU, with the generator's constant noise.

    generator: their source generator, or one adapted from it. between: see `draw_latents`. Raises InputError as
    `SeedPerson.w_plus` does.
    """
    return draw_latents(generator, torch.cat([person.w_plus(generator) for person in people]), between=between)


class Likenesses:
    """Finds people of a generator who look alike to a CLIP model; embeddings are cached.

    May be used from many threads.
    """

    def __init__(self, generator: Generator, critic: Critic, psi: float = 0.7) -> None:
        self._generator, self._critic, self._psi = generator, critic, psi
        self._seen: dict[int, Tensor] = {}
        self._lock = threading.Lock()

    def see(self, seeds: Sequence[int], stop: threading.Event | None = None) -> Iterator[int]:
        """Embeds those of `seeds` that aren't cached; yields the number of cached ones after each batch.

        stop: set it, from any thread, to end after the current batch.
        """
        missing = [seed for seed in dict.fromkeys(seeds) if seed not in self._seen]
        batch = min(16, pictures_at_once(self._generator.config.resolution))
        for start in range(0, len(missing), batch):
            if stop is not None and stop.is_set():
                return
            self._embed(missing[start : start + batch])
            yield len(seeds) - len(missing) + min(len(missing), start + batch)

    @enough_memory()
    @torch.no_grad()
    def _embed(self, seeds: Sequence[int]) -> None:
        with self._lock:
            pictures = draw_latents(self._generator, seed_latents(self._generator, seeds, self._psi))
            self._seen.update(zip(seeds, self._critic.encode_images(pictures).cpu()))

    def nearest(self, seed: int, among: Sequence[int], count: int) -> list[tuple[int, float]]:
        """The `count` seeds in `among` that are most similar to `seed`, nearest first, with cosines from −1 to 1.

        `seed` itself is left out. Raises KeyError for a seed that `see` hasn't embedded.
        """
        others = [other for other in dict.fromkeys(among) if other != seed]
        cosines = torch.stack([self._seen[other] for other in others]) @ self._seen[seed]
        found = cosines.topk(min(count, len(others)))
        return [(others[index], value) for value, index in zip(found.values.tolist(), found.indices.tolist())]
