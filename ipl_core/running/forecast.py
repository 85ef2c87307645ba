"""How long a run will take, from what one picture and one step of the prompts take on this machine; trains nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..devices import usable_device
from ..generators.stylegan2.network import Generator
from ..latents import latents_from_seeds
from ..memory import pictures_at_once, saves_memory
from ..methods.adapt import View, open_views
from ..methods.config import LEARNED, AdaptConfig
from ..methods.prompts import SENTENCES
from ..methods.source_samples import BLOCKS, SIZE
from ..models.catalog import generator_digest, load_generator
from .stepping import own_modes

#: A picture's way back takes twice as long as the way there, which is gone once more where memory is saved.
_WAY_BACK = 2
_PICTURES = 8


@dataclass(frozen=True)
class Pace:
    """What was measured, in seconds: one picture drawn and seen by all critics; of learned prompts one step for a
    picture of its batch, of described ones a picture's direction; and the share of the source pictures, 0 to 1, that
    earlier runs have left to be drawn."""

    picture: float
    prompts: float
    missing: float
    resolution: int

    def seconds(self, config: AdaptConfig, done: int | None = None) -> float:
        """How long a run of `config` will take, with the model, method and critics that were measured.

        The source pictures that a run looks at are drawn once and kept, so a model's first run takes longer. done:
        steps of stage 2 that an earlier run made, with which this one goes on; None for one from the start.
        """
        of_prompts = _seen_by_prompts(config) if done is None else 0
        of_generator = (config.steps - (done or 0)) * config.batch
        again = saves_memory(config.memory, self.resolution, config.batch)
        seconds = of_generator * (1 + _WAY_BACK + again) * self.picture + of_prompts * self.prompts
        if config.method == "described":
            seconds += of_generator * self.prompts
        return seconds + self._drawing(of_prompts + of_generator)

    def first_stage(self, config: AdaptConfig) -> float:
        """How much of that stage 1 will take; 0 for a method that has none."""
        looked_at = _seen_by_prompts(config)
        return looked_at * self.prompts + self._drawing(looked_at)

    def _drawing(self, looked_at: int) -> float:
        # Pictures are looked at by lot, and drawn in blocks.
        drawn = SIZE * (1 - (1 - 1 / BLOCKS) ** looked_at)
        return drawn * self.missing * self.picture


def _seen_by_prompts(config: AdaptConfig) -> int:
    """Pictures that stage 1 looks at."""
    return config.mapper_steps * config.mapper_batch if config.method in LEARNED else 0


def pace_key(config: AdaptConfig) -> tuple[str, ...]:
    """What a pace is known by: runs of the same model, critics, method and kind of prompts are equally fast.

    Raises InputError if the model can't be found.
    """
    return generator_digest(config.model), str(config.critic), config.method, config.prompts


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
        elif config.method == "described":
            prompts = _describe(views, w, seen) / count  # once: a second time it would know their sentences
    missing = max(1 - float(view.pool.present.float().mean()) for view in views)
    return Pace(picture, prompts, missing, resolution)


def with_open_critic(pace: Pace, method: str, device: str = "cpu") -> Pace:
    """The pace of the same runs, by the `method` that was measured, with ViT-B/32 as their critic, whose weights
    needn't be here.

    The products of its layers are timed with numbers of no meaning. In one trial on two cores that came within 40 % of
    what the weights themselves took. It has all source pictures still to see. Raises InputError for a device that
    isn't there.
    """
    where = usable_device(device)
    with own_modes(where):
        image = _VISION.seconds(_PICTURES, where)
        text = _TEXT.seconds(_PROMPTS, where)
    if method == "described":  # its sentences with the source and the target; nothing is learned, so none goes back
        prompt = text * 2 * SENTENCES * (1 + _SHORT)
    else:
        prompt = text * (1 + _WAY_BACK + _SHORT)
    prompts = max(pace.prompts, prompt) if pace.prompts else 0.0
    return Pace(pace.picture + image, prompts, 1.0, pace.resolution)


@dataclass(frozen=True)
class _Tower:
    """A transformer by what its products take: tokens of one input, width, layers."""

    tokens: int
    width: int
    layers: int

    @torch.no_grad()
    def seconds(self, count: int, device: torch.device) -> float:
        """Seconds for each of `count` inputs that pass through all layers together, forwards."""
        rows = torch.ones(count * self.tokens, self.width, device=device)
        sides = [torch.ones(self.width, times * self.width, device=device) for times in (3, 1, 4)]
        back = torch.ones(4 * self.width, self.width, device=device)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            for side in sides:
                product = rows @ side
            float((product @ back)[0, 0])  # which waits for the device
            times.append(time.perf_counter() - began)
        return min(times) * self.layers / count


_VISION, _TEXT = _Tower(50, 768, 12), _Tower(16, 512, 12)  # of ViT-B/32; prompts are short, and no more is computed
_PROMPTS, _SHORT = 16, 1  # of so few tokens, all but the products takes as long as these on the way there


@torch.no_grad()
def _draw(source: Generator, views: list[View], w: torch.Tensor) -> list[torch.Tensor]:
    pictures = source.synthesis(w)
    return [view.critic.encode_images(pictures) for view in views]


def _describe(views: list[View], w: torch.Tensor, seen: list[torch.Tensor]) -> float:
    """Seconds of the directions of these pictures."""
    began = time.perf_counter()
    for view, embeddings in zip(views, seen):
        view.scheme.directions(w, embeddings)
    return time.perf_counter() - began


def _learn(views: list[View], w: torch.Tensor, seen: list[torch.Tensor], batch: int) -> float:
    """Seconds of the losses of one step of the prompts, and of their gradient; changes no weight."""
    rows = torch.arange(batch, device=w.device) % len(w)
    began = time.perf_counter()
    for view, embeddings in zip(views, seen):
        view.scheme.losses(w[rows], embeddings[rows])["total"].backward()
    return time.perf_counter() - began
