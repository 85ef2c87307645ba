"""Trains the studio's encoders, one a subject: pictures to the latents of that subject's generator.

The latent of every training picture is known: of the generator's own samples, and of renders, whose z the generator
was trained on. The loss compares the guess in the coordinates that inversion searches in, and the picture that the
generator draws of it: much of z changes nothing that can be seen.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...generators.encoder import EncoderConfig, PictureEncoder, save_encoder
from ...generators.files import load_generator
from ...generators.invert import LatentSpace
from ...generators.stylegan2.network import Generator
from ...storage.digests import file_digest
from ..data import photos, to_float
from ..world.subject import LATENT_WIDTH, Subject
from .augment import nuisance
from .generator import regression_loss
from .loop import Checkpoint, FigureLog, figure_words, first_weights, half_precision
from .muon import MuonAdam

log = logging.getLogger(__name__)

#: At how many pixels a side pictures are looked at, and what the generator makes of guesses is compared.
SIDE = 64


@dataclass(frozen=True)
class EncoderRecipe:
    """Steps, sizes and rates; the defaults made the committed weights."""

    photos: int = 12_000  # renders to learn from; the generator's own, where they are in the work folder
    held_out: int = 200  # of them
    steps: int = 800
    batch: int = 12  # pictures that the generator draws in a step
    rendered: int = 12  # renders in a step
    compared: int = 4  # of each kind, whose guess is drawn and compared; the dear part of a step
    muon_rate: float = 0.02  # relative to the weights
    adam_rate: float = 2e-3
    picture_weight: float = 2.0
    offset_weight: float = 0.02  # pull of the rows towards what they share
    nuisance: float = 0.35  # strength of what means nothing, on half of the pictures
    bfloat16: bool = True
    seed: int = 13
    save_every: int = 250


#: The smallest recipe that runs every line: it shows that the script works and teaches nothing.
SMOKE = EncoderRecipe(
    photos=4, held_out=2, steps=2, batch=4, rendered=4, compared=2, save_every=2,
)  # fmt: skip


def train_encoder(
    subject: Subject, recipe: EncoderRecipe, work: Path, generator_file: Path, out: Path, device: str = "cpu"
) -> dict[str, float]:
    """Run the recipe, resuming from `work`; writes `out` (safetensors) and gives the held-out report."""
    generator = load_generator(generator_file, device).requires_grad_(False)
    shape = generator.config
    z, pictures = photos(subject, recipe.photos, shape.resolution, 0, work)
    random = torch.Generator().manual_seed(recipe.seed)
    space = LatentSpace(generator, random)
    encoder = _first_encoder(space, EncoderConfig(shape.num_layers, shape.w_dim), recipe.seed).to(device)
    # Muon moves a weight by a share of its size, so what begins at zero is Adam's.
    heads = [encoder.shared.weight, encoder.offsets.weight]
    optimiser = MuonAdam(encoder, recipe.muon_rate, recipe.adam_rate, heads, decay=0.01)
    checkpoint = Checkpoint(
        work / f"encoder-{subject.name}.pt", {"encoder": encoder, "optimiser": optimiser, "random": random}
    )
    figures = FigureLog(work / f"encoder-{subject.name}.csv")
    begun, done, mean = time.monotonic(), checkpoint.resume(), {}
    encoder.train()
    for step in range(done + 1, recipe.steps + 1):
        optimiser.set_rate(min(1.0, step / 50, 1.4 * (1 - step / recipe.steps) + 0.01))
        seen, w = _examples(recipe, generator, z, pictures, random)
        losses = _losses(recipe, encoder, generator, space, seen, w, random)
        optimiser.zero_grad()
        (losses["coordinates"] + recipe.picture_weight * losses["pictures"] + losses["offsets"]).backward()
        optimiser.step()
        for name, loss in losses.items():
            mean[name] = 0.95 * mean.get(name, loss.item()) + 0.05 * loss.item()
        if step % 50 == 0:
            figures.write(step=step, **mean)
            told = subject.name, step, recipe.steps, figure_words(mean), time.monotonic() - begun
            log.info("encoder of %s %d of %d: %s, %.0f s", *told)
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(step)
    encoder.eval().requires_grad_(False)
    description = {"subject": subject.name, "seed": str(recipe.seed), "generator_sha256": file_digest(generator_file)}
    save_encoder(encoder, out, description)
    return report(encoder, generator, to_float(pictures[: recipe.held_out]), recipe.seed)


def _first_encoder(space: LatentSpace, config: EncoderConfig, seed: int) -> PictureEncoder:
    """An untrained encoder, whose guess is the mean latent for every picture."""
    encoder = first_weights(lambda: PictureEncoder(config), seed)
    encoder.mean.copy_(space.mean)
    encoder.out.copy_(space.out)
    for head in (encoder.shared, encoder.offsets):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    return encoder


def _examples(
    recipe: EncoderRecipe, generator: Generator, z: Tensor, pictures: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, R, R) about [-1, 1] and their w (B, w_dim): first what the generator draws, then renders."""
    index = torch.randint(recipe.held_out, len(z), (recipe.rendered,), generator=random)
    fresh = torch.randn(recipe.batch, LATENT_WIDTH, generator=random)
    with torch.no_grad(), half_precision(generator.device, recipe.bfloat16):
        w = generator.mapping(torch.cat([fresh, z[index]]).to(generator.device)).float()
        drawn = generator.synthesis(w[: recipe.batch]).float().clamp(-1, 1)
    return torch.cat([drawn, to_float(pictures[index]).to(generator.device)]), w


