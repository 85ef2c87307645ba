"""`generator-report`: measures a subject's generator, and draws a sheet of its samples."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ...metrics.reports.generator import generator_report
from ..sheets import sample_sheet
from .options import model_file, registry_name, write_report


def _run(options: argparse.Namespace) -> None:
    model = registry_name(options.subject)
    figures = generator_report(model, 8 if options.smoke else 5_000)
    folder = model_file(options, options.subject, "generator").parent
    sample_sheet(folder / "samples.jpg", model, 4 if options.smoke else 64)
    write_report(figures, folder / "report.json")


COMMAND = Command("Fréchet distance of a subject's generator, and a sheet of its samples", no_options, _run)
