"""`clip-pictures`: makes the pictures of one subject that `train-clip` needs, so that subjects can run in parallel."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ...generators.files import load_generator
from ..training.adversaries import Cast
from ..training.clip import SMOKE, ClipRecipe
from ..world.subject import subject_named
from .options import model_file


def _run(options: argparse.Namespace) -> None:
    recipe = SMOKE if options.smoke else ClipRecipe()
    source = load_generator(model_file(options, options.subject, "generator"), options.device).requires_grad_(False)
    Cast(subject_named(options.subject), recipe, options.work).meet(source, recipe, options.work)


COMMAND = Command(
    "make the pictures of one subject for train-clip, so that subjects run side by side", no_options, _run
)
