"""`sample`: draws seeds from a generator or an adapted domain, as one picture."""

from __future__ import annotations

import argparse

from ..drawing.sampling import draw
from ..latents import parse_seeds
from ..models.catalog import load_generator
from ..pictures.media import grid, save_png
from ..storage import folders
from ..storage.values import MAX_PSI
from ..storage.values import number as checked_number
from .command import Command
from .options import add_picture, chosen_device, columns, number, png_path
from .progress import TransferBar


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="DIR", help="folder that `adapt` wrote, or the name of a finished model, or a generator")
    add("--seeds", default="0-15", help="seeds of the pictures, such as 0-15,20 (%(default)s)")
    add("--psi", type=number, default=0.7, help="truncation: 0 the mean face, 1 none (%(default)s)")
    add_picture(parser)


def _run(options: argparse.Namespace) -> None:
    seeds = parse_seeds(options.seeds)
    checked_number(options.psi, "Truncation (--psi)", 0, MAX_PSI)
    in_a_row = columns(options)
    path = png_path(options)
    folders.check_writable_file(path)
    with TransferBar() as transfers:
        generator = load_generator(options.model, chosen_device(options.device), transfers.show)
    images = draw(generator, seeds, options.psi)
    note = {"generator": options.model, "seeds": list(seeds), "psi": options.psi}
    save_png(grid(images, in_a_row), path, note)
    print(path)


COMMAND = Command("draw pictures from an adapted generator", _options, _run)
