"""HED, holistically nested edge detection (Xie and Tu, ICCV 2015): VGG-16's convolutions, a score of edges at five
depths, and their weighted sum. Weights as in the PyTorch reimplementation of the Caffe model."""

from __future__ import annotations

import re
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .weights import load_published

NAME = "hed"
_DEPTHS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions between poolings
_PARTS = ("One", "Two", "Thr", "Fou", "Fiv")
_MEAN = (104.00698793, 116.66876762, 122.67891434)  # of blue, green, red, 0 to 255


class Hed(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1], RGB → probability of an edge at every pixel, (B, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        depths, into = [], 3
        for width, count in _DEPTHS:
            depths.append(nn.ModuleList(nn.Conv2d(into if k == 0 else width, width, 3, 1, 1) for k in range(count)))
            into = width
        self.depths = nn.ModuleList(depths)
        self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for width, _ in _DEPTHS)
        self.combine = nn.Conv2d(len(_DEPTHS), 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = (pictures + 1).flip(1) * 127.5 - pictures.new_tensor(_MEAN)[:, None, None]
        seen = []
        for depth, (convs, score) in enumerate(zip(self.depths, self.scores)):
            if depth:
                x = F.max_pool2d(x, 2)
            for conv in convs:
                x = F.relu(conv(x))
            seen.append(F.interpolate(score(x), pictures.shape[2:], mode="bilinear", align_corners=False))
        return torch.sigmoid(self.combine(torch.cat(seen, 1)))[:, 0]


class EdgeDetector:
    """HED's edges of pictures, (B, H, W), unrounded."""

    kept = False

    def __init__(self, network: Hed, digest: str) -> None:
        self._network, self.key = network, f"HED {digest}"

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        return {"edges": self._network(pictures)}


@lru_cache(maxsize=1)
def load_hed() -> tuple[Hed, str]:
    """The network and its file's sha256. Raises InputError as `load_published`."""
    network = Hed()
    return network, load_published(NAME, network, our_name)


def our_name(theirs: str) -> str:
    """Where Hed has a tensor of the published file; what it doesn't know keeps its name, and is refused for it."""
    match = re.fullmatch(r"(?:module|net)?(Vgg|Score|Combine)(\w*)\.(?:(\d)\.)?(weight|bias)", theirs)
    if match is None:
        return theirs
    kind, part, number, what = match.groups()
    if kind == "Combine":
        return f"combine.{what}"
    if part not in _PARTS:
        return theirs
    depth = _PARTS.index(part)
    if kind == "Score":
        return f"scores.{depth}.{what}"
    # Before every depth but the first comes a pooling, and between convolutions a ReLU, which the file counts too.
    return f"depths.{depth}.{(int(number) - (1 if depth else 0)) // 2}.{what}"