def _losses(
    recipe: EncoderRecipe,
    encoder: PictureEncoder,
    generator: Generator,
    space: LatentSpace,
    seen: Tensor,
    w: Tensor,
    random: torch.Generator,
) -> dict[str, Tensor]:
    true = _halved(seen, SIDE)
    spoilt = torch.rand(len(seen), 1, 1, 1, generator=random).to(seen.device) < 0.5
    looked_at = torch.where(spoilt, nuisance(true, random, recipe.nuisance), true)
    half = half_precision(seen.device, recipe.bfloat16)
    with half:
        shared, offsets = encoder.coordinates(looked_at)
    shared, offsets = shared.float(), offsets.float()
    # Both kinds lie one behind the other; as many of each are drawn.
    kinds = (slice(recipe.compared), slice(recipe.batch, recipe.batch + recipe.compared))
    guess = torch.cat([encoder.decode((shared + offsets)[kind]) for kind in kinds])
    with half:
        drawn = generator.synthesis(guess, resolution=SIDE)
        # What the right latent gives at the same stage: a picture that a larger one passes through is not that one.
        with torch.no_grad():
            wanted = generator.synthesis(torch.cat([w[kind] for kind in kinds]), resolution=SIDE)
    return {
        "coordinates": F.mse_loss(shared[:, 0], space.encode(w)),
        "pictures": regression_loss(drawn.float(), wanted.float()),
        "offsets": recipe.offset_weight * offsets.square().mean(),
    }


def _halved(pictures: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(pictures, pictures.shape[-1] // side) if pictures.shape[-1] > side else pictures


@torch.no_grad()
def report(encoder: PictureEncoder, generator: Generator, renders: Tensor, seed: int) -> dict[str, float]:
    """How near the guess comes, as mean absolute differences of pictures (0 to 2), without any search.

    On held-out renders (N, 3, R, R): of what is drawn of the guess, and of the mean latent. On as many samples of the
    generator's own: the same.
    """
    random = torch.Generator().manual_seed(seed + 1)
    z = torch.randn(len(renders), LATENT_WIDTH, generator=random)
    own = torch.cat([generator(part.to(generator.device)) for part in z.split(32)]).clamp(-1, 1)
    mean = generator.synthesis(generator.w_avg[None]).clamp(-1, 1)
    figures = {}
    for kind, pictures in (("renders", renders.to(generator.device)), ("samples", own)):
        guessed = torch.cat([generator.synthesis(encoder(part)) for part in pictures.split(32)]).clamp(-1, 1)
        figures[f"guess, {kind}"] = float((guessed - pictures).abs().mean())
        figures[f"mean latent, {kind}"] = float((mean - pictures).abs().mean())
    return figures
