"""`diffusion-report`: measures a subject's Diffusion Autoencoder, and draws a sheet of its samples."""

from __future__ import annotations

import argparse
import json

import torch

from ...commands.command import Command
from ...drawing.sampling import draw
from ...errors import InputError
from ...generators.files import load_generator
from ...generators.invert import critic_view
from ...metrics.reports.generator import sample_figures
from ...metrics.reports.reconstruction import reconstruction_report
from ...models.catalog import critic_of, judge_of, load_critic, load_judge
from ...pictures.media import grid
from .options import model_file, registry_name, write_report

SHEET = 64  # samples
_SMOKE_COUNT = 4


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--portraits", type=int, default=100, help="held-out portraits to draw again (%(default)s)")
    add("--samples", type=int, default=5_000, help="for the Fréchet distance; 0 leaves it out (%(default)s)")
    add("--draw-steps", type=int, help="of DDIM each way, for the portraits; else the model's own")


def _run(options: argparse.Namespace) -> None:
    if options.portraits < 1 or options.samples < 0:
        raise InputError(f"There is at least 1 portrait and 0 samples; not {options.portraits} and {options.samples}.")
    path, name = model_file(options, options.subject, "diffusion"), registry_name(options.subject)
    generator = load_generator(path, options.device).requires_grad_(False)
    judge, perceptual = load_judge(judge_of(name)), critic_view(load_critic(critic_of(name), options.device))
    portraits, samples, shown = options.portraits, options.samples, SHEET
    if options.smoke:
        portraits, samples, shown = 2, min(samples, _SMOKE_COUNT), _SMOKE_COUNT
    file = path.with_name("report.json")
    figures = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    figures |= reconstruction_report(generator, judge, perceptual, portraits, options.draw_steps)
    if samples:
        with torch.no_grad():
            figures |= sample_figures(generator, judge, samples)
    grid(draw(generator, range(shown), psi=1.0), round(shown**0.5)).save(path.with_name("samples.jpg"), quality=85)
    write_report(figures, file)


COMMAND = Command("reconstructions, Fréchet distance and a sheet of a subject's Diffusion Autoencoder", _options, _run)
