"""Trains the studio's StyleGAN2: first by regression onto the renders that its latents stand for, then adversarially.

Every latent's true picture is known (attributes.people_from_latents), so the first phase is supervised and
gives a generator whose latents mean something; the second sharpens it with a discriminator under R1
(Mescheder et al. 2018) while the regression term keeps the meaning.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from ..checkpoints import save_generator
from ..stylegan2 import Discriminator, Generator, GeneratorConfig
from .data import latents_of_people, photos, to_float
from .training import Checkpoint, Ema, FigureLog

log = logging.getLogger(__name__)

CHANNELS = ((4, 128), (8, 128), (16, 128), (32, 64), (64, 32))
GENERATOR = GeneratorConfig(resolution=64, z_dim=64, w_dim=128, mapping_layers=4, channels=CHANNELS)


#: How much faster the mapping network learns during regression. Its weights are some eight hundred times larger
#: than their effect (lr multiplier 0.01); in the adversarial game that is its brake, here it would stand still.
MAPPING_BOOST = 100


@dataclass(frozen=True)
class GeneratorRecipe:
    """Steps, sizes and rates; the defaults made the committed weights."""

    photos: int = 24_000  # renders to learn from
    coarse_steps: int = 9_000  # of the regression steps, at half the resolution and twice the speed
    regression_steps: int = 13_000
    adversarial_steps: int = 3_000
    batch: int = 16
    learning_rate: float = 2.5e-3
    adversarial_rate: float = 1e-3
    adversarial_weight: float = 0.3  # its gradient is then some three times as long as the regression term's
    r1_gamma: float = 1.0
    r1_interval: int = 8
    ema: float = 0.998
    seed: int = 0
    save_every: int = 250


def regression_loss(drawn: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, of 4× pooled pixels and of finite differences; pictures (B, 3, R, R) in [−1, 1] → scalar."""
    coarse = F.l1_loss(F.avg_pool2d(drawn, 4), F.avg_pool2d(true, 4))
    across = F.l1_loss(drawn[..., 1:] - drawn[..., :-1], true[..., 1:] - true[..., :-1])
    down = F.l1_loss(drawn[..., 1:, :] - drawn[..., :-1, :], true[..., 1:, :] - true[..., :-1, :])
    return F.l1_loss(drawn, true) + coarse + across + down


@torch.no_grad()
def open_mapping(generator: Generator) -> None:
    """Let the mapping network begin as w = (positive part of z, positive part of −z), the rest of w empty.

    Every attribute then has coordinates of its own in w from the first step; from StyleGAN2's random start,
    which scrambles them, regression takes several times as long.
    """
    for k, layer in enumerate(generator.mapping):
        out, into = layer.weight.shape
        start = torch.eye(out, into)
        if k == 0:
            start[into : 2 * into] = -torch.eye(into)[: max(0, out - into)]
        # The activation's gain of √2 is taken back, so that four layers keep the scale.
        layer.weight.copy_(start / (layer.scale * 2**0.5))
        layer.bias.zero_()


