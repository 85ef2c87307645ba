"""How long a run will take, from what one picture and one step of the prompts take on this machine; trains nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..devices import usable_device
from ..generators.stylegan2.network import Generator
from ..latents import latents_from_seeds
from ..memory import pictures_at_once, saves_memory
from ..methods.config import AdaptConfig
from ..methods.guidance import Guide
from ..methods.prompts import SENTENCES
from ..methods.registry import METHODS
from ..methods.source_samples import BLOCKS, SIZE
from ..models.catalog import generator_digest, load_generator
from .adapting import chosen_on, open_guides
from .modes import own_modes
from .time_left import WAY_BACK, Costs

_PICTURES = 8


@dataclass(frozen=True)
class Speed(Costs):
    """How fast runs of one model, method and set of CLIP models are.

    missing: share of the source pictures, 0 to 1, that earlier runs have left to be drawn. resolution: pixels a side.
    """

    missing: float = 0.0
    resolution: int = 0

    def seconds(self, config: AdaptConfig, done: int | None = None) -> float:
        """How long a run of `config` will take, with the model, method and CLIP models that were measured.

        The source pictures that a run looks at are drawn once and kept, so a model's first run takes longer. done:
        steps of stage 2 that an earlier run made, with which this one goes on; None for one from the start.
        """
        low = saves_memory(config.memory, self.resolution, config.batch)
        steps, of_prompts = config.steps - (done or 0), _seen_by_prompts(config) if done is None else 0
        step = self.generator_step(config.batch, low, not config.learns and config.scheme.per_image, chosen_on(config))
        return of_prompts * self.prompts + steps * step + self._drawing(of_prompts + steps * config.batch)

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
    return config.mapper_steps * config.mapper_batch if config.learns else 0


def speed_key(config: AdaptConfig) -> tuple[str, ...]:
    """What a speed is known by: runs of the same model, CLIP models, method and kind of prompts are equally fast.

    Raises InputError if the model can't be found.
    """
    return generator_digest(config.model), str(config.critic), config.method, config.prompts


def measure(config: AdaptConfig) -> Speed:
    """Measures the speed of runs like `config` on its device; takes about as long as two dozen pictures.

    Raises InputError, as `adapt` does, for models or words that can't be used.
    """
    device = usable_device(config.device)
    with own_modes(device):
        source = load_generator(config.model, config.device)
        guides, _ = open_guides(config, source)
        resolution = source.config.resolution
        count = min(_PICTURES, pictures_at_once(resolution))
        z = latents_from_seeds(range(count), source.config.z_dim).to(source.device)
        w = source.mapping(z)
        _draw(source, guides, w[:1])  # the first of anything takes longer
        began = time.perf_counter()
        seen = _draw(source, guides, w)
        picture = (time.perf_counter() - began) / count
        prompts = 0.0
        if guides[0].scheme.needs_training:
            times = [_learn(guides, w, seen, config.mapper_batch) for _ in range(2)]
            prompts = times[-1] / config.mapper_batch
        elif config.scheme.per_image:
            prompts = _describe(guides, w, seen) / count  # once: a second time it would know their sentences
    missing = max(1 - float(guide.pool.present.float().mean()) for guide in guides)
    return Speed(picture, prompts, missing, resolution)


def with_open_critic(speed: Speed, method: str, device: str = "cpu") -> Speed:
    """The speed of the same runs, by the `method` that was measured, with ViT-B/32 as their CLIP model.

    Its weights needn't be here: the matrix products of its layers are timed with arbitrary numbers. All source pictures
    count as still to be drawn. Raises InputError for a device that isn't there.
    """
    where = usable_device(device)
    with own_modes(where):
        image = _VISION.seconds(_PICTURES, where)
        text = _TEXT.seconds(_PROMPTS, where)
    if METHODS[method].per_image and not METHODS[method].learns:
        # its sentences with the source and with the target; nothing is learned, so there is no way back
        prompt = text * 2 * SENTENCES * (1 + _SHORT)
    else:
        prompt = text * (1 + WAY_BACK + _SHORT)
    prompts = max(speed.prompts, prompt) if speed.prompts else 0.0
    return Speed(speed.picture + image, prompts, 1.0, speed.resolution)


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
def _draw(source: Generator, guides: list[Guide], w: torch.Tensor) -> list[torch.Tensor]:
    pictures = source.synthesis(w)
    return [guide.critic.encode_images(pictures) for guide in guides]


def _describe(guides: list[Guide], w: torch.Tensor, seen: list[torch.Tensor]) -> float:
    """Seconds of the directions of these pictures."""
    began = time.perf_counter()
    for guide, embeddings in zip(guides, seen):
        guide.scheme.directions(w, embeddings)
    return time.perf_counter() - began


def _learn(guides: list[Guide], w: torch.Tensor, seen: list[torch.Tensor], batch: int) -> float:
    """Seconds of the losses of one step of the prompts, and of their gradient; changes no weight."""
    rows = torch.arange(batch, device=w.device) % len(w)
    began = time.perf_counter()
    for guide, embeddings in zip(guides, seen):
        guide.scheme.losses(w[rows], embeddings[rows])["total"].backward()
    return time.perf_counter() - began
