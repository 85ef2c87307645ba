"""Trains the studio's StyleGAN2s, one a subject, onto the renders that latents stand for.

The true picture of every latent is known (Subject.sitters_from_latents), so training is supervised. The mapping
network first learns to give each attribute a place in w. Then the synthesis network learns to draw at 32, 64 and 128
pixels, at 128 also by a perceptual loss (reader.py). A trained generator can be trained further at 128.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ...generators.files import load_generator, save_generator
from ...generators.stylegan2.network import Generator, GeneratorConfig, MappingNetwork
from ..data import photos, to_float
from ..world.attributes import Categorical, Sitters
from ..world.subject import LATENT_WIDTH, Subject
from .loop import Checkpoint, Ema, FigureLog, half_precision
from .muon import MuonAdam
from .reader import Reader, reader_loss, trained_reader

log = logging.getLogger(__name__)

CHANNELS = ((4, 128), (8, 128), (16, 128), (32, 128), (64, 64), (128, 32))
GENERATOR = GeneratorConfig(resolution=128, z_dim=LATENT_WIDTH, w_dim=160, mapping_layers=4, channels=CHANNELS)


@dataclass(frozen=True)
class GeneratorRecipe:
    """Steps, sizes and rates; the cards of the committed weights say by which steps they came about."""

    photos: int = 12_000  # renders to learn from
    mapping_steps: int = 8_000
    mapping_batch: int = 256
    mapping_rate: float = 0.02
    steps_at_32: int = 5_000
    steps_at_64: int = 3_000
    steps_at_128: int = 2_000
    reader_steps: int = 800
    reader_batch: int = 64
    reader_weight: float = 1.0  # of what the reader sees, at 128
    further_steps: int = 2_500  # at 128, where a generator is gone on with
    further_share: float = 0.2  # of the rates, in them
    batch: int = 16
    learning_rate: float = 0.015  # of Muon, relative to the weights
    adam_rate: float = 2e-3  # of biases and the like
    mapping_share: float = 0.1  # of the rate, for the mapping network once it knows the attributes
    ema: float = 0.995
    bfloat16: bool = True  # costs nothing and saves a third of the time
    seed: int = 0
    save_every: int = 250

    def resolution(self, step: int) -> int:
        """At which resolution regression step `step`, from 1, is made."""
        return 32 if step <= self.steps_at_32 else 64 if step <= self.steps_at_32 + self.steps_at_64 else 128

    @property
    def regression_steps(self) -> int:
        """Steps of regression in all."""
        return self.steps_at_32 + self.steps_at_64 + self.steps_at_128


#: The smallest recipe that runs every line: it shows that the script works and teaches nothing.
SMOKE = GeneratorRecipe(
    photos=4, mapping_steps=3, mapping_batch=16, steps_at_32=2, steps_at_64=1, steps_at_128=1, reader_steps=2,
    reader_batch=4, further_steps=2, batch=4, save_every=2,
)  # fmt: skip


def regression_loss(drawn: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, of 4× pooled pixels and of finite differences; pictures (B, 3, R, R) in [−1, 1] → scalar."""
    coarse = F.l1_loss(F.avg_pool2d(drawn, 4), F.avg_pool2d(true, 4))
    across = F.l1_loss(drawn[..., 1:] - drawn[..., :-1], true[..., 1:] - true[..., :-1])
    down = F.l1_loss(drawn[..., 1:, :] - drawn[..., :-1, :], true[..., 1:, :] - true[..., :-1, :])
    return F.l1_loss(drawn, true) + coarse + across + down


def attribute_code(subject: Subject, sitters: Sitters) -> torch.Tensor:
    """All attributes as columns of mean 0 and variance 1: numbers as they are, labels one-hot → (B, columns)."""
    columns = []
    for attribute in subject.attributes:
        values = sitters[attribute.name]
        if isinstance(attribute, Categorical):
            shares = torch.tensor(attribute.shares)
            one_hot = F.one_hot(values, len(shares)).float()
            columns.append((one_hot - shares) / (shares * (1 - shares)).sqrt())
        else:
            middle, half = (attribute.low + attribute.high) / 2, (attribute.high - attribute.low) / 2
            columns.append(((values - middle) / half * math.sqrt(3))[:, None])
    return torch.cat(columns, 1)


