"""Released Diffusion Autoencoders: Lightning checkpoints of `ffhq256_autoenc`, `ffhq128_autoenc` and their latent nets.

A checkpoint holds the network that training left (`model.*`), its running average (`ema_model.*`, the one to use), 32
x_T, optimisers, hyper-parameters and the class of a callback. The average and one x_T are read, by the reader of
pickles that runs nothing; everything else stays in the file.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ...storage import apart
from ...storage.files import listed
from ...storage.pickles import StoredTensor, Unreadable, opened, refuse_foreign
from ...storage.weights import MAX_NAME, MAX_TENSORS
from .files import built
from .model import DiffusionAutoencoder, DiffusionConfig, LatentNetConfig
from .network import UNetConfig
from .schedule import Schedule, constant_alphas, linear_alphas

AVERAGED = "ema_model."
LATENT_FILE = "latent.pkl"  # beside a checkpoint: the mean and spread of codes, which only the _latent ones hold
CODE_WIDTH = 512
NOISE_SEED = 1  # of the constant x_T, where a file has none
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: Widths of decoder and encoder by the picture's side; attention is where 16×16 places are left.
_WIDTHS = {
    128: ((128, 128, 256, 384, 512), (128, 128, 256, 384, 512, 512)),
    256: ((128, 128, 256, 256, 512, 512), (128, 128, 256, 256, 512, 512, 512)),
}
_ATTENTION_SIDE = 16
#: What names begin with in the checkpoints of other programs.
_OTHERS = {
    "model.diffusion_model.": "a latent diffusion model (Stable Diffusion and its kind)",
    "down_blocks.": "a network of diffusers",
    "conv_in.": "a network of diffusers, SDEdit or DiffusionCLIP",
    "module.conv_in.": "a network of SDEdit or DiffusionCLIP",
    "input_blocks.": "a network of guided-diffusion, which has no semantic encoder",
}


def released_config(resolution: int, latent: bool = False) -> DiffusionConfig:
    """The released model of that size (128 or 256), with its latent net or without."""
    decoder, encoder = (
        UNetConfig(widths, ((resolution // _ATTENTION_SIDE).bit_length() - 1,), time_features=widths[0])
        for widths in _WIDTHS[resolution]
    )
    codes = Schedule(constant_alphas(0.008), "epsilon", clamp=False)
    return DiffusionConfig(
        resolution=resolution,
        unet=decoder,
        encoder=encoder,
        schedule=Schedule(linear_alphas(), "epsilon"),
        mapping=LatentNetConfig(codes) if latent else None,
        z_dim=CODE_WIDTH,
        w_dim=CODE_WIDTH,
    )


def released_names(model: DiffusionAutoencoder) -> Iterator[tuple[str, str]]:
    """Each tensor of a released layout: its name in a checkpoint after `ema_model.`, and ours.

    The time embedding of the U-Net is nested twice there, and a latent net's layers hold one tensor under two names.
    """
    for ours in model.state_dict():
        if ours.startswith("encoder."):
            yield ours, ours
        elif ours.startswith("synthesis.unet.time_embed."):
            yield f"time_embed.{ours[len('synthesis.unet.') :]}", ours
        elif ours.startswith("synthesis.unet."):
            yield ours[len("synthesis.unet.") :], ours
        elif ours.startswith("mapping.net."):
            theirs = f"latent_net.{ours[len('mapping.net.') :]}"
            yield theirs, ours
            if ".cond_layers.1." in theirs:
                yield theirs.replace(".cond_layers.1.", ".linear_emb."), ours


def foreign_model(
    tensors: Mapping[str, torch.Tensor], description: Mapping[str, Any], path: str | os.PathLike[str]
) -> DiffusionAutoencoder:
    """The model that `contents_of` found as these tensors and this description; path: for errors."""
    return built(DiffusionConfig.from_dict(description["config"]), tensors, path)


def contents_of(root: Any, path: Path) -> apart.Contents:
    """The averaged model of an opened checkpoint: its tensors under our names, and its "config".

    The mean and spread of codes come from the checkpoint, or from a `latent.pkl` beside it, at `path`.
    Raises Unreadable if the file is of another kind or size, lacks a part, or holds numbers that aren't finite.
    """
    state = _state_of(root)
    averaged = {name[len(AVERAGED) :]: state[name] for name in state if name.startswith(AVERAGED)}
    latent = any(name.startswith("latent_net.") for name in averaged)
    config = released_config(_resolution_of(averaged, state.get("x_T")), latent)
    with torch.device("meta"):
        model = DiffusionAutoencoder(config)
    tensors = _taken(averaged, model, path.stat().st_size)
    tensors["synthesis.noise.0"] = _constant_noise(state.get("x_T"), config.resolution)
    known = {"mean": state.get("conds_mean"), "std": state.get("conds_std")}
    if None in known.values():
        tensors |= _statistics_beside(path, latent)
    else:
        tensors |= {f"mapping.{name}": _statistic(stored, name) for name, stored in known.items()}
    return tensors, {"config": config.to_dict()}


def recognises(root: Any) -> bool:
    """Whether the object in a pickle is a checkpoint of a diffusion model, of diffae or another code."""
    if not isinstance(root, Mapping):
        return False
    inside = root.get("state_dict")
    names = itertools.islice(inside if isinstance(inside, Mapping) else root, 4 * MAX_TENSORS)
    return any(isinstance(name, str) and name.startswith((AVERAGED, *_OTHERS)) for name in names)


def _state_of(root: Any) -> Mapping[str, Any]:
    """The state dict of a checkpoint of this kind. Raises Unreadable for any other file, naming what it seems to be."""
    if not isinstance(root, Mapping):
        raise Unreadable(f"it holds no diffusion model, only something of the type {type(root).__name__}")
    inside = root.get("state_dict")
    state = inside if isinstance(inside, Mapping) else root
    if len(state) > 4 * MAX_TENSORS:
        raise Unreadable(f"it has more than {4 * MAX_TENSORS} entries, which no checkpoint of this kind needs")
    state = {name: value for name, value in state.items() if isinstance(name, str) and len(name) <= MAX_NAME}
    names = [name[len(AVERAGED) :] for name in state if name.startswith(AVERAGED)]
    if any(name.startswith("encoder.") for name in names):
        return state
    for start, words in _OTHERS.items():
        if any(name.startswith(start) for name in (*state, *names)):
            raise Unreadable(
                f"it is a checkpoint of another diffusion code: {words}. Diffusion Autoencoders are read, such as "
                "ffhq256_autoenc and ffhq128_autoenc"
            )
    raise Unreadable(
        f"it is no checkpoint of a Diffusion Autoencoder (ema_model.encoder is missing): {listed(list(state))}"
    )


def _resolution_of(averaged: Mapping[str, Any], noise: Any) -> int:
    """The picture's side of a released model. Raises Unreadable for other sizes."""
    stages = {int(m[1]) for m in (re.match(r"input_blocks\.([0-9]{1,3})\.", name) for name in averaged) if m}
    for resolution, (widths, _) in _WIDTHS.items():
        if len(stages) == 3 * len(widths):
            return resolution
    side = noise.shape[-1] if isinstance(noise, StoredTensor) and noise.shape else None
    size = f"of {side}×{side} pixels" if side else f"with {len(stages)} stages"
    raise Unreadable(
        f"it is a Diffusion Autoencoder {size}; those of {' and '.join(map(str, _WIDTHS))} pixels are read"
    )


