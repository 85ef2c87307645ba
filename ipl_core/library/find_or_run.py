"""Finds a run or an inversion that is kept, or else makes and keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..drawing.framing import fitted
from ..errors import InputError
from ..methods import guidance
from ..methods.config import AdaptConfig, InvertConfig
from ..metrics.kept_attributes import identity_similarity
from ..models import catalog
from ..pictures.faces import Crop, Face, choose_crop
from ..pictures.media import to_float
from ..running.adapting import adapt, open_guides
from ..running.inverting import invert
from ..running.steps import AdaptResult, InvertResult, Result, Step
from ..storage import folders
from . import inversions, store

LARGEST_FITTED = 256  # pixels a side of a generator that a crop is fitted with: larger ones would take minutes


def finished_run(
    config: AdaptConfig,
    stop: threading.Event | None = None,
    watch: Callable[[Step | Result], None] | None = None,
    out: str | None = None,
) -> store.Entry:
    """The library's entry for `config`, after running it if it isn't there.

    stop: see `adapt`; a stopped run is kept too and is what comes back. watch: called with each step and the result.
    out: a folder that will get a copy, and the run itself where the library's disk is full at its end.
    Raises InputError for what can't be run or written, before the first step where that can be known.
    """
    folders.check_writable(store.runs_folder())
    entry = store.find(config)
    if entry is not None:
        return entry
    store.check_room(config, out)
    return _run(store.Run(config), adapt(config, stop, preview_interval=float("inf")), watch, out)


def resumed_run(
    entry: store.Entry,
    steps: int,
    stop: threading.Event | None = None,
    watch: Callable[[Step | Result], None] | None = None,
    out: str | None = None,
) -> store.Entry:
    """The library's entry for a run that goes on from `entry` for `steps` more steps; see `store.continuation`.

    stop, watch, out: as in `finished_run`. Raises InputError for what can't be gone on with.
    """
    folders.check_writable(store.runs_folder())
    config, start = store.continuation(entry, steps)
    store.check_room(config, out)
    run = store.Run(config, goes_on=entry)
    return _run(run, adapt(config, stop, preview_interval=float("inf"), start=start), watch, out)


def _run(
    run: store.Run,
    updates: Iterator[Step | AdaptResult],
    watch: Callable[[Step | Result], None] | None,
    out: str | None,
) -> store.Entry:
    for update in updates:
        run.add(update)
        if watch is not None:
            watch(update)
    return run.save(out)


def crop_for(
    model: str, picture: Image.Image, mode: str = "auto", face: int = 1, found: Sequence[Face] | None = None
) -> Crop:
    """Where to cut `picture` for the generator `model`; see `choose_crop`.

    A face is put where the generator has its faces, and a small generator with an encoder says which crop near there
    it draws best (see `framing`); for one that draws no faces, "auto" is the centre square.
    """
    known = catalog.generators().get(model)
    if mode == "auto" and known is not None and not known.faces:
        return replace(choose_crop(picture, "center"), note=f"“{model}” draws no faces: the centre square is taken.")
    crop = choose_crop(picture, mode, face, found)
    if not crop.face or known is None:
        return crop
    crop = crop.moved(**known.framing)
    encoder = catalog.starting_encoder(model)
    if encoder is None or known.resolution is None or known.resolution > LARGEST_FITTED:
        return crop
    generator = catalog.load_generator(model)
    return fitted(crop, picture, generator, catalog.load_encoder(encoder, model, generator.config))


def inversion(
    config: InvertConfig,
    aligned: Tensor,
    name: str = "picture",
    crop: Crop | None = None,
    stop: threading.Event | None = None,
    preview_interval: float = 1.0,
    out: str | None = None,
    folder: Path | None = None,
    whose: str = "",
    search: Callable[..., Iterator[Step | InvertResult]] | None = None,
) -> Iterator[Step | InvertResult | inversions.Inverted]:
    """Inverts a picture: what `invert` yields, then the inverted picture as it is kept; that alone if it was before.

    aligned: uint8 (1, R, R, 3), cut for the model. name, crop: noted with it. stop, preview_interval: see
    `invert`; a stopped inversion is kept too. out: a folder that will get a copy, and the inversion itself where the
    disk of the people is full at its end. Closing the iterator ends it and keeps nothing. Where the model has a
    judge, it measures the likeness. folder: where it is looked for and kept, if not in the folder of people. whose:
    see `inversions.inversion_key`. search: takes the place of `invert`. Raises InputError for what can't
    be run or written, before the first step where that can be known.
    """
    folders.check_writable(folder or inversions.people_folder())
    found = inversions.find(config, aligned, folder, whose)
    if found is not None:
        yield found
        return
    inversions.check_room(config, out, folder)
    made = inversions.Inversion(config, aligned, name, crop, whose)
    last = None
    with closing((search or invert)(config, to_float(aligned), stop, preview_interval)) as updates:
        for last in updates:
            made.add(last)
            yield last
    likeness = identity_similarity(config.model, aligned, last.pictures.after)
    yield inversions.keep(made.result(likeness), out, folder=folder)


def finished_inversion(
    config: InvertConfig,
    aligned: Tensor,
    name: str = "picture",
    crop: Crop | None = None,
    stop: threading.Event | None = None,
    watch: Callable[[Step | Result], None] | None = None,
    out: str | None = None,
) -> inversions.Inverted:
    """The kept inversion of a picture, after making it if it isn't there; see `inversion`.

    watch: called with each step and with the result.
    """
    inverted = None
    for update in inversion(config, aligned, name, crop, stop, float("inf"), out):
        if isinstance(update, inversions.Inverted):
            inverted = update
        elif watch is not None:
            watch(update)
    return inverted


def readings(entry: store.Entry, seeds: Sequence[int], psi: float | None = None) -> dict[int, str]:
    """What the prompts of a run say of these people, by seed: words of its vocabulary, the weightiest first.

    psi: truncation at which the people are looked at; None for that of the run's previews. Raises InputError for an
    entry that no run made, for one whose prompts say nothing in words, and of a finished model, which keeps no learned
    prompts, for other people than the run's own.
    """
    if not entry.from_run:
        raise InputError(f"“{entry.title}” was {entry.made_by}, so it has no prompts to read.")
    if entry.shipped and entry.config.learns:
        return _kept_readings(entry, seeds, psi)
    source = catalog.load_generator(entry.config.model)
    guides, _ = open_guides(replace(entry.config, device="cpu"), source)
    guidance.take_prompts(guides, store.learned_prompts(entry))
    found = guidance.readings(guides, source, seeds, entry.config.preview_psi if psi is None else psi)
    if found is None:
        raise InputError(_no_words(entry))
    return found


def _kept_readings(entry: store.Entry, seeds: Sequence[int], psi: float | None) -> dict[int, str]:
    """The readings that a run noted of its own people."""
    said = entry.readings
    if not said:
        raise InputError(_no_words(entry))
    if psi not in (None, entry.config.preview_psi) or any(seed not in said for seed in seeds):
        raise InputError(
            f"Of “{entry.name}”, which comes with the app, only what was read of the seeds "
            f"{', '.join(map(str, said))} at truncation {entry.config.preview_psi:g} is kept: ask for these."
        )
    return {seed: said[seed] for seed in seeds}


def _no_words(entry: store.Entry) -> str:
    return (
        f"The prompts of “{entry.title}” say nothing in words: adapt by IPL with --prompts words, or with "
        "--method described."
    )
