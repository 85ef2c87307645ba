"""The people that are watched during an adaptation: their pictures, how varied they are, and what their prompts say."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..latents import latents_from_seeds
from ..memory import pictures_at_once
from ..methods.config import AdaptConfig
from ..methods.guidance import Guide, readings, weighted
from ..methods.losses import diversity
from ..methods.student import Student
from ..models.catalog import own_judge
from ..pictures.media import to_uint8
from .steps import Pictures, Step
from .wrappers import seconds_between


class Previews:
    """The preview seeds, drawn by the source once and by the adapted generator as often as asked.

    Diversity is measured by the model's judge where it has one: the classifier of identities that comes with it. A CLIP
    model that sees the domain above all finds every pencil sketch alike, and would call a run collapsed that has kept
    all people apart.
    """

    def __init__(self, config: AdaptConfig, source: Generator, guides: Sequence[Guide]) -> None:
        self._config, self._source, self._guides = config, source, guides
        self._judge = own_judge(config.model)
        self._z = latents_from_seeds(config.preview_seeds, source.config.z_dim).to(source.device)
        self._readings: dict[int, str] | None = None
        self._have_read = False
        began = time.perf_counter()
        self._before, self._spread = self._draw(source)
        self.seconds_an_image = (time.perf_counter() - began) / len(self._z)

    def at(self, student: Student, step: Step) -> Pictures:
        """The pictures at a step: the source's own while the prompts are being learned."""
        return self.final(student) if step.phase == "generator" else self._pictures(self._before, self._spread)

    def final(self, student: Student) -> Pictures:
        """The pictures by the student's averaged weights, with what the prompts say, which doesn't change any more."""
        drawn = self._draw(student.averaged) if student.steps else (self._before, self._spread)
        return self._pictures(*drawn, self._read())

    def seconds_with(self, seconds_a_step: float, preview_interval: float) -> float:
        """What a step takes with its share of the previews, from what it takes without."""
        seconds = self.seconds_an_image * len(self._z)
        every = seconds_between(preview_interval, seconds)
        return seconds_a_step + seconds * (min(1.0, seconds_a_step / every) if every else 1.0)

    def _pictures(self, after: Tensor, spread: float, said: dict[int, str] | None = None) -> Pictures:
        ratio = spread / self._spread if self._spread > 0 else None
        return Pictures(self._before, after, ratio, said)

    def _read(self) -> dict[int, str] | None:
        """The readings, made once: they take a picture of each person."""
        if not self._have_read:
            config = self._config
            self._readings = readings(self._guides, self._source, config.preview_seeds, config.preview_psi)
            self._have_read = True
        return self._readings

    @torch.no_grad()
    def _draw(self, generator: Generator) -> tuple[Tensor, float]:
        """The pictures, uint8 (N, H, W, 3), and the spread of what the judge, or else the CLIP models, see in them."""
        pictures, seen = [], []
        for z in self._z.split(pictures_at_once(generator.config.resolution)):
            images = generator(z, psi=self._config.preview_psi)
            pictures.append(to_uint8(images))
            if self._judge is None:
                seen.append([guide.critic.encode_images(images) for guide in self._guides])
            else:
                seen.append([self._judge.read(images.cpu()).identity])
        spreads = [float(diversity(torch.cat(embeddings))) for embeddings in zip(*seen)]
        return torch.cat(pictures), weighted(self._guides, spreads) if self._judge is None else spreads[0]
