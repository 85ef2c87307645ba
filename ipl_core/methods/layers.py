"""The adaptive choice of the layers that stage 2 trains (NADA §4.2); fixed groups are the generator's `trainable`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..memory import pictures_at_once

LAYER_CHOICE_LATENTS = 8  # latents that the adaptive choice looks at (NADA §4.2)


def adaptive_parameters(kind: str, generator: Generator, w: Tensor, distance: Callable[[Tensor], Tensor]) -> list[str]:
    """Names of the parameters that an adaptive choice trains from now on.

    kind: "adaptive", or "adaptive-released" for the released code's table of layers. w: (B, w_dim), the latents that
    the choice looks at. distance: as for `choose_layers`.
    """
    if kind == "adaptive-released":
        groups = released_groups(generator)
        return [name for row in choose_layers(generator, w, distance, rows=len(groups)) for name in groups[row]]
    return [name for k in choose_layers(generator, w, distance) for name in generator.layer_parameters(k)]


def choose_layers(
    generator: Generator,
    w: Tensor,
    distance: Callable[[Tensor], Tensor],
    count: int | None = None,
    rows: int | None = None,
) -> list[int]:
    """The rows of w+ that one gradient step towards the target text moves most, and so the layers (NADA §4.2).

    w: (B, w_dim). distance: w+ (B, rows, w_dim) → mean distance of the pictures from the target text. count: how many
    rows to choose; None takes two thirds of them, int(2 (2 log2(resolution) − 2) / 3). rows: how many take part; None
    all but the last, which drives nothing but a toRGB, and that stays frozen. Gives row numbers in ascending order;
    row k drives layer k.
    """
    rows = rows or generator.num_layers - 1
    count = min(count or int(2 * generator.num_layers / 3), rows)
    return sorted(movement(generator, w, distance)[:rows].topk(count).indices.tolist())


def movement(generator: Generator, w: Tensor, distance: Callable[[Tensor], Tensor]) -> Tensor:
    """How far one step of plain gradient descent moves each row of w+ (rows,), up to the rate; see `choose_layers`.

    Only dL/dw+ is computed, of no more pictures at a time than memory suits.
    """
    gradients = []
    for part in generator.to_w_plus(w).detach().split(pictures_at_once(generator.config.resolution)):
        w_plus = part.clone().requires_grad_(True)
        gradients += torch.autograd.grad(distance(w_plus) * (len(part) / len(w)), w_plus)
    return torch.cat(gradients).abs().mean(dim=(0, 2))


def released_groups(generator: Generator) -> list[list[str]]:
    """The parameters that each row of w+ stands for in IPL's released code.

    Rows 0 and 1 stand for layer 0 and the first toRGB, row k for layer k − 1, although it is layer k that row k drives.
    """
    layers = [generator.layer_parameters(k) for k in range(generator.num_layers - 1)]
    first_torgb = [name for name in generator.torgb_parameters() if name.startswith("synthesis.torgb.0.")]
    return [layers[0], first_torgb, *layers[1:]]
