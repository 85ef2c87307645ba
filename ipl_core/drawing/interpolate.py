"""Animations, frame by frame: a path through people in one model, or from domain to domain at one person.

People are seeds or inverted pictures. A path between latents follows great circles in Z or straight lines in W (W+ if
it includes inverted pictures); a path between domains mixes weights. This module makes frames; `media` writes them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..latents import latents_from_seeds, lerp, slerp
from ..library import store
from ..library.inversions import Inverted
from ..pictures.media import to_uint8
from ..storage.values import MAX_PSI as MAX_PSI
from ..storage.values import choice, truncation, whole
from .mixing import Mixer, Share
from .people_by_seed import SeedPerson

SPACES = ("z", "w")
MAX_FRAMES = 600
MAX_POINTS = 64
MAX_BYTES = 2**30  # limit for all frames of an animation, which are in memory while it is written

#: The position on a segment at time t, both 0 to 1; all but the even one slow down at each point.
EASINGS: dict[str, Callable[[float], float]] = {
    "smooth": lambda t: t * t * (3 - 2 * t),
    "slow": lambda t: t**3 * (t * (6 * t - 15) + 10),
    "even": lambda t: t,
}

#: A seed, drawn with the walk's truncation; a person by seed with a truncation of its own; or an inverted picture.
Person = int | SeedPerson | Inverted


@dataclass(frozen=True)
class Walk:
    """The settings of a path.

    frames: of the whole animation. loop: whether to return to the first point, whose frame isn't repeated. easing: one
    of EASINGS. space: "z" (only for seeds) or "w". psi: truncation of the seeds; 0 gives the mean picture, 1 none.
    Raises InputError for other values.
    """

    frames: int = 48
    loop: bool = True
    easing: str = "smooth"
    space: str = "w"
    psi: float = 0.7

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", whole(self.frames, "Frames", 2, MAX_FRAMES))  # the class is frozen
        choice(self.easing, "Easing", EASINGS)
        choice(self.space, "The space of a path", SPACES)
        truncation(self.psi)

    def positions(self, points: int) -> list[tuple[int, int, float]]:
        """For each frame: the numbers of its two neighbouring points, and its position between them, 0 to 1.

        Raises InputError for fewer than two points, more than 64, or more than there are frames.
        """
        if not 2 <= points <= MAX_POINTS:
            raise InputError(
                f"A path goes through 2 to {MAX_POINTS} points; {points} {'is' if points == 1 else 'are'} given."
            )
        if self.frames < points:
            raise InputError(f"A path through {points} points takes at least {points} frames, not {self.frames}.")
        stretches = points if self.loop else points - 1
        last = self.frames if self.loop else self.frames - 1
        found = []
        for frame in range(self.frames):
            stretch, rest = divmod(frame * stretches, last)
            if stretch == stretches:  # the end of an open path
                stretch, rest = stretch - 1, last
            found.append((stretch, (stretch + 1) % points, EASINGS[self.easing](rest / last)))
        return found


@dataclass(frozen=True)
class Frame:
    """One picture of an animation, uint8 (H, W, 3) on the CPU; W is 2 H if the source is shown on the left.

    number counts from 1 to total. seconds: since the first frame was requested. remaining: estimated seconds left.
    """

    number: int
    total: int
    picture: Tensor
    seconds: float
    remaining: float


def through_people(
    mixer: Mixer,
    people: Sequence[Person],
    walk: Walk,
    domains: Sequence[Share] = (),
    side_by_side: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Frame]:
    """Frames of a path through `people`, drawn by the mixer's source generator or by a mix of `domains`.

    The tuned weights and the noise of inverted pictures are interpolated along the path. side_by_side: whether to show
    the source on the left of each frame. stop: set it, from any thread, to end after the current frame.
    Raises InputError, before the first frame, if the path can't be drawn.
    """
    _room_for(walk, mixer, side_by_side)
    positions = walk.positions(len(people))
    if side_by_side and not domains:
        raise InputError("Side by side shows the source beside an adapted model: choose an adapted model, or one side.")
    points = [_point(mixer, person, walk) for person in people]
    shares = mixer.weights(
        domains
    )  # checked before the first frame; used for all frames unless people have tuned weights

    def draw(start: int, end: int, t: float) -> Tensor:
        one, other = points[start], points[end]
        w, noise = _between(mixer, one, other, t, walk), _noise_between(mixer, one, other, t)
        tuned = [(point.tuned, share) for point, share in ((one, 1 - t), (other, t)) if point.tuned]
        weights = mixer.weights(domains, tuned) if tuned else shares
        sides = [mixer.weights(tuned=tuned), weights] if side_by_side else [weights]
        return _beside([mixer.draw(w, side, noise) for side in sides])

    return _frames(draw, positions, stop)


def through_domains(
    mixer: Mixer,
    person: Person,
    domains: Sequence[store.Entry | None],
    walk: Walk,
    side_by_side: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Frame]:
    """Frames of one person moving from domain to domain; None stands for the source itself.

    The rest as in `through_people`.
    """
    _room_for(walk, mixer, side_by_side)
    positions = walk.positions(len(domains))
    point = _point(mixer, person, walk)
    w, noise = _between(mixer, point, point, 0.0, walk), _noise_between(mixer, point, point, 0.0)
    tuned = [(point.tuned, 1.0)]
    mixer.weights([(entry, 1.0) for entry in domains if entry is not None])  # checked before the first frame
    source = mixer.draw(w, mixer.weights(tuned=tuned), noise) if side_by_side else None

    def draw(start: int, end: int, t: float) -> Tensor:
        ends = ((domains[start], 1 - t), (domains[end], t))
        weights = mixer.weights([(entry, share) for entry, share in ends if entry is not None], tuned)
        drawn = mixer.draw(w, weights, noise)
        return _beside([drawn] if source is None else [source, drawn])

    return _frames(draw, positions, stop)


def described(
    mixer: Mixer,
    people: Sequence[Person],
    walk: Walk,
    domains: Sequence[Share] = (),
    side_by_side: bool = False,
) -> dict[str, Any]:
    """The content of an animation as JSON-able values, for the settings inside its file."""
    names = [_noted(person) for person in people]
    return {"people": names, **asdict(walk), "side by side": side_by_side, **mixer.described(domains)}


def _noted(person: Person) -> int | str:
    if isinstance(person, Inverted):
        return person.name
    return str(person) if isinstance(person, SeedPerson) else person


# ----------------------------------------------------------------------------------------------------------------------
# Points and interpolation


@dataclass(frozen=True)
class _Point:
    """A person as input of the mixer's generator: z (1, z_dim), or w_plus (1, rows, w_dim) of an inverted picture."""

    z: Tensor | None
    w_plus: Tensor
    noise: tuple[Tensor, ...]
    tuned: dict[str, Tensor]


