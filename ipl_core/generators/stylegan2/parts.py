"""Converts another program's generator tensors to ours, and makes sure that none is left over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...storage.files import listed
from ...storage.pickles import StoredTensor, Unreadable, refuse_foreign
from ...storage.weights import MAX_NAME, MAX_TENSORS
from ...storage.words import quoted, reason
from .network import GeneratorConfig, config_f_channels
from .ops import fir_kernel

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def same(x: Tensor) -> Tensor:
    """The conversion of a tensor that is stored as we have it: none."""
    return x


class Parts:
    """The assignment of stored tensors to ours, with conversions; no stored tensor may be left over.

    conv_clamp: the clamp of activations, None for none. averaged: whether these are averaged weights (EMA).
    Raises Unreadable for more tensors than any network has, and for names that aren't text.
    """

    def __init__(self, stored: Mapping[str, object]) -> None:
        if len(stored) > MAX_TENSORS:
            raise Unreadable(f"its network has more than {MAX_TENSORS} tensors, which no generator needs")
        if any(not isinstance(name, str) or len(name) > MAX_NAME for name in stored):
            raise Unreadable("its network has tensors whose names are no names")
        self._left = dict(stored)
        self._taken: dict[str, tuple[StoredTensor, Callable[[Tensor], Tensor]]] = {}
        self.conv_clamp: float | None = None
        self.averaged = True

    def __contains__(self, theirs: str) -> bool:
        return theirs in self._left

    def count(self, theirs: str, first: int = 0) -> int:
        """How many consecutive numbers from ``first`` give the name of a stored tensor when they replace {}."""
        number = first
        while theirs.format(number) in self._left:
            number += 1
        return number - first

    def take(self, ours: str, theirs: str, change: Callable[[Tensor], Tensor] = same, optional: bool = False) -> None:
        """Assign stored tensor ``theirs`` to ``ours``, with a conversion. Raises Unreadable if it isn't a tensor."""
        if theirs not in self._left and optional:
            return
        if theirs not in self._left:
            raise Unreadable(f"its generator is incomplete: {theirs} is missing")
        self.add(ours, self._left.pop(theirs), change)

    def add(self, ours: str, stored: object, change: Callable[[Tensor], Tensor] = same) -> None:
        """As `take`, for a tensor from another place in the file."""
        refuse_foreign(stored)
        if not isinstance(stored, StoredTensor) or stored.storage.dtype not in FLOATS or 0 in stored.shape:
            raise Unreadable(f"what should be {ours} in it is no tensor of weights")
        self._taken[ours] = (stored, change)

    def again(self, ours: str, taken: str, change: Callable[[Tensor], Tensor]) -> None:
        """Assign a stored tensor that has been taken already to another of ours."""
        self._taken[ours] = (self._taken[taken][0], change)

    def drop_filters(self, *endings: str) -> None:
        """Drop stored resampling filters, named by suffix. Raises Unreadable for any but [1, 3, 3, 1]."""
        for name in [name for name in self._left if name.endswith(endings)]:
            stored = self._left.pop(name)
            known = isinstance(stored, StoredTensor) and stored.shape == (4, 4)
            if known:
                kernel = stored.load().float()
                known = torch.allclose(kernel / kernel.sum(), fir_kernel(), atol=1e-4)
            if not known:
                raise Unreadable(f"its generator re-samples with another filter than [1, 3, 3, 1] ({quoted(name)})")

    def load(self, limit: int) -> dict[str, Tensor]:
        """Our tensors in float32. Raises Unreadable for impossible shapes, leftovers, or more than ``limit`` bytes.

        limit: size of the file, which tensors without shared memory can't exceed.
        """
        if self._left:
            raise Unreadable(f"its generator has parts of an unknown kind: {listed(sorted(self._left))}")
        if sum(stored.nbytes for stored, _ in self._taken.values()) > limit:
            raise Unreadable("its tensors claim more than the file holds")
        tensors = {}
        for ours, (stored, change) in self._taken.items():
            try:
                tensors[ours] = change(stored.load().float())
            except (RuntimeError, IndexError) as error:
                raise Unreadable(f"what should be {ours} in it has the shape {stored.shape}") from error
        return tensors


def configuration(tensors: Mapping[str, Tensor], conv_clamp: float | None = None) -> GeneratorConfig:
    """The generator's configuration, derived from the shapes of tensors under our names.

    Raises InputError for an invalid resolution, Unreadable for other impossible shapes.
    """

    def number(start: str, end: str) -> int:
        return sum(name.startswith(start) and name.endswith(end) for name in tensors)

    constant = tensors.get("synthesis.input")
    if constant is not None and constant.shape[-2:] != (4, 4):
        height, width = (*constant.shape[-2:], 1, 1)[:2]
        kind = "are not square" if height != width else "don't begin at 4×4 pixels"
        raise Unreadable(
            f"its generator draws pictures that {kind} (they begin at {width}×{height}); only such as begin at 4×4 are "
            "read"
        )
    blocks = number("synthesis.torgb.", ".affine.weight")
    resolution = 2 ** (blocks + 1)
    try:
        channels = tuple((4 * 2**i, tensors[f"synthesis.layers.{2 * i}.weight"].shape[0]) for i in range(blocks))
        return GeneratorConfig(
            resolution=resolution,
            z_dim=tensors["mapping.0.weight"].shape[1],
            w_dim=tensors["synthesis.layers.0.affine.weight"].shape[1],
            mapping_layers=number("mapping.", ".weight"),
            channels=None if channels == config_f_channels(resolution) else channels,
            conv_clamp=conv_clamp,
        )
    except (KeyError, IndexError) as error:
        raise Unreadable(f"its generator is incomplete ({reason(error)})") from error
