"""`adapt`: adapts a generator to a domain that is named in words, and writes the run to a folder."""

from __future__ import annotations

import argparse

from ..clip.vocabulary import LISTS, MAX_TEXT
from ..errors import InputError
from ..fields import settings
from ..library import domain_folder, store
from ..library.find_or_run import finished_run
from ..methods.config import AdaptConfig
from ..models import catalog
from ..storage import folders, stored
from ..storage.paths import as_path, is_file
from ..storage.words import quoted, reason
from .command import Command
from .options import RUN_FOLDER, add_device, add_settings, chosen_device, given_settings
from .progress import WHY_STOPPED, StepBar, TransferBar, exit_status, stop_on_interrupt


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", help=settings(AdaptConfig)["target"].help)
    add_settings(parser, AdaptConfig, but=("device",))
    add_device(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help=RUN_FOLDER)


def _run(options: argparse.Namespace) -> int:
    config = _config(options)
    # Everything that can be refused is refused before the first step.
    folders.check_writable(options.out)
    with TransferBar() as transfers:
        catalog.find_generator(config.model, transfers.show)
        catalog.fetch_critic(config.critic or catalog.critic_of(config.model), transfers.show)
    if store.find(config) is not None:
        print("This run exists already.")
    with stop_on_interrupt() as stop, StepBar() as bar:
        entry = finished_run(config, stop, bar.show, options.out)
    return written(entry, options.out)


def _config(options: argparse.Namespace) -> AdaptConfig:
    """The run that is asked for; what was left out suits the model and its CLIP model."""
    if options.source is None:
        known = catalog.generators().get(options.model)
        options.source = known.source if known else "photo"
    options.device = chosen_device(options.device)
    options.vocabulary = _vocabulary(options.vocabulary)
    for name, value in catalog.suited_to(options.critic or catalog.critic_of(options.model)).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return AdaptConfig(**given_settings(options, AdaptConfig))


def _vocabulary(given: str) -> str:
    """The text of --vocabulary: the name of a list, a list, or what the file of that name holds."""
    if given in ("auto", *LISTS) or not is_file(given):
        return given
    try:
        return stored.read_text(as_path(given), 4 * MAX_TEXT)  # a character of UTF-8 has at most four bytes
    except (OSError, ValueError) as error:  # ValueError: the file is not UTF-8, or too long
        raise InputError(
            f"The file {quoted(given)} can't be read as a vocabulary: {reason(error)}. Give a text file in UTF-8."
        ) from error


def written(entry: store.Entry, out: str) -> int:
    """Copies an entry's files to the folder `out` and prints their paths; gives the exit status."""
    run = entry.run
    if not entry.finished:
        why = WHY_STOPPED[run.stopped]
        print(f"Stopped {why} after {run.generator_steps} of {run.config.steps} steps; what was reached is kept.")
    if entry.left_out:
        print(entry.left_out)
    try:
        folder = store.export(entry, out)
    except InputError as error:
        raise InputError(f"{error} The run is kept in the library, as {entry.name}.") from error
    print(f"{entry.title}: {folder / domain_folder.ADAPTED}, {folder / domain_folder.SAMPLES_PICTURE}")
    return exit_status(run.stopped)


COMMAND = Command("adapt a generator to a domain named in words", _options, _run)
