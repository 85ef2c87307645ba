"""How a shape domain bends a sitter's form before it is drawn: pointed ears, large eyes, a muzzle, fur."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """The bend; the defaults leave the form alone. Only people are bent so far.

    eyes: factor on eye size. iris: factor on the iris within the eye. head: factor on head size.
    ears: length of pointed ears in half pictures (0 = round). muzzle: height of a snout, 0–1.
    fur: how much of the skin is covered by fur, 0–1. nose: factor on nose size. lips: factor on the lips' fullness.
    hollow: how far cheeks and sockets sink, 0–1. smooth: how far lines and pores are taken away, 0–1.
    skin: a colour (r, g, b) that takes the skin's place, with `skin_share` of it; the skin's lightness is kept.
    eye_white: colour of the eyeball; glow: how far the iris gives way to it, 0–1.
    """

    eyes: float = 1.0
    iris: float = 1.0
    head: float = 1.0
    ears: float = 0.0
    muzzle: float = 0.0
    fur: float = 0.0
    nose: float = 1.0
    lips: float = 1.0
    hollow: float = 0.0
    smooth: float = 0.0
    skin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    skin_share: float = 0.0
    eye_white: tuple[float, float, float] = (0.95, 0.94, 0.92)
    glow: float = 0.0


AS_THEY_ARE = Form()