def _optimiser(generator: Generator, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(
        [
            {"params": list(generator.mapping.parameters()), "lr": rate * MAPPING_BOOST},
            {"params": list(generator.synthesis.parameters()), "lr": rate},
        ],
        betas=betas,
    )


def train_generator(
    recipe: GeneratorRecipe, work: Path, out: Path, device: str = "cpu", config: GeneratorConfig = GENERATOR
) -> None:
    """Run both phases, resuming from `work`, and write the averaged generator to `out` (safetensors).

    Writes work/generator.pt (checkpoint), work/generator.csv (figures) and `out`.
    """
    u, pictures = photos(recipe.photos, config.resolution, recipe.seed, work)
    z = latents_of_people(u, config.z_dim, recipe.seed).to(device)
    random = torch.Generator().manual_seed(recipe.seed)
    generator = Generator(config, random)
    open_mapping(generator)
    generator.to(device)
    average = Ema(generator, Generator(config).to(device), recipe.ema)
    optimiser = _optimiser(generator, recipe.learning_rate, (0.9, 0.99))
    checkpoint = Checkpoint(
        work / "generator.pt",
        {"generator": generator, "average": average.average, "optimiser": optimiser, "random": random},
    )
    figures = FigureLog(work / "generator.csv")
    begun, done = time.monotonic(), checkpoint.resume()
    for step in range(done + 1, recipe.regression_steps + 1):
        progress = step / recipe.regression_steps
        rate = recipe.learning_rate * min(1.0, 2.0 * (1 - progress) + 0.02, step / 100)
        for group, boost in zip(optimiser.param_groups, (MAPPING_BOOST, 1)):
            group["lr"] = rate * boost
        index = torch.randint(len(z), (recipe.batch,), generator=random)
        true, w = to_float(pictures[index]).to(device), generator.mapping(z[index])
        if step <= recipe.coarse_steps:
            true = F.avg_pool2d(true, 2)
        loss = regression_loss(generator.synthesis(w, resolution=true.shape[-1]), true)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update()
        if step % 50 == 0:
            figures.write(phase="regression", step=step, loss=loss.item(), discriminator=0.0)
            log.info(
                "regression %d of %d: loss %.4f, %.0f s",
                step,
                recipe.regression_steps,
                loss.item(),
                time.monotonic() - begun,
            )
        if step % recipe.save_every == 0 or step == recipe.regression_steps:
            checkpoint.save(step)
            _write(average.average, out, recipe)
    if recipe.adversarial_steps:
        _adversarial(recipe, work, out, config, average.average, z, pictures, figures)


def _adversarial(
    recipe: GeneratorRecipe,
    work: Path,
    out: Path,
    config: GeneratorConfig,
    start: Generator,
    z: torch.Tensor,
    pictures: torch.Tensor,
    figures: FigureLog,
) -> None:
    """The second phase: non-saturating logistic loss with lazy R1, plus the regression term."""
    random = torch.Generator().manual_seed(recipe.seed + 1)
    generator = Generator(config).to(z.device)
    generator.load_state_dict(start.state_dict())
    critic = Discriminator(config, random).to(z.device)
    average = Ema(generator, Generator(config).to(z.device), recipe.ema)
    draw = torch.optim.Adam(generator.synthesis.parameters(), lr=recipe.adversarial_rate, betas=(0.0, 0.99))
    blame = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.99))
    checkpoint = Checkpoint(
        work / "generator-adversarial.pt",
        {
            "generator": generator,
            "critic": critic,
            "average": average.average,
            "draw": draw,
            "blame": blame,
            "random": random,
        },
    )
    begun, done = time.monotonic(), checkpoint.resume()
    draw.param_groups[0]["lr"] = recipe.adversarial_rate
    for step in range(done + 1, recipe.adversarial_steps + 1):
        index = torch.randint(len(z), (recipe.batch,), generator=random)
        true = to_float(pictures[index]).to(z.device)
        drawn = generator(z[index])

        critic.requires_grad_(True)
        real = true.requires_grad_(step % recipe.r1_interval == 0)
        score = critic(real)
        loss_critic = F.softplus(critic(drawn.detach())).mean() + F.softplus(-score).mean()
        if real.requires_grad:
            (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
            loss_critic = loss_critic + recipe.r1_gamma / 2 * recipe.r1_interval * slope.square().sum((1, 2, 3)).mean()
        blame.zero_grad(set_to_none=True)
        loss_critic.backward()
        blame.step()

        # The critic learns alone for a while: a blind critic would only push the generator about.
        critic.requires_grad_(False)
        fooled = F.softplus(-critic(drawn)).mean() if step > 150 else drawn.new_zeros(())
        # Meaning is kept at half resolution only: at full, L1 would hold on to its blur where details can't be known.
        kept = regression_loss(F.avg_pool2d(drawn, 2), F.avg_pool2d(true.detach(), 2))
        loss = recipe.adversarial_weight * fooled + kept
        draw.zero_grad(set_to_none=True)
        loss.backward()
        draw.step()
        average.update()
        if step % 50 == 0:
            figures.write(phase="adversarial", step=step, loss=loss.item(), discriminator=loss_critic.item())
            log.info(
                "adversarial %d of %d: loss %.4f, critic %.3f, %.0f s",
                step,
                recipe.adversarial_steps,
                loss.item(),
                loss_critic.item(),
                time.monotonic() - begun,
            )
        if step % recipe.save_every == 0 or step == recipe.adversarial_steps:
            checkpoint.save(step)
            _write(average.average, out, recipe)


def _write(generator: Generator, out: Path, recipe: GeneratorRecipe) -> None:
    fixed = torch.Generator().manual_seed(recipe.seed + 2)
    generator.estimate_w_avg(fixed)
    save_generator(generator, out, {"seed": str(recipe.seed)}, torch.float16)
