"""The command line: `python -m ipl_core COMMAND`. Knows how to ask and how to show; the work is done elsewhere.

A request that can't be carried out ends with one plain sentence and exit status 2.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from . import model_commands
from .config import CONTRASTIVE_FORMS, LAYER_GROUPS, METHODS, PRESETS, RESIDUALS, TEMPLATE_SETS, AdaptConfig
from .errors import InputError
from .model_commands import AUTO_DEVICE, chosen_device, number
from .snapshot import Snapshot

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
    add("--method", default="ipl", help=f"one of {', '.join(METHODS)} (%(default)s)")
    add("--model", default="studio", help="name of a generator, path of its file, or an adapted domain's folder")
    add("--critic", help="name of a CLIP model or path of its folder; left out, the model's own")
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
    add("--share-noise", action=argparse.BooleanOptionalAction, default=None, help="same noise within a pair")
    add("--around-context", action=argparse.BooleanOptionalAction, default=None, help="mapper gives offsets")
    add("--mapper-steps", type=number, help="steps of stage 1")
    add("--mapper-batch", type=number, help="images a step in stage 1")
    add("--mapper-lr", type=number, help="Adam's rate in stage 1")
    add("--context", default="a photo of a", help="the words that learned prompts start from (%(default)s)")
    add("--templates", help=f"manual templates: {', '.join(TEMPLATE_SETS)}")
    add("--contrastive", help=f"form of the contrastive loss: {', '.join(CONTRASTIVE_FORMS)}")
    add("--residual", help=f"what is added to a learned prompt's features: {', '.join(RESIDUALS)}")


def _adapt(options: argparse.Namespace) -> int:
    from . import catalog, library
    from .runs import finished_run

    if options.source is None:
        known = catalog.generators().get(options.model)
        options.source = known.source if known else "photo"
    options.device = chosen_device(options.device)
    names = [field.name for field in fields(AdaptConfig) if hasattr(options, field.name)]
    config = AdaptConfig(**{name: getattr(options, name) for name in names})
    # Everything that can be refused is refused before the first step.
    library.check_writable(options.out)
    with model_commands.Transfers() as transfers:
        catalog.find_generator(config.model, transfers.show)
        catalog.fetch_critic(config.critic or catalog.critic_of(config.model), transfers.show)
    if library.find(config) is not None:
        print("This run exists already.")
    with _stop_on_interrupt() as stop, _ProgressBar() as bar:
        entry = finished_run(config, stop, bar.show)
    if not entry.finished:
        steps = entry.settings["steps"]["generator"]
        why = {"asked": "as asked", "not finite": "because the numbers stopped being finite"}[entry.settings["stopped"]]
        print(f"Stopped {why} after {steps} of {config.steps} steps; what was reached is kept.")
    folder = library.export(entry, options.out)
    print(f"{entry.title}: {folder / library.ADAPTED}, {folder / library.SAMPLES_PICTURE}")
    return {None: 0, "asked": INTERRUPTED}.get(entry.settings["stopped"], 1)


_PHASE_NAMES = {"prompts": "stage 1, prompts", "generator": "stage 2, generator"}


class _ProgressBar:
    """A bar a stage, on a terminal only."""

    def __init__(self) -> None:
        self._bar, self._phase = None, ""

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, snapshot: Snapshot) -> None:
        """Draw one step."""
        from tqdm import tqdm

        if snapshot.phase not in _PHASE_NAMES:
            return
        if snapshot.phase != self._phase:
            self.__exit__()
            self._phase = snapshot.phase
            self._bar = tqdm(total=snapshot.total, desc=_PHASE_NAMES[snapshot.phase], disable=None, file=sys.stderr)
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in snapshot.losses.items()}, refresh=False)
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
    add("model", metavar="DIR", help="folder that `adapt` wrote, or a generator's name or file")
    add("--seeds", default="0-15", help="which pictures, such as 0-15,20 (%(default)s)")
    add("--psi", type=number, default=0.7, help="truncation: 0 the mean face, 1 none (%(default)s)")
    add("--columns", type=number, help="pictures in a row; left out, as square as it can be")
    add("--device", default="cpu", help=AUTO_DEVICE)
    add("--out", required=True, metavar="FILE.png", help="the picture to write")


def _sample(options: argparse.Namespace) -> int:
    from . import library
    from .catalog import load_generator
    from .latents import parse_seeds
    from .media import grid, save_png
    from .sampling import draw

    seeds = parse_seeds(options.seeds)
    if not 0.0 <= options.psi <= 1.5:
        raise InputError(f"Truncation (--psi) must be a number from 0 to 1.5, not {options.psi:g}.")
    if options.columns is not None and not (options.columns >= 1 and options.columns == int(options.columns)):
        raise InputError(f"Columns must be a whole number of at least 1, not {options.columns:g}.")
    path = Path(options.out).expanduser()
    if path.suffix.lower() != ".png" or path.is_dir():
        raise InputError(f"The picture is written as PNG: give --out a file that ends in .png, not {options.out}.")
    library.check_writable(path.parent)
    with model_commands.Transfers() as transfers:
        generator = load_generator(options.model, chosen_device(options.device), transfers.show)
    images = draw(generator, seeds, options.psi)
    columns = None if options.columns is None else int(options.columns)
    note = {"generator": options.model, "seeds": list(seeds), "psi": options.psi}
    save_png(grid(images, columns), path, note)
    print(path)
    return 0


# ----------------------------------------------------------------------------------------------------------------------
# evaluate


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("targets", nargs="*", help="domains of the portrait studio; none given, all of them")
    add("--methods", default="nada,shared,ipl", help="separated by commas (%(default)s)")
    add("--seeds", default="0-2", help="one run a seed (%(default)s)")
    add("--samples", type=number, default=200, help="fresh samples a run (%(default)s)")
    add("--psi", type=number, default=0.7, help="their truncation (%(default)s)")
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--preset", default="default", help=f"one of {', '.join(PRESETS)} (%(default)s)")
    add("--out", required=True, metavar="DIR", help="folder for scores.csv and scores.md")


def _evaluate(options: argparse.Namespace) -> int:
    from . import library
    from .latents import parse_seeds
    from .metrics.table import compare, markdown, write_csv
    from .studio.domains import TARGETS

    if not (isinstance(options.samples, int) and 2 <= options.samples <= 5000):
        raise InputError(f"Samples must be a whole number from 2 to 5000, not {options.samples}.")
    configs = [
        AdaptConfig(target, method=method, seed=seed, model=options.model, preset=options.preset)
        for target in options.targets or [domain.name for domain in TARGETS]
        for seed in parse_seeds(options.seeds)
        for method in options.methods.split(",")
    ]
    library.check_writable(options.out)
    folder = Path(options.out).expanduser()
    scores = []
    for score in compare(configs, options.samples, options.psi):
        scores.append(score)
        print(
            f"{len(scores)}/{len(configs)} {score.target}, {score.method}, seed {score.seed}: judge {score.judge:.1%}, "
            f"diversity {score.diversity:.2f}, attributes kept {score.attributes:.1%}, {score.seconds:.0f} s",
            flush=True,
        )
        # Written anew after every run, so that an evening's work survives its last minute.
        write_csv(scores, folder / "scores.csv")
        (folder / "scores.md").write_text(markdown(scores), encoding="utf-8")
    return 0


# ----------------------------------------------------------------------------------------------------------------------

COMMANDS: dict[str, Command] = {
    "adapt": Command("adapt a generator to a domain named in words", _adapt_options, _adapt),
    "evaluate": Command("compare methods on the portrait studio, measured by its judge", _evaluate_options, _evaluate),
    "sample": Command("draw pictures from an adapted generator", _sample_options, _sample),
    "render": Command(
        "draw an array of latents to an array of images", model_commands.render_options, model_commands.render
    ),
    "convert": Command("write a generator in another format", model_commands.convert_options, model_commands.convert),
    "models": Command(
        "list, fetch, verify and remove models of the hub", model_commands.models_options, model_commands.models
    ),
}


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one sentence like all others."""

    def error(self, message: str) -> None:
        self.exit(2, f"{message[:1].upper()}{message[1:]}. Try: {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status: 0 done, 1 ended early, 2 bad input, 130 interrupted."""
    parser = _Parser(prog="python -m ipl_core", description="Adapt a generator to a domain named in words.")
    parser.add_argument("--verbose", action="store_true", help="say more about what is done")
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.options(words.add_parser(name, help=command.help, description=command.help))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    try:
        return COMMANDS[options.command].run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
