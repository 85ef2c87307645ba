"""`train-diffusion`: trains a subject's Diffusion Autoencoder."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ...commands.command import Command
from ...errors import InputError
from ..training.diffusion import SMOKE, DiffusionRecipe, train_diffusion
from ..world.subject import subject_named
from .options import model_file, write_report


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--start", type=Path, help="a trained model's file to go on from; needs no optimiser's state")
    add("--steps", type=int, help="steps at full size after --start; left out, the recipe's")
    add("--steps-at-64", type=int, default=0, help="steps at half the size before those (%(default)s)")


def _run(options: argparse.Namespace) -> None:
    encoder, out = (model_file(options, options.subject, model) for model in ("encoder", "diffusion"))
    places = (options.work, encoder, out, options.device)
    figures = train_diffusion(subject_named(options.subject), _recipe(options), *places, start=options.start)
    write_report(figures, out.parent / "report.json")


def _recipe(options: argparse.Namespace) -> DiffusionRecipe:
    recipe = SMOKE if options.smoke else DiffusionRecipe()
    steps = recipe.further_steps if options.steps is None else options.steps
    if options.start is None and (options.steps is not None or options.steps_at_64):
        raise InputError("--steps and --steps-at-64 are for training that goes on from a model: give --start, too.")
    if steps < 1 or options.steps_at_64 < 0:
        raise InputError(f"There is at least 1 step at full size and 0 at half; not {steps} and {options.steps_at_64}.")
    return replace(recipe, further_steps=steps, further_steps_at_64=options.steps_at_64)


COMMAND = Command(
    "train a subject's Diffusion Autoencoder, after its encoder: studio-SUBJECT-diffusion/", _options, _run
)
