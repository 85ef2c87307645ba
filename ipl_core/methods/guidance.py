"""What guides a run: each of its CLIP models with the prompts made for it and the embeddings of the source pictures.

Several CLIP models see the same pictures. Each has prompts and directions of its own, and every loss is the weighted
sum over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..clip.model import Critic
from ..generators.stylegan2.network import Generator
from ..latents import generator_from_seed, latents_from_seeds
from ..memory import pictures_at_once
from ..running.modes import mixed
from ..running.steps import cpu_copies
from .config import AdaptConfig
from .prompts import PromptScheme
from .source_samples import SampleStream, SourcePool


@dataclass(frozen=True)
class Guide:
    """One CLIP model of a run: the prompts made for it, the cache of what it has seen, and the weight of its losses."""

    critic: Critic
    scheme: PromptScheme
    pool: SourcePool
    weight: float = 1.0

    def embed(self, images: Tensor, precision: str) -> Tensor:
        """Unit embeddings (B, D), float32, of images (B, 3, H, W) about [-1, 1], computed in `precision`."""
        with mixed(images.device, precision):
            return self.critic.encode_images(images).float()


def weighted(guides: Sequence[Guide], values: Sequence[Any]) -> Any:
    """The weighted sum of a value for each guide."""
    return sum(guide.weight * value for guide, value in zip(guides, values))


def prompt_samples(config: AdaptConfig, source: Generator, guides: Sequence[Guide]) -> SampleStream:
    """The batches of source samples that stage 1 looks at; the same for every method with the same seed."""
    order = generator_from_seed(config.seed, "stage 1")
    return _stream(config, source, guides, order, config.mapper_steps, config.mapper_batch)


def generator_samples(config: AdaptConfig, source: Generator, guides: Sequence[Guide]) -> SampleStream:
    """The batches of source samples that stage 2 looks at; likewise."""
    order = generator_from_seed(config.seed, "stage 2")
    return _stream(config, source, guides, order, config.steps, config.batch)


def _stream(
    config: AdaptConfig, source: Generator, guides: Sequence[Guide], order: torch.Generator, steps: int, batch: int
) -> SampleStream:
    pools = [(guide.pool, guide.critic) for guide in guides]
    return SampleStream(source, pools, order, steps, batch, config.precision)


def learns(guides: Sequence[Guide]) -> bool:
    """Whether stage 1 has prompts to train."""
    return any(guide.scheme.needs_training for guide in guides)


def learnt_prompts(guides: Sequence[Guide]) -> dict[str, Tensor]:
    """The state dict of the prompts that stage 1 trained; {} where it trains none.

    Of several CLIP models, each one's names begin with its number: "0.", "1." and so on.
    """
    return cpu_copies(_prompts(guides).state_dict()) if learns(guides) else {}


def take_prompts(guides: Sequence[Guide], prompts: dict[str, Tensor]) -> None:
    """Loads what `learnt_prompts` gave; does nothing where nothing is learnt."""
    if learns(guides):
        _prompts(guides).load_state_dict(prompts)


def _prompts(guides: Sequence[Guide]) -> nn.Module:
    schemes = [guide.scheme for guide in guides]
    return schemes[0] if len(schemes) == 1 else nn.ModuleList(schemes)


@torch.no_grad()
def readings(guides: Sequence[Guide], source: Generator, seeds: Sequence[int], psi: float) -> dict[int, str] | None:
    """What the prompts of these people say in words, by seed; None for prompts that say nothing in words.

    Of several CLIP models the first one reads. psi: truncation at which the people are drawn.
    """
    first = guides[0]
    if not first.scheme.readable:
        return None
    found: dict[int, str] = {}
    for some in torch.tensor(seeds).split(pictures_at_once(source.config.resolution)):
        z = latents_from_seeds(some.tolist(), source.config.z_dim).to(source.device)
        w = source.truncate(source.mapping(z), psi)
        words = first.scheme.readings(w, first.critic.encode_images(source.synthesis(w)))
        found.update(zip(some.tolist(), words))
    return found
