"""People by seed: one seed, or the coarse layers of one with the fine layers of another, and who looks like whom.

A person is written as one line of text, so that it can be remembered anywhere. The room knows nothing about files.
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

    model: the source generator, by name. psi: truncation, 0 to 1.5. fine: the seed whose layers are taken from
    `crossover` on, counted from 0 at the coarsest; None for those of `seed` itself (style mixing, StyleGAN §3.1).
    Raises InputError for what can't be meant.
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
        """Who it is, in a few words."""
        return f"seed {self.seed}" if self.fine is None else f"seed {self.seed} with fine layers of {self.fine}"

    def __str__(self) -> str:
        mixed = "" if self.fine is None else f"+{self.fine}@{self.crossover}"
        model = re.sub(r"[\s%]", lambda found: quote(found[0]), self.model)  # a path may have blanks
        return f"{model} {self.seed}~{round(self.psi, 4):g}{mixed}"

    @classmethod
    def parse(cls, text: str) -> SeedPerson:
        """The person that `str` wrote as `text`. Raises InputError for any other text."""
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise InputError(f"{quoted(text)} isn't how a person by seed is written, such as “studio 7~0.7”.")
        model, seed, psi, fine, crossover = found.groups()
        return cls(unquote(model), int(seed), float(psi), None if fine is None else int(fine), int(crossover or 0))

    def w_plus(self, generator: Generator) -> Tensor:
        """The latent (1, rows, w_dim), on the CPU. Raises InputError if the crossover lies outside the generator."""
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

    generator: that of their model, or one adapted from it. between: see `draw_latents`. Raises InputError as
    `SeedPerson.w_plus` does.
    """
    return draw_latents(generator, torch.cat([person.w_plus(generator) for person in people]), between=between)


class Likenesses:
    """Which of a generator's people look alike in a critic's eyes; whom it has seen, it remembers.

    May be used from many threads.
    """

    def __init__(self, generator: Generator, critic: Critic, psi: float = 0.7) -> None:
        self._generator, self._critic, self._psi = generator, critic, psi
        self._seen: dict[int, Tensor] = {}
        self._lock = threading.Lock()

    def see(self, seeds: Sequence[int], stop: threading.Event | None = None) -> Iterator[int]:
        """Looks at those of `seeds` that it has not seen; yields how many of them all are known, after each few.

        stop: set it, from any thread, to end after the few under way.
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
        """The `count` of `among` that are most like `seed`, the nearest first, with the cosine of each, −1 to 1.

        `seed` itself is left out. Raises KeyError for one that has not been seen.
        """
        others = [other for other in dict.fromkeys(among) if other != seed]
        cosines = torch.stack([self._seen[other] for other in others]) @ self._seen[seed]
        found = cosines.topk(min(count, len(others)))
        return [(others[index], value) for value, index in zip(found.values.tolist(), found.indices.tolist())]