def _taken(averaged: Mapping[str, Any], model: DiffusionAutoencoder, size: int) -> dict[str, torch.Tensor]:
    """Our tensors from theirs, in float32. Raises Unreadable where one is missing, unknown or of another shape."""
    expected, names = model.state_dict(), list(released_names(model))
    missing = sorted({theirs for theirs, _ in names} - averaged.keys())
    unknown = sorted(averaged.keys() - {theirs for theirs, _ in names})
    if missing or unknown:
        raise Unreadable(
            f"its network isn't that of a released model: missing {listed(missing)}; unknown {listed(unknown)}"
        )
    for theirs, ours in names:
        stored = averaged[theirs]
        refuse_foreign(stored)
        if not isinstance(stored, StoredTensor) or stored.storage.dtype not in _FLOATS:
            raise Unreadable(f"what should be {theirs} in it is no tensor of weights")
        if stored.shape != tuple(expected[ours].shape):
            raise Unreadable(
                f"{theirs} in it has the shape {stored.shape}, and a model of {model.config.resolution} pixels needs "
                f"{tuple(expected[ours].shape)}"
            )
    if sum(averaged[theirs].nbytes for theirs, _ in names) > 2 * size:  # two names may stand for one tensor
        raise Unreadable("its tensors claim more than the file holds")
    tensors: dict[str, torch.Tensor] = {}
    for theirs, ours in names:
        tensor = averaged[theirs].load().float()
        if not tensor.isfinite().all():
            raise Unreadable(f"{theirs} in it holds values that are not finite")
        if ours in tensors and not torch.equal(tensors[ours], tensor):
            raise Unreadable(f"{theirs} in it differs from the tensor that it should share its numbers with")
        tensors[ours] = tensor
    return tensors


def _constant_noise(stored: Any, resolution: int) -> torch.Tensor:
    """The first x_T of a checkpoint (1, 3, R, R), or where it has none one of a fixed seed."""
    shape = (3, resolution, resolution)
    if stored is None:
        return torch.randn((1, *shape), generator=torch.Generator().manual_seed(NOISE_SEED))
    if not isinstance(stored, StoredTensor) or stored.shape[1:] != shape:
        raise Unreadable(f"x_T in it isn't noise for pictures of {resolution} pixels")
    noise = stored.load()[:1].float()
    if not noise.isfinite().all():
        raise Unreadable("x_T in it holds values that are not finite")
    return noise


def _statistics_beside(path: Path, latent: bool) -> dict[str, torch.Tensor]:
    """Mean and spread of codes from the latent.pkl beside a checkpoint; a model without a latent net can do without."""
    beside = path.with_name(LATENT_FILE)
    if beside.is_file():
        with opened(beside) as root:
            named = root if isinstance(root, Mapping) else {}
            return {f"mapping.{name}": _statistic(named.get(f"conds_{name}"), name) for name in ("mean", "std")}
    if latent:
        raise Unreadable(
            "it has a latent net, but not the mean and spread of codes that go with it (conds_mean, conds_std), and "
            f"{LATENT_FILE} isn't beside it"
        )
    return {"mapping.mean": torch.zeros(CODE_WIDTH), "mapping.std": torch.ones(CODE_WIDTH)}


def _statistic(stored: Any, name: str) -> torch.Tensor:
    if not isinstance(stored, StoredTensor) or stored.shape not in ((CODE_WIDTH,), (1, CODE_WIDTH)):
        raise Unreadable(f"the {name} of its codes (conds_{name}) is no row of {CODE_WIDTH} numbers")
    values = stored.load().float().reshape(CODE_WIDTH)
    if not values.isfinite().all():
        raise Unreadable(f"the {name} of its codes (conds_{name}) holds values that are not finite")
    return values
