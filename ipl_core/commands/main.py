"""The command line: `python -m ipl_core COMMAND`. Knows how to ask and how to show; the work is done elsewhere.

A request that can't be carried out ends with one plain sentence and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..clip.vocabulary import LISTS, MAX_TEXT
from ..errors import InputError
from ..library import domain_folder
from ..memory import enough_memory
from ..methods.config import (
    CONTRASTIVE_FORMS,
    INVERT_PRESETS,
    LAYER_GROUPS,
    MEMORY,
    METHODS,
    PRECISIONS,
    PRESETS,
    PROMPTS,
    RESIDUALS,
    STARTS,
    TEMPLATE_SETS,
    VARIANTS,
    VIEWS,
    AdaptConfig,
    InvertConfig,
    method_of,
    settings_of,
)
from ..running.steps import InvertResult, Result, Step
from ..storage import folders, stored
from ..storage.paths import as_path, is_file, is_folder
from ..storage.words import file_words, quoted, readable, reason
from . import interpolate as animation_commands
from . import library as library_commands
from . import models as model_commands
from . import start_row as examples_commands
from . import study as study_commands
from .console import lasting_output
from .models import AUTO_DEVICE, chosen_device, number

if TYPE_CHECKING:
    from torch import Tensor

    from ..library import store as library

CRITIC = "name of a CLIP model or path of its folder; left out, the model's own"
INTERRUPTED = 130  # what shells expect of a program that Ctrl-C has ended


@dataclass(frozen=True)
class Command:
    """A word of the command line: what it is for, which options it has, and what it does."""

    help: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


# ----------------------------------------------------------------------------------------------------------------------
# adapt


def _adapt_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("target", help="the domain to adapt to, in words, such as “pencil sketch”")
    add("--source", help="the domain that the model shows now; left out, what the list of models says, or photo")
    add("--method", help=f"one of {', '.join(METHODS)}; left out, the one that suits the critic: described or ipl")
    add("--model", default="studio", help="name of a generator, path of its file, or an adapted domain's folder")
    add("--critic", help=f"{CRITIC}; several, with weights: ViT-B-32+ViT-B-16@0.5")
    add("--seed", type=number, default=0, help="of all random numbers (%(default)s)")
    add("--device", default="cpu", help=AUTO_DEVICE)
    add("--out", required=True, metavar="DIR", help="folder for the weights, pictures, settings and history")
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


def _adapt(options: argparse.Namespace) -> int:
    from ..library import store as library
    from ..library.runs import finished_run
    from ..models import catalog

    if options.source is None:
        known = catalog.generators().get(options.model)
        options.source = known.source if known else "photo"
    options.device = chosen_device(options.device)
    options.vocabulary = _vocabulary(options.vocabulary)
    for name, value in catalog.suited_to(options.critic or catalog.critic_of(options.model)).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    names = [field.name for field in fields(AdaptConfig) if hasattr(options, field.name)]
    config = AdaptConfig(**{name: getattr(options, name) for name in names})
    # Everything that can be refused is refused before the first step.
    folders.check_writable(options.out)
    with model_commands.Transfers() as transfers:
        catalog.find_generator(config.model, transfers.show)
        catalog.fetch_critic(config.critic or catalog.critic_of(config.model), transfers.show)
    if library.find(config) is not None:
        print("This run exists already.")
    with _stop_on_interrupt() as stop, _ProgressBar() as bar:
        entry = finished_run(config, stop, bar.show, options.out)
    return _written(entry, options.out)


def _vocabulary(given: str) -> str:
    """A vocabulary as it was named or written, or what the file of that name holds."""
    if given in ("auto", *LISTS) or not is_file(given):
        return given
    try:
        return stored.read_text(as_path(given), 4 * MAX_TEXT)  # a character of UTF-8 has at most four bytes
    except (OSError, ValueError) as error:  # which is no UTF-8, or too long
        raise InputError(
            f"The file {quoted(given)} can't be read as a vocabulary: {reason(error)}. Give a text file in UTF-8."
        ) from error


def _written(entry: library.Entry, out: str) -> int:
    """Copies an entry's files to the folder `out` and says what they are; gives the exit status."""
    from ..library import store as library

    if not entry.finished:
        steps = entry.settings["steps"]["generator"]
        why = {"asked": "as asked", "not finite": "because the numbers stopped being finite"}[entry.settings["stopped"]]
        print(f"Stopped {why} after {steps} of {entry.config.steps} steps; what was reached is kept.")
    if entry.left_out:
        print(entry.left_out)
    try:
        folder = library.export(entry, out)
    except InputError as error:
        raise InputError(f"{error} The run is kept in the library, as {entry.name}.") from error
    print(f"{entry.title}: {folder / domain_folder.ADAPTED}, {folder / domain_folder.SAMPLES_PICTURE}")
    return {None: 0, "asked": INTERRUPTED}.get(entry.settings["stopped"], 1)


