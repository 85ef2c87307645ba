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
    add("--start", type=Path, help="a trained model's file, to go on with at its full size")
    add("--steps", type=int, help="of a model that is gone on with; else the recipe's")


def _run(options: argparse.Namespace) -> None:
    encoder, out = (model_file(options, options.subject, model) for model in ("encoder", "diffusion"))
    places = (options.work, encoder, out, options.device)
    figures = train_diffusion(subject_named(options.subject), _recipe(options), *places, start=options.start)
    write_report(figures, out.parent / "report.json")


def _recipe(options: argparse.Namespace) -> DiffusionRecipe:
    recipe = SMOKE if options.smoke else DiffusionRecipe()
    if options.steps is None:
        return recipe
    if options.start is None or options.steps < 1:
        raise InputError("--steps is a number from 1, of a model that is gone on with: give --start, too.")
    return replace(recipe, further_steps=options.steps)


COMMAND = Command(
    "train a subject's Diffusion Autoencoder, after its encoder: studio-SUBJECT-diffusion/", _options, _run
)
