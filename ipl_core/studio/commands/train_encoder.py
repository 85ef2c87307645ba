"""`train-encoder`: trains the network that guesses the latent of a picture, where inversion begins."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ..training.encoder import SMOKE, EncoderRecipe, train_encoder
from ..world.subject import subject_named
from .options import model_file, write_report


def _run(options: argparse.Namespace) -> None:
    generator, out = (model_file(options, options.subject, model) for model in ("generator", "encoder"))
    recipe = SMOKE if options.smoke else EncoderRecipe()
    figures = train_encoder(subject_named(options.subject), recipe, options.work, generator, out, options.device)
    write_report(figures, out.parent / "report.json")


COMMAND = Command("train a subject's encoder, after its generator: studio-SUBJECT-encoder/", no_options, _run)
