"""Encoders: networks that predict a latent from a picture in one pass, as the start of an inversion.

A prediction is a w_plus of one generator, so every encoder states which generator it belongs to. This module has the
small encoder of the embedded generators; the large published one for FFHQ faces is in e4e.py. `studio` trains them.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..storage.files import first_bytes, is_pickle, listed, readable_file
from ..storage.tensors import load_tensors, save_tensors
from ..storage.words import quoted, reason
from .stylegan2.ops import LEAKY_SLOPE

KIND = "encoder"
MAX_DEPTH = 12  # blocks, each of which halves the picture; the embedded encoders have 4
GRID = 4  # side of the feature map that the last layer reads


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of a PictureEncoder.

    rows, w_dim: shape of its w_plus. resolution: side of its input in pixels. widths: channels of the blocks, each of
    which halves the resolution. features: width of the layer before the latent.
    """

    rows: int
    w_dim: int
    resolution: int = 64
    widths: tuple[int, ...] = (32, 64, 128, 160)
    features: int = 224

    def __post_init__(self) -> None:
        if not isinstance(self.widths, (list, tuple)) or not 1 <= len(self.widths) <= MAX_DEPTH:
            raise InputError(f"An encoder has from 1 to {MAX_DEPTH} widths, got {quoted(self.widths)}.")
        object.__setattr__(self, "widths", tuple(self.widths))
        for number in (self.rows, self.w_dim, self.resolution, self.features, *self.widths):
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 4096:
                raise InputError(f"An encoder's numbers are whole and from 1 to 4096, got {quoted(number)}.")


class Block(nn.Module):
    """Residual block that halves the resolution and sets the width."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, 2, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.skip = nn.Conv2d(into, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.skip(F.avg_pool2d(x, 2, ceil_mode=True)))


class PictureEncoder(nn.Module):
    """Pictures (B, 3, H, H) in [-1, 1], of any size → w_plus (B, rows, w_dim) of the generator that it was trained for.

    It predicts coordinates in which that generator's latents are about standard normal (`invert.LatentSpace`): one
    point shared by all rows, plus an offset for each row. mean, out: the map from coordinates to w.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip((widths[0], *widths), widths)))
        self.whole = nn.Linear(widths[-1] * GRID**2, config.features)
        self.shared = nn.Linear(config.features, config.w_dim)
        self.offsets = nn.Linear(config.features, config.rows * config.w_dim)
        self.register_buffer("mean", torch.zeros(config.w_dim))
        self.register_buffer("out", torch.eye(config.w_dim))

    def coordinates(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The shared point (B, 1, w_dim) and the rows' offsets from it (B, rows, w_dim)."""
        side = self.config.resolution
        if pictures.shape[-1] != side:
            pictures = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True, align_corners=False)
        x = self.blocks(F.relu(self.norm(self.stem(pictures.clamp(-1, 1)))))
        features = F.relu(self.whole(F.adaptive_avg_pool2d(x, GRID).flatten(1)))
        offsets = self.offsets(features).unflatten(1, (self.config.rows, self.config.w_dim))
        return self.shared(features)[:, None], offsets

    def decode(self, coordinates: Tensor) -> Tensor:
        """Coordinates (..., w_dim) → w (..., w_dim)."""
        return F.leaky_relu(coordinates @ self.out + self.mean, LEAKY_SLOPE)

    def forward(self, pictures: Tensor) -> Tensor:
        shared, offsets = self.coordinates(pictures)
        return self.decode(shared + offsets)


def save_encoder(encoder: PictureEncoder, path: str | os.PathLike[str], metadata: dict[str, Any]) -> None:
    """Write an encoder in half precision to a safetensors file, whole or not at all.

    metadata: stored in the file; its "generator_sha256" identifies the generator whose latents are predicted.
    """
    tensors = {name: tensor for name, tensor in encoder.state_dict().items() if "num_batches_tracked" not in name}
    save_tensors(tensors, path, {**metadata, "kind": KIND, "config": asdict(encoder.config)}, torch.float16)


@dataclass(frozen=True)
class Guesser:
    """A loaded encoder, and the generator whose latents it predicts.

    rows, w_dim: shape of its w_plus. generator_sha256: hash of the generator's file; None if any generator with that
    shape will do.
    """

    network: nn.Module
    rows: int
    w_dim: int
    generator_sha256: str | None = None

    @torch.no_grad()
    def __call__(self, picture: Tensor) -> Tensor:
        """A picture (B, 3, R, R) in [-1, 1] → w_plus (B, rows, w_dim)."""
        return self.network(picture)

    def check(self, rows: int, w_dim: int, sha256: str, name: str, model: str) -> None:
        """Raises InputError, naming encoder and model, unless the encoder was trained for this generator."""
        if (self.rows, self.w_dim) != (rows, w_dim):
            raise InputError(
                f"The encoder “{name}” guesses latents of {self.rows} rows of {self.w_dim} numbers, but the model "
                f"“{model}” has {rows} of {w_dim}: choose an encoder of that model, or another start."
            )
        if self.generator_sha256 not in (None, sha256):
            raise InputError(
                f"The encoder “{name}” was trained for other weights than those of the model “{model}”: "
                "train it anew, or choose another start."
            )


def load_encoder(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Guesser:
    """Read an encoder: a file of `save_encoder`, or the published `.pt` of e4e or pSp, recognised by content.

    It is in float32 and evaluation mode. Raises InputError if the file is missing, damaged or holds something else.
    """
    file = readable_file(path)
    if is_pickle(first_bytes(file)):
        from .e4e import read_e4e

        network = read_e4e(file)
        shape, sha256 = (network.rows, network.w_dim), None
    else:
        network, sha256 = _our_own(file)
        shape = (network.config.rows, network.config.w_dim)
    return Guesser(network.eval().requires_grad_(False).to(device), *shape, sha256)


def _our_own(path: Path) -> tuple[PictureEncoder, str | None]:
    tensors, description = load_tensors(path)
    if description.get("kind") != KIND:
        raise InputError(
            f"{path} holds no encoder (its description says {quoted(description.get('kind', 'nothing'))})."
        )
    try:
        config = EncoderConfig(**description["config"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"The description of the encoder in {path} can't be used: {reason(error)}.") from error
    with torch.device("meta"):  # compared before memory is allocated for sizes that the file claims
        claimed = PictureEncoder(config).state_dict()
    expected = {name: t.shape for name, t in claimed.items() if "num_batches_tracked" not in name}
    wrong = [
        name for name in {**expected, **tensors} if name not in tensors or tensors[name].shape != expected.get(name)
    ]
    if wrong:
        raise InputError(f"The tensors of the encoder in {path} don't fit its description: {listed(wrong)}.")
    encoder = PictureEncoder(config)
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise InputError(f"The encoder in {path} holds values that are not finite; the file is of no use.")
    encoder.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    sha256 = description.get("generator_sha256")
    if sha256 is not None and not isinstance(sha256, str):
        raise InputError(f"The encoder in {path} says of its generator {quoted(sha256)}, which is no sha256.")
    return encoder, sha256
