"""`train-judge`: trains the network that reads domain, traits and identity for a subject's measurements."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ..training.judge import SMOKE, JudgeRecipe, train_judge
from ..world.subject import subject_named
from .options import model_file, write_report


def _run(options: argparse.Namespace) -> None:
    generator, out = (model_file(options, options.subject, model) for model in ("generator", "judge"))
    recipe = SMOKE if options.smoke else JudgeRecipe()
    figures = train_judge(subject_named(options.subject), recipe, options.work, generator, out, options.device)
    write_report(figures, out.parent / "report.json")


COMMAND = Command("train a subject's judge, after its generator: studio-SUBJECT-judge/", no_options, _run)