# ----------------------------------------------------------------------------------------------------------------------
# resume


def _resume_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("entry", metavar="ENTRY", help="its name in the library, or the path of its folder")
    add("--steps", type=number, required=True, help="how many more steps of stage 2")
    add("--out", required=True, metavar="DIR", help="folder for the weights, pictures, settings and history")


def _resume(options: argparse.Namespace) -> int:
    from ..library.runs import resumed_run

    entry = library_commands.named_entry(options.entry)
    folders.check_writable(options.out)
    with _stop_on_interrupt() as stop, _ProgressBar() as bar:
        resumed = resumed_run(entry, options.steps, stop, bar.show, options.out)
    origin = resumed.settings["resumed"]
    how = "with the state of its training" if origin["exactly"] else "from its weights, with a fresh optimiser"
    print(f"Went on after step {origin['step']} {how}.")
    return _written(resumed, options.out)


_PHASE_NAMES = {
    "prompts": "stage 1, prompts",
    "generator": "stage 2, generator",
    "latent": "latent",
    "tuning": "tuning",
}


class _ProgressBar:
    """A bar a stage, on a terminal only."""

    def __init__(self) -> None:
        self._bar, self._phase = None, ""

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, update: Step | Result) -> None:
        """Draw one step."""
        from tqdm import tqdm

        if isinstance(update, Result):
            return
        if update.phase != self._phase:
            self.__exit__()
            self._phase = update.phase
            self._bar = tqdm(total=update.total, desc=_PHASE_NAMES[update.phase], disable=None, file=sys.stderr)
        self._bar.total = update.total  # which grows where tuning goes on
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in update.losses.items()}, refresh=False)
        self._bar.update()


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C asks the run to stop and keeps what it has reached; the second ends the program."""
    stop = threading.Event()
    usual = signal.getsignal(signal.SIGINT)

    def ask(signum: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, usual)

    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread:
        signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, usual)


# ----------------------------------------------------------------------------------------------------------------------
# sample


def _sample_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="DIR", help="folder that `adapt` wrote, or the name of a finished model, or a generator")
    add("--seeds", default="0-15", help="which pictures, such as 0-15,20 (%(default)s)")
    add("--psi", type=number, default=0.7, help="truncation: 0 the mean face, 1 none (%(default)s)")
    add("--columns", type=number, help="pictures in a row; left out, as square as it can be")
    add("--device", default="cpu", help=AUTO_DEVICE)
    add("--out", required=True, metavar="FILE.png", help="the picture to write")


def _sample(options: argparse.Namespace) -> int:
    from ..drawing.sampling import draw
    from ..latents import parse_seeds
    from ..models.catalog import load_generator
    from ..pictures.media import grid, save_png

    seeds = parse_seeds(options.seeds)
    if not 0.0 <= options.psi <= 1.5:
        raise InputError(f"Truncation (--psi) must be a number from 0 to 1.5, not {options.psi:g}.")
    columns = _columns(options)
    path = _png_path(options)
    folders.check_writable_file(path)
    with model_commands.Transfers() as transfers:
        generator = load_generator(options.model, chosen_device(options.device), transfers.show)
    images = draw(generator, seeds, options.psi)
    note = {"generator": options.model, "seeds": list(seeds), "psi": options.psi}
    save_png(grid(images, columns), path, note)
    print(path)
    return 0


def _columns(options: argparse.Namespace) -> int | None:
    if options.columns is None:
        return None
    if not (options.columns >= 1 and options.columns == int(options.columns)):
        raise InputError(f"Columns must be a whole number of at least 1, not {options.columns:g}.")
    return int(options.columns)


def _png_path(options: argparse.Namespace) -> Path:
    path = as_path(options.out)
    if path.suffix.lower() != ".png" or is_folder(path):
        raise InputError(
            f"The picture is written as PNG: give --out a file that ends in .png, not {quoted(options.out)}."
        )
    return path


# ----------------------------------------------------------------------------------------------------------------------
# invert


def _invert_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("picture", metavar="PHOTO", help="a PNG, JPEG or WebP picture")
    add("--model", default="studio", help="name of a generator or path of its file (%(default)s)")
    add("--critic", help=CRITIC)
    add("--out", required=True, metavar="DIR", help="folder for the latent, pictures, settings and history")
    add("--preset", default="good", help=f"how long it may take: {', '.join(INVERT_PRESETS)} (%(default)s)")
    add("--space", help="w: one latent for all layers; w+: one for each")
    add("--start", default="auto", help=f"where it begins: {', '.join(STARTS)}; auto is the encoder where one is here")
    add("--encoder", help="name of an encoder or path of its file; left out, the model's own")
    add("--view", default="critic", help=f"whose eyes compare the pictures: {', '.join(VIEWS)} (%(default)s)")
    add("--tune", action=argparse.BooleanOptionalAction, default=None, help="tune the generator for the last likeness")
    add("--noise", action=argparse.BooleanOptionalAction, default=None, help="optimise the noise maps too")
    add("--crop", default="auto", help="auto: by the face; center: the centre square; none: cut already (%(default)s)")
    add("--face", type=number, default=1, help="which face, where there are several; 1 is the largest")
    add("--move", default="0,0", metavar="RIGHT,DOWN", help="move the crop, in its own sides (%(default)s)")
    add("--zoom", type=number, default=1.0, help="scale the crop; above 1 the face grows (%(default)s)")
    add("--turn", type=number, default=0.0, help="turn the crop, degrees clockwise (%(default)s)")
    add("--name", type=readable, help="what to call it; left out, the file's name")
    add("--seed", type=number, default=0, help="of all random numbers (%(default)s)")
    add("--device", default="cpu", help=AUTO_DEVICE)
    for name, words in _INVERT_NUMBERS.items():
        add(f"--{name.replace('_', '-')}", type=number, help=words)


_INVERT_NUMBERS = {
    "steps": "steps of the latent",
    "starts": "random latents that compete with the mean latent to be the start, where it is at random",
    "learning_rate": "Adam's rate for the latent",
    "pixel": "weight of pixels",
    "multiscale": "weight of coarser scales",
    "perceptual": "weight of the view",
    "mean_pull": "pull to the mean latent",
    "row_pull": "pull between the rows of w+",
    "noise_pull": "weight of the term that keeps noise maps noise",
    "tune_steps": "steps of tuning",
    "tune_further": "steps that follow where the view still finds the pictures too far apart",
    "tune_until": "how far apart is too far",
    "tune_rate": "Adam's rate for tuning",
    "locality": "weight of what tuning must leave alone",
}


def _invert(options: argparse.Namespace) -> int:
    from ..library import inversions as people
    from ..library.inversions import start_words
    from ..library.runs import crop_for, finished_inversion
    from ..models import catalog
    from ..models.catalog import load_generator
    from ..pictures.faces import cut
    from ..pictures.media import to_uint8
    from ..pictures.reading import read_picture

    options.device = chosen_device(options.device)
    names = [field.name for field in fields(InvertConfig)]
    given = {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}
    config = InvertConfig(**given)
    if not isinstance(options.face, int):
        raise InputError(f"Which face: give a whole number from 1, not {options.face}.")
    try:
        right, down = (float(part) for part in options.move.split(","))
    except ValueError:
        raise InputError(f"Move the crop by two numbers, such as 0.1,-0.05, not {options.move!r}.") from None
    picture = read_picture(options.picture)
    crop = crop_for(config.model, picture, options.crop, options.face).moved(right, down, options.zoom, options.turn)
    folders.check_writable(options.out)
    print(crop.note)
    with model_commands.Transfers() as transfers:
        catalog.find_generator(config.model, transfers.show)
        encoder = catalog.starting_encoder(config.model, config.start, config.encoder)
        if encoder is not None:
            catalog.find_encoder(encoder, transfers.show)
    print(start_words(config))
    aligned = to_uint8(cut(picture, crop, load_generator(config.model).config.resolution))
    with _stop_on_interrupt() as stop, _ProgressBar() as bar:
        name = options.name or file_words(options.picture, "picture")
        inverted = finished_inversion(config, aligned, name, crop, stop, bar.show, options.out)
    stopped = inverted.settings["stopped"]
    if stopped is not None:
        why = {"asked": "as asked", "not finite": "because the numbers stopped being finite"}[stopped]
        steps = inverted.settings["steps"]
        print(f"Stopped {why} after {steps['latent']} steps of the latent and {steps['tuning']} of tuning.")
    try:
        written = people.save(inverted, options.out)
    except InputError as error:
        raise InputError(f"{error} The inversion is kept with the people, as {inverted.path.name}.") from error
    figures = {**inverted.settings["distances"], "identity": inverted.settings["identity"]}
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None))
    print(written.path / people.INVERTED)
    return {None: 0, "asked": INTERRUPTED}.get(stopped, 1)


# ----------------------------------------------------------------------------------------------------------------------
# restyle


def _restyle_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inverted", metavar="DIR", help="folder that `invert` wrote")
    add("targets", metavar="TARGET_DIR", nargs="+", help="folders that `adapt` wrote, or names in the library")
    add("--strength", type=number, default=1.0, help="0 the inversion as it is, 1 the domain (%(default)s)")
    add("--mix", metavar="WEIGHTS", help="draw one picture of all domains together, such as 0.5,0.5")
    add("--columns", type=number, help="pictures in a row; left out, as square as it can be")
    add("--device", default="cpu", help=AUTO_DEVICE)
    add("--out", required=True, metavar="FILE.png", help="the picture to write")


def _restyle(options: argparse.Namespace) -> int:
    import torch

    from ..drawing.restyle import Restyler
    from ..library import inversions as people
    from ..pictures.media import labelled, save_png, to_uint8

    columns = _columns(options)
    path = _png_path(options)
    folders.check_writable_file(path)
    entries = [library_commands.named_entry(target) for target in options.targets]
    restyler = Restyler(people.load(options.inverted), chosen_device(options.device))
    inverted = restyler.inverted
    drawn, labels = [inverted.aligned, inverted.picture], ["picture", "inverted"]
    if options.mix is None:
        mixes = [[(entry, options.strength)] for entry in entries]
    else:
        mixes = [list(zip(entries, _mix_weights(options.mix, len(entries), options.strength)))]
    for mix in mixes:
        drawn.append(to_uint8(restyler.draw(mix)))
        labels.append(" + ".join(entry.config.target for entry, _ in mix))
    note = {"picture": inverted.name, "domains": labels[2:], "strength": options.strength, "mix": options.mix}
    save_png(labelled(torch.cat(drawn), labels, columns), path, note)
    print(path)
    return 0


def _mix_weights(text: str, count: int, strength: float) -> list[float]:
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    if len(weights) != count:
        raise InputError(f"A mix needs a number for each of the {count} domains, such as 0.5,0.5; got {text!r}.")
    return [weight * strength for weight in weights]


# ----------------------------------------------------------------------------------------------------------------------
# evaluate-inversion


def _evaluate_inversion_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--preset", default="fast,good", help=f"separated by commas: {', '.join(INVERT_PRESETS)} (%(default)s)")
    add("--count", type=number, default=100, help="held-out portraits (%(default)s)")
    add("--samples", type=number, default=50, help="samples of the generator's own (%(default)s)")
    add("--targets", default="", help="domains, separated by commas, that the portraits are then restyled in")
    add("--methods", default="nada,ipl", help="by which it is adapted for that, as for evaluate (%(default)s)")
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--start", default="auto", help=f"where inversion begins: {', '.join(STARTS)} (%(default)s)")
    add("--view", default="critic", help=f"whose eyes compare pictures: {', '.join(VIEWS)} (%(default)s)")
    add("--seed", type=number, default=0, help="of all random numbers (%(default)s)")
    add("--out", required=True, metavar="DIR", help="folder for inversion and restyling, .csv and .md")


def _evaluate_inversion(options: argparse.Namespace) -> int:
    from ..metrics.reports import restyling
    from ..metrics.reports.inversion import evaluate_inversion, held_out_portraits, markdown
    from ..metrics.scores import write_scores, written
    from ..models.catalog import judge_of, load_judge

    for name, least in (("count", 0), ("samples", 0)):
        value = getattr(options, name)
        if not (isinstance(value, int) and least <= value <= 5000):
            raise InputError(f"{name.capitalize()} must be a whole number from {least} to 5000, not {value}.")
    if options.count + options.samples == 0:
        raise InputError("Count and samples are both 0, so nothing is measured: raise one.")
    if options.targets and not options.count:
        raise InputError("Portraits are what is restyled, and their count is 0: raise it, or leave the targets out.")
    folders.check_writable(options.out)
    path = as_path(options.out) / "inversion"
    presets = options.preset.split(",")
    watch, restyled = None, []
    if options.targets:
        configs = [
            AdaptConfig(target.strip(), seed=options.seed, model=options.model, **settings_of(method))
            for target in options.targets.split(",")
            for method in options.methods.split(",")
        ]
        judge = load_judge(judge_of(options.model))
        sitters, _ = held_out_portraits(judge.subject, options.count, judge.resolution)
        measure = restyling.Restyling(configs, sitters, options.model)

        def watch(config: InvertConfig, number: int, portrait: Tensor, inverted: InvertResult) -> None:
            restyled.extend(measure.scores(config, number, portrait, inverted))
            write_scores(restyled, path.with_name("restyling"), restyling.markdown)

    coming = evaluate_inversion(
        *(presets, options.count, options.samples, options.model, options.seed, options.start, options.view), watch
    )
    for scores in written(coming, path, markdown):
        score = scores[-1]
        print(
            f"{len(scores)}/{len(presets) * (options.count + options.samples)} {score.preset}, {score.kind} "
            f"{score.number}: identity {score.identity:.3f}, attributes {score.attributes:.1%}, ssim {score.ssim:.3f}, "
            f"perceptual {score.perceptual:.4f}, {score.seconds:.1f} s",
            flush=True,
        )
    return 0


# ----------------------------------------------------------------------------------------------------------------------
# evaluate


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("targets", nargs="*", help="domains of the portrait studio; none given, all of them")
    known = ", ".join((*METHODS, *VARIANTS))
    add("--methods", default="nada,shared,ipl", help=f"separated by commas, of {known} (%(default)s)")
    add("--seeds", default="0-2", help="one run a seed (%(default)s)")
    add("--samples", type=number, default=200, help="fresh samples a run (%(default)s)")
    add("--psi", type=number, default=0.7, help="their truncation (%(default)s)")
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--preset", default="default", help=f"one of {', '.join(PRESETS)} (%(default)s)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting, such as learning_rate=0.001")
    add("--out", required=True, metavar="DIR", help="folder for scores.csv, which is gone on with, and scores.md")


def _setting(text: str) -> tuple[str, object]:
    """NAME=VALUE as typed → the setting and its value: a number, true or false where it reads as one, else text."""
    name, given, value = text.partition("=")
    if not (name and given and value):
        raise InputError(f"Give a setting as NAME=VALUE, such as learning_rate=0.001, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _evaluate(options: argparse.Namespace) -> int:
    from ..latents import parse_seeds
    from ..metrics.reports.methods import Score, compare, markdown, run_of
    from ..metrics.scores import read_csv, written
    from ..models.catalog import judge_of, load_judge

    if not (isinstance(options.samples, int) and 2 <= options.samples <= 5000):
        raise InputError(f"Samples must be a whole number from 2 to 5000, not {options.samples}.")
    changes = dict(_setting(text) for text in options.set)
    subject = load_judge(judge_of(options.model)).subject
    configs = [
        AdaptConfig.from_dict(
            {"target": target, "seed": seed, "model": options.model, "preset": options.preset}
            | settings_of(method)
            | changes
        )
        for target in options.targets or [domain.name for domain in subject.domains[1:]]
        for seed in parse_seeds(options.seeds)
        for method in options.methods.split(",")
    ]
    folders.check_writable(options.out)
    path = as_path(options.out) / "scores"
    before = read_csv(Score, path.with_suffix(".csv"))
    failures = []

    def failed(config: AdaptConfig, error: InputError) -> None:
        failures.append(config)
        print(f"{config.target}, {method_of(config)}, seed {config.seed} failed: {error}", file=sys.stderr, flush=True)

    runs = {row.run for row in before}
    done = sum(run_of(config) in runs for config in configs)
    if done:
        print(f"{done}/{len(configs)} are in {path.with_suffix('.csv')} already.", flush=True)
    coming = compare(configs, options.samples, options.psi, before, failed)
    for scores in written(coming, path, markdown, before):
        score, done = scores[-1], done + 1
        print(
            f"{done}/{len(configs)} {score.target}, {score.method}, seed {score.seed}: judge {score.judge:.1%}, "
            f"diversity {score.diversity:.2f}, attributes kept {score.attributes:.1%}, "
            f"way {score.way_areas:.2f} and {score.way_strokes:.2f}, {score.seconds:.0f} s",
            flush=True,
        )
    return 1 if failures else 0


# ----------------------------------------------------------------------------------------------------------------------

COMMANDS: dict[str, Command] = {
    "adapt": Command("adapt a generator to a domain named in words", _adapt_options, _adapt),
    "evaluate": Command("compare methods on the portrait studio, measured by its judge", _evaluate_options, _evaluate),
    "evaluate-inversion": Command(
        "measure inversion on held-out portraits and on the generator's own samples",
        _evaluate_inversion_options,
        _evaluate_inversion,
    ),
    "invert": Command("find the latent of a picture", _invert_options, _invert),
    "interpolate": Command(
        "make an animation of people, or of domains, that turn into each other",
        animation_commands.options,
        animation_commands.interpolate,
    ),
    "resume": Command("go on with a run that is kept, exactly where its state was kept too", _resume_options, _resume),
    "restyle": Command("draw an inverted picture in adapted domains", _restyle_options, _restyle),
    "sample": Command("draw pictures from an adapted generator", _sample_options, _sample),
    "render": Command(
        "draw an array of latents to an array of images", model_commands.render_options, model_commands.render
    ),
    "convert": Command("write a generator in another format", model_commands.convert_options, model_commands.convert),
    "library": Command(
        "list, name, export, import and delete what is kept",
        library_commands.library_options,
        library_commands.library,
    ),
    "prompts": Command(
        "say in words what a run's prompts make of people", library_commands.prompts_options, library_commands.prompts
    ),
    "start-row": Command(
        "draw the examples that the app shows before any run", examples_commands.options, examples_commands.start_row
    ),
    "study": Command(
        "ask people, in the app, which of two adapted models draws better", study_commands.options, study_commands.study
    ),
    "models": Command(
        "list, fetch, verify and remove models of the hub", model_commands.models_options, model_commands.models
    ),
    "licences": Command(
        "list the licences of all packages and models that are used",
        model_commands.licences_options,
        model_commands.licences,
    ),
}


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one sentence like all others."""

    def error(self, message: str) -> None:
        self.exit(2, f"{message[:1].upper()}{message[1:]}. Try: {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status: 0 done, 1 ended early, 2 bad input, 130 interrupted."""
    with lasting_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = _Parser(prog="python -m ipl_core", description="Adapt a generator to a domain named in words.")
    parser.add_argument("--verbose", action="store_true", help="say more about what is done")
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.options(words.add_parser(name, help=command.help, description=command.help))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    try:
        with enough_memory():
            return COMMANDS[options.command].run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
