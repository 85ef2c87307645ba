"""Tensors in a few bits a number: whole levels, deflated, and a scale for each output channel.

Pure functions of tensors; knows nothing about where these belong.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError

MIN_BITS, MAX_BITS = 2, 8


def quantise(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """`values` (C, ...) as deflated levels, uint8 (N,), and the scale of each channel, float32 (C,).

    bits: 2 to 8, for 2^bits − 1 levels that lie evenly between the largest value of a channel and its negative.
    Levels are whole bytes before they are deflated, which makes them smaller than packed bits would be.
    Raises InputError for other bits.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise InputError(f"Numbers are quantised to {MIN_BITS} to {MAX_BITS} bits, not {bits}.")
    top = 2 ** (bits - 1) - 1
    channels = values.detach().float().cpu().flatten(1)
    scales = channels.abs().amax(1) / top
    levels = (channels / scales.clamp_min(torch.finfo(scales.dtype).tiny)[:, None]).round().clamp(-top, top)
    return deflated(levels.to(torch.int8).numpy().tobytes()), scales


def restored(levels: Tensor, scales: Tensor, shape: Sequence[int]) -> Tensor:
    """What `quantise` was given, as near as its bits allow: float32 of that shape.

    Raises ValueError if levels or scales don't belong to a tensor of that shape.
    """
    count = torch.Size(shape).numel()
    data = inflated(levels, count)
    if len(data) != count:
        raise ValueError(f"its levels aren't those of {count} numbers")
    if scales.shape != tuple(shape[:1]) or not scales.is_floating_point() or not torch.isfinite(scales).all():
        raise ValueError(f"its scales aren't a finite number for each of {shape[0]} channels")
    whole = torch.frombuffer(bytearray(data), dtype=torch.int8).view(shape[0], -1)
    return (whole * scales.float()[:, None]).view(*shape)


def deflated(data: bytes) -> Tensor:
    """Bytes as a tensor of fewer, uint8 (N,), which `inflated` takes."""
    return torch.frombuffer(bytearray(zlib.compress(data, 9)), dtype=torch.uint8)


def inflated(stored: Tensor, most: int) -> bytes:
    """The bytes that `deflated` was given. Raises ValueError for more than `most` of them, and for other tensors."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stored.numpy().tobytes(), most + 1)  # whatever a file claims, no more is unpacked
    except zlib.error as error:
        raise ValueError(f"it can't be inflated ({error})") from error
    if len(data) > most or not inflater.eof:
        raise ValueError(f"it holds more than {most} bytes, or is cut short")
    return data
