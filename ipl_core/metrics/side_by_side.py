"""Methods side by side: what generators adapted from one model make of the same fresh samples.

Unlike the table, which compares over seeds and keeps its figures, this measures a few samples for whoever waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..clip.model import Critic
from ..drawing.sampling import draw
from ..errors import InputError
from ..generators.stylegan2.network import Generator
from ..methods.losses import diversity
from ..models.catalog import judge_of, load_judge
from .clip_distance import clip_distance
from .judge_score import judge_score
from .kept_attributes import kept_attributes, kept_identity
from .reports.methods import FIRST_SAMPLE_SEED
from .spread import identity_spread


@dataclass(frozen=True)
class Figures:
    """One generator, measured against its source.

    judge, attributes: shares 0–1, and identity: cosine; None where no judge can read them. diversity: ratio to the
    source's, of the judge's identities where there is a judge, else of the critic's embeddings. distance: 0–2.
    """

    judge: float | None
    diversity: float
    attributes: float | None
    identity: float | None
    distance: float


class SideBySide:
    """Fresh samples of one source, ready to be compared with those of generators adapted from it to `target`.

    seeds: of these samples. no_judge: why there are no figures of a judge, "" where there are.
    """

    def __init__(
        self, model: str, target: str, source: Generator, critic: Critic, samples: int = 64, psi: float = 0.7
    ) -> None:
        self.seeds = range(FIRST_SAMPLE_SEED, FIRST_SAMPLE_SEED + samples)
        self._psi, self._source, self._critic = psi, source, critic
        self._judge, self._domain, self.no_judge = None, None, ""
        try:
            judge = load_judge(judge_of(model))
            self._judge, self._domain = judge, judge.subject.domain(target)
        except InputError as error:
            self.no_judge = str(error)
        with torch.no_grad():
            self._text = critic.encode_texts([target])
        self._before, self._embeddings = self._draw(source)
        self._verdict = None if self._judge is None else self._judge.read(self._before)

    def measure(self, generator: Generator | None = None) -> Figures:
        """The figures of an adapted generator; None measures the source itself, as what they start from."""
        images, embeddings = (self._before, self._embeddings) if generator is None else self._draw(generator)
        distance = clip_distance(embeddings, self._text)
        if self._judge is None:
            spread = float(diversity(embeddings) / diversity(self._embeddings))
            return Figures(None, spread, None, None, distance)
        after = self._judge.read(images)
        return Figures(
            judge_score(after, self._domain),
            identity_spread(self._verdict, after),
            kept_attributes(self._verdict, after, self._domain),
            kept_identity(self._verdict, after),
            distance,
        )

    @torch.no_grad()
    def _draw(self, generator: Generator) -> tuple[Tensor, Tensor]:
        images = draw(generator, self.seeds, self._psi)
        parts = images.split(16)
        return images, torch.cat([self._critic.encode_images(part) for part in parts])
