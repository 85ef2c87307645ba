"""People → shaded portraits: a relief for the face, lit with real shadows; soft masks and shells for everything else.

Vectorised over the batch in plain torch, drawn in place from back to front; small things are painted into a window of
the picture only. Lengths are in half pictures (x right, y down). Nothing is random: strands and curls have their
places on the head, so that a picture is a smooth function of its sitter. Knows nothing about domains' looks or words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..attributes import Sitters
from ..form import Form
from ..portrait import Portrait, bump, colour, hue, over, plane, ramp, slope

#: Half the side of the picture in the units of lengths: below 1 the camera is closer.
FRAME = 0.78
#: Where the eyes are: faces are aligned.
EYES_AT = -0.09
SKIN = torch.tensor(
    [
        [0.99, 0.85, 0.77],
        [0.94, 0.75, 0.63],
        [0.85, 0.63, 0.48],
        [0.69, 0.47, 0.33],
        [0.48, 0.31, 0.21],
        [0.30, 0.19, 0.14],
    ]
)
#: In the order of people.attributes.HAIR_COLOURS.
HAIR = torch.tensor(
    [
        [0.06, 0.05, 0.06],
        [0.21, 0.13, 0.09],
        [0.40, 0.25, 0.15],
        [0.46, 0.15, 0.08],
        [0.80, 0.33, 0.10],
        [0.86, 0.66, 0.33],
        [0.95, 0.90, 0.78],
        [0.55, 0.56, 0.58],
        [0.14, 0.33, 0.80],
        [0.92, 0.42, 0.66],
    ]
)
IRIS = torch.tensor(
    [[0.33, 0.18, 0.08], [0.80, 0.50, 0.10], [0.22, 0.58, 0.25], [0.18, 0.48, 0.90], [0.55, 0.61, 0.66]]
)
#: Places (x, y) and radii of the lights of a bokeh background.
BOKEH = (
    (-0.62, -0.58, 0.15),
    (-0.34, -0.70, 0.10),
    (0.36, -0.68, 0.13),
    (0.66, -0.50, 0.17),
    (-0.70, -0.16, 0.12),
    (0.62, -0.08, 0.11),
    (-0.58, 0.24, 0.16),
    (0.70, 0.26, 0.15),
    (-0.72, 0.58, 0.10),
    (0.56, 0.52, 0.09),
)


@dataclass
class _Canvas:
    """What is painted, or a window of it: layers (B, C, H, W), painted in place.

    x, y: coordinates upright on the head; face: x as the turned face bears it; nose: x as what stands out of it does.
    key, sky: light from the lamp and from around; gleam: light that comes back uncoloured.
    """

    pixel: float
    x: torch.Tensor
    y: torch.Tensor
    face: torch.Tensor
    nose: torch.Tensor
    albedo: torch.Tensor
    key: torch.Tensor
    sky: torch.Tensor
    gleam: torch.Tensor

    def window(self, left: float, right: float, top: float, bottom: float) -> _Canvas:
        """The part between these lengths, and somewhat more because heads tilt; paint there lands here."""
        size = self.x.shape[-1]
        low_x, high_x, low_y, high_y = (
            min(max(round((length / FRAME + 1) * size / 2), 0), size)
            for length in (left - 0.04, right + 0.04, top - 0.04, bottom + 0.04)
        )
        layers = {k: v[..., low_y:high_y, low_x:high_x] for k, v in vars(self).items() if isinstance(v, torch.Tensor)}
        return replace(self, **layers)

    def soft(self, distance: torch.Tensor, width: float = 1.0) -> torch.Tensor:
        """A mask from a distance to its border, inside positive; it fades over `width` samples."""
        return (distance / (self.pixel * width) + 0.5).clamp(0, 1)

    def paint(
        self,
        paint: torch.Tensor,
        alpha: torch.Tensor,
        key: torch.Tensor | float | None = None,
        sky: torch.Tensor | float | None = None,
        gleam: torch.Tensor | float = 0.0,
    ) -> None:
        """Lay a colour over what is there; with its own light where given, else in the light of what is there."""
        self.albedo.add_((paint - self.albedo) * alpha)
        if key is not None:
            self.key.add_((key - self.key) * alpha)
            self.gleam.add_((gleam - self.gleam) * alpha)
        if sky is not None:
            self.sky.add_((sky - self.sky) * alpha)

    def dim(self, amount: torch.Tensor) -> None:
        """Take part of the light away, 0–1."""
        self.key.mul_(1 - amount)
        self.sky.mul_(1 - 0.6 * amount)


@dataclass(frozen=True)
class _Eye:
    """One eye: its window of the canvas and its shape.

    out, y: places from the eye's middle, outwards and down along its slant. s: `out` in units of its half-width `wide`.
    top, bottom: how far a place lies below the upper and above the lower lid. tall: height of the upper lid's arch.
    ball: mask of what the lids leave open.
    """

    window: _Canvas
    side: int
    out: torch.Tensor
    y: torch.Tensor
    wide: torch.Tensor
    tall: torch.Tensor
    s: torch.Tensor
    top: torch.Tensor
    bottom: torch.Tensor
    ball: torch.Tensor


def _smooth(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _norm(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.square() + y.square()).add(1e-8).sqrt()


def _blur(field: torch.Tensor, radius: float, pixel: float) -> torch.Tensor:
    """Mean over a square of about this radius, in half pictures; samples beyond the border don't count."""
    r = max(1, round(radius / pixel))
    return F.avg_pool2d(field, 2 * r + 1, stride=1, padding=r, count_include_pad=False)


