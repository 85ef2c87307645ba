"""Options that several commands share: how they are read from the command line, checked and explained."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..devices import choose_device
from ..errors import InputError
from ..fields import Setting, settings
from ..storage.paths import as_path, is_folder
from ..storage.words import quoted

AUTO_DEVICE = "cpu, cuda, cuda:1, mps, or auto for the fastest there is (%(default)s)"
CRITIC = "name of a CLIP model or path of its folder; left out, the model's own"
RUN_FOLDER = "folder for the weights, pictures, settings and history"


def number(text: str) -> float:
    """A number as typed, an int where it is whole; the configuration checks its range. For argparse's `type`."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def add_settings(parser: argparse.ArgumentParser, kind: type, but: Collection[str] = ()) -> None:
    """An option for each setting of the configuration `kind` that has one, except for those called `but`."""
    for name, setting in settings(kind).items():
        if setting.option and name not in but:
            _add_setting(parser, setting)


def _add_setting(parser: argparse.ArgumentParser, setting: Setting) -> None:
    default = None if setting.left_out else setting.default
    facts = {"dest": setting.name, "help": setting.described.replace("%", "%%")}
    if setting.kind == "flag" and default is False:
        parser.add_argument(setting.option, action="store_true", **facts)
    elif setting.kind == "flag":
        parser.add_argument(setting.option, action=argparse.BooleanOptionalAction, default=default, **facts)
    else:
        kind = number if setting.kind in ("whole", "number") else None
        parser.add_argument(setting.option, type=kind, default=default, **facts)


def given_settings(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The settings of the configuration `kind` that the options give, by name; those left open are left out."""
    given = {name: getattr(options, name, None) for name in settings(kind)}
    return {name: value for name, value in given.items() if value is not None}


def add_device(parser: argparse.ArgumentParser) -> None:
    """The option --device; `chosen_device` reads it."""
    parser.add_argument("--device", default="cpu", help=AUTO_DEVICE)


def add_picture(parser: argparse.ArgumentParser) -> None:
    """The options --columns and --out of a command that writes one PNG; `columns` and `png_path` read them."""
    parser.add_argument("--columns", type=number, help="pictures in a row; left out, as square as it can be")
    add_device(parser)
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture to write")


def chosen_device(name: str) -> str:
    """The device that a person named; for "auto" the fastest one, with the reason on the error stream."""
    if name != "auto":
        return name
    device, why = choose_device()
    print(f"Device: {device} ({why}).", file=sys.stderr)
    return device


def columns(options: argparse.Namespace) -> int | None:
    """The value of --columns, None if left out. Raises InputError for anything but a whole number from 1."""
    if options.columns is None:
        return None
    if not (options.columns >= 1 and options.columns == int(options.columns)):
        raise InputError(f"Columns must be a whole number of at least 1, not {options.columns:g}.")
    return int(options.columns)


def png_path(options: argparse.Namespace) -> Path:
    """The value of --out. Raises InputError unless it can be the name of a PNG."""
    path = as_path(options.out)
    if path.suffix.lower() != ".png" or is_folder(path):
        raise InputError(
            f"The picture is written as PNG: give --out a file that ends in .png, not {quoted(options.out)}."
        )
    return path


def split(text: str) -> list[str]:
    """The items of a list that is separated by commas."""
    return [item.strip() for item in text.split(",")]
