"""`restyle`: draws an inverted picture in adapted domains, side by side or mixed."""

from __future__ import annotations

import argparse

import torch

from ..drawing.restyle import Restyler
from ..errors import InputError
from ..library import inversions
from ..pictures.media import labelled, save_png, to_uint8
from ..storage import folders
from .command import Command
from .library import named_entry
from .options import add_picture, chosen_device, columns, number, png_path


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inverted", metavar="DIR", help="folder that `invert` wrote")
    add("targets", metavar="TARGET_DIR", nargs="+", help="folders that `adapt` wrote, or names in the library")
    add(
        "--strength",
        type=number,
        default=1.0,
        help="strength of the domain: 0 the inversion as it is, 1 the domain (%(default)s)",
    )
    add("--mix", metavar="WEIGHTS", help="draw one picture of all domains together, such as 0.5,0.5")
    add_picture(parser)


def _run(options: argparse.Namespace) -> None:
    in_a_row = columns(options)
    path = png_path(options)
    folders.check_writable_file(path)
    entries = [named_entry(target) for target in options.targets]
    restyler = Restyler(inversions.load(options.inverted), chosen_device(options.device))
    inverted = restyler.inverted
    if options.mix is None:
        mixes = [[(entry, options.strength)] for entry in entries]
    else:
        mixes = [list(zip(entries, _mix_weights(options.mix, len(entries), options.strength)))]
    drawn, labels = [inverted.aligned, inverted.picture], ["picture", "inverted"]
    for mix in mixes:
        drawn.append(to_uint8(restyler.draw(mix)))
        labels.append(" + ".join(entry.target for entry, _ in mix))
    note = {"picture": inverted.name, "domains": labels[2:], "strength": options.strength, "mix": options.mix}
    save_png(labelled(torch.cat(drawn), labels, in_a_row), path, note)
    print(path)


def _mix_weights(text: str, count: int, strength: float) -> list[float]:
    """The weights of a mix of `count` domains, multiplied by `strength`."""
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    if len(weights) != count:
        raise InputError(f"A mix needs a number for each of the {count} domains, such as 0.5,0.5; got {text!r}.")
    return [weight * strength for weight in weights]


COMMAND = Command("draw an inverted picture in adapted domains", _options, _run)
