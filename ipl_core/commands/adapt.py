"""`adapt`: adapts a generator to a domain that is named in words, and writes the run to a folder."""

from __future__ import annotations

import argparse
from dataclasses import fields

from ..clip.vocabulary import LISTS, MAX_TEXT
from ..errors import InputError
from ..library import domain_folder
from ..library import store as library
from ..library.runs import finished_run
from ..methods.config import LAYER_GROUPS, MEMORY, PRECISIONS, PRESETS, AdaptConfig
from ..methods.prompts import CONTRASTIVE_FORMS, RESIDUALS, TEMPLATE_SETS
from ..methods.registry import METHODS, PROMPTS
from ..models import catalog
from ..storage import folders, stored
from ..storage.paths import as_path, is_file
from ..storage.words import quoted, reason
from .command import Command
from .options import CRITIC, RUN_FOLDER, add_device, chosen_device, number
from .progress import WHY_STOPPED, StepBar, TransferBar, exit_status, stop_on_interrupt


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", help="the domain to adapt to, in words, such as “pencil sketch”")
    add("--source", help="the domain that the model shows now; left out, what the list of models says, or photo")
    add("--method", help=f"one of {', '.join(METHODS)}; left out, the one that suits the critic: described or ipl")
    add("--model", default="studio", help="name of a generator, path of its file, or an adapted domain's folder")
    add("--critic", help=f"{CRITIC}; several, with weights: ViT-B-32+ViT-B-16@0.5")
    add("--seed", type=number, default=0, help="of all random numbers (%(default)s)")
    add_device(parser)
    add("--out", required=True, metavar="DIR", help=RUN_FOLDER)
    add("--preset", default="default", help=f"where all settings left open come from: {', '.join(PRESETS)}")
    add("--lambda", dest="lambda_domain", type=number, help="weight of the domain term in stage 1")
    add("--steps", type=number, help="steps of stage 2")
    add("--batch", type=number, help="images a step in stage 2")
    add("--learning-rate", type=number, help="Adam's rate in stage 2")
    add("--layers", help=f"which layers stage 2 trains: {', '.join(LAYER_GROUPS)}")
    add("--layer-interval", type=number, help="steps between two adaptive choices of layers")
    add("--ema", type=number, help="decay of the averaged weights")
    add("--shortest-move", type=number, help="length of an image direction below which it fades")
    add("--share-noise", action=argparse.BooleanOptionalAction, default=None, help="same noise within a pair")
    add("--around-context", action=argparse.BooleanOptionalAction, default=None, help="mapper gives offsets")
    add("--prompts", help=f"what IPL's mapper gives: {', '.join(PROMPTS)}; left out, what suits the critic")
    add(
        "--vocabulary",
        default="auto",
        help="words for people: auto, faces, animals, a list of your own, or a file with one",
    )
    add("--mapper-steps", type=number, help="steps of stage 1")
    add("--mapper-batch", type=number, help="images a step in stage 1")
    add("--mapper-lr", type=number, help="Adam's rate in stage 1")
    add("--keep-every", type=number, default=0, help="keep the weights of every n-th step too; 0 keeps the last alone")
    add("--keep-state", action="store_true", help="keep the optimiser's state, so that the run may go on exactly")
    add("--context", default="a photo of a", help="the words that learned prompts start from (%(default)s)")
    add("--avoid", default="", help="a domain to keep away from, in words, such as “cartoon”")
    add("--templates", help=f"manual templates: {', '.join(TEMPLATE_SETS)}")
    add("--contrastive", help=f"form of the contrastive loss: {', '.join(CONTRASTIVE_FORMS)}")
    add("--residual", help=f"what is added to a learned prompt's features: {', '.join(RESIDUALS)}")
    add("--memory", default="auto", help=f"{', '.join(MEMORY)}: low takes less memory and more time (%(default)s)")
    add("--precision", default="float32", help=f"{', '.join(PRECISIONS)}; the latter on CUDA only (%(default)s)")


def _run(options: argparse.Namespace) -> int:
    config = _config(options)
    # Everything that can be refused is refused before the first step.
    folders.check_writable(options.out)
    with TransferBar() as transfers:
        catalog.find_generator(config.model, transfers.show)
        catalog.fetch_critic(config.critic or catalog.critic_of(config.model), transfers.show)
    if library.find(config) is not None:
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
    names = [field.name for field in fields(AdaptConfig) if hasattr(options, field.name)]
    return AdaptConfig(**{name: getattr(options, name) for name in names})


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


def written(entry: library.Entry, out: str) -> int:
    """Copies an entry's files to the folder `out` and prints their paths; gives the exit status."""
    stopped = entry.settings["stopped"]
    if not entry.finished:
        steps = entry.settings["steps"]["generator"]
        why = WHY_STOPPED[stopped]
        print(f"Stopped {why} after {steps} of {entry.config.steps} steps; what was reached is kept.")
    if entry.left_out:
        print(entry.left_out)
    try:
        folder = library.export(entry, out)
    except InputError as error:
        raise InputError(f"{error} The run is kept in the library, as {entry.name}.") from error
    print(f"{entry.title}: {folder / domain_folder.ADAPTED}, {folder / domain_folder.SAMPLES_PICTURE}")
    return exit_status(stopped)


COMMAND = Command("adapt a generator to a domain named in words", _options, _run)
