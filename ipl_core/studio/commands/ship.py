"""`ship`: makes the finished models that come with the app from runs of the library."""

from __future__ import annotations

import argparse

from ...commands.command import Command
from ...commands.library import named_entry
from ...library import shipped
from ..ship import described, ship


def _options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(out=shipped.folder())
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="a name in the library, or the path of a folder")
    add("--bits", type=int, default=shipped.BITS, help="bits of each number, 2 to 8 (%(default)s)")
    add("--samples", type=int, default=200, help="samples to measure, as evaluate does (%(default)s)")


def _run(options: argparse.Namespace) -> None:
    samples = 4 if options.smoke else options.samples
    for shipment in ship([named_entry(run) for run in options.runs], options.out, options.bits, samples):
        print(described(shipment), flush=True)


COMMAND = Command(
    "make finished models that come with the app, from runs of the library: DOMAIN-METHOD", _options, _run
)
