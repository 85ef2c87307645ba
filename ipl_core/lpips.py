"""LPIPS (Zhang et al., CVPR 2018) from its published files: how differently two pictures are seen, learnt from people.

It takes two files, torchvision's AlexNet or VGG-16 and the small one of the paper's authors with a weight for each
channel. Neither is part of this project nor fetched by it: the first is looked for where torchvision keeps it, the
second where the package `lpips` does, both in `IPL_HOME/models`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError
from .storage import apart
from .storage.digests import file_digest
from .storage.files import readable_file
from .storage.folders import home
from .storage.paths import as_path
from .storage.weights import read_weights
from .storage.words import quoted

MAX_SIDE = 256  # larger pictures are averaged down, as StyleGAN2's own projector does
MIN_SIDE = 64  # smaller ones are enlarged, or nothing would be left of them
_MEAN, _SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of ImageNet, for pictures in [-1, 1]


@dataclass(frozen=True)
class Published:
    """One of the two networks and its files.

    layers: convolutions as (channels, kernel, stride, padding), "pool", and "see" behind what is compared.
    pool: kernel and stride. backbones: names of the first file, newest first; weights: that of the second.
    """

    title: str
    layers: tuple[tuple[int, int, int, int] | str, ...]
    pool: tuple[int, int]
    backbones: tuple[str, ...]
    weights: str


def _vgg() -> tuple[tuple[int, int, int, int] | str, ...]:
    layers: list[tuple[int, int, int, int] | str] = []
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [*((channels, 3, 1, 1) for _ in range(count)), "see", "pool"]
    return tuple(layers[:-1])


_ALEX = (
    *((64, 11, 4, 2), "see", "pool", (192, 5, 1, 2), "see", "pool"),
    *((384, 3, 1, 1), "see", (256, 3, 1, 1), "see", (256, 3, 1, 1), "see"),
)
NETWORKS = {
    "lpips-alex": Published(
        "LPIPS with AlexNet", _ALEX, (3, 2), ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth"), "alex.pth"
    ),
    "lpips-vgg": Published("LPIPS with VGG-16", _vgg(), (2, 2), ("vgg16-397923af.pth",), "vgg.pth"),
}
LICENCE = "BSD (torchvision; the authors of LPIPS); the networks were trained on ImageNet, for research"
_PAGES = "https://download.pytorch.org/models/{0} and https://github.com/richzhang/PerceptualSimilarity (weights/v0.1)"


class Lpips(nn.Module):
    """Pictures (N, 3, R, R) in [-1, 1] → normalised features at five depths; `distance` compares them."""

    def __init__(self, published: Published) -> None:
        super().__init__()
        self._pool = published.pool
        self._steps: list[int | str] = []
        convs, seen, into = [], [], 3
        for layer in published.layers:
            if isinstance(layer, str):
                self._steps.append(layer)
                if layer == "see":
                    seen.append(into)
                continue
            self._steps.append(len(convs))
            convs.append(nn.Conv2d(into, *layer))
            into = layer[0]
        self.convs = nn.ModuleList(convs)
        self.weights = nn.ParameterList(torch.zeros(channels) for channels in seen)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """At each depth (N, C, h, w), every place of unit length."""
        x = (_sized(pictures) - pictures.new_tensor(_MEAN)[:, None, None]) / pictures.new_tensor(_SPREAD)[:, None, None]
        maps = []
        for step in self._steps:
            if step == "pool":
                x = F.max_pool2d(x, *self._pool)
            elif step == "see":
                maps.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
            else:
                x = F.relu(self.convs[step](x))
        return maps

    def distance(self, one: list[Tensor], other: list[Tensor]) -> Tensor:
        """(N,): the weighted squared differences, averaged over places and added over depths; 0 for equal pictures."""
        terms = [
            ((a - b).square() * weight[:, None, None]).sum(1).mean((1, 2))
            for a, b, weight in zip(one, other, self.weights)
        ]
        return torch.stack(terms).sum(0)


def _sized(pictures: Tensor) -> Tensor:
    side = pictures.shape[-1]
    if side > MAX_SIDE:
        return F.interpolate(pictures, (MAX_SIDE,) * 2, mode="area")
    if side < MIN_SIDE:
        return F.interpolate(pictures, (MIN_SIDE,) * 2, mode="bilinear", align_corners=False)
    return pictures


def lpips_view(network: Lpips) -> Callable[[Tensor], Callable[[Tensor], Tensor]]:
    """LPIPS as `invert.Perceptual`: the picture to compare with → a function of pictures that gives (N,)."""

    def compare_with(target: Tensor) -> Callable[[Tensor], Tensor]:
        with torch.no_grad():
            seen = network.features(target)
        return lambda images: network.distance(network.features(images), seen)

    return compare_with


# ----------------------------------------------------------------------------------------------------------------------
# Files


def available() -> list[str]:
    """The names whose files are here."""
    return [name for name in NETWORKS if all(_found(name))]


def digest(name: str) -> str:
    """Sha256 over both files. Raises InputError as `load_lpips` does."""
    return hashlib.sha256("\n".join(map(file_digest, _files(name))).encode()).hexdigest()


def load_lpips(name: str, device: str | torch.device = "cpu") -> Lpips:
    """The network "lpips-alex" or "lpips-vgg", frozen. Raises InputError if a file isn't here or holds something else.

    Its files: see the module.
    """
    backbone, weights = _files(name)
    network = Lpips(NETWORKS[name])
    # torchvision counts activations and pools as layers, too: its numbers rise, and only their order matters.
    convs = _tensors(backbone, "features.")
    numbers = sorted({int(key.split(".")[0]) for key in convs if re.match(r"[0-9]{1,3}\.", key)})
    pairs = {
        f"convs.{k}.{part}": convs.get(f"{n}.{part}") for k, n in enumerate(numbers) for part in ("weight", "bias")
    }
    lines = _tensors(weights, "lin")
    state = {
        **pairs,
        **{
            f"weights.{key.split('.')[0]}": tensor.flatten() for key, tensor in lines.items() if key.endswith(".weight")
        },
    }
    expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    wrong = [key for key in {**expected, **state} if state.get(key) is None or state[key].shape != expected.get(key)]
    if wrong:
        file = weights if wrong[0].startswith("weights") else backbone
        raise InputError(
            f"{file} doesn't hold the weights of {NETWORKS[name].title} ({quoted(wrong[0])}): get it anew."
        )
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise InputError(f"The files of {NETWORKS[name].title} hold values that are not finite: get them anew.")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False).to(device)


def _tensors(path: Path, start: str) -> dict[str, Tensor]:
    """The tensors in a file whose names begin so, without that, in float32."""
    return apart.read(read_weights, readable_file(path), remember=True, start=start)[0]


def _files(name: str) -> tuple[Path, Path]:
    if name not in NETWORKS:
        raise InputError(f"There is no perceptual distance “{name}”: use critic, {' or '.join(NETWORKS)}.")
    published = NETWORKS[name]
    backbone, weights = _found(name)
    missing = [
        file for file, path in ((published.backbones[0], backbone), (published.weights, weights)) if path is None
    ]
    if missing:
        raise InputError(
            f"{published.title} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not here: "
            f"get them from {_PAGES.format(published.backbones[0])} and put them into {home() / 'models'}, "
            "or compare by the CLIP model’s features (critic)."
        )
    return backbone, weights


def _found(name: str) -> tuple[Path | None, Path | None]:
    published, own = NETWORKS[name], home() / "models"
    hub = as_path(os.environ.get("TORCH_HOME", "~/.cache/torch")) / "hub" / "checkpoints"
    package = find_spec("lpips")  # found, not imported: the file is all that is wanted of it
    shipped = [
        Path(place) / "weights" / "v0.1" for place in (package.submodule_search_locations or [] if package else [])
    ]
    backbone = _first([folder / file for file in published.backbones for folder in (own, hub)])
    return backbone, _first([folder / published.weights for folder in (own, *shipped)])


def _first(paths: list[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
