"""`train-attribute-reader`: trains the network that reads whom a photograph shows."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ..training.attribute_reader import SMOKE, AttributeReaderRecipe, train_attribute_reader
from ..world.subject import subject_named
from .options import model_file, write_report


def _run(options: argparse.Namespace) -> None:
    encoder, out = (model_file(options, options.subject, model) for model in ("encoder", "reader"))
    recipe = SMOKE if options.smoke else AttributeReaderRecipe()
    subject = subject_named(options.subject)
    figures = train_attribute_reader(subject, recipe, options.work, encoder, out, options.device)
    write_report(figures, out.parent / "report.json")


COMMAND = Command("train a subject's reader of attributes, after its encoder: studio-SUBJECT-reader/", no_options, _run)
