"""How well a generator of the portrait studio has learnt its subject: Fréchet distance, and what it drew of it.

Distances are taken in the judge's features, between the generator's samples and fresh renders, beside the distance
between two sets of renders: what the number would be for a perfect generator.
"""

from __future__ import annotations

import torch

from ...generators.base import Generator
from ...models.catalog import judge_of, load_generator, load_judge
from ...studio.judge import Judge, Verdict
from ...studio.world.attributes import Sitters
from ...studio.world.domains import PHOTO
from ..frechet import frechet_distance

_SEED = 31  # of the samples and the renders
_CHUNK = 100


def generator_report(model: str, samples: int = 5_000) -> dict[str, float]:
    """Figures of an embedded generator, by name.

    "distance": samples against renders; "floor": renders against other renders, as many of each; "ratio" of the two;
    "agreement": share of traits that the judge reads in a sample as its latent means them, beside "readable", the same
    of true renders. InputError if the model has no judge.
    """
    judge = load_judge(judge_of(model))
    return sample_figures(load_generator(model), judge, samples)


def sample_figures(generator: Generator, judge: Judge, samples: int) -> dict[str, float]:
    """The figures of `generator_report`, of a generator and a judge that are loaded."""
    subject, random = judge.subject, torch.Generator().manual_seed(_SEED)
    drawn, rendered, others = [], [], []
    agreed = readable = 0.0
    for start in range(0, samples, _CHUNK):
        count = min(_CHUNK, samples - start)
        z = torch.randn(count, generator.config.z_dim, generator=random)
        with torch.no_grad():
            verdict = judge.read(generator(z))
        drawn.append(verdict.features)
        agreed += count / samples * _right(verdict, subject.sitters_from_latents(z))
        for features in (rendered, others):
            sitters = subject.random(count, random)
            verdict = judge.read(subject.render(PHOTO, sitters, random, judge.resolution))
            features.append(verdict.features)
        readable += count / samples * _right(verdict, sitters)
    renders = torch.cat(rendered)
    distance, floor = frechet_distance(torch.cat(drawn), renders), frechet_distance(torch.cat(others), renders)
    figures = {"distance": distance, "floor": floor, "ratio": distance / floor}
    return {**figures, "agreement": agreed, "readable": readable}


def _right(verdict: Verdict, sitters: Sitters) -> float:
    """Share of the judge's readings of traits that are the truth."""
    labels = verdict.subject.labels(sitters)
    return float(torch.stack([t.argmax(1) == labels[:, i] for i, t in enumerate(verdict.traits)]).float().mean())
