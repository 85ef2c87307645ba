"""`invert`: finds the latent whose picture comes nearest to a photo, and writes it to a folder."""

from __future__ import annotations

import argparse
from dataclasses import fields

from PIL import Image

from ..errors import InputError
from ..library import inversions as people
from ..library.inversions import start_words
from ..library.runs import crop_for, finished_inversion
from ..methods.config import INVERT_PRESETS, STARTS, VIEWS, InvertConfig
from ..models import catalog
from ..pictures.faces import Crop, cut
from ..pictures.media import to_uint8
from ..pictures.reading import read_picture
from ..storage import folders
from ..storage.words import file_words, readable
from .command import Command
from .options import CRITIC, add_device, chosen_device, number
from .progress import WHY_STOPPED, StepBar, TransferBar, exit_status, stop_on_interrupt


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("picture", metavar="PHOTO", help="a PNG, JPEG or WebP picture")
    add("--model", default="studio", help="name of a generator or path of its file (%(default)s)")
    add("--critic", help=CRITIC)
    add("--out", required=True, metavar="DIR", help="folder for the latent, pictures, settings and history")
    add("--preset", default="good", help=f"fewer or more steps: {', '.join(INVERT_PRESETS)} (%(default)s)")
    add("--space", help="w: one latent for all layers; w+: one for each")
    add(
        "--start",
        default="auto",
        help=f"where the search begins: {', '.join(STARTS)}; auto is the encoder where one is here",
    )
    add("--encoder", help="name of an encoder or path of its file; left out, the model's own")
    add(
        "--view",
        default="critic",
        help=f"which features compare pictures: {', '.join(VIEWS)}; critic is the CLIP model (%(default)s)",
    )
    add("--tune", action=argparse.BooleanOptionalAction, default=None, help="tune the generator after the search")
    add("--noise", action=argparse.BooleanOptionalAction, default=None, help="optimise the noise maps too")
    add("--crop", default="auto", help="auto: by the face; center: the centre square; none: cut already (%(default)s)")
    add("--face", type=number, default=1, help="which face, where there are several; 1 is the largest")
    add("--move", default="0,0", metavar="RIGHT,DOWN", help="move the crop, in its own sides (%(default)s)")
    add("--zoom", type=number, default=1.0, help="scale the crop; above 1 the face grows (%(default)s)")
    add("--turn", type=number, default=0.0, help="turn the crop, degrees clockwise (%(default)s)")
    add("--name", type=readable, help="what to call it; left out, the file's name")
    add("--seed", type=number, default=0, help="seed of all random numbers (%(default)s)")
    add_device(parser)
    for name, words in _NUMBERS.items():
        add(f"--{name.replace('_', '-')}", type=number, help=words)


_NUMBERS = {
    "steps": "steps of the latent",
    "starts": "random latents to try beside the mean latent, when the start is random",
    "learning_rate": "Adam's rate for the latent",
    "pixel": "weight of pixels",
    "multiscale": "weight of coarser scales",
    "perceptual": "weight of the distance of features, see --view",
    "mean_pull": "pull to the mean latent",
    "row_pull": "pull between the rows of w+",
    "noise_pull": "weight of the term that keeps noise maps noise",
    "tune_steps": "steps of tuning",
    "tune_further": "further steps of tuning where the distance of features is still above --tune-until",
    "tune_until": "distance of features that is near enough",
    "tune_rate": "Adam's rate for tuning",
    "locality": "weight of the term that keeps other latents' pictures as they were",
}


def _run(options: argparse.Namespace) -> int:
    options.device = chosen_device(options.device)
    given = {field.name: getattr(options, field.name, None) for field in fields(InvertConfig)}
    config = InvertConfig(**{name: value for name, value in given.items() if value is not None})
    picture, crop = _cropped(options, config.model)
    folders.check_writable(options.out)
    print(crop.note)
    _fetch(config)
    print(start_words(config))
    aligned = to_uint8(cut(picture, crop, catalog.load_generator(config.model).config.resolution))
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


def _written(inverted: people.Inverted, out: str) -> int:
    """Copies an inversion to the folder `out` and prints its figures; gives the exit status."""
    stopped = inverted.settings["stopped"]
    if stopped is not None:
        steps = inverted.settings["steps"]
        why = WHY_STOPPED[stopped]
        print(f"Stopped {why} after {steps['latent']} steps of the latent and {steps['tuning']} of tuning.")
    try:
        kept = people.save(inverted, out)
    except InputError as error:
        raise InputError(f"{error} The inversion is kept with the people, as {inverted.path.name}.") from error
    figures = {**inverted.settings["distances"], "identity": inverted.settings["identity"]}
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None))
    print(kept.path / people.INVERTED)
    return exit_status(stopped)


COMMAND = Command("find the latent of a picture", _options, _run)
