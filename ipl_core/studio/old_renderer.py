"""Attributes → shaded portraits: a height field for the face, soft masks for everything else.

Vectorised over the batch in plain torch; lengths are in half pictures (x right, y down, both in [−1, 1]).
Knows the people and their form, nothing about domains' looks, words or networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .attributes import People

SKIN = torch.tensor(
    [
        [0.98, 0.84, 0.75],
        [0.93, 0.75, 0.62],
        [0.84, 0.62, 0.47],
        [0.68, 0.46, 0.32],
        [0.47, 0.30, 0.20],
        [0.29, 0.18, 0.13],
    ]
)
HAIR = torch.tensor(
    [
        [0.07, 0.06, 0.07],
        [0.20, 0.12, 0.08],
        [0.38, 0.24, 0.14],
        [0.45, 0.18, 0.09],
        [0.74, 0.30, 0.10],
        [0.88, 0.70, 0.36],
        [0.93, 0.90, 0.80],
        [0.16, 0.34, 0.78],
    ]
)
#: Half the side of the picture in the units of lengths: below 1 the camera is closer.
FRAME = 0.78
IRIS = torch.tensor(
    [[0.30, 0.17, 0.08], [0.66, 0.42, 0.10], [0.20, 0.50, 0.22], [0.18, 0.42, 0.80], [0.48, 0.54, 0.58]]
)


@dataclass(frozen=True)
class Form:
    """How a domain bends the person's form; the defaults leave it alone.

    eyes: factor on eye size. iris: factor on the iris within the eye. head: factor on head size.
    ears: length of pointed ears in half pictures (0 = round). muzzle: height of a snout, 0–1.
    fur: how much of the skin is covered by fur, 0–1. nose: factor on nose size.
    hollow: how far cheeks and sockets sink, 0–1. skin: a colour (r, g, b) that takes the skin's place,
    with `skin_share` of it; the skin's lightness is kept.
    eye_white: colour of the eyeball; glow: how far the iris gives way to it, 0–1.
    """

    eyes: float = 1.0
    iris: float = 1.0
    head: float = 1.0
    ears: float = 0.0
    muzzle: float = 0.0
    fur: float = 0.0
    nose: float = 1.0
    hollow: float = 0.0
    skin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    skin_share: float = 0.0
    eye_white: tuple[float, float, float] = (0.95, 0.94, 0.92)
    glow: float = 0.0


AS_THEY_ARE = Form()


@dataclass(frozen=True)
class Portrait:
    """A rendered batch with the layers that style domains draw from.

    rgb: (B, 3, H, W) in [0, 1]. albedo: the same without light. light: shading (B, 1, H, W), about 0–1.3.
    person, head, hair: soft masks (B, 1, H, W). lines: contours of form and features (B, 1, H, W) in [0, 1].
    """

    rgb: torch.Tensor
    albedo: torch.Tensor
    light: torch.Tensor
    person: torch.Tensor
    head: torch.Tensor
    hair: torch.Tensor
    lines: torch.Tensor


def hue(h: torch.Tensor, saturation: float, value: torch.Tensor | float) -> torch.Tensor:
    """Hue h (B,) in turns → colour (B, 3, 1, 1) in [0, 1]."""
    offsets = torch.tensor([5.0, 3.0, 1.0])
    k = (offsets + 6 * h[:, None]) % 6
    value = value[:, None] if isinstance(value, torch.Tensor) else value
    return (value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1))[:, :, None, None]


def _ramp(colours: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Linear walk through a colour table: t (B,) in [0, 1] → (B, 3, 1, 1)."""
    position = t.clamp(0, 1) * (len(colours) - 1)
    low = position.floor().long().clamp(max=len(colours) - 2)
    part = (position - low)[:, None]
    return (colours[low] * (1 - part) + colours[low + 1] * part)[:, :, None, None]


def _bump(x: torch.Tensor, y: torch.Tensor, sx: float | torch.Tensor, sy: float | torch.Tensor) -> torch.Tensor:
    return torch.exp(-((x / sx) ** 2) - (y / sy) ** 2)