class _Painter:
    """One batch on its way from sitters to layers; the methods paint from back to front, in the order of `draw`."""

    def __init__(self, sitters: Sitters, size: int, form: Form) -> None:
        self.sitters, self.form, self.size = sitters, form, size
        self.of, self.has = sitters.number, sitters.has
        of, count = sitters.number, len(sitters)
        self.turn, self.smile, self.age = of("turn"), of("smile"), of("age") * (1 - form.smooth)
        self.a, self.b = of("face_width") * form.head, of("face_length") * (0.4 + 0.6 * form.head)
        self.eye_size = of("eye_size") * form.eyes
        self.spread = of("eye_distance") * (0.68 + 0.32 * form.eyes) * (0.5 + 0.5 * form.head)
        self.nose_w = of("nose_width") * form.nose
        self.nose_l = of("nose_length") * (0.5 + 0.5 * form.nose)
        self.tip = EYES_AT + 0.02 + self.nose_l
        self.mouth = 0.275 + 0.25 * (of("nose_length") - 0.215) + 0.35 * (self.b - 0.525)
        self.lips = of("lip_fullness") * form.lips
        self.open = 0.075 * ((of("mouth_open") - 0.4) / 0.6).clamp_min(0) * (1 - 0.6 * form.muzzle)

        # The lamp, and what leans towards it.
        azimuth, elevation = of("light_side") * 0.95, of("light_height") * 0.8
        self.lamp = (azimuth.sin() * elevation.cos(), -elevation.sin(), azimuth.cos() * elevation.cos())

        x0, y0 = plane(size, FRAME)
        tilt = of("tilt")
        x = x0 * tilt.cos() + y0 * tilt.sin() + 0.035 * self.turn
        y = y0 * tilt.cos() - x0 * tilt.sin()
        forward = (1 - (x / self.a).square()).clamp_min(0) * self.turn
        face = x - 0.085 * forward
        self.x0, self.y0 = x0.expand_as(x), y0.expand_as(x)
        empty = torch.zeros(count, 1, size, size)
        self.canvas = _Canvas(
            2 * FRAME / size, x, y, face, face - 0.045 * forward, torch.zeros(count, 3, size, size), empty,
            empty.clone(), empty.clone(),
        )  # fmt: skip
        self._colours()
        self._shape()

    def _colours(self) -> None:
        sitters, form, of = self.sitters, self.form, self.of
        warmth = of("skin_warmth") * colour(0.03, -0.005, -0.035)
        self.skin = (ramp(SKIN, sitters["skin_tone"]) + warmth).clamp(0, 1)
        self.blood = torch.ones(1, 1, 1, 1)
        if form.skin_share:
            tint = colour(*form.skin) * (0.45 + 0.75 * self.skin.mean(1, keepdim=True))
            self.skin = over(self.skin, tint.clamp(0, 1), form.skin_share)
            self.blood = self.blood * (1 - 0.8 * form.skin_share)
        # Grey comes late and leaves the colour to be seen.
        self.grey = ((of("age") - 0.62) * 1.5).clamp(0, 0.5)
        pigment = HAIR[sitters["hair_colour"]][:, :, None, None]
        self.hair_colour = over(pigment, colour(0.66, 0.66, 0.67), 0.6 * self.grey)
        self.brow_colour = over(self.hair_colour * 0.72, self.skin * 0.45, 0.3)
        self.iris_colour = IRIS[sitters["eye_colour"]][:, :, None, None]
        hues, value = sitters["clothes_hue"], sitters["clothes_light"]
        self.cloth = hue(hues, 0.62 - 0.25 * value, value)
        self.hat_colour = hue((hues + 0.45) % 1, 0.62, 0.35 + 0.4 * (1 - value))

    def _shape(self) -> None:
        """Outline and relief of the head, and how it is lit."""
        c, form, of = self.canvas, self.form, self.of
        x, y, a, b, hollow = c.x, c.y, self.a, self.b, form.hollow
        jaw, cheeks = of("jaw"), of("cheeks")
        taper = (0.33 - 0.27 * jaw) * _smooth(y, 0.0, 0.52) - 0.05 * cheeks * bump(y - 0.1, y, 0.12, 9.0)
        narrow = a * (1 - taper - 0.05 * hollow * bump(y - 0.2, y, 0.1, 9.0) - 0.03 * _smooth(-y, 0.15, 0.5))
        radius = _norm(x / narrow, (y + 0.01) / (b * (1 - 0.05 * (y < -0.01))))
        self.angle = torch.atan2(x, -(y + 0.1))
        distance = (1 - radius) * a
        self.overhang = ((0.05 - distance) / 0.05).clamp(0, 1)  # 1 where fur or beard stands over the border
        if form.fur:
            tuft = (torch.sin(self.angle * 21) + 0.6 * torch.sin(self.angle * 37 + 1)).abs()
            distance = distance + 0.045 * form.fur * (0.75 - tuft) * _smooth(y, -0.3, 0.1)
        self.distance, self.head = distance, c.soft(distance)

        height = 0.37 * (1 - radius.square()).clamp_min(0).add(0.004).sqrt()
        self.height = height
        self._features(height)

        zx, zy = slope(height, FRAME)
        nz = torch.rsqrt(1 + zx.square() + zy.square())
        lx, ly, lz = self.lamp
        lambert = (lz - zx * lx - zy * ly) * nz
        # Rays from the skin to the lamp: how far the relief stands in their way.
        x0, y0 = (self.x0 / FRAME).squeeze(1), (self.y0 / FRAME).squeeze(1)
        shadow = torch.zeros_like(height)
        for step in (0.05, 0.10, 0.17):
            grid = torch.stack(
                [x0 + (lx * step / FRAME).squeeze(1), y0 + (ly * step / FRAME).squeeze(1)], -1
            )  # (B, H, W, 2)
            there = F.grid_sample(height, grid, align_corners=False, padding_mode="border")
            shadow = torch.maximum(shadow, (there - height - lz * step) / (0.25 * step + 0.015))
        shadow = shadow.clamp(0, 1) * self.head
        crease = ((_blur(height, 0.045, c.pixel) - height) * 10).clamp(0, 0.45) * c.soft(distance - 0.03, 3)
        self.face_key = 0.80 * (0.78 * lambert + 0.24).clamp_min(0) * (1 - 0.6 * shadow) * (1 - crease)
        self.face_sky = (0.42 + 0.10 * zy * nz) * (1 - 0.9 * crease)
        half = torch.rsqrt(lx.square() + ly.square() + (lz + 1).square())
        glossy = ((lz + 1 - zx * lx - zy * ly) * nz * half).clamp_min(0)
        glossy = glossy.square().square().square()  # ^8
        self.gloss = glossy.square() * (0.35 + 0.65 * glossy.square()) * (1 - shadow)
        # Where light fades on skin it reddens.
        self.fade = bump(lambert - 0.12, lambert, 0.22, 9.0) * (1 - 0.5 * shadow)

    def _features(self, height: torch.Tensor) -> None:
        """Raise brow, sockets, cheeks, nose, lips and chin on the relief, in place."""
        form, hollow, smile, age = self.form, self.form.hollow, self.smile, self.age
        small = replace(self.canvas, gleam=height)

        def relief(left: float, right: float, top: float, bottom: float) -> _Canvas:
            return small.window(left, right, top, bottom)

        w = relief(-0.5, 0.5, -0.4, 0.2)
        side, y = (w.face.abs() - self.spread), w.y - EYES_AT
        w.gleam.add_(0.026 * bump(w.face.abs() - 0.15, y + 0.095, 0.13, 0.04))
        w.gleam.sub_((0.055 + 0.05 * hollow) * bump(side, y, 0.085, 0.055))
        w.gleam.sub_(0.03 * bump(w.face.abs() - 0.062, y + 0.005, 0.03, 0.05))
        w.gleam.add_(0.042 * bump(side, y, 0.062 * self.eye_size, 0.045 * self.eye_size))
        w.gleam.sub_(0.016 * age * bump(side, y - 0.085, 0.07, 0.02))
        w = relief(-0.5, 0.5, -0.1, 0.45)
        cheek = 0.006 + 0.045 * self.of("cheeks") + 0.022 * smile.clamp_min(0)
        w.gleam.add_(cheek * bump(w.face.abs() - 0.2, w.y - 0.075, 0.1, 0.075))
        if hollow:
            w.gleam.sub_(0.14 * hollow * bump(w.face.abs() - 0.23, w.y - 0.20, 0.08, 0.11))
        # Folds beside the mouth.
        below = w.y - self.tip
        fold = w.face.abs() - (0.07 * self.nose_w.clamp_max(1.3) + 0.42 * below.clamp_min(0) + 0.01)
        depth = 0.002 + 0.018 * age + 0.012 * smile.clamp_min(0)
        w.gleam.sub_(depth * bump(fold, below - 0.07, 0.022, 0.075) * (1 - form.muzzle))
        # The nose: a bridge that rises and broadens to the tip, wings beside it, and a sudden underside.
        w = relief(-0.32, 0.32, -0.25, 0.36)
        along = ((w.y - EYES_AT) / self.nose_l).clamp(0, 1)
        rise = (0.26 + 0.74 * along.pow(1.5)) * _smooth(w.y, EYES_AT - 0.10, EYES_AT + 0.02)
        under = torch.sigmoid((self.tip + 0.014 - w.y) / 0.010)
        bridge = (w.nose / ((0.034 + 0.026 * along.square()) * (0.5 + 0.5 * self.nose_w))).square()
        w.gleam.add_(0.115 * (0.6 + 0.4 * form.nose) * rise * under * torch.exp(-bridge))
        wings = bump(w.nose.abs() - 0.052 * self.nose_w, w.y - self.tip + 0.012, 0.026 * self.nose_w, 0.028)
        w.gleam.add_(0.042 * wings)
        # Mouth and chin.
        w = relief(-0.35, 0.35, 0.12, 0.62)
        y = w.y - self.mouth
        w.gleam.add_(0.03 * bump(w.face, y, 0.14, 0.09))
        if not form.muzzle:
            reach = 0.95 * self.of("mouth_width")
            w.gleam.sub_(0.012 * bump(w.face, y + 0.08, 0.014, 0.03))
            upper, lower = 0.016 * self.lips + 0.3 * self.open, 0.022 * self.lips + 0.7 * self.open
            w.gleam.add_(0.016 * self.lips.sqrt() * bump(w.face, y + upper, reach, 0.017 * self.lips.sqrt()))
            w.gleam.add_(0.024 * self.lips.sqrt() * bump(w.face, y - lower, 0.75 * reach, 0.020 * self.lips.sqrt()))
        w.gleam.sub_(0.020 * bump(w.face, y - 0.05 - 0.028 * self.lips - 0.7 * self.open, 0.09, 0.022))
        w.gleam.add_(0.036 * bump(w.face, w.y - self.b + 0.085, 0.085 + 0.04 * self.of("jaw"), 0.055))
        # Lines of age across the forehead.
        w = relief(-0.3, 0.3, -0.42, -0.18)
        w.gleam.add_(
            0.010 * age * torch.cos((w.y + 0.3 + 0.3 * w.face.square()) * 88) * bump(w.face, w.y + 0.29, 0.2, 0.07)
        )
        if form.muzzle:
            w = relief(-0.4, 0.4, -0.2, 0.6)
            middle = 0.5 * (self.tip + self.mouth)
            w.gleam.add_(0.17 * form.muzzle * bump(w.nose, w.y - middle, 0.15, 0.15))
            w.gleam.add_(0.06 * form.muzzle * bump(w.nose, w.y - self.tip + 0.12, 0.07, 0.14))

    def draw(self) -> Portrait:
        self._background()
        self._hair_shell()
        self._hair_behind()
        self._neck_and_clothes()
        self._ears()
        self._face()
        self._beard()
        self._mouth()
        for side in (-1, 1):
            self._eye(side)
        self._hair_in_front()
        self._glasses()
        self._hat()
        self._earrings()
        return self._layers()

    def _background(self) -> None:
        c, has = self.canvas, self.has
        x, y = self.x0, self.y0
        wall = hue(self.sitters["background_hue"], 0.42, self.sitters["background_light"])
        other = hue((self.sitters["background_hue"] + 0.14) % 1, 0.5, self.sitters["background_light"] * 0.62)
        down = _smooth(y, -0.75, 0.75)
        mix = has("background", 1) * down + has("background", 3) * c.soft(0.35 * x - y + 0.05, 3)
        bokeh = has("background", 4)
        if bool(bokeh.any()):
            discs = torch.zeros_like(x[:1])
            for cx, cy, r in BOKEH:
                d = _norm(x[:1] - cx, y[:1] - cy)
                discs = discs + c.soft(r - d, 3) * (0.45 + 0.4 * _smooth(d, 0.0, r))
            mix = mix + bokeh * (0.85 - discs)
        c.albedo.copy_(over(wall, other, mix))
        lx, ly, _ = self.lamp
        spot = has("background", 2)
        glow = bump(x + 0.2 * lx, y + 0.15, 0.62, 0.62)
        c.key.copy_(0.42 + 0.10 * (x * lx + y * ly) + spot * (0.75 * glow - 0.32))
        c.sky.fill_(0.5)

    # Hair -----------------------------------------------------------------------------------------------------------

    def _cut(self, *values: float) -> torch.Tensor:
        """One number a hair cut → each sitter's own, (B, 1, 1, 1)."""
        return torch.tensor(values)[self.sitters["hair_cut"]][:, None, None, None]

    def _hair_shell(self) -> None:
        """The hair as a shell around the head, whose part before the face is `front`."""
        x, y, a, b = self.canvas.x, self.canvas.y, self.a, self.b
        # Cuts: bald, buzz cut, short, side part, fringe, bob, long, curly, bun.
        top = self._cut(0.0, 0.012, 0.075, 0.085, 0.06, 0.07, 0.06, 0.14, 0.025)
        side = self._cut(0.0, 0.008, 0.025, 0.035, 0.045, 0.085, 0.095, 0.17, 0.010)
        fall = self._cut(-0.9, -0.06, -0.02, 0.0, 0.06, 0.33, 1.2, 0.9, -0.02)
        low = self._cut(9.0, 9.0, 9.0, 9.0, 9.0, 0.68, 3.5, 0.50, 9.0)
        # A hat holds the hair down.
        held = self.has("hat", 1, 2, 3)
        top, side = top * (1 - 0.8 * held), side * (1 - 0.4 * held)
        self.curly = curly = self._cut(0, 0, 0, 0, 0, 0, 0, 1, 0)
        haired = self._cut(0, 1, 1, 1, 1, 1, 1, 1, 1)
        across, up = x / (a + side), y.clamp_max(0) / (b + top)
        radius = _norm(across, up + y.clamp_min(0) / low)
        angle = self.angle
        ragged = curly * 0.022 * (torch.sin(angle * 14) + 0.7 * torch.sin(angle * 23 + 1))
        ragged = ragged + self._cut(0, 0, 0.006, 0.004, 0.003, 0.002, 0.002, 0, 0) * torch.sin(angle * 27 + x * 30)
        shell = (1 - radius) * (a + side) + ragged
        self.outline = torch.minimum(shell, fall - y - 0.25 * (x.abs() - a).clamp_min(0)) * haired - (1 - haired)
        self._hair_texture(radius)
        self._hair_light(across, up)
        self._hairline()

    def _hair_texture(self, radius: torch.Tensor) -> None:
        """Strands run along the head's contour in long hair, away from the crown in short hair, down in a fringe."""
        x, y, b, angle = self.canvas.x, self.canvas.y, self.b, self.angle
        from_bun = torch.atan2(x, y + b + 0.12)
        strand = (
            self._cut(0, 0, 0, 0, 0, 1.1, 1.1, 0, 0) * radius
            + self._cut(1, 1, 0.7, 0, 0, 0, 0, 1, 0) * (angle + 0.8 * radius)
            + self._cut(0, 0, 0, 1, 0, 0, 0, 0, 0) * (1.3 * y + 1.9 * (x + 0.14).square() + 0.25 * x)
            + self._cut(0, 0, 0, 0, 1, 0, 0, 0, 0) * (1.35 * x - 0.35 * x * y)
            + self._cut(0, 0, 0, 0, 0, 0, 0, 0, 0.8) * from_bun
        )
        bend = 0.9 * torch.sin(angle * 3 + radius * 4)
        straight = 0.5 + 0.20 * torch.sin(strand * 34 + bend) + 0.16 * torch.sin(strand * 59 + 1.7 * bend)
        warp = 2.0 * torch.sin(x * 19 + 2 * torch.sin(y * 15))
        waves = torch.sin(x * 58 + warp) + torch.sin(50 * y + 29 * x - warp) + torch.sin(50 * y - 29 * x + warp)
        curls = 0.45 + 0.15 * waves
        straight = 0.5 + (straight - 0.5) * self._cut(1, 1, 0.7, 1, 1, 1, 1, 1, 1)
        texture = over(straight, curls, self.curly)
        self.buzz = self._cut(1, 1, 0, 0, 0, 0, 0, 0, 0)
        self.texture = over(texture, 0.5 + 0.2 * (texture - 0.5), self.buzz)

    def _hair_light(self, across: torch.Tensor, up: torch.Tensor) -> None:
        """Light on the shell, whose ellipse has radius 1 in `across` and `up`."""
        lx, ly, lz = self.lamp
        texture = self.texture
        nz = (1.05 - across.square() - up.square()).clamp_min(0.02).sqrt()
        lambert = (across * lx + up * ly + nz * lz).mul(0.75).add(0.25).clamp_min(0)
        self.hair_key = 0.8 * lambert * (0.55 + 0.8 * texture)
        self.hair_sky = (0.31 - 0.10 * up) * (0.55 + 0.75 * texture)
        ring = bump(up + 0.62 - 0.22 * (across - lx).abs(), up, 0.17, 9.0) * (1 - self.buzz)
        self.hair_gleam = 0.26 * ring * lambert * (0.2 + 1.1 * texture) * (1 - 0.6 * self.curly)

    def _hairline(self) -> None:
        """How far down hair comes, by the place along the forehead; and its colour, greyer at the temples."""
        c, x, y, a, b = self.canvas, self.canvas.x, self.canvas.y, self.a, self.b
        base = self._cut(-9.0, -0.30, -0.31, -0.37, -0.185, -0.36, -0.36, -0.26, -0.325)
        slant = self._cut(0.0, 0.0, 0.0, 0.42, 0.0, 0.34, 0.40, 0.0, 0.0)
        part = self._cut(0.0, 0.0, 0.0, -0.14, 0.0, 0.05, 0.0, 0.0, 0.0)
        burn = self._cut(0.0, 0.26, 0.26, 0.22, 0.32, 1.0, 1.05, 0.55, 0.26)
        wide = (x / a).square()
        line = (base + slant * ((x - part).square() + 0.0004).sqrt() + burn * wide * wide * wide) * (b / 0.525)
        line = line + 0.007 * torch.sin(x * 66) * self._cut(0, 0.2, 1, 0.7, 1.4, 0.6, 0.5, 0, 0.4)
        line = line + self.curly * 0.018 * torch.sin(x * 38)
        steep = 6 * burn * wide * wide * x.abs() / a.square() + 2 * slant
        edge = torch.minimum(self.outline, (line - y) * torch.rsqrt(1 + steep.square()))
        self.front = c.soft(edge, 2.2) * self._cut(0, 0.8, 1, 1, 1, 1, 1, 1, 1)
        streak = (self.grey * 1.4 * (0.35 + wide) * self.texture).clamp(0, 0.7)
        self.strands = over(self.hair_colour, colour(0.72, 0.72, 0.73), streak)

    def _hair_behind(self) -> None:
        c = self.canvas
        self.back = c.soft(self.outline, 1.5) * self._cut(0, 0, 1, 1, 1, 1, 1, 1, 1)
        shade = (0.55 + 0.45 * _smooth(c.x.abs(), 0.25, 0.55)) * 0.85
        c.paint(self.strands, self.back, self.hair_key * shade, self.hair_sky * shade, self.hair_gleam * shade)
        # The bun sits on the crown.
        self.bun = torch.zeros_like(self.back)
        bun = self._cut(0, 0, 0, 0, 0, 0, 0, 0, 1) * (1 - self.has("hat", 1, 2, 3))
        if bool(bun.any()):
            w = c.window(-0.22, 0.22, -0.78, -0.38)
            x, y = w.x - 0.02 * self.turn, w.y + self.b + 0.085
            r = _norm(x / 0.155, y / 0.125)
            mask = w.soft((1 - r) * 0.13) * bun
            lx, ly, lz = self.lamp
            light = (x / 0.155 * lx + y / 0.125 * ly + (1.05 - r.square()).clamp_min(0.02).sqrt() * lz).clamp_min(0)
            coil = 0.5 + 0.4 * torch.sin(r * 15 + 1.2 * torch.atan2(x, y))
            tight = 0.5 + 0.7 * coil
            w.paint(
                self.hair_colour,
                mask,
                0.8 * light * tight,
                0.32 * tight,
                0.22 * bump(r - 0.5, y + 0.05, 0.25, 0.06) * light,
            )
            view = replace(c, gleam=self.bun).window(-0.22, 0.22, -0.78, -0.38)
            view.gleam.copy_(mask)

    def _hair_in_front(self) -> None:
        c, front = self.canvas, self.front
        # Hair keeps light from the brow below it.
        near = _blur(front, 0.04, c.pixel)
        c.dim((0.55 * near * (1 - front) * self.head).clamp(0, 0.6))
        c.paint(self.strands, front, self.hair_key, self.hair_sky, self.hair_gleam)

    # Body -----------------------------------------------------------------------------------------------------------

    def _neck_and_clothes(self) -> None:
        w = self.canvas.window(-0.78, 0.78, 0.25, 0.78)
        wide = 0.53 * self.a + 0.5 * (w.y - 0.60).clamp_min(0).square() * 8
        neck, chin = self._neck(w, wide)
        clothes = self._shoulders(w)
        self._collar(w, *clothes)
        roll = self._turtleneck(w, wide, chin)
        body, _, _ = clothes
        self.body = torch.zeros_like(self.canvas.key)
        replace(self.canvas, gleam=self.body).window(-0.78, 0.78, 0.25, 0.78).gleam.copy_(
            torch.maximum(torch.maximum(body, neck), roll)
        )

    def _neck(self, w: _Canvas, wide: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A cylinder of half-width `wide`; gives its mask, and how much light the chin lets through, 0–1."""
        x, y = w.x, w.y
        lx, ly, lz = self.lamp
        across = (x - 0.05 * self.turn) / wide
        nz = (1 - across.square()).clamp_min(0).sqrt()
        lit = (across * lx + nz * lz).mul(0.85).add(0.1).clamp_min(0)
        chin = 1 - 0.8 * torch.sigmoid((self.b + 0.075 + 0.10 * -ly - 0.55 * (x + 0.10 * lx).square() - y) / 0.022)
        neck = w.soft((1 - across.abs()) * wide) * w.soft(y - 0.2)
        cords = 1 - 0.12 * bump(across.abs() - 0.45 - 0.6 * (0.72 - y), y, 0.12, 9.0)
        bare = over(self.skin * colour(0.97, 0.93, 0.92), self._coat(), self.form.fur)
        w.paint(bare, neck, 0.76 * lit * (0.25 + 0.75 * chin) * cords, 0.25 + 0.13 * chin)
        return neck, chin

    def _shoulders(self, w: _Canvas) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Shoulders, open at the neck: round, a V, a collar or a tube; gives their mask and their two lights."""
        has, x, y = self.has, w.x, w.y
        lx, ly, lz = self.lamp
        near = x.abs()
        yoke = 0.60 + 0.16 * _smooth(near, 0.2, 0.85) + 0.10 * (near - 0.62).clamp_min(0)
        round_, vee = has("clothes", 0), has("clothes", 2)
        shirt, tube = has("clothes", 1), has("clothes", 3)
        opening = round_ * (0.055 - 1.1 * near.square()) + vee * (0.175 - 0.95 * near)
        opening = opening + shirt * (0.19 - 1.5 * near) + tube * -0.2
        opening = opening.clamp_min(-0.03)
        body = w.soft(y - yoke - opening.clamp_min(0), 1.3)
        turned = (0.9 * (near - 0.05).clamp_min(0)).clamp_max(0.9)
        fold = 1 + 0.10 * torch.sin(x * 13 + 7 * y * x.sign()) * _smooth(near, 0.25, 0.5)
        side = x.sign() * turned * 0.6
        lit = (side * lx - 0.45 * ly + 0.72 * lz).clamp_min(0)
        under = 1 - 0.5 * bump(x + 0.12 * lx, y - self.b - 0.02, 0.34, 0.16)
        key, sky = 0.70 * lit * fold * under, 0.36 * fold * (0.6 + 0.4 * under)
        w.paint(self.cloth, body, key, sky)
        trim = 0.012 + 0.010 * round_
        edged = (round_ + vee) * body * w.soft(opening + 0.008, 1.5)
        hem = edged * w.soft(trim - (y - yoke - opening - trim).abs(), 1.5)
        w.paint(over(self.cloth * 0.62, colour(0.95, 0.94, 0.92), 0.75 * vee), hem)
        w.dim(
            0.3
            * (round_ + vee)
            * body
            * w.soft(opening + 0.008, 1.5)
            * bump(y - yoke - opening - 2 * trim - 0.01, y, 0.012, 9.0)
        )
        return body, key, sky

    def _collar(self, w: _Canvas, body: torch.Tensor, key: torch.Tensor, sky: torch.Tensor) -> None:
        """A shirt's collar: two leaves that fold outwards from the neck."""
        shirt, y, near = self.has("clothes", 1), w.y, w.x.abs()
        leaf = torch.minimum(near - 0.75 * (0.76 - y), 0.26 - near + 0.15 * (y - 0.60))
        leaf = torch.minimum(torch.minimum(leaf, y - 0.56), 0.70 + 0.18 * (near - 0.1) - y)
        leaf_mask = shirt * w.soft(leaf, 1.3)
        w.dim(0.45 * shirt * body * (1 - leaf_mask) * torch.exp(-((leaf / 0.03) ** 2)))
        pale = over(self.cloth, colour(0.97, 0.97, 0.98), 0.55)
        w.paint(pale, leaf_mask, key * 1.12, sky * 1.05)
        w.dim(0.4 * leaf_mask * torch.exp(-((leaf / 0.012) ** 2)))

    def _turtleneck(self, w: _Canvas, wide: torch.Tensor, chin: torch.Tensor) -> torch.Tensor:
        """A tube around the neck, ribbed and folded over; gives its mask."""
        x, y = w.x, w.y
        lx, _, lz = self.lamp
        wide = wide + 0.028
        roll = self.has("clothes", 3) * w.soft(
            torch.minimum(wide - (x - 0.04 * self.turn).abs(), y - self.b - 0.015 + 0.105 * (x / self.a).square()), 1.3
        )
        ribs = 1 + 0.12 * torch.sin(x * 62) * _smooth(y, 0.48, 0.7)
        lit = ((x / wide) * lx + 0.8 * lz).clamp_min(0) * ribs
        w.paint(self.cloth, roll, 0.66 * lit * (0.45 + 0.55 * chin), 0.34 * ribs * (0.6 + 0.4 * chin))
        w.dim(0.45 * roll * bump(y - 0.655 + 0.07 * (x / self.a).square(), y, 0.014, 9.0))
        return roll

    def _ears(self) -> None:
        c, form, a = self.canvas, self.form, self.a
        lx, _, lz = self.lamp
        covered = self._cut(0, 0, 0, 0, 0, 1, 1, 0.9, 0) * (not form.ears)
        red = over(self.skin, self.skin * colour(1.0, 0.72, 0.66), 0.5 * self.blood)
        reach = form.ears
        self.ears = torch.zeros_like(c.key)
        for side in (-1, 1):
            edges_x = (-0.72 - reach, -0.26) if side < 0 else (0.26, 0.72 + reach)
            w = c.window(*edges_x, -0.30 - 1.2 * reach, 0.22)
            # The ear turns out of sight on the far side.
            out = side * w.x - a + 0.02 + 0.03 * side * self.turn
            y = w.y
            r = _norm((out - 0.012 + 0.10 * y) / 0.062, (y + 0.01) / 0.115)
            shape = (1 - r) * 0.062
            inner = (0.62 - r) * 0.062
            if reach:
                along = (out + 0.04) / (0.10 + reach)
                middle = 0.03 - 0.75 * (out + 0.04) - 0.10 * along.clamp(0, 1) * (1 - along.clamp(0, 1))
                blade = 0.105 * (1 - along.clamp(-0.2, 1)).pow(0.8) - (y - middle).abs()
                blade = torch.minimum(blade, torch.minimum(out + 0.05, (1 - along) * 0.1))
                shape, inner = torch.maximum(shape, blade), torch.maximum(inner * 0.5, blade - 0.035)
            mask = w.soft(shape) * (1 - covered)
            hollow = w.soft(inner, 3)
            lit = (0.45 * side * lx + 0.75 * lz).clamp_min(0.05)
            rim = 0.85 + 0.25 * (1 - hollow) - 0.38 * hollow
            w.paint(red, mask, 0.72 * lit * rim, 0.36 * rim)
            if form.fur:
                w.paint(self._coat(), mask * form.fur * (1 - 0.7 * hollow))
            replace(c, gleam=self.ears).window(*edges_x, -0.30 - 1.2 * reach, 0.22).gleam.copy_(mask)

    # Face -----------------------------------------------------------------------------------------------------------

    def _coat(self) -> torch.Tensor:
        return self.hair_colour.clamp(0.13, 0.75)

    def _face(self) -> None:
        c, form, of = self.canvas, self.form, self.of
        skin, blood = self.skin, self.blood
        face = c.face
        flush = (0.25 + 0.95 * of("blush")) * blood * (1 - 0.35 * of("skin_tone"))
        red = bump(face.abs() - 0.21, c.y - 0.11, 0.10, 0.075) + 0.55 * bump(c.nose, c.y - self.tip, 0.07, 0.05)
        red = red + 0.25 * bump(c.y - 0.5, face, 0.08, 0.12)
        dusk = (1 - self.face_key - self.face_sky).clamp(0, 0.6)
        tone = 1 + flush * red * colour(0.05, -0.26, -0.22)
        tone = tone + blood * (0.5 * self.fade + dusk) * colour(0.09, -0.06, -0.11)
        deep = (1 - form.smooth) * of("age") * bump(face.abs() - self.spread, c.y - EYES_AT - 0.06, 0.08, 0.035)
        tone = tone - (0.20 * deep + form.hollow * 0.35 * bump(face.abs() - self.spread, c.y - EYES_AT, 0.10, 0.07))
        shine = (0.10 + 0.16 * of("skin_tone")) * self.gloss
        c.paint((skin * tone).clamp(0, 1), self.head, self.face_key, self.face_sky, shine)
        if form.fur:
            wave = torch.sin(self.angle * 24 + 3 * torch.sin(c.y * 14)) * torch.sin(c.y * 30 + 14 * face.abs())
            fur = 1 + 0.18 * wave
            key, sky = over(self.face_key, 0.3, self.overhang), over(self.face_sky, 0.32, self.overhang)
            bare = 0.6 * bump(face, c.y - EYES_AT, 0.22, 0.05)
            coat = over(
                self._coat(), self._coat() * 0.5 + 0.42, 0.6 * form.muzzle * bump(c.nose, c.y - self.mouth, 0.16, 0.13)
            )
            c.paint(coat, self.head * form.fur * (1 - bare), key * fur, sky * fur)
        # Nostrils.
        w = c.window(-0.2, 0.2, 0.02, 0.28)
        wing = w.nose.abs() - 0.034 * self.nose_w
        dark = bump(wing, w.y - self.tip - 0.016 - 0.25 * wing.abs(), 0.019 * self.nose_w, 0.011)
        w.paint(skin * colour(0.36, 0.24, 0.22), 0.6 * dark * (1 - form.muzzle))

    def _beard(self) -> None:
        c, has = self.canvas, self.has
        w = c.window(-0.5, 0.5, -0.05, 0.72)
        x, y = w.face, w.y
        skin = replace(c, key=self.face_key, sky=self.face_sky, albedo=self.overhang, gleam=self.distance).window(
            -0.5, 0.5, -0.05, 0.72
        )
        face_key, face_sky, distance, overhang = skin.key, skin.sky, skin.gleam, skin.albedo
        near = y - self.mouth
        full, stubble, goatee, moustache = has("beard", 4), has("beard", 1), has("beard", 3), has("beard", 2, 3, 4)
        # Cheeks: below a line from the ear to the mouth's corner.
        border = 0.20 - 0.55 * (x.abs() - 0.16) - 0.05 * bump(x.abs() - 0.36, y, 0.06, 9.0)
        cheek = torch.minimum(y - border, distance + 0.045 * full)
        philtrum = torch.minimum(0.036 - (near + 0.068 + self.open * 0.3 - 1.7 * x.square()).abs(), 0.17 - x.abs())
        chin = 0.115 - _norm(x * 1.05, (near - 0.16 - 0.4 * self.open) * 0.95)
        jaw = w.soft(cheek, 5)
        lip = w.soft(philtrum, 2.5)
        hairs = 0.5 + 0.2 * torch.sin(x * 66 + 1.5 * torch.sin(y * 22)) + 0.12 * torch.sin(x * 105 + y * 30)
        light = 0.55 + 0.75 * hairs
        beard_colour = over(self.hair_colour * 0.92, colour(0.66, 0.66, 0.67), 0.5 * self.grey)
        shadow = over(self.skin * 0.55, beard_colour * 0.8, 0.5)
        w.paint(shadow, stubble * torch.maximum(jaw, lip) * (0.56 + 0.14 * hairs))
        grown = torch.maximum(full * jaw, torch.maximum(goatee * w.soft(chin, 3), moustache * lip))
        free = 1 - w.soft(0.085 - _norm(x * 0.62, near - 0.4 * self.open), 4) * has("beard", 4)
        grown = torch.maximum(grown * free, moustache * lip)
        w.paint(
            beard_colour, 0.93 * grown, over(face_key, 0.3, overhang) * light, over(face_sky, 0.32, overhang) * light
        )
        self.beard = torch.zeros_like(c.key)
        replace(c, gleam=self.beard).window(-0.5, 0.5, -0.05, 0.72).gleam.copy_(grown)

    def _mouth(self) -> None:
        c, form, smile = self.canvas, self.form, self.smile
        w = c.window(-0.34, 0.34, 0.10, 0.52)
        broad = self.of("mouth_width") * (1 + 0.16 * smile.clamp_min(0)) * (1 - 0.8 * self.open)
        t = (w.face - 0.01 * self.turn) / broad
        inside = (1 - t.square()).clamp_min(0)
        seam = self.mouth + 0.055 * smile * (0.42 - t.square())
        gap = w.y - seam
        if form.muzzle:
            self._snout(w, gap, t)
            return
        up, down = 0.32 * self.open * inside, 0.9 * self.open * inside.sqrt()
        bow = 1 - 0.30 * bump(t, t, 0.14, 9.0)
        upper = up + 0.033 * self.lips * (0.8 * inside + 0.2 * inside.sqrt()) * bow
        lower = down + 0.041 * self.lips * (0.5 * inside + 0.5 * inside.sqrt())
        ends = (1 - t.abs()) * broad
        lips = w.soft(torch.minimum(torch.minimum(gap + upper, lower - gap), ends), 1.5)
        paint = self.of("lip_redness")
        natural = self.skin * colour(0.90, 0.58, 0.56)
        painted = over(natural, colour(0.74, 0.07, 0.12), (0.85 * _smooth(paint, 0.35, 1.0)) * (0.4 + 0.6 * self.blood))
        tone = over(painted, painted * 0.80, w.soft(-gap, 2.5))
        w.paint(tone, 0.92 * lips)
        w.gleam.add_(0.16 * lips * bump(gap - down - 0.018 * self.lips, t + 0.25 * -self.lamp[0], 0.011, 0.45))
        # What the open mouth shows.
        hole = w.soft(torch.minimum(torch.minimum(gap + up, down - gap), ends - 0.008), 1.2)
        hole = hole * (self.open / 0.006).clamp(0, 1)
        w.paint(colour(0.20, 0.05, 0.05), hole, 0.30, 0.28)
        tongue = bump(t, gap - down, 0.5, 0.030)
        w.paint(colour(0.62, 0.24, 0.25), hole * 0.8 * tongue, 0.36, 0.3)
        drop = self.open * (0.42 + 0.35 * smile.clamp_min(0)) + 0.004
        teeth = hole * w.soft(torch.minimum(drop * inside.sqrt() - gap - up * 0.35, (0.86 - t.abs()) * broad), 1.3)
        w.paint(colour(0.95, 0.93, 0.88), teeth * 0.95, 0.55 - 0.25 * t.square(), 0.34)
        # The seam, with deeper corners.
        closed = 1 - 0.8 * (self.open / 0.02).clamp(0, 1)
        width = max(0.0085, 0.6 * w.pixel)
        line = torch.exp(-((gap / width) ** 2)) * w.soft((1.05 - t.abs()) * broad, 2) * closed
        w.paint(self.skin * colour(0.34, 0.17, 0.16), 0.75 * line)
        corner = bump((t.abs() - 1.03) * broad, gap, 0.020, 0.020)
        w.dim(0.35 * corner)

    def _snout(self, w: _Canvas, gap: torch.Tensor, t: torch.Tensor) -> None:
        """A wolf's mouth: the split upper lip, fangs and a wet nose."""
        strength = self.form.muzzle
        width = max(0.011, 0.7 * w.pixel)
        x, y = w.nose, w.y
        line = torch.exp(-((gap / width) ** 2)) * w.soft((1.2 - t.abs()) * 0.2, 2)
        split = torch.exp(-((x / width) ** 2)) * w.soft(torch.minimum(y - self.tip, -gap), 1.5)
        hole = w.soft(torch.minimum(gap, (self.open + 0.012) * (1.1 - t.square()) - gap), 1.2)
        w.paint(colour(0.16, 0.04, 0.05), strength * torch.maximum(hole, 0.9 * torch.maximum(line, split)), 0.3, 0.3)
        for side in (-1, 1):
            fang = torch.minimum(0.022 - (x - side * 0.085).abs() - 0.3 * gap.clamp_min(0), gap + 0.004)
            w.paint(colour(0.97, 0.95, 0.88), strength * w.soft(torch.minimum(fang, 0.07 - gap), 1.2), 0.6, 0.4)
        n = self.canvas.window(-0.25, 0.25, -0.02, 0.34)
        px, py = n.nose / (0.088 * self.form.nose), (n.y - self.tip - 0.005) / (0.055 * self.form.nose)
        pad = n.soft((1 - _norm(px, py * (1 + 0.25 * px.abs()))) * 0.05, 1.3) * strength
        n.paint(colour(0.06, 0.055, 0.06), pad, 0.5, 0.35, 0.30 * bump(px + 0.3 * -self.lamp[0], py + 0.45, 0.4, 0.25))
        nostril = bump(px.abs() - 0.42, py - 0.25, 0.2, 0.25)
        n.dim(pad * 0.8 * nostril)

    def _eye(self, side: int) -> None:
        """One eye with its lids, lashes and brow; side −1 is the left one, 1 the right."""
        c, form, of = self.canvas, self.form, self.of
        grown = form.eyes
        left, right = (-0.36 - 0.1 * grown, 0.04) if side < 0 else (-0.04, 0.36 + 0.1 * grown)
        w = c.window(left, right, -0.28 - 0.10 * grown, 0.02 + 0.06 * grown)
        out = side * w.face - self.spread
        y = w.y - EYES_AT + of("eye_slant") * out * 0.7
        wide = 0.080 * self.eye_size
        tall = 0.044 * self.eye_size * (1 + 0.12 * of("brow_raise"))
        floor = 0.031 * self.eye_size * (1 - 0.22 * self.smile.clamp_min(0))
        s = out / wide
        arch = 1 - s.square()
        top, bottom = y + tall * (arch - 0.12 * s * arch), floor * arch - y
        ball = w.soft(torch.minimum(torch.minimum(top, bottom), (1 - s.abs()) * wide), 1.2)
        eye = _Eye(w, side, out, y, wide, tall, s, top, bottom, ball)
        self._lids(eye)
        self._eyeball(eye)
        self._lashes(eye)
        self._brow(eye)

    def _lids(self, eye: _Eye) -> None:
        """A crease above, a soft fold below, lines of age at the corner."""
        w, form, wide, s, top = eye.window, self.form, eye.wide, eye.s, eye.top
        span = w.soft((1.12 - s.abs()) * wide, 3)
        crease = top + 0.024 * form.eyes**0.5 + 0.006 * self.of("brow_raise")
        w.dim(0.50 * span * torch.exp(-((crease / 0.012) ** 2)) * (1 - 0.5 * form.fur))
        lid = span * torch.exp(-(((top + 0.011) / 0.012) ** 2))
        w.gleam.add_(0.05 * lid * (1 - form.fur))
        bag = span * torch.exp(-(((eye.bottom + 0.028 + 0.01 * self.age) / 0.014) ** 2))
        w.dim((0.10 + 0.48 * self.age + 0.3 * form.hollow) * bag)
        crow = torch.cos((eye.y + 0.02) * 150 + eye.out * 40) * bump(eye.out - wide - 0.035, eye.y, 0.03, 0.035)
        w.dim((0.45 * self.age * crow).clamp(0, 0.5))

    def _eyeball(self, eye: _Eye) -> None:
        """The white, shaded by the lid and towards its corners; iris, pupil and highlights."""
        w, form, side, s, y, ball = eye.window, self.form, eye.side, eye.s, eye.y, eye.ball
        lx, _, _ = self.lamp
        shade = 1 - 0.55 * torch.exp(-((eye.top.clamp_min(0) / (0.40 * eye.tall)) ** 2)) - 0.28 * s.square()
        shine = 0.72 + 0.18 * (lx * side * s)
        white = colour(*form.eye_white)
        white = over(white, white * colour(0.93, 0.62, 0.58), 0.5 * bump(s + 0.95, y, 0.22, 9.0) * self.blood)
        w.paint(white, ball, 0.62 * shade * shine, 0.40 * shade)
        gx = eye.out - side * (0.25 * eye.wide * self.of("gaze") + 0.12 * eye.wide * self.turn)
        gy = y + 0.10 * eye.tall
        r = _norm(gx, gy)
        iris_r = 0.0405 * self.eye_size * form.iris
        kept = 1 - form.glow
        ring = r / iris_r
        rays = 1 + 0.10 * torch.sin(torch.atan2(gx, gy) * 9) * _smooth(ring, 0.3, 0.7)
        hueful = (
            self.iris_colour
            * (0.55 + 0.45 * _smooth(gy / iris_r, -0.6, 0.9))
            * rays
            * (1.08 - 0.78 * _smooth(ring, 0.68, 1.05))
        )
        w.paint(hueful.clamp(0, 1), w.soft(iris_r - r, 1.2) * ball * kept, 0.62 * shade + 0.14, 0.42 * shade + 0.1)
        w.paint(colour(0.02, 0.02, 0.025), w.soft(0.43 * iris_r - r, 1.2) * ball * (1 - 0.75 * form.glow))
        spot_x, spot_y = 0.36 * iris_r * side * (1.6 * lx).clamp(-1, 1), -0.40 * iris_r
        spot = w.soft(0.30 * iris_r - _norm(gx - spot_x, gy - spot_y), 1.3)
        w.gleam.add_(0.85 * spot * ball * (1 - 0.8 * form.glow))
        w.gleam.add_(0.10 * kept * ball * bump(gx + spot_x, gy - 0.45 * iris_r, 0.35 * iris_r, 0.25 * iris_r))
        if form.glow:
            w.gleam.add_(0.20 * form.glow * ball * bump(gx, gy, 0.8 * iris_r, 0.8 * iris_r))

    def _lashes(self, eye: _Eye) -> None:
        """A dark rim that grows outwards to a wing; a thin one below."""
        w, wide, s, top = eye.window, eye.wide, eye.s, eye.top
        thick = max(0.0095, 0.62 * w.pixel)
        rim = torch.exp(-(((top + 0.002) / (thick * (1 + 0.25 * s))) ** 2)) * w.soft((1.12 - s.abs()) * wide, 2)
        wing = torch.exp(-(((eye.y + 0.45 * (eye.out - wide) + 0.002) / thick) ** 2)) * bump(s - 1.13, eye.y, 0.12, 9.0)
        dark = over(self.skin * 0.16, colour(0.04, 0.03, 0.03), 0.6)
        w.paint(dark, (0.92 * torch.maximum(rim, 0.8 * wing)).clamp(0, 1))
        under = torch.exp(-(((eye.bottom + 0.002) / thick) ** 2)) * w.soft((1.0 - s.abs()) * wide, 3) * (0.5 + 0.3 * s)
        w.paint(self.skin * colour(0.45, 0.32, 0.30), 0.6 * under.clamp(0, 1))

    def _brow(self, eye: _Eye) -> None:
        """Hairs along a bent band that thins outwards."""
        w, of, out = eye.window, self.of, eye.out
        at = -0.088 - 0.040 * (self.form.eyes - 1) * of("eye_size") - 0.045 * of("brow_raise")
        bx = out - 0.005
        bend = at + 1.1 * (bx - 0.015).square() - of("brow_angle") * bx * 0.5
        thickness = 0.021 * of("brow_thickness") * (1 - 2.6 * bx).clamp(0.4, 1.25)
        hairs = 0.9 + 0.1 * torch.sin(out * 130 + (w.y - EYES_AT) * 90)
        band = torch.minimum(thickness - (w.y - EYES_AT - bend).abs(), 0.105 - bx.abs())
        w.paint(self.brow_colour, 0.92 * w.soft(band, 2.0) * hairs)

    # Worn -----------------------------------------------------------------------------------------------------------

    def _glasses(self) -> None:
        c, has, form = self.canvas, self.has, self.form
        if bool((self.sitters["glasses"] == 0).all()):
            return
        grow = 0.55 + 0.45 * form.eyes
        w = c.window(-0.56, 0.56, -0.16 - 0.14 * grow, -0.02 + 0.15 * grow)
        round_, square, dark = has("glasses", 1), has("glasses", 2), has("glasses", 3)
        worn = round_ + square + dark
        side = w.face.abs()
        rx, ry = (
            grow * (0.112 * round_ + 0.128 * (square + dark) + 1e-3),
            grow * (0.108 * round_ + 0.082 * square + 0.094 * dark + 1e-3),
        )
        x, y = (side - self.spread - 0.004) / rx, (w.y - EYES_AT - 0.012) / ry
        circle = _norm(x, y)
        fourth = (x.square().square() + y.square().square()).add(1e-8).sqrt().sqrt()
        box = (
            (x.square().square() * x.square().square() + y.square().square() * y.square().square())
            .add(1e-8)
            .sqrt()
            .sqrt()
            .sqrt()
        )
        d = (1 - (round_ * circle + square * box + dark * fourth + (1 - worn) * circle)) * ry
        thick = max(0.0125, 0.62 * w.pixel) * (1 + 0.25 * square)
        lens = w.soft(d) * worn
        frame = over(over(colour(0.74, 0.76, 0.80), colour(0.05, 0.05, 0.06), square), colour(0.04, 0.04, 0.05), dark)
        w.dim(0.22 * worn * torch.exp(-(((d + 0.028) / 0.02) ** 2)) * w.soft(w.y - EYES_AT, 4))
        w.dim(0.55 * round_ * torch.exp(-((d / (2.2 * thick)) ** 2)))
        w.paint(colour(0.05, 0.055, 0.075), dark * lens * 0.93, 0.4, 0.5)
        sheen = dark * 0.22 * _smooth(-y, -0.2, 1.0) + (round_ + square) * 0.05
        streak = bump(w.face - self.spread * w.face.sign() + 0.8 * (w.y - EYES_AT) + 0.03 * self.lamp[0], y, 0.022, 9.0)
        w.gleam.add_(lens * (sheen + (0.16 + 0.12 * dark) * streak))
        bar = torch.minimum(
            thick - (w.y - EYES_AT + 0.012 - 0.35 * side.square()).abs(), self.spread - rx - side + 0.02
        )
        arm = torch.minimum(
            thick - (w.y - EYES_AT + 0.012).abs(), torch.minimum(side - self.spread - rx, self.a * 1.02 - w.x.abs())
        )
        metal = torch.maximum(w.soft(thick - d.abs(), 1.3), torch.maximum(w.soft(bar, 1.3), w.soft(arm, 1.3))) * worn
        w.paint(frame, metal, 0.50, 0.42, 0.10 * _smooth(-y, 0.2, 1.0))

    def _hat(self) -> None:
        c, has, a, b = self.canvas, self.has, self.a, self.b
        self.hat = torch.zeros_like(c.key)
        if bool((self.sitters["hat"] == 0).all()):
            return
        knit, brimmed, cap = has("hat", 1), has("hat", 2), has("hat", 3)
        worn = knit + brimmed + cap
        w = c.window(-0.78, 0.78, -0.78, 0.0)
        x, y = w.x, w.y
        lx, ly, lz = self.lamp
        part = -0.30 * b / 0.525
        rim = part - 0.10 * (x / a).square() * (1 - 0.5 * knit)
        wide = a * (1.10 * knit + 1.10 * brimmed + 1.13 * cap + (1 - worn)) + 0.012
        tall = b * (1.17 * knit + 1.30 * brimmed + 1.15 * cap + (1 - worn))
        across, up = x / wide, (y + 0.01) / tall
        steep = across.square()
        # A felt crown is nearly a box; knitted and baseball caps are domes.
        r = over(_norm(across, up), (steep * steep + up.square().square()).add(1e-8).sqrt().sqrt(), brimmed)
        dome = torch.minimum((1 - r) * a, rim - y)
        mask = worn * w.soft(dome, 1.2)
        # Hair that the hat holds down doesn't stand out above it.
        shell = replace(c, gleam=self.hat)
        nz = (1.05 - across.square() - up.square()).clamp_min(0.02).sqrt()
        lit = (across * lx + up * ly + nz * lz).mul(0.85).add(0.15).clamp_min(0)
        ribs = knit * 0.16 * torch.sin(across * 34) + cap * -0.12 * bump(
            across.abs() - 0.33 * (1 + up), across, 0.03, 9.0
        )
        felt = brimmed * -0.22 * bump(x, y + b * 1.22, 0.14, 0.07)
        texture = 1 + ribs + felt
        covered = replace(c, gleam=torch.maximum(self.head, self.front)).window(-0.78, 0.78, -0.78, 0.0).gleam
        w.dim(0.5 * worn * covered * torch.exp(-(((y - rim) / 0.05) ** 2)) * w.soft(y - rim, 2))
        w.paint(self.hat_colour, mask, 0.78 * lit * texture, (0.36 - 0.1 * up) * texture)
        band = mask * (knit * w.soft(y - rim + 0.135, 1.5) + brimmed * w.soft(y - rim + 0.11, 1.2))
        w.paint(over(self.hat_colour * 1.12, self.hat_colour * 0.30, brimmed).clamp(0, 1), band)
        w.dim(0.35 * mask * knit * bump(y - rim + 0.14, y, 0.014, 9.0))
        # Brim and visor stand out towards the viewer and keep the light off the brow.
        bx = x - 0.03 * self.turn * cap
        brim_y = part - 0.015 - 0.055 * cap
        brim_r = _norm(
            bx / (brimmed * 0.70 + cap * 0.33 * a / 0.39 + 1e-3),
            (y - brim_y + 0.10 * brimmed * (bx / 0.6).square()) / (brimmed * 0.075 + cap * 0.088 + 1e-3),
        )
        brim = (brimmed + cap) * w.soft((1 - brim_r) * 0.075, 1.2)
        reach = bump(bx, y - brim_y - 0.09, 0.42, 0.06) * w.soft(y - brim_y, 3)
        w.dim(0.62 * (brimmed + cap) * reach * (1 - brim) * covered)
        edge = _smooth(brim_r, 0.75, 1.0) * w.soft(y - brim_y, 3)
        shine = 0.8 - 0.25 * _smooth(y - brim_y, -0.05, 0.08) + 0.15 * x * lx
        lip = _smooth(y - brim_y, 0.02, 0.07) * cap
        w.paint(self.hat_colour * (1 - 0.35 * lip), brim, (0.60 * shine + 0.2 * edge) * lz.clamp_min(0.5), 0.36 * shine)
        w.dim(0.5 * cap * mask * (1 - lip) * torch.exp(-(((brim_r - 1.04) / 0.07) ** 2)))
        shell.window(-0.78, 0.78, -0.78, 0.0).gleam.copy_(torch.maximum(mask, brim))

    def _earrings(self) -> None:
        c, has, a = self.canvas, self.has, self.a
        studs, hoops = has("earrings", 1), has("earrings", 2)
        if bool((self.sitters["earrings"] == 0).all()):
            return
        gold = colour(0.95, 0.74, 0.28)
        for side in (-1, 1):
            w = c.window(*((-0.62, -0.28) if side < 0 else (0.28, 0.62)), 0.04, 0.34)
            x, y = side * w.x - a - 0.012, w.y - 0.105
            r = _norm(x, y)
            stud = studs * w.soft(0.030 - r, 1.2)
            w.dim(0.4 * studs * bump(x, y - 0.018, 0.035, 0.03))
            w.paint(colour(0.97, 0.96, 0.98), stud, 0.55, 0.40, 0.6 * bump(x + 0.008, y + 0.008, 0.012, 0.012))
            ring = (_norm(x / 0.85, y - 0.068) - 0.062).abs()
            hoop = hoops * w.soft(max(0.0115, 0.62 * w.pixel) - ring, 1.2)
            w.dim(0.35 * hoops * torch.exp(-(((_norm(x / 0.85, y - 0.080) - 0.062) / 0.014) ** 2)))
            w.paint(gold, hoop, 0.62, 0.42, 0.45 * bump(x + 0.03, y - 0.09, 0.03, 0.03))

    def _layers(self) -> Portrait:
        c = self.canvas
        warm = self.of("light_warmth") * colour(0.15, 0.02, -0.18)
        lamp, around = 1.0 + warm, colour(0.97, 1.0, 1.05) - 0.35 * warm
        rgb = (c.albedo * (c.key * lamp + c.sky * around) + c.gleam * lamp).clamp(0, 1)
        light = c.key + c.sky
        uncovered = 1 - self.hat
        hair = torch.maximum(torch.maximum(self.front, self.back * (1 - self.head) * (1 - self.ears)), self.bun)
        hair = hair * uncovered
        figure = torch.stack(
            [self.head, self.ears, self.back * (1 - self.hat), self.body, hair, self.hat, self.beard]
        ).amax(0)
        return Portrait(rgb, c.albedo.clamp(0, 1), light.clamp(0, 1.5), figure, self.head, hair)


def draw_people(sitters: Sitters, size: int, form: Form) -> Portrait:
    """Draw a batch of people, `size` samples a side: layers as Portrait says, on the sitters' device (CPU)."""
    return _Painter(sitters, size, form).draw()
