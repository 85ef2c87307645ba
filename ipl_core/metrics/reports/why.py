"""Why methods differ, as a picture of real data: pictures and directions in the plane of CLIP space that shows most.

NADA has one text direction for everybody, IPL one for each picture. The plane is fitted once, to the source's and all
methods' adapted pictures, so that panels can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...clip.model import Critic
from ...drawing.sampling import draw
from ...generators.stylegan2.network import Generator
from ...latents import latents_from_seeds
from ...library.find_or_run import finished_run
from ...library.store import Entry, learned_prompts
from ...methods.config import AdaptConfig
from ...methods.guidance import take_prompts
from ...methods.registry import method_of
from ...models.catalog import critic_of, load_adapted, load_critic, load_generator
from ...running.adapting import open_guides
from .methods import FIRST_SAMPLE_SEED

COLUMNS = ("target", "kind", "method", "number", "x", "y", "share_x", "share_y", "run")


def principal_plane(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), the two directions (D, 2) of most variance of vectors (N, D), N ≥ 3, and their shares of it (2,).

    Each direction's largest part is positive, as its sign means nothing.
    """
    mean = vectors.mean(0)
    _, lengths, axes = torch.linalg.svd((vectors - mean).double(), full_matrices=False)
    plane = axes[:2].T
    plane = plane * plane.gather(0, plane.abs().argmax(0, keepdim=True)).sign()
    return mean, plane.float(), (lengths.square() / lengths.square().sum())[:2].float()


def clip_plane(configs: Sequence[AdaptConfig], samples: int = 24, psi: float = 1.0) -> list[dict[str, str]]:
    """Where the pictures of `samples` latents and the text directions of each run lie in one plane, a row a point.

    configs: runs of one model and target, by different methods; those that don't exist are made. Points are of kind
    "source", "target", and "text": a text direction, as long as the mean ΔI of the method's pictures, from the source
    picture of that number. Raises InputError as `finished_run`.
    """
    first = configs[0]
    critic, source = load_critic(first.critic or critic_of(first.model)), load_generator(first.model)
    seeds = range(FIRST_SAMPLE_SEED, FIRST_SAMPLE_SEED + samples)
    before = _embedded(critic, source, seeds, psi)
    w = _latents(source, seeds, psi)
    entries = [finished_run(config) for config in configs]
    after = [_embedded(critic, load_adapted(entry.path), seeds, psi) for entry in entries]
    mean, plane, shares = principal_plane(torch.cat([before, *after]))
    rows = _points(first.target, "source", "", (before - mean) @ plane, shares, "")
    for entry, embeddings in zip(entries, after):
        method, run = method_of(entry.config), entry.record.key[:16]
        said = _directions(entry, source, w, before) * (embeddings - before).norm(dim=1).mean()
        rows += _points(first.target, "target", method, (embeddings - mean) @ plane, shares, run)
        rows += _points(first.target, "text", method, (before + said - mean) @ plane, shares, run)
    return rows


def _points(target: str, kind: str, method: str, places: Tensor, shares: Tensor, run: str) -> list[dict[str, str]]:
    x, y = (f"{share:.6g}" for share in shares.tolist())
    facts = {"target": target, "kind": kind, "method": method, "share_x": x, "share_y": y, "run": run}
    return [
        {**facts, "number": str(number), "x": f"{place[0]:.6g}", "y": f"{place[1]:.6g}"}
        for number, place in enumerate(places.tolist())
    ]


@torch.no_grad()
def _embedded(critic: Critic, generator: Generator, seeds: Sequence[int], psi: float) -> Tensor:
    return torch.cat([critic.encode_images(part) for part in draw(generator, seeds, psi).split(16)])


@torch.no_grad()
def _latents(source: Generator, seeds: Sequence[int], psi: float) -> Tensor:
    """w (N, w_dim) as the samples are drawn."""
    return source.truncate(source.mapping(latents_from_seeds(seeds, source.config.z_dim)), psi)


@torch.no_grad()
def _directions(entry: Entry, source: Generator, w: Tensor, before: Tensor) -> Tensor:
    """The unit text directions (N, D) of a run's prompts for these pictures."""
    guides, _ = open_guides(entry.config, source)
    take_prompts(guides, learned_prompts(entry))
    return guides[0].scheme.directions(w, before).expand(len(w), -1)
