"""How long a run will take, from what one picture and one step of the prompts take on this machine; trains nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from .adapt import View, open_views
from .catalog import load_generator
from .config import AdaptConfig
from .devices import usable_device
from .latents import latents_from_seeds
from .memory import pictures_at_once, saves_memory
from .pool import BLOCKS, SIZE
from .stepping import own_modes
from .stylegan2 import Generator

#: A picture's way back takes twice as long as the way there, which is gone once more where memory is saved.
_WAY_BACK = 2
_PICTURES = 8


@dataclass(frozen=True)
class Pace:
    """What was measured, in seconds: one picture drawn and seen by all critics, one step of the prompts for a picture
    of its batch, and the share of the source pictures, 0 to 1, that earlier runs have left to be drawn."""

    picture: float
    prompts: float
    missing: float
    resolution: int

    def seconds(self, config: AdaptConfig) -> float:
        """How long a run of `config` will take, with the model, method and critics that were measured.

        The source pictures that a run looks at are drawn once and kept, so a model's first run takes longer.
        """
        looked_at = config.steps * config.batch
        again = saves_memory(config.memory, self.resolution, config.batch)
        seconds = looked_at * (1 + _WAY_BACK + again) * self.picture
        if config.method != "nada":
            looked_at += config.mapper_steps * config.mapper_batch
            seconds += config.mapper_steps * config.mapper_batch * self.prompts
        # Pictures are looked at by lot, and drawn in blocks.
        drawn = SIZE * (1 - (1 - 1 / BLOCKS) ** looked_at)
        return seconds + drawn * self.missing * self.picture


def measure(config: AdaptConfig) -> Pace:
    """Measures the pace of `config` on its device; takes about as long as two dozen pictures.

    Raises InputError, as `adapt` does, for models or words that can't be used.
    """
    device = usable_device(config.device)
    with own_modes(device):
        source = load_generator(config.model, config.device)
        views, _ = open_views(config, source)
        resolution = source.config.resolution
        count = min(_PICTURES, pictures_at_once(resolution))
        z = latents_from_seeds(range(count), source.config.z_dim).to(source.device)
        w = source.mapping(z)
        _draw(source, views, w[:1])  # the first of anything takes longer
        began = time.perf_counter()
        seen = _draw(source, views, w)
        picture = (time.perf_counter() - began) / count
        prompts = 0.0
        if views[0].scheme.needs_training:
            times = [_learn(views, w, seen, config.mapper_batch) for _ in range(2)]
            prompts = times[-1] / config.mapper_batch
    missing = max(1 - float(view.pool.present.float().mean()) for view in views)
    return Pace(picture, prompts, missing, resolution)


@torch.no_grad()
def _draw(source: Generator, views: list[View], w: torch.Tensor) -> list[torch.Tensor]:
    pictures = source.synthesis(w)
    return [view.critic.encode_images(pictures) for view in views]


def _learn(views: list[View], w: torch.Tensor, seen: list[torch.Tensor], batch: int) -> float:
    """Seconds of the losses of one step of the prompts, and of their gradient; changes no weight."""
    rows = torch.arange(batch, device=w.device) % len(w)
    began = time.perf_counter()
    for view, embeddings in zip(views, seen):
        view.scheme.losses(w[rows], embeddings[rows])["total"].backward()
    return time.perf_counter() - began
