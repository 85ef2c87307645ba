"""ArcFace's IR-SE50 (Deng et al., CVPR 2019) for ID: which person is it? The trunk is that of e4e's encoder."""

from __future__ import annotations

from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor, nn

from ...generators.e4e import released_name, residual_stages
from .weights import load_published

NAME = "ir-se50"
_SIDE, _SEEN = 256, 112
_ROWS, _COLUMNS = slice(35, 223), slice(32, 220)  # of an aligned face at 256×256


class IrSe50(nn.Module):
    """Faces (B, 3, 112, 112) in [-1, 1] → unit vectors (B, D); D is 512 with the published widths."""

    def __init__(self, widths: tuple[int, int, int, int] = (64, 128, 256, 512), vector: int = 512) -> None:
        super().__init__()
        self.stem, self.stages = residual_stages(widths)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.linear = nn.Linear(widths[-1] * 7 * 7, vector)
        self.last_norm = nn.BatchNorm1d(vector)

    def forward(self, faces: Tensor) -> Tensor:
        x = self.stem(faces)
        for stage in self.stages:
            x = stage(x)
        return F.normalize(self.last_norm(self.linear(self.norm(x).flatten(1))), dim=1)


class FaceEmbedding:
    """Aligned faces, as FFHQ's, of any size → unit vectors, as the paper's sources crop them."""

    kept = True

    def __init__(self, network: IrSe50, digest: str) -> None:
        self._network, self.key = network, f"IR-SE50 {digest}"

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        return {"embedding": self._network(cropped(pictures))}


def cropped(pictures: Tensor) -> Tensor:
    """The part of aligned faces (B, 3, H, H) that the network sees, (B, 3, 112, 112)."""
    if pictures.shape[-1] > _SIDE:
        pictures = F.interpolate(pictures, (_SIDE,) * 2, mode="area")
    elif pictures.shape[-1] < _SIDE:
        pictures = F.interpolate(pictures, (_SIDE,) * 2, mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(pictures[..., _ROWS, _COLUMNS], _SEEN)


@lru_cache(maxsize=1)
def load_ir_se50() -> tuple[IrSe50, str]:
    """The network and its file's sha256. Raises InputError as `load_published`."""
    network = IrSe50()
    ours = {their_name(name): name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    return network, load_published(NAME, network, lambda theirs: ours.get(theirs, theirs))


def their_name(ours: str) -> str:
    """Where the published file has a tensor of IrSe50."""
    for mine, theirs in (
        ("norm.", "output_layer.0."),
        ("linear.", "output_layer.3."),
        ("last_norm.", "output_layer.4."),
    ):
        if ours.startswith(mine):
            return theirs + ours[len(mine) :]
    return released_name(ours)
