"""Dogs' attributes → shaded portraits: a height field for the head, soft masks for everything else.

Vectorised over the batch in plain torch; lengths are in half pictures (x right, y down). Fur is a smooth function of
the place on the head, never noise, so that a picture follows from its attributes alone. Sides are drawn together, in
|x|. Knows the dogs and their form, nothing about domains' looks, words or networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..attributes import Sitters
from ..form import Form
from ..portrait import Portrait, bump, colour, hue, over, plane, slope

#: Half the side of the picture in the units of lengths: below 1 the camera is closer.
FRAME = 0.80
#: Where the head sits: its skull's centre, and the place in the neck that it tilts and grows about.
SKULL_Y, NECK_Y = -0.09, 0.5

COAT = torch.tensor(
    [
        [0.10, 0.09, 0.10],
        [0.27, 0.16, 0.11],
        [0.46, 0.29, 0.17],
        [0.64, 0.29, 0.11],
        [0.83, 0.59, 0.29],
        [0.93, 0.82, 0.64],
        [0.52, 0.54, 0.57],
        [0.95, 0.94, 0.92],
    ]
)
WHITE, BLACK, TAN, SILVER = [0.96, 0.95, 0.92], [0.10, 0.09, 0.09], [0.76, 0.46, 0.20], [0.66, 0.66, 0.66]
BROWN = [0.38, 0.21, 0.12]
#: What each marking is coloured, and what instead on coats too close to that: colour, alternative, those coats.
MARKING = (
    (WHITE, WHITE, ()),
    (WHITE, TAN, (5, 7)),
    (BLACK, SILVER, (0, 1)),
    (BROWN, WHITE, (0, 1, 2, 3)),
    (BLACK, WHITE, (0, 1, 2, 6)),
    (TAN, WHITE, (2, 3, 4)),
    (BLACK, SILVER, (0, 1)),
)
IRIS = torch.tensor([[0.36, 0.19, 0.08], [0.86, 0.56, 0.14], [0.34, 0.58, 0.84]])
NOSE = torch.tensor([[0.075, 0.07, 0.08], [0.40, 0.21, 0.14], [0.88, 0.54, 0.52]])

#: Build of the head by head_shape (long, broad, flat, fox).
BUILD = {
    "skull_w": (0.84, 1.05, 1.03, 0.98),  # factors on head_width and head_length
    "skull_h": (1.0, 0.98, 0.95, 0.90),
    "taper": (0.45, 0.22, 0.14, 0.50),  # how much the skull narrows towards the jaw
    "muzzle_w": (0.18, 0.25, 0.26, 0.14),
    "nose_y": (0.31, 0.23, 0.115, 0.26),  # of the nose pad, below the skull's centre
    "drop": (0.19, 0.20, 0.20, 0.15),  # from the nose to the chin
    "reach": (0.30, 0.22, 0.11, 0.26),  # how far the muzzle comes forward
    "nose_w": (0.088, 0.102, 0.092, 0.066),
    "bridge_w": (0.085, 0.105, 0.08, 0.07),
    "eye_x": (0.158, 0.178, 0.20, 0.165),
    "eye_y": (-0.06, -0.05, -0.01, -0.03),
    "eye": (0.92, 0.98, 1.22, 0.96),
}
#: Ears by their kind (pricked, half dropped, hanging, button, rose): the part behind the head, and the flap before it.
#: x and y of the root in half-widths and half-heights of the skull; lean from upright, outwards, in radians; length;
#: width; how much the width grows from the root and shrinks to the tip, as powers; bend of the middle line.
EAR_BEHIND = {
    "x": (0.58, 0.60, 0.6, 0.64, 0.66),
    "y": (-0.70, -0.70, 0.0, -0.68, -0.60),
    "lean": (0.28, 0.34, 0.0, 0.5, 1.0),
    "length": (0.44, 0.30, 0.05, 0.17, 0.27),
    "width": (0.165, 0.150, 0.0, 0.15, 0.105),
    "grow": (0.0, 0.0, 0.0, 0.0, 0.0),
    "shrink": (0.75, 0.32, 0.5, 0.4, 0.7),
    "bend": (-0.03, 0.0, 0.0, 0.0, 0.05),
}
EAR_FLAP = {
    "x": (0.6, 0.86, 0.92, 0.72, 0.70),
    "y": (0.0, -1.36, -0.48, -0.90, -0.80),
    "lean": (0.0, 2.2, 2.93, 2.55, 1.95),
    "length": (0.05, 0.22, 0.64, 0.33, 0.20),
    "width": (0.0, 0.115, 0.155, 0.165, 0.075),
    "grow": (0.0, 0.05, 0.35, 0.0, 0.1),
    "shrink": (0.5, 0.75, 0.42, 0.72, 0.6),
    "bend": (0.0, 0.03, -0.06, 0.0, 0.03),
}
#: x, y and radius of the spots of a spotted head, and of the discs of light in a background.
SPOTS = (
    (-0.24, -0.24, 0.10),
    (0.16, -0.33, 0.08),
    (0.29, -0.06, 0.09),
    (-0.31, 0.09, 0.07),
    (0.03, -0.17, 0.05),
    (0.13, 0.22, 0.05),
    (-0.12, 0.33, 0.045),
)
LIGHTS = (
    (-0.72, -0.66, 0.17),
    (-0.30, -0.78, 0.11),
    (0.22, -0.70, 0.15),
    (0.70, -0.50, 0.19),
    (-0.80, -0.08, 0.13),
    (0.78, 0.10, 0.12),
    (-0.62, 0.36, 0.17),
    (0.62, 0.50, 0.15),
    (0.48, -0.86, 0.09),
)


def _by(values: tuple[float, ...], labels: torch.Tensor) -> torch.Tensor:
    """A number for each label: labels (B,) → (B, 1, 1, 1)."""
    return torch.tensor(values)[labels][:, None, None, None]


def _smooth_max(p: torch.Tensor, q: torch.Tensor, k: float) -> torch.Tensor:
    """The larger of two, with a fillet of about k where they meet."""
    return k * torch.logaddexp(p / k, q / k)


@dataclass
class _Canvas:
    """What has been painted so far: albedo (B, 3, H, W), light and gleam (B, 1, H, W)."""

    albedo: torch.Tensor
    light: torch.Tensor
    gleam: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.gleam = torch.zeros_like(self.light)

    def paint(self, paint: torch.Tensor, alpha: torch.Tensor, light: torch.Tensor | None = None) -> None:
        """A layer of paint; with `light` it is a body of its own, that takes what gleamed below away."""
        self.albedo = over(self.albedo, paint, alpha)
        if light is not None:
            self.light = over(self.light, light, alpha)
            self.gleam = self.gleam * (1 - alpha)


@dataclass(frozen=True)
class _Ear:
    """One part of the ears. distance: signed, positive inside. along: 0 at the root, 1 at the tip. across: −1 to 1."""

    distance: torch.Tensor
    along: torch.Tensor
    across: torch.Tensor
    lean: torch.Tensor


def _ear(
    table: dict[str, tuple[float, ...]],
    kind: torch.Tensor,
    u: torch.Tensor,
    y: torch.Tensor,
    skull: tuple[torch.Tensor, torch.Tensor],
    size: torch.Tensor,
    spread: torch.Tensor,
    lift: float,
) -> _Ear:
    """One part of the ears, both sides at once: u is |x|; `lift` is how far `spread` leans it."""
    row = {name: _by(values, kind) for name, values in table.items()}
    lean, length = row["lean"] + lift * spread, row["length"] * size
    width = row["width"] * size * (0.3 + 1.75 * skull[0])
    du, dy = u - (row["x"] + abs(lift) * 0.45 * spread) * skull[0], y - row["y"] * skull[1]
    cos, sin = lean.cos(), lean.sin()
    along = (du * sin - dy * cos) / length
    across = du * cos + dy * sin - row["bend"] * along.clamp(0, 1.2).square()
    half = width * (along.clamp(0, 1) + 0.1) ** row["grow"] * (1 - along).clamp(1e-3, 1) ** row["shrink"]
    half = half * (1.0025 - (along.clamp(-0.3, 0) / 0.3).square()).sqrt()  # a round root
    distance = torch.minimum(half - across.abs(), torch.minimum(along + 0.3, 1 - along) * length)
    return _Ear(distance - (width == 0).float(), along, across / half.clamp_min(0.02), lean)


def _background(sitters: Sitters, x: torch.Tensor, y: torch.Tensor, size: int) -> _Canvas:
    """A plain wall, one that fades downwards, a meadow out of focus, or lights out of focus."""
    turns, value = sitters["background_hue"], sitters["background_light"]
    wall = hue(turns, 0.42, value)
    down = (y / FRAME + 1) / 2
    fading = over(hue(turns, 0.42, 0.15 + 0.9 * value), hue((turns + 0.22) % 1, 0.5, 0.32 * value + 0.05), down)
    grass = hue(0.24 + 0.10 * turns, 0.55, 0.25 + 0.5 * value)
    horizon = torch.sigmoid((y - 0.05 + 0.03 * torch.sin(5 * x + 1)) * 18)
    blades = 0.93 + 0.07 * torch.sin(x * 19 + 2 * torch.sin(y * 11)) * torch.sin(y * 15)
    meadow = over(hue(turns, 0.25, 0.35 + 0.6 * value), grass * blades, horizon)
    lights = hue(turns, 0.5, 0.5 * value).expand_as(fading)
    for i, (cx, cy, r) in enumerate(LIGHTS):
        disc = torch.sigmoid((r - ((x - cx).square() + (y - cy).square()).add(1e-6).sqrt()) * 45)
        lights = over(lights, hue((turns + (0.08, 0.0, 0.92)[i % 3]) % 1, 0.35, (0.4 + 0.6 * value)), 0.6 * disc)
    has = [sitters.has("background", k) for k in range(4)]
    albedo = has[0] * wall + has[1] * fading + has[2] * meadow + has[3] * lights
    spot = bump(x - 0.5 * sitters.number("light_side"), y + 0.2, 1.1, 1.1)
    return _Canvas(albedo, (0.78 + 0.34 * spot).expand(len(sitters), 1, size, size))


class _Painter:
    """One batch of dogs on its way to layers: measures and masks first, then paint from back to front (see `draw`).

    x0, y0: places in the picture. x, y: the same on the upright head, whose skull's centre is the origin. xs, xf, xm: x
    as the skull, the face and the muzzle bear it when the head turns, each farther forward than the one before; um and
    uf are |xm| and |xf|. a, b: half the width and height of the skull. mw: half the width of the muzzle.
    """

    def __init__(self, sitters: Sitters, size: int, form: Form) -> None:
        self.sitters, self.size, self.form = sitters, size, form
        self.of, self.has = sitters.number, sitters.has
        of, has = self.of, self.has
        self.x0, self.y0 = plane(size, FRAME)
        # The head rolls about the neck.
        self.tilt, self.turn = of("tilt"), of("turn")
        cos, sin = self.tilt.cos(), self.tilt.sin()
        self.x = (cos * self.x0 + sin * (self.y0 - NECK_Y)) / form.head
        self.y = (cos * (self.y0 - NECK_Y) - sin * self.x0) / form.head + NECK_Y - SKULL_Y
        self.build = {name: _by(values, sitters["head_shape"]) for name, values in BUILD.items()}
        self.medium, self.shaggy = has("coat_length", 1), has("coat_length", 2)
        self.fluff = 0.55 * self.medium + self.shaggy
        # The lamp stands at one side.
        azimuth, elevation = of("light_side") * 1.35, of("light_height")
        self.lamp = azimuth.sin() * elevation.cos(), -elevation.sin(), azimuth.cos() * elevation.cos()
        self._colours()
        self._measure()
        self._fur()
        self._outline()
        self._relief()
        self._markings()
        self.canvas = _background(sitters, self.x0, self.y0, size)

    def soft(self, distance: torch.Tensor, blur: float = 1.0) -> torch.Tensor:
        """Signed distance, positive inside → coverage, about one sample wide."""
        return torch.sigmoid(distance * (self.size * self.form.head / FRAME / blur))

    def lit(self, nx: torch.Tensor, ny: torch.Tensor, nz: torch.Tensor) -> torch.Tensor:
        """The light on a surface with this normal."""
        lx, ly, lz = self.lamp
        return 0.36 + 0.80 * (nx * lx + ny * ly + nz * lz).clamp_min(0) + 0.14 * (-ny).clamp_min(0)

    def draw(self) -> Portrait:
        """Paints everything over the background, and gives the layers."""
        self._chest()
        self._collar()
        self._ears_behind()
        self._head()
        self._mouth()
        self._nose()
        self._eyes()
        self._ear_flaps()
        return self._layers()

    # Measures and masks ---------------------------------------------------------------------------------------------

    def _colours(self) -> None:
        """Coat and markings."""
        of, kind = self.of, self.sitters["coat_colour"]
        base = COAT[kind][:, :, None, None]
        self.coat = (base * (1 + 0.16 * of("coat_shade")) + 0.025 * of("coat_shade")).clamp(0.03, 1)
        patterns = torch.zeros(len(MARKING), len(COAT), 3)
        for i, (usual, instead, coats) in enumerate(MARKING):
            patterns[i] = torch.tensor(usual)
            patterns[i, list(coats)] = torch.tensor(instead)
        second = patterns[self.sitters["markings"], kind][:, :, None, None]
        self.second = (second * (1 + 0.2 * of("marking_shade")) + 0.06 * of("marking_shade")).clamp(0.03, 1)

    def _measure(self) -> None:
        """Where the parts of the head are, and how large."""
        of, has, build, x, turn = self.of, self.has, self.build, self.x, self.turn
        self.a, self.b = of("head_width") * build["skull_w"], of("head_length") * build["skull_h"]
        self.mw, self.reach = build["muzzle_w"] * of("muzzle_width"), build["reach"]
        self.nose_y = build["nose_y"] * (0.35 + 0.65 * of("muzzle_length")) + 0.02 * (of("muzzle_length") - 1)
        self.drop = build["drop"] * (0.5 + 0.5 * of("muzzle_length"))
        self.jaw = 0.085 * has("mouth", 1) + 0.075 * has("mouth", 2)
        self.chin_y = self.nose_y + self.drop + self.jaw + 0.03 * self.shaggy
        self.jowls, self.brow = of("jowls"), of("brow")
        self.xs = x - 0.015 * turn
        self.xf = x - 0.07 * turn
        self.xm = x - (0.07 + 0.38 * self.reach) * turn
        self.um, self.uf, self.side = self.xm.abs(), self.xf.abs(), torch.sign(self.xf)
        self.spread = build["eye_x"] * of("eye_distance") * (0.7 + 0.3 * self.form.eyes)
        self.eye_y, self.eye = build["eye_y"], build["eye"] * of("eye_size") * self.form.eyes

    def _fur(self) -> None:
        """Strands that run away from the nose, and tufts in rows across them."""
        xm, y, nose_y, shaggy = self.xm, self.y, self.nose_y, self.shaggy
        angle = torch.atan2(xm, nose_y - y)
        away = (xm.square() + (y - nose_y).square()).add(1e-4).sqrt()
        phase = angle * (44 - 8 * self.medium - 16 * shaggy) + self.of("fur_wave") * 2.8 * torch.sin(away * 21)
        phase = phase + 1.1 * torch.sin(away * 9 + 3 * angle)
        strand = torch.sin(phase) * (0.65 + 0.35 * torch.sin(away * 30 + 4 * torch.sin(7 * angle)))
        tuft = torch.sin(away * 27 + 1.8 * torch.sin(phase * 0.5) ** 2 + 1.5 * torch.sin(5 * angle))
        fur = (strand * (1 - 0.3 * shaggy) + 0.45 * shaggy * tuft) * ((away - 0.10) / 0.25).clamp(0, 1)
        self.fur = fur * min(1.0, self.size / 128)  # fewer samples than that can't hold the strands
        self.rough = (0.06 + 0.06 * self.medium + 0.12 * shaggy) * self.fur

    def _outline(self) -> None:
        """A skull that narrows towards the jaw, a muzzle, and the lower jaw: `head` is their mask."""
        y, a, b, xm, mw, drop, jaw, fluff = self.y, self.a, self.b, self.xm, self.mw, self.drop, self.jaw, self.fluff
        below = (y / b).clamp(0, 1.2)
        width = a * (
            1
            - self.build["taper"] * below.square() * (1 - 0.45 * fluff)
            + 0.13 * fluff * torch.exp(-(((y - 0.17) / 0.16) ** 2))
        )
        self.radius = (self.xs / width).square() + (y / (b * (1 + 0.05 * fluff))).square()
        skull = (1 - self.radius.add(1e-6).sqrt()) * a
        mid, tall = self.nose_y + 0.30 * drop, 0.78 * drop
        flews = mw * (1 + 0.34 * (self.jowls - 0.3) * ((y - mid) / tall).clamp(-1, 1))
        self.muzzle_r = (xm / flews).square() + ((y - mid) / tall).square()
        self.muzzle = (1 - self.muzzle_r.add(1e-6).sqrt()) * torch.minimum(flews, tall)
        chin_r = (xm / (mw * 0.72)).square() + ((y - self.chin_y + 0.085) / (0.10 + 0.4 * jaw)).square()
        chin = (1 - chin_r.add(1e-6).sqrt()) * 0.1
        self.snout = torch.maximum(self.muzzle, chin)
        shorn = 1 - 0.75 * bump(xm, y - self.chin_y, 1.2 * mw, 0.13)  # a beard keeps together
        frayed = (0.003 + 0.010 * self.medium + 0.024 * self.shaggy) * self.fur * shorn
        self.head = self.soft(_smooth_max(skull, self.snout, 0.02) + frayed, 2.2)

    def _relief(self) -> None:
        """How the head is lit: `shade`, and `sheen` for what comes back uncoloured."""
        height = self._height()
        lx, ly, lz = self.lamp
        zx, zy = slope(height, FRAME / self.form.head)
        nz = torch.rsqrt(1 + zx.square() + zy.square())
        shade = self.lit(-zx * nz, -zy * nz, nz) * (1 + 1.15 * self.rough)
        self.shade = shade * (1 - self._hidden_from_light().clamp(0, 0.6))
        half = torch.rsqrt(lx.square() + ly.square() + (lz + 1).square())
        self.sheen = ((-zx * lx - zy * ly + lz + 1) * nz * half).clamp_min(0) ** 12

    def _height(self) -> torch.Tensor:
        """Height field of the head: skull, muzzle with its bridge and cushions, brows, sockets and cheeks."""
        x, y, xm, um, xf, uf = self.x, self.y, self.xm, self.um, self.xf, self.uf
        nose_y, drop, mw, reach, jowls = self.nose_y, self.drop, self.mw, self.reach, self.jowls
        spread, eye_y, brow = self.spread, self.eye_y, self.brow
        height = 0.44 * (1.2 + 0.1 * self.fluff - self.radius).clamp_min(0).add(0.01).sqrt()
        bridge = ((y - eye_y + 0.06) / (nose_y - eye_y)).clamp(0, 1)
        bridge = bridge * bridge * (3 - 2 * bridge) * torch.sigmoid((nose_y + 0.5 * drop - y) * 30)
        self.centre = x - (0.05 + (0.02 + 0.38 * reach) * bridge) * self.turn  # x from the middle of the bridge
        height = height + 0.75 * reach * bridge * torch.exp(-((self.centre / (self.build["bridge_w"] * 1.15)) ** 4))
        height = height + 0.68 * (0.06 + reach) * torch.exp(-self.muzzle_r.square())
        height = height + (0.035 + 0.03 * jowls) * bump(
            um - 0.52 * mw, y - nose_y - 0.42 * drop, 0.48 * mw, 0.42 * drop
        )
        height = height + 0.05 * bump(xm, y - self.chin_y + 0.05, 0.5 * mw, 0.06)
        height = height + (0.012 + 0.04 * brow) * bump(uf - spread * 0.95, y - eye_y + 0.105, 0.085, 0.05)
        height = height - 0.055 * bump(uf - spread * 0.92, y - eye_y, 0.09, 0.07)
        height = height - (0.015 + 0.03 * brow) * bump(xf, y - eye_y + 0.16, 0.035, 0.16)
        height = height + 0.03 * bump(uf - spread * 1.25, y - eye_y - 0.17, 0.11, 0.10)
        return height + 0.022 * self.rough

    def _hidden_from_light(self) -> torch.Tensor:
        """How little light comes to the muzzle's foot, the sockets, the frown and under the cushions."""
        y, uf, eye_y = self.y, self.uf, self.eye_y
        foot = 0.26 * torch.exp(-(((self.muzzle + 0.02) / 0.045) ** 2))
        dark = foot * torch.sigmoid((y - self.nose_y + 0.1) * 20) * (self.reach / 0.2)
        dark = dark + 0.20 * bump(uf - self.spread * 0.75, y - eye_y - 0.03, 0.09, 0.09)
        dark = dark + 0.34 * self.brow * bump(uf - 0.02, y - eye_y + 0.13, 0.02, 0.09)
        return dark + 0.30 * torch.sigmoid((y - self.chin_y + 0.025) * 45)

    def _markings(self) -> None:
        """Where the head has its second colour; fur frays the edges."""
        y, xs, xf, uf, um, mw, snout = self.y, self.xs, self.xf, self.uf, self.um, self.mw, self.snout
        nose_y, eye_y, spread, centre = self.nose_y, self.eye_y, self.spread, self.centre
        self.much = much = self.of("marking_size")
        stripe = (
            0.038 + 0.07 * ((y - eye_y) / nose_y).clamp(0, 1).square() + 0.02 * (-y / self.b).clamp(0, 1)
        ) * much - centre.abs()
        blaze = torch.maximum(stripe, snout - 0.03 + 0.04 * (much - 1) - (y < nose_y - 0.12) * 1.0)
        mask = torch.maximum(
            snout + 0.045 * much - 0.01,
            0.085 * much - (uf - spread).square().add((y - eye_y).square()).add(1e-6).sqrt(),
        )
        mask = torch.maximum(mask, 0.06 * much - (centre.abs() + (y - nose_y + 0.1).abs() * 0.25))
        patch = 1 - (((xf - spread * 1.1) / 0.155).square() + ((y - eye_y + 0.03) / 0.185).square()).add(1e-6).sqrt()
        patch = (patch + much - 1) * 0.15
        spots = torch.full_like(xs, -1.0)
        for cx, cy, r in SPOTS:
            spots = torch.maximum(spots, r * much - ((xs - cx).square() + ((y - cy) * 0.9).square()).add(1e-6).sqrt())
        above_eyes = ((uf - spread * 0.82).square() + ((y - eye_y + 0.115) * 1.25).square()).add(1e-6).sqrt()
        cheeks = torch.minimum(um - 0.35 * mw - 0.4 * (nose_y - y).clamp_min(0), 0.03 + 0.05 * much + snout)
        points = torch.maximum(0.045 * much - above_eyes, torch.minimum(cheeks, y - nose_y + 0.05))
        peak = 0.10 * torch.exp(-((xf / 0.06) ** 2))
        saddle = -(y + 0.17 - 0.10 * (much - 1) - 0.55 * (xs.square() / self.a) + peak)
        fields = (blaze, mask, patch, spots, points, saddle)
        fray = (0.008 + 0.02 * self.fluff) * self.fur
        marked = sum(f * self.has("markings", i + 1) for i, f in enumerate(fields))
        self.marked = self.soft(marked + fray, 3) * (1 - self.has("markings", 0))

    # Body -----------------------------------------------------------------------------------------------------------

    def _chest(self) -> None:
        """Neck and chest, with locks of fur and markings of their own."""
        of, y0, fluff, shaggy = self.of, self.y0, self.fluff, self.shaggy
        chest = of("chest_width")
        self.neck = 0.80 * self.a + (chest - 0.80 * self.a) * torch.sigmoid((y0 - 0.56) * 7) + 0.05 * fluff
        self.bx = bx = self.x0 - 0.25 * self.tilt * (0.9 - y0)
        fan = torch.atan2(bx, y0 + 0.75)
        flow = torch.sin(fan * (64 - 20 * shaggy) + of("fur_wave") * 2 * torch.sin(y0 * 17))
        rows = torch.sin(y0 * 26 + 1.5 * torch.sin(fan * 21))
        locks = (0.05 + 0.06 * self.medium + 0.10 * shaggy) * (flow * (0.7 + 0.3 * rows) + 0.6 * fluff * rows)
        self.body = self.soft(torch.minimum(self.neck - bx.abs() + 0.12 * locks, y0 - 0.02), 2)
        nx = (bx / self.neck).clamp(-1, 1)
        light = self.lit(0.95 * nx, 0.25 * nx.square() + 0.1, (1 - 0.9 * nx.square()).sqrt()) * (1 + locks)
        chin0 = self.chin_y + SKULL_Y
        fallen = bump(bx - 0.10 * self.turn + 0.12 * of("light_side"), (y0 - chin0 - 0.02).clamp_min(0), 0.30, 0.22)
        self.body_light = light * (1 - 0.55 * fallen) * (0.80 + 0.25 * (y0 / FRAME).clamp(0, 1))
        self.marked_body = self._marked_chest(locks)
        self.canvas.paint(over(self.coat * 0.96, self.second, self.marked_body), self.body, self.body_light)

    def _marked_chest(self, locks: torch.Tensor) -> torch.Tensor:
        """Where neck and chest have the second colour: a bib, spots, points or the back."""
        has, bx, y0, much = self.has, self.bx, self.y0, self.much
        bib = self.soft((0.13 * much - (bx / 1.1).abs() + 0.15 * (y0 - 0.5) + 0.2 * locks), 4)
        spots = self.soft(
            torch.maximum(
                0.12 * much - ((bx - 0.3).square() + (y0 - 0.62).square()).add(1e-6).sqrt(),
                0.10 * much - ((bx + 0.26).square() + (y0 - 0.8).square()).add(1e-6).sqrt(),
            ),
            3,
        )
        points = self.soft(
            0.12 * much - ((bx.abs() - 0.17).square() + ((y0 - 0.82) * 0.7).square()).add(1e-6).sqrt(), 4
        )
        back = self.soft(bx.abs() - self.neck * (0.78 - 0.2 * (much - 1)) + 0.3 * locks, 4)
        return (
            has("markings", 1) * bib
            + has("markings", 4) * spots
            + has("markings", 5) * points
            + (has("markings", 6) * back)
        )

    def _collar(self) -> None:
        """A strap that hangs lower in the middle, with a buckle, a tag or a cloth."""
        c, bx, neck, soft = self.canvas, self.bx, self.neck, self.soft
        worn = [self.has("collar", k) for k in range(4)]
        hang = self.y0 - 0.50 - 0.05 * self.build["nose_y"] - 0.10 * (1 - (bx / neck).square()).clamp_min(0)
        strap = torch.minimum(0.042 - hang.abs(), neck + 0.01 - bx.abs())
        round_light = self.body_light * (0.75 + 0.4 * (1 - (hang / 0.045).square()).clamp(0, 1))
        dyed = hue(self.sitters["collar_hue"], 0.68, 0.78)
        leather = colour(0.42, 0.22, 0.10) * (0.75 + 0.5 * self.of("collar_hue"))
        stitch = 1 + 0.35 * torch.exp(-(((hang.abs() - 0.026) / 0.007) ** 2)) * torch.sin(bx * 90)
        c.paint(worn[1] * leather * stitch + (1 - worn[1]) * dyed, soft(strap) * (1 - worn[0]), round_light)
        disc_r = (bx.square() + (hang - 0.105).square()).add(1e-6).sqrt()
        tag = worn[2] * soft(0.07 - disc_r)
        c.paint(colour(0.92, 0.74, 0.28) * (0.8 + 0.25 * soft(0.05 - disc_r)), tag, self.body_light)
        c.gleam = c.gleam + 0.5 * worn[2] * bump(bx + 0.02, hang - 0.085, 0.022, 0.018)
        frame_d = torch.maximum((bx - 0.13).abs() - 0.005, hang.abs())
        c.paint(colour(0.80, 0.78, 0.74), worn[1] * soft(0.013 - (frame_d - 0.05).abs()), self.body_light * 1.1)
        drape = 0.33 - 0.85 * bx.abs() - hang
        cloth = soft(torch.minimum(torch.minimum(drape, hang + 0.06), neck - bx.abs())) * worn[3]
        dots = soft((torch.sin(bx * 34) * torch.sin(hang * 34) - 0.5) * 0.02)
        folds = 1 + 0.14 * torch.sin(bx * 26 + hang * 9) * (1 - hang / 0.3).clamp(0, 1)
        c.paint(over(dyed, colour(0.96, 0.95, 0.92), 0.85 * dots), cloth, self.body_light * folds)
        hem = torch.exp(-(((drape - 0.02) / 0.010) ** 2))
        c.paint(dyed * 0.55, cloth * hem * 0.7)
        self.strapped = torch.maximum(torch.maximum(soft(strap) * (1 - worn[0]), cloth), tag)

    # Ears -----------------------------------------------------------------------------------------------------------

    def _ear_part(self, table: dict[str, tuple[float, ...]], lift: float) -> _Ear:
        size, spread = self.of("ear_size"), self.of("ear_spread")
        return _ear(table, self.sitters["ears"], self.ue, self.y, (self.a, self.b), size, spread, lift)

    def _ear_light(self, ear: _Ear) -> torch.Tensor:
        bulge = ear.across.clamp(-1, 1) * 0.75
        grain = torch.sin(ear.across * (7 - 2 * self.shaggy) + 3 * torch.sin(ear.along * 6) * self.of("fur_wave")) * (
            0.05 + 0.09 * self.fluff
        )
        nx, ny = self.ear_side * bulge * ear.lean.cos(), bulge * ear.lean.sin()
        return self.lit(nx, ny, (1 - bulge.square()).sqrt()) * (1 + grain * (1 + 0.5 * torch.sin(ear.along * 19)))

    def _ears_behind(self) -> None:
        """The part of the ears that stands behind the head, with the skin and tufts inside it."""
        c, has, soft = self.canvas, self.has, self.soft
        xe = self.x + 0.03 * self.turn
        self.ue, self.ear_side = xe.abs() * (1 + 0.05 * self.turn * torch.sign(xe)), torch.sign(xe)
        ear_mark = has("markings", 2, 6) + has("markings", 3) * (self.ear_side > 0)
        self.ear_colour = over(self.coat * 0.90, self.second * 0.92, ear_mark)
        self.rag = 0.003 + 0.008 * self.fluff
        behind = self._ear_part(EAR_BEHIND, 0.2)
        self.ears_behind = soft(behind.distance + self.rag * torch.sin(behind.along * 17 + 3 * behind.across), 2)
        light = self._ear_light(behind)
        c.paint(self.ear_colour, self.ears_behind, light * 0.92)
        inner = soft((0.62 - (behind.across + 0.12).abs()) * 0.12 - 0.04 * behind.along.clamp_min(0), 4)
        inner = inner * soft(0.86 - behind.along, 14) * soft(behind.distance - 0.012, 2) * has("ears", 0, 1, 4)
        skin = over(self.coat * 0.5, colour(0.80, 0.55, 0.50), 0.55)
        c.paint(skin, inner * 0.85, light * (0.62 + 0.25 * behind.along.clamp(0, 1)))
        tufts = inner * soft(0.42 - behind.along + 0.12 * torch.sin(behind.across * 9), 8)
        c.paint(over(self.coat, colour(1.0, 0.97, 0.92), 0.25), 0.7 * tufts * (0.4 + 0.6 * self.fluff))
        self.flap = self._ear_part(EAR_FLAP, -0.12)

    def _ear_flaps(self) -> None:
        """The part of the ears that hangs before the head."""
        flap = self.flap
        self.ears_before = self.soft(flap.distance + self.rag * torch.sin(flap.along * 19 + 2 * flap.across), 2)
        shaded = self.ear_colour * (0.92 + 0.12 * flap.along.clamp(0, 1))
        self.canvas.paint(shaded, self.ears_before, self._ear_light(flap))

    # Face -----------------------------------------------------------------------------------------------------------

    def _head(self) -> None:
        c, head = self.canvas, self.head
        shadow = torch.sigmoid((self.flap.distance + 0.015) * 45) * 0.45  # of the ears' flaps
        pale = 0.10 * self.soft(self.snout, 10) + 0.06 * bump(
            self.uf - self.spread, self.y - self.eye_y + 0.10, 0.05, 0.03
        )
        self.head_colour = over(over(self.coat, self.coat * 0.88 + 0.12, pale * 5.5), self.second, self.marked)
        c.paint(self.head_colour, head, self.shade * (1 - shadow))
        c.gleam = c.gleam + 0.15 * self.sheen * head * (1 - shadow) * (1 + 4 * self.rough)

    def _mouth(self) -> None:
        """A groove below the nose that parts into two lips; open, a dark space with a tongue."""
        c, has, soft, y, xm, um = self.canvas, self.has, self.soft, self.y, self.xm, self.um
        mw, jaw, drop, nose_y, shade = self.mw, self.jaw, self.drop, self.nose_y, self.shade
        t = um / mw  # 0 in the middle of the mouth, 1 at the muzzle's side
        seam = nose_y + 0.50 * drop + mw * (0.06 + 0.28 * self.jowls) * torch.exp(-(((t - 0.55) / 0.33) ** 2)) * 1.6
        seam = seam - (0.02 + 0.085 * self.of("smile")) * t.square() * (0.5 + 1.2 * mw)
        gape = (1 - (t / 0.74).square()).clamp_min(0).sqrt() * (jaw * 1.45)
        hole = soft(torch.minimum(y - seam, seam + gape - y), 1.3) * soft(0.72 - t, 3) * (jaw > 0)
        c.paint(colour(0.32, 0.08, 0.09), hole, (0.45 + 0.4 * shade).clamp(0, 1.1))
        fang = soft(torch.minimum(0.016 - (t - 0.52).abs() * mw - 0.3 * (y - seam), seam + 0.045 - y)) * hole
        c.paint(colour(0.95, 0.93, 0.88), fang, torch.ones_like(shade))
        out = has("mouth", 2)
        self._tongue(torch.maximum(hole, out * soft(y - seam - 0.3 * jaw)), out)
        lip = torch.exp(-(((y - seam) / 0.011) ** 2)) * soft(0.86 - t, 15)
        lip = torch.maximum(lip, torch.exp(-((xm / 0.009) ** 2)) * soft(torch.minimum(y - nose_y, seam - y)))
        rim = torch.exp(-(((y - seam - gape) / 0.012) ** 2)) * soft(0.70 - t, 8) * (jaw > 0) * (1 - self.tongue)
        c.paint(colour(0.09, 0.06, 0.06), 0.9 * torch.maximum(lip, rim))
        pores = torch.exp(-((((y - nose_y - 0.28 * drop).abs() - 0.02) / 0.010) ** 2)) * (torch.sin(t * 19) ** 2) ** 2
        c.paint(colour(0.10, 0.07, 0.06), 0.35 * pores * torch.exp(-(((t - 0.6) / 0.22) ** 2)) * (1 - hole))

    def _tongue(self, room: torch.Tensor, out: torch.Tensor) -> None:
        """The tongue, where the mask `room` has a place for it; where `out` is 1 it hangs out."""
        c, y, mw, jaw, drop, nose_y = self.canvas, self.y, self.mw, self.jaw, self.drop, self.nose_y
        half = mw * (0.44 + 0.06 * out)
        tip = nose_y + 0.5 * drop + jaw * 1.45 + 0.15 * out
        root = nose_y + 0.5 * drop + 0.35 * jaw + 0.02
        x = self.xm - 0.02 * self.turn * out
        long = (tip - root) * 0.5
        inside = 1 - ((x / half).abs() ** 2.6 + ((y - root - long) / long).abs() ** 2.6).add(1e-6) ** (1 / 2.6)
        self.tongue = self.soft(inside * torch.minimum(half, long)) * (jaw > 0) * room
        ridge = self.lit(
            0.7 * (x / half).clamp(-1, 1),
            0.5 * ((y - root) / (2 * long) - 0.5).clamp(-1, 1),
            torch.full_like(self.um, 0.8),
        )
        c.paint(colour(0.93, 0.45, 0.47), self.tongue, ridge * (0.72 + 0.4 * ((y - root) / (2 * long)).clamp(0, 1)))
        groove = self.tongue * 0.7 * torch.exp(-((x / 0.011) ** 2)) * self.soft(tip - 0.06 - y, 6)
        c.paint(colour(0.62, 0.20, 0.25), groove)
        c.gleam = c.gleam + 0.22 * self.tongue * bump(
            x - 0.3 * half * self.of("light_side"), y - tip + 0.07, 0.03, 0.03
        )

    def _nose(self) -> None:
        """The pad: wide above, with nostrils and a wet highlight."""
        c, xm, um, soft = self.canvas, self.xm, self.um, self.soft
        from_nose = self.y - self.nose_y
        nw = self.build["nose_w"] * self.of("nose_size")
        nh = nw * 0.70
        ny = from_nose / nh
        nose_r = ((xm / (nw * (1 - 0.26 * ny.clamp(-1, 1)))).abs() ** 2.5 + ny.abs() ** 2.5).add(1e-6) ** (1 / 2.5)
        pad = soft((1 - nose_r) * nh)
        slant = (1 - nose_r.clamp(0, 1).square()).clamp_min(0.02).sqrt()
        light = self.lit((xm / nw).clamp(-1, 1) * (1 - slant), ny.clamp(-1, 1) * (1 - 0.6 * slant), slant)
        nose_colour = NOSE[self.sitters["nose_colour"]][:, :, None, None]
        c.paint(nose_colour, pad, light)
        nostril = bump(um - 0.50 * nw, from_nose - 0.12 * nh - 0.5 * (um - 0.5 * nw), 0.25 * nw, 0.26 * nh)
        c.paint(nose_colour * 0.12, pad * (1.5 * nostril).clamp(0, 1))
        c.paint(nose_colour * 0.4, pad * torch.exp(-((xm / 0.008) ** 2)) * soft(ny - 0.1, 20) * 0.8)
        gloss = bump(xm - 0.30 * nw * self.of("light_side"), from_nose + 0.50 * nh, 0.40 * nw, 0.20 * nh)
        c.gleam = c.gleam * (1 - pad) + 0.50 * gloss * pad

    def _eyes(self) -> None:
        """Dark rims, an iris that nearly fills them, pupil, highlight, lids."""
        c, y, soft, eye, shade = self.canvas, self.y, self.soft, self.eye, self.shade
        ew, eh = 0.070 * eye * (1 - 0.10 * self.turn * self.side), 0.054 * eye
        ex = self.uf - self.spread
        ey = y - self.eye_y + ex * self.of("eye_slant")
        s = (ex / ew).square()
        heavy = 1.08 - 0.36 * self.brow
        top, bottom = ey + eh * heavy * (1 - s), eh * 0.85 * (1 - s) - ey
        almond = torch.minimum(top, bottom)
        c.paint(colour(0.06, 0.045, 0.045), soft(almond + 0.014), 0.4 + 0.5 * shade)
        ball = soft(almond)
        c.gleam = c.gleam * (1 - soft(almond + 0.014))
        c.paint(colour(0.70, 0.66, 0.63), ball, 0.30 + 0.5 * shade)
        self._iris(ball, ex, ey, torch.exp(-((top / (0.35 * eh)) ** 2)))
        lid = torch.exp(-(((top + 0.032) / 0.012) ** 2)) * (1.2 - s).clamp(0, 1)
        c.paint(self.head_colour * 0.55, 0.5 * lid)

    def _iris(self, ball: torch.Tensor, ex: torch.Tensor, ey: torch.Tensor, under_lid: torch.Tensor) -> None:
        """Iris, pupil and highlights on the mask `ball`; ex, ey: places from the eye's middle, outwards and down."""
        c, of, soft = self.canvas, self.of, self.soft
        gx = self.side * ex - (0.026 * of("gaze") + 0.008 * self.turn) * self.build["eye"] * self.form.eyes
        gy = ey
        r = (gx.square() + gy.square()).add(1e-8).sqrt()
        iris_r = 0.061 * self.eye
        iris_colour = IRIS[self.sitters["eye_colour"]][:, :, None, None]
        rings = 0.62 + 0.62 * (1 - ((r / iris_r - 0.62) / 0.5).square()).clamp(0, 1) + 0.25 * (gy / iris_r).clamp(-1, 1)
        c.paint(iris_colour * rings, ball * soft(iris_r - r), 0.72 + 0.25 * self.shade)
        c.paint(colour(0.05, 0.03, 0.03), ball * torch.exp(-(((r - iris_r) / (0.12 * iris_r)) ** 2)) * 0.8)
        c.paint(colour(0.02, 0.02, 0.025), ball * soft(iris_r * 0.52 - r))
        c.paint(colour(0.03, 0.02, 0.02), 0.55 * ball * under_lid)
        glint = soft(
            0.24 * iris_r
            - ((gx - 0.34 * iris_r * of("light_side")).square() + (gy + 0.42 * iris_r).square()).add(1e-8).sqrt(),
            1.3,
        )
        c.gleam = c.gleam + 0.92 * glint * ball + 0.10 * ball * bump(gx, gy - 0.5 * iris_r, 0.5 * iris_r, 0.25 * iris_r)

    def _layers(self) -> Portrait:
        c, head, body = self.canvas, self.head, self.body
        ears = 1 - (1 - self.ears_behind * (1 - head)) * (1 - self.ears_before)
        darker = ((self.coat.mean(1, keepdim=True) - self.second.mean(1, keepdim=True)) * 8).clamp(0, 1)
        marks = torch.maximum(self.marked * head, self.marked_body * body * (1 - head) * (1 - self.strapped))
        hair = torch.maximum(ears, darker * marks)
        whole = 1 - (1 - head) * (1 - self.ears_behind) * (1 - self.ears_before)
        figure = 1 - (1 - whole) * (1 - body) * (1 - self.strapped) * (1 - self.tongue)
        albedo = c.albedo.clamp(0, 1)
        rgb = (albedo * c.light + c.gleam).clamp(0, 1)
        return Portrait(rgb, albedo, c.light.clamp(0, 1.5), figure, whole, hair)


def draw_dogs(sitters: Sitters, size: int, form: Form) -> Portrait:
    """Draw a batch of dogs: light, coat, features, collar and background, `size` samples a side.

    Masks are soft over about one sample. Of the form only `eyes` and `head` act: a dog has its own ears and muzzle.
    """
    return _Painter(sitters, size, form).draw()