@torch.no_grad()
def open_mapping(mapping: MappingNetwork) -> None:
    """Set the mapping network to w = (positive part of z, positive part of −z), the rest of w random.

    Every attribute then has coordinates of its own in w from the first step; StyleGAN2's random start scrambles them.
    """
    for k, layer in enumerate(mapping):
        out, into = layer.weight.shape
        own = 2 * mapping[0].weight.shape[1]
        start = layer.weight * layer.scale * 0.3
        start[:own] = torch.eye(out, into)[:own]
        if k == 0:
            start[into : 2 * into] = -torch.eye(into)[: max(0, out - into)]
        # The activation's gain of √2 is taken back, so that four layers keep the scale.
        layer.weight.copy_(start / (layer.scale * 2**0.5))
        layer.bias.zero_()


def train_mapping(subject: Subject, mapping: MappingNetwork, recipe: GeneratorRecipe, figures: FigureLog) -> float:
    """Train the mapping network so that a linear map reads the attributes from w; gives the variance it missed.

    By regression onto pictures alone, w never learns rare labels such as a hat, and what w lacks can't be drawn.
    """
    random = torch.Generator().manual_seed(recipe.seed)
    device = mapping[0].weight.device
    columns = attribute_code(subject, subject.sitters_from_latents(torch.randn(2, LATENT_WIDTH, generator=random)))
    readout = nn.Linear(mapping[-1].weight.shape[0], columns.shape[1]).to(device)
    nn.init.zeros_(readout.bias)
    with torch.no_grad():
        readout.weight.copy_(torch.randn(readout.weight.shape, generator=random) * 0.1)
    taught = nn.ModuleList([mapping, readout])
    optimiser = MuonAdam(taught, recipe.mapping_rate, recipe.adam_rate)
    missed = 1.0
    for step in range(1, recipe.mapping_steps + 1):
        optimiser.set_rate(min(1.0, step / 50, 1.5 * (1 - step / recipe.mapping_steps) + 0.01))
        z = torch.randn(recipe.mapping_batch, LATENT_WIDTH, generator=random)
        wanted = attribute_code(subject, subject.sitters_from_latents(z)).to(device)
        loss = F.mse_loss(readout(mapping(z.to(device))), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        missed = 0.98 * missed + 0.02 * loss.item()
        if step % 500 == 0:
            figures.write(phase="mapping", resolution=0, step=step, loss=missed)
            log.info("%s, mapping %d of %d: variance missed %.3f", subject.name, step, recipe.mapping_steps, missed)
    return missed


class Run:
    """A generator in training, with its average, its random numbers, its figures, and the places of its files."""

    def __init__(self, subject: Subject, recipe: GeneratorRecipe, work: Path, out: Path, generator: Generator) -> None:
        self.subject, self.recipe, self.work, self.out, self.generator = subject, recipe, work, out, generator
        self.average = Ema(generator, Generator(generator.config).to(generator.synthesis.input.device), recipe.ema)
        self.random = torch.Generator().manual_seed(recipe.seed)
        self.figures = FigureLog(work / f"generator-{subject.name}.csv")
        self.begun = time.monotonic()

    def checkpoint(self, **parts: object) -> Checkpoint:
        """A checkpoint of this run with further parts."""
        return Checkpoint(
            self.work / f"generator-{self.subject.name}.pt",
            {"generator": self.generator, "average": self.average.average, "random": self.random, **parts},
        )

    def report(self, resolution: int, step: int, loss: float) -> None:
        """A row of figures and a line of the log about a step of regression."""
        self.figures.write(phase="regression", resolution=resolution, step=step, loss=loss)
        told = self.subject.name, resolution, step, self.recipe.regression_steps, loss, time.monotonic() - self.begun
        log.info("%s, regression at %d, %d of %d: loss %.4f, %.0f s", *told)

    def write(self) -> None:
        """The averaged generator, in half precision, with its mean latent."""
        self.average.average.estimate_w_avg(torch.Generator().manual_seed(self.recipe.seed + 2))
        save_generator(self.average.average, self.out, {"seed": str(self.recipe.seed)}, torch.float16)


def train_generator(
    subject: Subject,
    recipe: GeneratorRecipe,
    work: Path,
    out: Path,
    device: str = "cpu",
    config: GeneratorConfig = GENERATOR,
    start: Path | None = None,
) -> None:
    """Run the recipe, resuming from `work`, and write the averaged generator to `out` (safetensors).

    start: a trained generator to go on with, by `further_steps` of regression at its full size. Writes
    work/generator-SUBJECT.pt (checkpoint), work/generator-SUBJECT.csv (figures) and `out`.
    """
    z, pictures = photos(subject, recipe.photos, config.resolution, recipe.seed, work)
    if start is None:
        generator = Generator(config, torch.Generator().manual_seed(recipe.seed)).to(device)
    else:
        generator = load_generator(start, device)
        recipe = replace(recipe, steps_at_32=0, steps_at_64=0, steps_at_128=recipe.further_steps)
    run = Run(subject, recipe, work, out, generator)
    _regression(run, z.to(device), pictures, further=start is not None)


def _optimiser(generator: Generator, recipe: GeneratorRecipe) -> tuple[MuonAdam, MuonAdam]:
    """The optimisers of the synthesis and of the mapping network.

    Muon updates the convolutions; Adam updates toRGB and the constant input.
    """
    colours = [parameter for layer in generator.synthesis.torgb for parameter in layer.parameters()]
    return (
        MuonAdam(generator.synthesis, recipe.learning_rate, recipe.adam_rate, [*colours, generator.synthesis.input]),
        MuonAdam(generator.mapping, recipe.learning_rate * recipe.mapping_share, recipe.adam_rate),
    )


def _regression(run: Run, z: torch.Tensor, pictures: torch.Tensor, further: bool) -> None:
    recipe, generator = run.recipe, run.generator
    drawing, laying_out = _optimiser(generator, recipe)
    checkpoint = run.checkpoint(drawing=drawing, laying_out=laying_out)
    done, total = checkpoint.resume(), recipe.regression_steps
    if not done and not further:
        open_mapping(generator.mapping)
        missed = train_mapping(run.subject, generator.mapping, recipe, run.figures)
        log.info("%s: the mapping network misses %.1f %% of the attributes", run.subject.name, 100 * missed)
        run.average.average.load_state_dict(generator.state_dict())
    mean, resolution, highest = 0.0, 0, recipe.further_share if further else 1.0
    reader: Reader | None = None
    for step in range(done + 1, total + 1):
        share = highest * min(1.0, step / 100, 1.6 * (1 - step / total) + 0.02)
        drawing.set_rate(share)
        laying_out.set_rate(share)
        if recipe.resolution(step) != resolution:
            resolution, mean = recipe.resolution(step), 0.0
        index = torch.randint(len(z), (recipe.batch,), generator=run.random)
        true = F.avg_pool2d(to_float(pictures[index]).to(z.device), pictures.shape[-1] // resolution)
        w = generator.mapping(z[index])
        with half_precision(z.device, recipe.bfloat16):
            drawn = generator.synthesis(w, resolution=resolution)
        loss = regression_loss(drawn.float(), true)
        if resolution == pictures.shape[-1]:
            if reader is None:
                code = attribute_code(run.subject, run.subject.sitters_from_latents(z.cpu()))
                learning = (recipe.reader_steps, recipe.reader_batch)
                reader = trained_reader(run.subject.name, code, pictures, *learning, run.work, z.device)
            with half_precision(z.device, recipe.bfloat16):
                with torch.no_grad():
                    seen = reader(true)
                loss = loss + recipe.reader_weight * reader_loss(reader(drawn), seen)
        drawing.zero_grad()
        laying_out.zero_grad()
        loss.backward()
        drawing.step()
        laying_out.step()
        run.average.update()
        mean = loss.item() if not mean else 0.95 * mean + 0.05 * loss.item()
        if step % 50 == 0:
            run.report(resolution, step, mean)
        if step % recipe.save_every == 0 or step == total:
            checkpoint.save(step)
            run.write()
