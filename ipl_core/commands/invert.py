"""`invert`: finds the latent whose picture comes nearest to a photo, and writes it to a folder."""

from __future__ import annotations

import argparse

from PIL import Image

from ..errors import InputError
from ..generators.portrait import decide
from ..library import inversions
from ..library.find_or_run import crop_for, finished_inversion
from ..library.inversions import start_words
from ..methods.config import InvertConfig
from ..models import catalog
from ..pictures.faces import Crop, cut
from ..pictures.media import to_float, to_uint8
from ..pictures.reading import read_picture
from ..storage import folders
from ..storage.words import file_words, readable
from .command import Command
from .options import add_device, add_settings, chosen_device, given_settings, number
from .progress import WHY_STOPPED, StepBar, TransferBar, exit_status, stop_on_interrupt


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("picture", metavar="PHOTO", help="a PNG, JPEG or WebP picture")
    add("--out", required=True, metavar="DIR", help="folder for the latent, pictures, settings and history")
    add("--crop", default="auto", help="auto: by the face; center: the centre square; none: cut already (%(default)s)")
    add("--face", type=number, default=1, help="which face, where there are several; 1 is the largest")
    add("--move", default="0,0", metavar="RIGHT,DOWN", help="move the crop, in its own sides (%(default)s)")
    add("--zoom", type=number, default=1.0, help="scale the crop; above 1 the face grows (%(default)s)")
    add("--turn", type=number, default=0.0, help="turn the crop, degrees clockwise (%(default)s)")
    add("--name", type=readable, help="what to call it; left out, the file's name")
    add_settings(parser, InvertConfig, but=("device",))
    add_device(parser)


def _run(options: argparse.Namespace) -> int:
    options.device = chosen_device(options.device)
    config = InvertConfig(**given_settings(options, InvertConfig))
    picture, crop = _cropped(options, config.model)
    folders.check_writable(options.out)
    print(crop.note)
    _fetch(config)
    aligned = to_uint8(cut(picture, crop, catalog.load_generator(config.model).config.resolution))
    decision = decide(config, to_float(aligned))
    print(decision.why)
    if decision.aim == "pixels":
        print(start_words(config))
    name = options.name or file_words(options.picture, "picture")
    with stop_on_interrupt() as stop, StepBar() as bar:
        inverted = finished_inversion(config, aligned, name, crop, stop, bar.show, options.out)
    return _written(inverted, options.out)


def _cropped(options: argparse.Namespace, model: str) -> tuple[Image.Image, Crop]:
    """The picture that is asked for, and the square of it that the generator is to draw."""
    if not isinstance(options.face, int):
        raise InputError(f"Which face: give a whole number from 1, not {options.face}.")
    try:
        right, down = (float(part) for part in options.move.split(","))
    except ValueError:
        raise InputError(f"Move the crop by two numbers, such as 0.1,-0.05, not {options.move!r}.") from None
    picture = read_picture(options.picture)
    found = crop_for(model, picture, options.crop, options.face)
    return picture, found.moved(right, down, options.zoom, options.turn)


def _fetch(config: InvertConfig) -> None:
    """Fetches the generator and the encoder from the hub where they aren't here."""
    with TransferBar() as transfers:
        catalog.find_generator(config.model, transfers.show)
        encoder = catalog.starting_encoder(config.model, config.start, config.encoder)
        if encoder is not None:
            catalog.find_encoder(encoder, transfers.show)


def _written(inverted: inversions.Inverted, out: str) -> int:
    """Copies an inversion to the folder `out` and prints its figures; gives the exit status."""
    search = inverted.record.origin
    stopped = search.stopped
    if stopped is not None:
        why = WHY_STOPPED[stopped]
        print(f"Stopped {why} after {search.latent_steps} steps of the latent and {search.tuning_steps} of tuning.")
    try:
        kept = inversions.save(inverted, out)
    except InputError as error:
        raise InputError(f"{error} The inversion is kept with the people, as {inverted.path.name}.") from error
    figures = {**inverted.record.distances, "identity": inverted.record.identity}
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None))
    if (sitter := inverted.settings.get("sitter")) is not None:
        print("It shows: " + ", ".join(f"{name} {trait['word']}" for name, trait in sitter.items()) + ".")
        print("Where that is wrong, say what is right by --sitter, such as --sitter hair_cut=bun,glasses=none.")
    print(kept.path / inversions.INVERTED)
    return exit_status(stopped)


COMMAND = Command("find the latent of a picture", _options, _run)
