"""Inception-v3 of ImageNet with torchvision's weights (Szegedy et al., CVPR 2016): 1,000 classes, pictures in [-1, 1].

It is not the network of FID's authors, which has 1,008 classes and other pooling: its numbers differ from theirs.
"""

from __future__ import annotations

from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor, nn

from .weights import load_published

NAME = "inception-imagenet"
SIDE = 299  # pixels a side for classes and features; maps are made of pictures as they are


@lru_cache(maxsize=1)
def load_inception() -> tuple[nn.Module, str]:
    """The network and its file's sha256. Raises InputError as `load_published`."""
    network = empty_inception()
    return network, load_published(NAME, network, lambda name: None if name.startswith("AuxLogits.") else name)


def empty_inception() -> nn.Module:
    """The network without weights, in evaluation mode."""
    from torchvision.models import inception_v3  # two seconds to import

    return inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False).eval()


class InceptionFeatures:
    """Pictures → logits (B, 1000), and features (B, 2048) behind the last pooling, at 299×299."""

    kept = True

    def __init__(self, network: nn.Module, digest: str) -> None:
        self._network, self.key = network, f"Inception, 299 bilinear {digest}"
        self._pooled: Tensor | None = None
        network.avgpool.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        self._pooled = result.flatten(1)

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        if pictures.shape[-1] != SIDE:
            pictures = F.interpolate(pictures, (SIDE,) * 2, mode="bilinear", align_corners=False)
        logits = self._network(pictures)
        return {"logits": logits, "features": self._pooled}


class InceptionMaps:
    """Pictures of any size → the 192 channels before the second pooling, as SIFID compares them; unresized."""

    kept = False

    def __init__(self, network: nn.Module, digest: str) -> None:
        self._network, self.key = network, f"Inception, 192 channels before the second pooling {digest}"

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        net, x = self._network, pictures
        for layer in (net.Conv2d_1a_3x3, net.Conv2d_2a_3x3, net.Conv2d_2b_3x3, net.maxpool1):
            x = layer(x)
        return {"map": net.Conv2d_4a_3x3(net.Conv2d_3b_1x1(x))}
