"""`convert`: writes a generator as a file of another format."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..generators.files import write_generator
from ..models.catalog import load_generator
from ..storage import folders
from ..storage.paths import as_path, is_folder
from .command import Command
from .progress import TransferBar


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help="a generator's name or file, or an adapted domain's folder")
    add("--out", required=True, metavar="FILE", help="ends in .safetensors (ours) or .pt (rosinality's)")


def _run(options: argparse.Namespace) -> None:
    out = as_path(options.out)
    if out.suffix not in (".safetensors", ".pt") or is_folder(out):  # before anything is fetched
        raise InputError(f"Generators are written as .safetensors or .pt: give --out such a file, not {out}.")
    folders.check_writable_file(out)
    with TransferBar() as transfers:
        generator = load_generator(options.model, progress=transfers.show)
    write_generator(generator, out)
    print(f"{out}: {generator.config.resolution}×{generator.config.resolution}")


COMMAND = Command("write a generator in another format", _options, _run)
