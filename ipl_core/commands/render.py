"""`render`: an array of latents → an array of images, to compare a generator with another program's."""

from __future__ import annotations

import argparse

from ..drawing.rendering import SPACES, read_latents, render
from ..errors import InputError
from ..models.catalog import load_generator
from ..storage import folders
from ..storage.paths import as_path, is_folder
from ..storage.values import MAX_PSI
from ..storage.values import number as checked_number
from .command import Command
from .options import add_device, chosen_device, number
from .progress import TransferBar


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="PATH_OR_NAME",
        help="a generator's name or file, or an adapted domain's folder",
    )
    add("--latents", required=True, metavar="FILE.npy", help="z (B, z_dim), w (B, w_dim) or W+ (B, layers, w_dim)")
    add("--space", required=True, choices=SPACES, help="what the latents are")
    add("--psi", type=number, default=1.0, help="truncation of w: 0 the mean picture, 1 none (%(default)s)")
    add_device(parser)
    add("--out", required=True, metavar="FILE.npy", help="images, float32 (B, 3, H, W), about [-1, 1], unclipped")


def _run(options: argparse.Namespace) -> None:
    psi = checked_number(options.psi, "Truncation (--psi)", 0, MAX_PSI)
    out = as_path(options.out)
    if out.suffix.lower() != ".npy" or is_folder(out):
        raise InputError(f"The images are written as a NumPy array: give --out a file ending in .npy, not {out}.")
    folders.check_writable_file(out)
    with TransferBar() as transfers:
        generator = load_generator(options.model, chosen_device(options.device), transfers.show)
    latents = read_latents(options.latents, options.space, generator.config)
    shape = render(generator, latents, options.space, out, psi)
    print(f"{out}: {'×'.join(map(str, shape))}")


COMMAND = Command("draw an array of latents to an array of images", _options, _run)
