"""`train-clip`: trains the CLIP model of all subjects, or with --text-only its text tower alone."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ...commands.command import Command
from ...errors import InputError
from ...models.catalog import pretrained_folder
from ..training import clip, text_tower
from ..training.ends import library_ends
from ..world.subject import SUBJECTS
from .options import model_file, registry_name


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--start",
        type=Path,
        help="folder of a trained CLIP model to go on from, with adversaries in every step, or with --text-only",
    )
    add(
        "--runs",
        action="store_true",
        help="let adversaries start on the way to the weights where the library's runs ended, too",
    )
    add("--steps", type=int, help="steps of training that goes on from --start; left out, the recipe's")
    add(
        "--text-only",
        action="store_true",
        help="train the text tower of the CLIP model in --start alone, on how people change in each domain",
    )


def _run(options: argparse.Namespace) -> None:
    out = options.out / "studio-clip"
    if options.text_only:
        text_tower.train_text(_text_recipe(options), options.work, options.start, out, options.device)
        return
    generators = {subject.name: model_file(options, subject.name, "generator") for subject in SUBJECTS}
    ends = {s.name: library_ends(s, registry_name(s.name)) for s in SUBJECTS} if options.runs else {}
    clip.train_clip(_recipe(options), options.work, generators, out, options.device, options.start, ends)


def _recipe(options: argparse.Namespace) -> clip.ClipRecipe:
    recipe = clip.SMOKE if options.smoke else clip.ClipRecipe()
    if options.steps is None:
        return recipe
    if options.start is None or options.steps < 1:
        raise InputError(
            "--steps is a number from 1, and for training that goes on from a CLIP model: give --start, too."
        )
    return replace(recipe, further_steps=options.steps)


def _text_recipe(options: argparse.Namespace) -> text_tower.TextRecipe:
    if options.start is None:
        raise InputError(
            "--text-only trains the text tower of a trained CLIP model: give its folder by --start, such as "
            f"--start {pretrained_folder() / 'studio-clip'}."
        )
    if options.runs:
        raise InputError("--text-only looks at no library runs: leave --runs out.")
    recipe = text_tower.SMOKE if options.smoke else text_tower.TextRecipe()
    if options.steps is None:
        return recipe
    if options.steps < 1:
        raise InputError(f"--steps is a number from 1, not {options.steps}.")
    return replace(recipe, steps=options.steps)


COMMAND = Command("train the CLIP model, after the generators: studio-clip/", _options, _run)
