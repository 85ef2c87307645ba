"""The networks that metrics look with: the judge, its maps, CLIP models and a fixed edge filter, as `Network`s.

Published networks are in `published`. Each network is loaded when a metric first needs it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.model import Critic
from ..errors import InputError
from ..models import catalog
from ..studio.judge import Judge, Verdict

if TYPE_CHECKING:
    from .published.hed import EdgeDetector
    from .published.inception import InceptionFeatures, InceptionMaps
    from .published.ir_se50 import FaceEmbedding


class JudgeReadings:
    """The judge's readings, as rows: domain, traits (side by side), identity, features."""

    kept = True

    def __init__(self, judge: Judge, digest: str) -> None:
        self.judge, self.key = judge, f"judge {digest}"

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        verdict = self.judge.read(pictures)
        traits = torch.cat(verdict.traits, 1)
        return {
            "domain": verdict.domain,
            "traits": traits,
            "identity": verdict.identity,
            "features": verdict.features,
        }

    def verdict(self, rows: dict[str, Tensor]) -> Verdict:
        """Rows as the judge gives them."""
        subject = self.judge.subject
        traits = rows["traits"].split([len(trait.after) for trait in subject.traits], 1)
        return Verdict(subject, rows["domain"], traits, rows["identity"], rows["features"])


class JudgeMaps:
    """The judge's feature map behind its first residual block, (B, 32, 32, 32); and maps of four depths, compared as
    LPIPS compares: every place of unit length, so that half the squared distance of two rows is a mean 1 − cos.

    first: whether the first map alone is given, as it is.
    """

    kept = False

    def __init__(self, judge: Judge, digest: str, first: bool) -> None:
        self._judge, self._first = judge, first
        self.key = f"judge's {'first map' if first else 'maps'} {digest}"

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        judge = self._judge
        side = judge.resolution
        if pictures.shape[-1] != side:
            pictures = F.interpolate(pictures, (side,) * 2, mode="bicubic", antialias=True, align_corners=False)
        x = F.max_pool2d(judge.stem(pictures.clamp(-1, 1)), 2)
        rows = []
        for place, block in enumerate(judge.blocks):
            x = block(x)
            if self._first:
                return {"map": x}
            if place % 2 == 0:  # the last of each width
                unit = F.normalize(F.relu(x), dim=1)
                rows.append(unit.flatten(1) / (x.shape[-2] * x.shape[-1]) ** 0.5)
        return {"perceptual": torch.cat(rows, 1)}


class ClipEmbeddings:
    """A CLIP model's unit embeddings of pictures."""

    kept = True

    def __init__(self, critic: Critic, digest: str) -> None:
        self.critic, self.key = critic, f"CLIP {digest}"

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        return {"embedding": self.critic.encode_images(pictures).cpu()}

    @torch.no_grad()
    def words(self, text: str) -> Tensor:
        """The unit embedding (1, D) of words."""
        return self.critic.encode_texts([text]).cpu()


class EdgeFilter:
    """A fixed edge filter in the place of a learnt one: strength of brightness edges, 0 to 1, at every pixel.

    Brightness is blurred (Gaussian, σ 1), its gradient g taken by central differences, and squeezed to g / (g + 0.05),
    so that faint and strong lines both count as lines, as a learnt detector has them.
    """

    kept = False
    key = "edges: Gaussian 1, central differences, g/(g+0.05)"
    _HALF = 0.05

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        brightness = (pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None] * (pictures + 1) / 2).sum(1, True)
        axis = torch.arange(-3.0, 4.0, device=pictures.device)
        bell = torch.exp(-axis.square() / 2)
        bell = bell / bell.sum()
        padded = F.pad(brightness, (4,) * 4, mode="replicate")
        blurred = F.conv2d(F.conv2d(padded, bell.view(1, 1, 1, -1)), bell.view(1, 1, -1, 1))
        along = (blurred[..., 1:-1, 2:] - blurred[..., 1:-1, :-2]) / 2
        across = (blurred[..., 2:, 1:-1] - blurred[..., :-2, 1:-1]) / 2
        strength = (along.square() + across.square()).sqrt()
        return {"edges": (strength / (strength + self._HALF))[:, 0]}


class Networks:
    """The networks for one source model; each is loaded when it is asked for, which raises InputError if it can't be.

    model: the source. critic: the CLIP that adaptation follows, None for the model's own. judge_clip: one that it
    doesn't follow, None for none. device: of the first CLIP; the other networks look on the CPU.
    """

    def __init__(
        self, model: str, critic: str | None = None, judge_clip: str | None = None, device: str = "cpu"
    ) -> None:
        self._model, self._critic, self._judge_clip, self._device = model, critic, judge_clip, device

    @cached_property
    def judge(self) -> JudgeReadings:
        """The judge's readings."""
        name = catalog.judge_of(self._model)
        return JudgeReadings(catalog.load_judge(name), catalog.judge_digest(name))

    @cached_property
    def judge_map(self) -> JudgeMaps:
        """The judge's first map."""
        return JudgeMaps(self.judge.judge, catalog.judge_digest(catalog.judge_of(self._model)), first=True)

    @cached_property
    def judge_maps(self) -> JudgeMaps:
        """The judge's maps of four depths."""
        return JudgeMaps(self.judge.judge, catalog.judge_digest(catalog.judge_of(self._model)), first=False)

    @cached_property
    def clip(self) -> ClipEmbeddings:
        """The CLIP that adaptation follows."""
        name = self._critic or catalog.critic_of(self._model)
        return ClipEmbeddings(catalog.load_critic(name, self._device), catalog.critic_digest(name))

    @cached_property
    def judge_clip(self) -> ClipEmbeddings:
        """A CLIP that no loss used."""
        if not self._judge_clip:
            raise InputError(
                "A distance to the target's words needs a CLIP that adaptation did not follow: name one "
                f"(--judge-clip), such as {', '.join(self._others())}."
            )
        digest = catalog.critic_digest(self._judge_clip)
        followed = catalog.digested_members(self._critic or catalog.critic_of(self._model))
        if digest in (part for _, _, part in followed):
            raise InputError(
                f"Adaptation follows the CLIP “{self._judge_clip}”, so a small distance by it says that the loss was "
                f"met: name another (--judge-clip), such as {', '.join(self._others())}."
            )
        return ClipEmbeddings(catalog.load_critic(self._judge_clip), digest)

    def _others(self) -> list[str]:
        """Names of a few CLIP models that the catalog knows and adaptation doesn't follow."""
        own = self._critic or catalog.critic_of(self._model)
        return [name for name in catalog.critics() if name not in own][:3]

    @cached_property
    def edges(self) -> EdgeFilter:
        """The fixed edge filter."""
        return EdgeFilter()

    @cached_property
    def inception(self) -> InceptionFeatures:
        """Inception-v3 of ImageNet."""
        from .published.inception import InceptionFeatures, load_inception

        return InceptionFeatures(*load_inception())

    @cached_property
    def inception_maps(self) -> InceptionMaps:
        """Its 192 channels before the second pooling."""
        from .published.inception import InceptionMaps, load_inception

        return InceptionMaps(*load_inception())

    @cached_property
    def hed(self) -> EdgeDetector:
        """HED's edges."""
        from .published.hed import EdgeDetector, load_hed

        return EdgeDetector(*load_hed())

    @cached_property
    def face(self) -> FaceEmbedding:
        """ArcFace's IR-SE50."""
        from .published.ir_se50 import FaceEmbedding, load_ir_se50

        return FaceEmbedding(*load_ir_se50())