@torch.no_grad()
def _point(mixer: Mixer, person: Person, walk: Walk) -> _Point:
    source = mixer.source
    if isinstance(person, Inverted):
        if person.record.model_sha256 != mixer.model_sha256:
            raise InputError(
                f"“{person.name}” was inverted with another model than “{mixer.model}”: choose people of that model."
            )
        if walk.space == "z":
            raise InputError(f"“{person.name}” is an inverted picture and has no z: choose the space w.")
        noise = tuple(one.to(source.device) for one in person.noise)
        return _Point(None, person.w_plus.to(source.device), noise, mixer.fitted(person.tuned, person.name))
    if isinstance(person, SeedPerson):
        if person.model != mixer.model:
            raise InputError(
                f"“{person.name}” was drawn by the model “{person.model}”, not “{mixer.model}”: choose people of that."
            )
        if walk.space == "z":
            raise InputError(f"“{person.name}” has a truncation of their own, so no z: choose the space w.")
        return _Point(None, person.w_plus(source).to(source.device), (), {})
    z = latents_from_seeds([person], source.config.z_dim).to(source.device)
    return _Point(z, source.to_w_plus(source.truncate(source.mapping(z), walk.psi)), (), {})


@torch.no_grad()
def _between(mixer: Mixer, one: _Point, other: _Point, t: float, walk: Walk) -> Tensor:
    if walk.space == "w":
        return lerp(one.w_plus, other.w_plus, t)
    return mixer.source.truncate(mixer.source.mapping(slerp(one.z, other.z, t)), walk.psi)


@torch.no_grad()
def _noise_between(mixer: Mixer, one: _Point, other: _Point, t: float) -> list[Tensor] | str:
    if not one.noise and not other.noise:
        return "const"
    own = tuple(mixer.source.synthesis.noise.buffers())
    return [lerp(start, end, t) for start, end in zip(one.noise or own, other.noise or own)]


# ----------------------------------------------------------------------------------------------------------------------
# Frames


def _room_for(walk: Walk, mixer: Mixer, side_by_side: bool) -> None:
    edge = mixer.source.config.resolution
    most = MAX_BYTES // (3 * edge * edge * (2 if side_by_side else 1))
    if walk.frames > most:
        raise InputError(f"{walk.frames} frames of {edge}×{edge} pixels don't fit in memory: give at most {most}.")


def _beside(images: Sequence[Tensor]) -> Tensor:
    """Images (1, 3, R, R) side by side as uint8 (R, n R, 3)."""
    return torch.cat([to_uint8(image)[0] for image in images], dim=1)


def _frames(
    draw: Callable[[int, int, float], Tensor],
    positions: Sequence[tuple[int, int, float]],
    stop: threading.Event | None,
) -> Iterator[Frame]:
    began, total = time.perf_counter(), len(positions)
    for number, position in enumerate(positions, start=1):
        if stop is not None and stop.is_set():
            return
        picture = draw(*position)
        seconds = time.perf_counter() - began
        yield Frame(number, total, picture, seconds, seconds / number * (total - number))