def _over(below: torch.Tensor, colour: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    return below + (colour - below) * alpha


def _slope(field: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Central differences of (B, 1, H, W) in units of height per half picture."""
    scale = field.shape[-1] / (4 * FRAME)
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


def render(people: People, resolution: int = 64, form: Form = AS_THEY_ARE, supersample: int = 2) -> Portrait:
    """Draw a batch of people: light, skin, hair, features, clothes and background.

    Masks are soft over about one sample; `supersample` draws at that multiple and averages down.
    """
    portrait = _draw(people, resolution * supersample, form)
    if supersample == 1:
        return portrait
    return Portrait(**{name: F.avg_pool2d(layer, supersample) for name, layer in vars(portrait).items()})


def _draw(people: People, size: int, form: Form) -> Portrait:
    def of(name: str) -> torch.Tensor:
        return people[name].float()[:, None, None, None]

    count = len(people)
    axis = ((torch.arange(size) + 0.5) * (2 / size) - 1) * FRAME
    y0, x0 = (t[None, None].expand(count, 1, size, size) for t in torch.meshgrid(axis, axis, indexing="ij"))

    def soft(distance: torch.Tensor, blur: float = 1.0) -> torch.Tensor:
        """Signed distance, positive inside → coverage, about one sample wide."""
        return torch.sigmoid(distance * (size / FRAME / blur))

    # Head frame: roll about the neck, then a shift for the features that yaw moves.
    tilt, turn = of("tilt"), of("turn")
    cos, sin = tilt.cos(), tilt.sin()
    x = cos * x0 + sin * (y0 - 0.6)
    y = cos * (y0 - 0.6) - sin * x0 + 0.6 + 0.06
    shift = 0.055 * turn
    a, b = of("face_width") * form.head, of("face_length") * form.head
    age, hollow = of("age"), form.hollow

    # Face outline: an ellipse whose width narrows towards the chin.
    below = (y / b).clamp(0, 1.2)
    width = a * (1 - of("jaw") * 0.55 * below**2)
    radius = ((x - 0.25 * shift) / width).square() + (y / b).square()
    head = soft((1 - radius.add(1e-6).sqrt()) * a)
    xf = x - shift  # features follow the turn of the head

    # Height field: half-ellipsoid and the forms on it.
    eye_y, mouth_y = -0.09 * b / 0.52, 0.27 * b / 0.52
    spread = of("eye_distance") * (0.6 + 0.4 * form.eyes) * form.head
    nose_w, nose_l = of("nose_width") * form.nose, of("nose_length") * form.nose
    nose_tip = eye_y + 0.03 + nose_l
    smile, lips = of("smile"), of("lip_fullness")
    left, right = xf + spread, xf - spread
    height = 0.5 * (1 - radius).clamp_min(0).add(1e-3).sqrt()
    bridge = ((y - eye_y) / nose_l).clamp(0, 1)
    height = height + 0.10 * form.nose * bridge * _bump(
        xf - 0.03 * turn * bridge, y - nose_tip + nose_l * 0.4, 0.045 * nose_w, nose_l * 0.75
    )
    height = height + 0.05 * _bump(xf - 0.04 * turn, y - nose_tip, 0.06 * nose_w, 0.05)
    for side in (-1, 1):
        height = height + 0.02 * _bump(xf - 0.06 * side * nose_w - 0.03 * turn, y - nose_tip - 0.012, 0.03, 0.03)
        height = height - (0.05 + 0.05 * hollow) * _bump(xf - side * spread, y - eye_y, 0.09, 0.065)
        height = height + 0.03 * _bump(xf - side * spread, y - eye_y + 0.09, 0.11, 0.035)
        height = height + (0.035 + 0.02 * smile.clamp_min(0) - 0.09 * hollow) * _bump(
            xf - side * 0.2, y - 0.12, 0.09, 0.09
        )
        # Nasolabial folds and lines of age.
        fold = xf.abs() - (0.075 * nose_w + 0.5 * (y - nose_tip).clamp_min(0))
        height = height - 0.012 * (age + 0.5 * smile.clamp_min(0)) * torch.exp(-((fold / 0.02) ** 2)) * _bump(
            xf * 0, y - nose_tip - 0.07, 1.0, 0.07
        )
    height = height + 0.035 * lips * _bump(xf, y - mouth_y, 0.11, 0.05) + 0.03 * _bump(xf, y - 0.8 * b, 0.1, 0.06)
    height = height - 0.006 * age * torch.cos((y + 0.3) * 75) * _bump(xf, y + 0.3 * b / 0.52, 0.2, 0.08)
    if form.muzzle:
        height = height + 0.16 * form.muzzle * _bump(xf - 0.05 * turn, y - 0.5 * (nose_tip + mouth_y), 0.15, 0.16)

    # Light: Lambert and a soft highlight from one side, with some sky light from above.
    zx, zy = _slope(height)
    nz = torch.rsqrt(1 + zx.square() + zy.square())
    azimuth, elevation = of("light_side") * 1.1, of("light_height")
    lx, ly, lz = azimuth.sin() * elevation.cos(), -elevation.sin(), azimuth.cos() * elevation.cos()
    lambert = ((-zx * lx - zy * ly + lz) * nz).clamp_min(0)
    half = torch.rsqrt(lx.square() + ly.square() + (lz + 1).square())
    gloss = ((-zx * lx - zy * ly + lz + 1) * nz * half).clamp_min(0) ** 24
    shade = 0.42 + 0.76 * lambert + 0.10 * (zy * nz).clamp(0, 1)
    flat = 0.66 + 0.4 * (0.5 + 0.5 * (lx * x0 - ly * 0.4))  # light on what is not the face

    # Colours of the person.
    warmth = people["skin_warmth"].float()[:, None] * torch.tensor([0.02, -0.005, -0.025])
    skin = (_ramp(SKIN, people["skin_tone"]) + warmth[:, :, None, None]).clamp(0, 1)
    if form.skin_share:
        lightness = skin.mean(1, keepdim=True)
        tint = torch.tensor(form.skin)[None, :, None, None]
        skin = _over(skin, (tint * (0.45 + 0.9 * lightness)).clamp(0, 1), torch.tensor(form.skin_share))
    grey = ((people["age"] - 0.66) * 2.4).clamp(0, 0.8)[:, None, None, None]
    hair_colour = _over(HAIR[people["hair_colour"]][:, :, None, None], torch.full((1, 3, 1, 1), 0.74), grey)
    iris_colour = IRIS[people["eye_colour"]][:, :, None, None]

    # Background: a lit wall.
    wall = hue(people["background_hue"], 0.45, people["background_light"])
    spot = _bump(x0 - 0.5 * of("light_side"), y0 + 0.2, 1.1, 1.1)
    albedo = wall.expand(count, 3, size, size)
    light = (0.78 + 0.4 * spot).expand(count, 1, size, size)
    gleam = torch.zeros_like(light)

    def paint(colour: torch.Tensor, alpha: torch.Tensor, lighting: torch.Tensor | None = None) -> None:
        nonlocal albedo, light, gleam
        albedo = _over(albedo, colour, alpha)
        if lighting is not None:
            light = _over(light, lighting, alpha)
            gleam = gleam * (1 - alpha)

    def has(name: str, *labels: int) -> torch.Tensor:
        """1 where the attribute is one of the labels' indices, 0 elsewhere, (B, 1, 1, 1)."""
        return sum((people[name] == k).float() for k in labels)[:, None, None, None]

    # Hair texture: strands along the head's contour, curls as a lattice of rings.
    angle = torch.atan2(x, -(y + 0.15))
    reach = ((x / a).square() + ((y + 0.02) / b).square()).add(1e-6).sqrt()
    curly = has("hair_cut", 5)
    strands = 0.5 + 0.5 * torch.sin(angle * 34 + 5 * torch.sin(reach * 5 + angle * 2))
    curls = 0.5 + 0.5 * torch.sin(x * 42 + 2 * torch.sin(y * 30)) * torch.sin(y * 42 + 2 * torch.sin(x * 30))
    texture = 0.25 + 0.6 * _over(strands, curls, curly)
    sheen = torch.exp(-(((reach - 1.0 + 0.25 * (angle - 0.8 * of("light_side")).abs()) / 0.13) ** 2))
    hair_light = flat * (0.72 + 0.38 * texture) + 0.45 * sheen * (0.5 + 0.5 * texture) * (1 - 0.5 * curly)

    # Behind the head: bob, long and curly hair.
    ragged = 0.035 * curly * torch.sin(angle * 13) + 0.01 * torch.sin(angle * 23)
    fall = has("hair_cut", 3) * 0.42 + has("hair_cut", 4) * 1.3
    outer = (
        ((x / (a * (1.22 + 0.22 * curly))).square() + ((y + 0.08) / (b * (1.16 + 0.12 * curly))).square())
        .add(1e-6)
        .sqrt()
    )
    cap_back = (1 - outer + ragged) * a
    sides = torch.minimum(a * 1.2 - x.abs() + 0.01 * torch.sin(y * 20), fall - 0.12 - (y - 0.02))
    back = soft(torch.where(y > 0.0, torch.maximum(sides, cap_back * curly - (1 - curly)), cap_back), 2)
    back = back * has("hair_cut", 3, 4, 5)
    paint(hair_colour * 0.75, back, hair_light * 0.8)

    # Neck and clothes.
    neck = soft(torch.minimum(0.62 * a - (x - 0.1 * shift).abs(), y0 - 0.2 * b))
    paint(skin, neck, flat * (0.62 + 0.25 * ((y0 - 0.45) / 0.3).clamp(0, 1)))
    shoulder = 0.66 + 0.42 * (x0.abs() / 0.95) ** 2.2 - 0.06 * torch.exp(-(((x0.abs() - 0.3) / 0.15) ** 2))
    collar = (0.14 - (x0 / 0.28).square() * 0.14).clamp_min(0)
    clothes = soft(y0 - shoulder - collar, 1.5)
    fold = 0.9 + 0.12 * torch.sin(x0 * 11 + 4 * y0) * (x0.abs() * 1.4).clamp(0, 1)
    paint(hue(people["clothes_hue"], 0.55, 0.62), clothes, flat * fold)

    # Ears, round or pointed.
    for side in (-1, 1):
        ex, ey = x - side * (a * 0.98) - 0.15 * shift, y - 0.02
        round_ear = 1 - ((ex / 0.055).square() + (ey / 0.105).square()).add(1e-6).sqrt()
        ear = soft(round_ear * 0.06)
        if form.ears:
            along = side * ex + 0.05
            tip = 1 - (along / (0.12 + form.ears)).clamp(-0.5, 1.2)
            blade = 0.085 * tip - (ey + 0.05 + 0.75 * along).abs()
            ear = torch.maximum(ear, soft(torch.minimum(blade, torch.minimum(along + 0.02, form.ears - along + 0.12))))
        ear_light = shade.mean((2, 3), keepdim=True) * 0 + flat * (0.75 + 0.25 * side * of("light_side"))
        paint(
            skin * torch.tensor([0.97, 0.90, 0.88])[None, :, None, None],
            ear * (1 - has("hair_cut", 3, 4) * 0.85 * (form.ears == 0)),
            ear_light,
        )

    # The face itself, redder where blood is near.
    blush = _bump(xf.abs() - 0.2, y - 0.12, 0.1, 0.08) + 0.7 * _bump(xf, y - nose_tip, 0.06, 0.05)
    face = skin * (
        1 + (0.35 if not form.skin_share else 0.1) * 0.3 * blush * torch.tensor([0.6, -0.5, -0.4])[None, :, None, None]
    )
    paint(face, head, shade)
    gleam = gleam + 0.22 * gloss * head
    if form.fur:
        coat = hair_colour.clamp(0.12, 0.75)
        fur_light = shade * (
            0.70
            + 0.5
            * (0.5 + 0.5 * torch.sin(angle * 26 + 3 * torch.sin(y * 17)))
            * (0.6 + 0.4 * torch.sin(y * 48 + 6 * x.abs()))
        )
        bare = 0.75 * _bump(xf, y - eye_y, 0.2, 0.06) + 0.5 * _bump(
            xf - 0.05 * turn, y - 0.5 * (nose_tip + mouth_y), 0.1, 0.1
        )
        paint(coat, head * form.fur * (1 - bare).clamp(0, 1), fur_light)
        gleam = gleam * (1 - form.fur)

    # Beard and moustache grow before the lips are drawn, so that the mouth stays free.
    bearded, moustached = has("beard", 2), has("beard", 1, 2)
    jawline = soft(torch.minimum(y - 0.10 - 0.35 * (a - xf.abs()).clamp_min(0) * 0.9, y * 0 + 1.0), 6) * soft(
        (1.12 - radius.sqrt()) * a, 2
    )
    around = 1 - 0.9 * _bump(xf, y - mouth_y, 0.13, 0.045)
    strand = 0.8 + 0.3 * torch.sin(xf * 60 + 3 * torch.sin(y * 25))
    paint(hair_colour, 0.85 * bearded * jawline * around, shade * strand)
    lip_top = mouth_y - 0.055
    whisk = soft(torch.minimum(0.032 - (y - lip_top - 1.6 * xf.square()).abs(), 0.15 - xf.abs()), 2)
    paint(hair_colour, 0.9 * moustached * whisk, shade * strand)

    # Mouth: two lips that meet in a line bent by the smile.
    mx = of("mouth_width")
    t = (xf - 0.03 * turn) / mx
    inside = (1 - t.square()).clamp_min(0)
    seam = mouth_y + 0.045 * smile * (0.5 - t.square())
    upper = inside.sqrt() * 0.030 * lips * (1 - 0.25 * torch.exp(-((t / 0.16) ** 2)))
    lower = inside.sqrt() * 0.042 * lips
    gap = y - seam
    lip = soft(torch.minimum(torch.minimum(gap + upper, lower - gap), (1 - t.abs()) * 0.3), 1.5)
    lip_colour = skin * torch.tensor([0.88, 0.56, 0.55])[None, :, None, None]
    paint(_over(lip_colour, lip_colour * 0.82, (gap < 0).float()), lip * 0.9, shade * 1.02)
    line = torch.exp(-((gap / 0.011) ** 2)) * soft((1.08 - t.abs()) * 0.2, 2)
    paint(skin * 0.25, line * 0.85)
    if form.muzzle:
        nose_pad = soft((1 - ((xf - 0.06 * turn) / 0.085).square() - ((y - nose_tip) / 0.05).square()) * 0.05)
        paint(torch.full((1, 3, 1, 1), 0.07), nose_pad * form.muzzle, shade)
        for side in (-1, 1):
            fang = soft(torch.minimum(0.02 - (xf - side * 0.07 - 0.03 * turn).abs() - 0.25 * gap, gap))
            paint(torch.full((1, 3, 1, 1), 0.95), fang * soft(0.06 - gap), shade * 0 + 1)
    for side in (-1, 1):  # nostrils
        paint(
            skin * 0.35,
            0.6
            * _bump(xf - side * 0.035 * nose_w - 0.04 * turn, y - nose_tip - 0.028, 0.016, 0.011)
            * (1 - form.muzzle),
        )

    # Eyes: an almond of white, iris, pupil, highlight, lids and lashes.
    eye_w, eye_h = 0.082 * of("eye_size") * form.eyes, 0.040 * of("eye_size") * form.eyes
    for side, ex in ((-1, left), (1, right)):
        ey = y - eye_y + side * ex * of("eye_slant") * 0.6
        s = (ex / eye_w).square()
        top, bottom = ey + eye_h * (1 - s), eye_h * 0.72 * (1 - s) - ey
        eye = soft(torch.minimum(top, bottom))
        white = torch.tensor(form.eye_white)[None, :, None, None]
        paint(white, eye, 0.45 + 0.5 * shade)
        gleam = gleam * (1 - eye)
        gx, gy = ex - 0.2 * eye_w * turn, ey + 0.05 * eye_h
        r = (gx.square() + gy.square()).add(1e-8).sqrt()
        iris_r = 0.042 * of("eye_size") * form.eyes * form.iris
        iris = soft(iris_r - r) * eye * (1 - form.glow)
        paint(iris_colour * (0.75 + 0.5 * (r / iris_r).clamp(0, 1)), iris, 0.6 + 0.35 * shade)
        paint(torch.full((1, 3, 1, 1), 0.03), soft(iris_r * 0.48 - r) * eye * (1 - 0.7 * form.glow))
        glint = soft(0.30 * iris_r - ((gx + 0.35 * iris_r).square() + (gy + 0.4 * iris_r).square()).add(1e-8).sqrt())
        gleam = gleam + 0.9 * glint * eye * (1 - form.glow)
        lash = torch.exp(-((top / 0.013) ** 2)) * (s < 1.25).float() * (1 - 0.3 * s).clamp(0, 1)
        paint(skin * 0.18, lash * 0.9)
        paint(skin * 0.62, torch.exp(-(((top + 0.028 * form.eyes) / 0.012) ** 2)) * (s < 1.0).float() * 0.55)
        paint(
            skin * 0.7,
            (0.15 + 0.45 * age + 0.4 * hollow) * torch.exp(-(((bottom + 0.025) / 0.018) ** 2)) * (s < 1.1).float(),
        )
        # Brow: a bent band, thinning outwards.
        bx = side * ex
        arch = eye_y - 0.105 - 0.035 * (form.eyes - 1) + 0.9 * (bx - 0.01).square() - of("brow_angle") * bx * 0.55
        thick = 0.020 * of("brow_thickness") * (1 - 0.35 * (bx / 0.1))
        brow = soft(torch.minimum(thick - (y - arch).abs(), 0.105 - bx.abs()), 2)
        paint(hair_colour * 0.7, brow * 0.9)

    # Hair in front: hairline by cut, above the forehead.
    crown = soft(
        (
            1
            - ((x / (a * (1.09 + 0.25 * curly))).square() + ((y + 0.05) / (b * (1.12 + 0.16 * curly))).square())
            .add(1e-6)
            .sqrt()
            + ragged
        )
        * a,
        1.5,
    )
    part = -0.30 * b / 0.52
    line_short = part - 0.05 + 0.75 * x.square() * 2.2
    line_fringe = part + 0.10 + 0.02 * torch.sin(x * 45) - 0.05 * (x / a).square()
    line_side = part - 0.11 + 0.5 * (x - 0.12).abs() + 1.7 * (x - 0.05).square()
    line_curly = part + 0.02 + 0.03 * torch.sin(x * 28) + 0.9 * x.square()
    hairline = (
        has("hair_cut", 1) * line_short
        + has("hair_cut", 2) * line_fringe
        + has("hair_cut", 3, 4) * line_side
        + curly * line_curly
    )
    curtain = (
        has("hair_cut", 3, 4)
        * soft(torch.minimum(x.abs() - a * 0.80, fall - 0.14 - y), 2)
        * soft(a * 1.19 - x.abs(), 2)
        * soft(y + 0.32, 3)
    )
    front = torch.maximum(crown * soft(hairline - y, 2.5), curtain) * (1 - has("hair_cut", 0))
    stubble = has("hair_cut", 0) * crown * 0.10
    paint(hair_colour, torch.maximum(front, stubble), hair_light)
    gleam = gleam * (1 - front)
    hair = torch.maximum(front, back * (1 - head))

    # Glasses: two rims, a bridge, temples and a faint reflection.
    worn = has("glasses", 1)
    rim_x, rim_y = 0.118 * (0.55 + 0.45 * form.eyes), 0.085 * (0.55 + 0.45 * form.eyes)
    for ex in (left, right):
        d = ((ex / rim_x).abs() ** 3 + ((y - eye_y - 0.01) / rim_y).abs() ** 3).add(1e-6) ** (1 / 3)
        paint(torch.full((1, 3, 1, 1), 0.07), worn * soft(0.014 - ((d - 1) * rim_y).abs(), 1.5))
        gleam = gleam + 0.10 * worn * soft((1 - d) * rim_y) * soft(0.02 - (ex + y * 0.7 + 0.05).abs(), 3)
    bar = soft(torch.minimum(0.012 - (y - eye_y + 0.01).abs(), spread - rim_x - xf.abs()), 1.5)
    temple = soft(
        torch.minimum(0.012 - (y - eye_y + 0.02).abs(), torch.minimum(xf.abs() - spread - rim_x, a * 1.02 - x.abs())),
        1.5,
    )
    paint(torch.full((1, 3, 1, 1), 0.07), worn * torch.maximum(bar, temple))

    # Hat: a knitted cap with a turned-up edge.
    hatted = has("hat", 1)
    dome = soft((1 - ((x / (a * 1.16)).square() + ((y + 0.10) / (b * 1.16)).square()).add(1e-6).sqrt()) * a, 1.5)
    rim_at = part - 0.03 + 0.12 * (x / a).square() * -1
    cap = dome * soft(rim_at - y)
    band = cap * soft(y - rim_at + 0.13)
    ribs = 0.85 + 0.2 * torch.sin(x * 50)
    hat_colour = hue((people["clothes_hue"] + 0.45) % 1, 0.6, 0.68)
    paint(
        _over(hat_colour, hat_colour * 0.75, band),
        hatted * cap,
        flat * ribs * (0.75 + 0.35 * lambert.mean((2, 3), keepdim=True)),
    )
    gleam = gleam * (1 - hatted * cap)
    hair = hair * (1 - hatted * cap)

    person = torch.stack([head, neck, clothes, hair, hatted * cap]).amax(0)
    rgb = (albedo * light + gleam).clamp(0, 1)
    contour = (
        edges(albedo) * (size / 64) * 1.6 + edges(person) * (size / 64) * 0.8 + edges(height * head) * (size / 64) * 1.2
    ).clamp(0, 1)
    return Portrait(rgb, albedo.clamp(0, 1), light.clamp(0, 1.5), person, head, hair, contour)
