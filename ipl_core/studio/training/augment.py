"""Nuisance changes that mean nothing: shift, zoom, blur, noise, a little colour and contrast.

Networks that are trained under them can't be pleased by a pixel-exact pattern.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def nuisance(pictures: torch.Tensor, generator: torch.Generator, strength: float = 1.0) -> torch.Tensor:
    """A random nuisance per picture: (B, 3, R, R) in [−1, 1] → the same shape and range.

    strength 1: up to 6 % shift and zoom, blur of about a pixel on half of the pictures, noise of up to 0.08,
    gain and tint of up to 12 %. Differentiable in the pictures.
    """
    count = len(pictures)

    def uniform(*shape: int) -> torch.Tensor:
        return ((torch.rand(count, *shape, generator=generator) * 2 - 1) * strength).to(pictures.device)

    shift, zoom = 0.12 * uniform(2), 1 + 0.06 * uniform()
    frame = torch.zeros(count, 2, 3, device=pictures.device)
    frame[:, 0, 0], frame[:, 1, 1], frame[:, :, 2] = zoom, zoom, shift
    grid = F.affine_grid(frame, list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)

    soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    softer = F.avg_pool2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = (uniform(1, 1, 1) * 2).clamp(0, 2)
    pictures = pictures + (soft - pictures) * share.clamp(max=1) + (softer - soft) * (share - 1).clamp(min=0)

    noise = torch.randn(pictures.shape, generator=generator).to(pictures.device) * (0.08 * uniform(1, 1, 1)).clamp_min(
        0
    )
    gain, tint, lift = 1 + 0.12 * uniform(1, 1, 1), 1 + 0.06 * uniform(3, 1, 1), 0.06 * uniform(1, 1, 1)
    return (pictures * gain * tint + lift + noise).clamp(-1, 1)


def roughen(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The judge's augmentations, other than CLIP's: loss of resolution, gamma, a covered patch.

    (B, 3, R, R) in [−1, 1] → the same shape and range. Not differentiable in every part, nor meant to be.
    """
    size = pictures.shape[-1]

    def each() -> torch.Tensor:
        return torch.rand(len(pictures), 1, 1, 1, generator=generator).to(pictures.device)

    coin = torch.rand(4, generator=generator)
    if coin[0] < 0.5:  # one factor a batch is enough variety, and one call
        small = int(size * (0.4 + 0.5 * coin[1]))
        lowered = F.interpolate(pictures, (small, small), mode="bilinear", antialias=True, align_corners=False)
        lowered = F.interpolate(lowered, (size, size), mode="bicubic", align_corners=False)
        pictures = torch.where(each() < 0.6, lowered, pictures)
    gamma = torch.exp((each() - 0.5) * 0.5)
    pictures = ((pictures.clamp(-1, 1) + 1) / 2).clamp_min(1e-4) ** gamma * 2 - 1
    pad = size // 16
    dy, dx = (int(v) for v in torch.randint(2 * pad + 1, (2,), generator=generator))
    pictures = F.pad(pictures, (pad,) * 4, mode="replicate")[..., dy : dy + size, dx : dx + size].clone()
    if coin[2] < 0.5:
        side = size // 5
        top, left = (int(v) for v in torch.randint(size - side, (2,), generator=generator))
        patch = pictures[..., top : top + side, left : left + side]
        patch.copy_(torch.where(each() < 0.5, coin[3] * 2 - 1, patch))
    return pictures + 0.04 * each() * torch.randn(pictures.shape, generator=generator).to(pictures.device)
