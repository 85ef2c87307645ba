"""`resume`: trains a kept run for more steps of stage 2."""

from __future__ import annotations

import argparse

from ..library.find_or_run import resumed_run
from ..storage import folders
from .adapt import written
from .command import Command
from .library import named_entry
from .options import RUN_FOLDER, number
from .progress import StepBar, stop_on_interrupt


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("entry", metavar="ENTRY", help="its name in the library, or the path of its folder")
    add("--steps", type=number, required=True, help="how many more steps of stage 2")
    add("--out", required=True, metavar="DIR", help=RUN_FOLDER)


def _run(options: argparse.Namespace) -> int:
    entry = named_entry(options.entry)
    folders.check_writable(options.out)
    with stop_on_interrupt() as stop, StepBar() as bar:
        resumed = resumed_run(entry, options.steps, stop, bar.show, options.out)
    before = resumed.run.resumed
    how = "with the state of its training" if before.exactly else "from its weights, with a fresh optimiser"
    print(f"Went on after step {before.step} {how}.")
    return written(resumed, options.out)


COMMAND = Command("train a kept run for more steps; exactly, if its state was kept too", _options, _run)
