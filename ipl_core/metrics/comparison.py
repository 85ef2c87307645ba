"""A comparison: pictures of the same latents before and after adaptation, and all that metrics measure them with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..studio.judge import Verdict
from ..studio.world.domains import Domain
from .features import Pictures
from .networks import Networks

_MISSING = {
    "domain": "“{words}” is none of the portrait studio's domains, so nobody knows what is right in it.",
    "truth": "There are no true pictures of “{words}” to compare with; only the portrait studio's domains have them.",
    "references": "There are no reference pictures of “{words}”: name three files (--references).",
}
_LOADED = {
    "judge": "judge",
    "clip": "clip",
    "judge-clip": "judge_clip",
    "inception": "inception",
    "hed": "hed",
    "ir-se50": "face",
}


@dataclass(frozen=True)
class Comparison:
    """Source and target pictures, row i of one and of the other from the same latent.

    words: the target domain. networks: what looks at the pictures. domain: the target as the portrait studio knows it.
    truth: true pictures of others in the target domain, which distributions are compared with. references: single
    pictures in the target domain, R1 first.
    """

    source: Pictures
    target: Pictures
    words: str
    networks: Networks
    domain: Domain | None = None
    truth: Pictures | None = None
    references: Pictures | None = None

    def need(self, need: str) -> Any:
        """What a metric needs, by its name in `metric.NEEDS`. Raises InputError that says why it can't be had."""
        if need in _MISSING:
            found = getattr(self, need)
            if found is None:
                raise InputError(_MISSING[need].format(words=self.words))
            return found
        if need == "lpips-vgg":
            from ..lpips import load_lpips

            return load_lpips("lpips-vgg")
        return getattr(self.networks, _LOADED[need])

    def judged(self, pictures: Pictures) -> Verdict:
        """What the judge reads from pictures."""
        judge = self.networks.judge
        return judge.verdict(pictures.seen(judge))

    def judged_features(self) -> tuple[Tensor, Tensor]:
        """The judge's pooled features (N, D) of the target pictures, and those (M, D) of true pictures."""
        judge = self.networks.judge
        return self.target.seen(judge)["features"], self.need("truth").seen(judge)["features"]

    def taken(self, places: Sequence[int]) -> Comparison:
        """The same of some pairs alone."""
        return replace(self, source=self.source.taken(places), target=self.target.taken(places))
