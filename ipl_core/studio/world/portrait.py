"""What a rendered portrait consists of, and the brushes that every renderer of the studio paints with.

Lengths are in half pictures (x right, y down). Knows nothing about what is portrayed, domains or words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Portrait:
    """A rendered batch with the layers that style domains draw from, each (B, C, H, W).

    rgb: 3 channels in [0, 1]. albedo: the same without light. light: shading, 1 channel, about 0–1.3.
    figure, head, hair: soft masks in [0, 1] of the whole sitter, of the head (bare skin or coat), and of hair (of a
    dog: its darker markings and ears).
    """

    rgb: torch.Tensor
    albedo: torch.Tensor
    light: torch.Tensor
    figure: torch.Tensor
    head: torch.Tensor
    hair: torch.Tensor

    def halved(self, factor: int) -> Portrait:
        """Every layer averaged over factor × factor samples."""
        return Portrait(**{name: F.avg_pool2d(layer, factor) for name, layer in vars(self).items()})


def plane(size: int, frame: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample positions x and y, each (1, 1, size, size), in [−frame, frame]: below 1 the camera is closer."""
    axis = ((torch.arange(size) + 0.5) * (2 / size) - 1) * frame
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x[None, None], y[None, None]


def hue(h: torch.Tensor, saturation: torch.Tensor | float, value: torch.Tensor | float) -> torch.Tensor:
    """Hue h (B,) in turns, saturation and value numbers or (B,) → colour (B, 3, 1, 1) in [0, 1]."""
    k = (torch.tensor([5.0, 3.0, 1.0]) + 6 * h[:, None]) % 6
    saturation, value = (t[:, None] if isinstance(t, torch.Tensor) else t for t in (saturation, value))
    return (value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1))[:, :, None, None]


def ramp(colours: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Linear walk through a colour table (N, 3): t (B,) in [0, 1] → (B, 3, 1, 1)."""
    position = t.clamp(0, 1) * (len(colours) - 1)
    low = position.floor().long().clamp(max=len(colours) - 2)
    part = (position - low)[:, None]
    return (colours[low] * (1 - part) + colours[low + 1] * part)[:, :, None, None]


def colour(r: float, g: float, b: float) -> torch.Tensor:
    """One colour as (1, 3, 1, 1)."""
    return torch.tensor([r, g, b])[None, :, None, None]


def bump(x: torch.Tensor, y: torch.Tensor, sx: float | torch.Tensor, sy: float | torch.Tensor) -> torch.Tensor:
    """A Gaussian hill of height 1 with half-widths sx and sy."""
    return torch.exp(-((x / sx) ** 2) - (y / sy) ** 2)


def over(below: torch.Tensor, above: torch.Tensor, alpha: torch.Tensor | float) -> torch.Tensor:
    """One layer over another."""
    return below + (above - below) * alpha


def slope(field: torch.Tensor, frame: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Central differences of (B, 1, H, W), across and down, in units of height per half picture."""
    scale = field.shape[-1] / (4 * frame)
    padded = F.pad(field, (1, 1, 1, 1), mode="replicate")
    return (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * scale, (
        padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    ) * scale


def edges(field: torch.Tensor) -> torch.Tensor:
    """Gradient length of a picture (B, C, H, W) in brightness per pixel, summed over channels → (B, 1, H, W)."""
    padded = F.pad(field, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return (across.square() + down.square()).sum(1, keepdim=True).add(1e-12).sqrt() / 2
