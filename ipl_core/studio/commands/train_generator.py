"""`train-generator`: trains a subject's StyleGAN2."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...commands.command import Command
from ..training.generator import SMOKE, GeneratorRecipe, train_generator
from ..world.subject import subject_named
from .options import model_file


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", type=Path, help="a trained generator's file to go on from, at its full size")


def _run(options: argparse.Namespace) -> None:
    recipe = SMOKE if options.smoke else GeneratorRecipe()
    out = model_file(options, options.subject, "generator")
    train_generator(subject_named(options.subject), recipe, options.work, out, options.device, start=options.start)


COMMAND = Command("train a subject's StyleGAN2: studio-SUBJECT-generator/", _options, _run)
