"""Runs an inversion: loads what it needs, and wraps the loops of `generators.invert` in stopping, previews and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from torch import Tensor

from ..devices import usable_device
from ..generators.invert import (
    Encoder,
    LatentSearch,
    Perceptual,
    PictureLoss,
    PivotalTuning,
    at_resolution,
    search_latent,
    tune_generator,
    view_of,
)
from ..generators.portrait import Decision, PortraitSearch, decide, notes_of, search_sitter
from ..methods.config import InvertConfig
from ..models.catalog import load_encoder, load_generator, starting_encoder
from ..pictures.media import to_uint8
from .modes import own_modes
from .steps import InvertResult, Pictures, Step
from .time_left import TimeLeft
from .wrappers import Guarded, in_own_modes, timed, with_pictures


def invert(
    config: InvertConfig,
    picture: Tensor,
    stop: threading.Event | None = None,
    preview_interval: float = 1.0,
    *,
    encoder: Encoder | None = None,
    perceptual: Perceptual | None = None,
) -> Iterator[Step | InvertResult]:
    """Finds the latent of `picture`; yields a Step for each step, then the InvertResult.

    picture: (1, 3, H, W) in [-1, 1], a square, cut as the generator's own pictures are; any size.
    stop: set it, from any thread, to end after the step under way; the result then says stopped="asked" and carries
        what has been reached.
    preview_interval: seconds between two renewals of the pictures, more where drawing them takes long (see
        `wrappers.seconds_between`); the first step and the result always carry them. Never changes the result.
    encoder: gives the start, whatever the configuration says of it.
    perceptual: the perceptual term, instead of the one that the configuration names.

    Tuning goes on for `tune_further` steps where the picture is still farther off than `tune_until`. Numbers that stop
    being finite end the run with stopped="not finite" and what was reached before. The same settings give
    bit-identical results on the same machine's CPU. A photo that becomes a studio portrait, see `portrait.decide`, has
    no tuning, and as many steps as there are groups of areas whose colours are compared.
    Raises InputError, on the first step, for models that can't be used, ValueError for a picture or an encoder's guess
    of the wrong shape.
    """
    began = time.perf_counter()
    device = usable_device(config.device)
    with own_modes(device):
        decision = decide(config, picture) if encoder is None else Decision("pixels", "Where to begin is given.")
        generator = load_generator(config.model, config.device)
        target = at_resolution(picture.to(device), generator.config.resolution)
        as_portrait = decision.aim == "portrait"
        if encoder is None and not as_portrait:
            name = starting_encoder(config.model, config.start, config.encoder)
            encoder = None if name is None else load_encoder(name, config.model, generator.config, config.device)
        loss = PictureLoss(config, target, perceptual or view_of(config))
        sitter = PortraitSearch(config, generator, target) if as_portrait else None
        search = sitter or LatentSearch(config, generator, loss, encoder)
    tuning: PivotalTuning | None = None
    tunes, steps = config.tune and not as_portrait, sitter.steps if sitter else config.steps
    before = to_uint8(target)

    def draw() -> Tensor:
        return search.draw(tuning.tuned if tuning else generator)

    def first_round() -> Iterator[Step]:
        nonlocal tuning
        yield from search_sitter(sitter) if sitter else search_latent(config, search)
        if tunes:
            tuning = PivotalTuning(config, generator, loss, search)
            yield from tune_generator(config, tuning, config.tune_steps)

    def wrapped(guarded: Guarded, time_left: TimeLeft) -> Iterator[Step]:
        shown = with_pictures(guarded, lambda step: Pictures(before, to_uint8(draw())), preview_interval)
        return in_own_modes(timed(shown, began, time_left), device)

    def far_off() -> bool:
        with own_modes(device):
            return loss.distances(draw())["perceptual"] > config.tune_until

    plan = {"latent": steps, **({"tuning": config.tune_steps} if tunes else {})}
    guarded = Guarded(first_round(), sum(plan.values()), stop)
    yield from wrapped(guarded, TimeLeft(plan, {"tuning": 1.5 * search.seconds_a_step} if tunes else {}))
    done, total = guarded.done, config.tune_steps if tuning else steps
    if tuning is not None and guarded.stopped is None and config.tune_further and far_off():
        total += config.tune_further
        guarded = Guarded(tune_generator(config, tuning, config.tune_further), config.tune_further, stop)
        yield from wrapped(guarded, TimeLeft({"tuning": config.tune_further}))

    with own_modes(device):
        image = draw()
        distances = loss.distances(image)
    yield InvertResult(
        step=tuning.steps if tuning and tuning.steps else done.get("latent", 0),
        total=total,
        pictures=Pictures(before, to_uint8(image)),
        weights=tuning.changed_weights() if tuning else {},
        seconds=time.perf_counter() - began,
        stopped=guarded.stopped,
        latent=search.latent(),
        distances=distances,
        notes=notes_of(decision, sitter),
    )
