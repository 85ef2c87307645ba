"""Trains the studio's Diffusion Autoencoders, one a subject: `studio-SUBJECT-diffusion`.

Pictures are the renders that the subject's generator was taught with. Encoder and U-Net learn together: first at half
the size, which costs a quarter and teaches composition, then at full size. The encoder begins as the trunk of the
subject's `PictureEncoder` and reads the attributes beside, so that its code carries a person from the first step. The
mapping is taught last: codes of the renders from the latents that the renders were made of, so that a seed is the same
person as in the subject's StyleGAN2. The judge has no part in any of it.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...generators.diffusion.files import load_diffusion, save_diffusion
from ...generators.diffusion.model import DiffusionAutoencoder, DiffusionConfig, MLPConfig
from ...generators.diffusion.network import TrunkEncoder, UNetConfig, initialise
from ...generators.diffusion.sampler import downwards, travel, upwards
from ...generators.diffusion.schedule import Schedule, cosine_alphas
from ...generators.encoder import EncoderConfig, load_encoder
from ...pictures.media import grid
from ..data import photos, to_float
from ..world.subject import LATENT_WIDTH, Subject
from .generator import attribute_code
from .loop import Checkpoint, Ema, FigureLog, half_precision

log = logging.getLogger(__name__)

CODE_WIDTH = 128
#: The log-SNR of the full size against that of half the size, in which the same noise hides more.
SHIFT = -2 * math.log(2)
DIFFUSION = DiffusionConfig(
    resolution=128,
    unet=UNetConfig(
        widths=(48, 96, 160), attention=(2,), down_blocks=1, up_blocks=2, groups=16, unshuffle=4,
        time_features=64, time_width=128,
    ),
    encoder=EncoderConfig(rows=1, w_dim=CODE_WIDTH),
    # 48 channels can't carry the noise of 48 folded pixels beside a picture: after 310 steps at 64×64 the mean squared
    # error of x̂_0 at t = 500 was 0.118 where the network gave all of v, and 0.027 with this spread.
    schedule=Schedule(cosine_alphas(shift=SHIFT), "v_prediction", spread=0.15),
    mapping=MLPConfig(width=512, layers=4),
    z_dim=LATENT_WIDTH,
    w_dim=CODE_WIDTH,
    steps=20,
    encode_steps=50,
)  # fmt: skip


@dataclass(frozen=True)
class DiffusionRecipe:
    """Steps, sizes and rates; the card of the committed weights says by which steps they came about."""

    photos: int = 12_000  # renders to learn from; the generator's own, where they are in the work folder
    held_out: int = 200  # of them
    steps_at_64: int = 5_000
    steps_at_128: int = 25_000
    further_steps_at_64: int = 0  # where weights are gone on with
    further_steps: int = 10_000  # then, at full size
    batch: int = 16
    learning_rate: float = 1e-3  # of Adam
    warm_steps: int = 200
    last_share: float = 0.1  # of the rate, at the end of all steps
    most_weight: float = 5.0  # of a clean picture's error; see `loss_weight`
    least_weight: float = 1.0
    attribute_weight: float = 0.05
    largest_gradient: float = 1.0
    ema: float = 0.999
    mapping_steps: int = 4_000
    mapping_batch: int = 256
    mapping_rate: float = 1e-3
    bfloat16: bool = True  # 1.5 times as fast as float32 where the CPU has AVX-512
    seed: int = 0
    save_every: int = 250
    sheet_every: int = 1_000
    shown: int = 8  # pictures of a sheet
    redraw_steps: int = 50  # by which pictures are drawn again, there and in the report

    def resolution(self, step: int, full: int) -> int:
        """At which side step `step`, from 1, is made."""
        return full // 2 if step <= self.steps_at_64 else full

    @property
    def steps(self) -> int:
        """Steps of encoder and U-Net in all."""
        return self.steps_at_64 + self.steps_at_128


#: The smallest recipe that runs every line: it shows that the script works and teaches nothing.
SMOKE = DiffusionRecipe(
    photos=4, held_out=2, steps_at_64=1, steps_at_128=1, further_steps=2, batch=4, warm_steps=1, mapping_steps=3,
    mapping_batch=16, save_every=2, sheet_every=2, shown=2, redraw_steps=2,
)  # fmt: skip


def loss_weight(snr: Tensor, least: float, most: float) -> Tensor:
    """Weight of the squared error of v, for which that of x̂_0 is min(SNR + least, most), for SNR (B,).

    least = 0 is Min-SNR (Hang et al. 2023), which weighs the noisiest times with next to nothing. There the code alone
    says what the picture is, and a sample's first steps are made; 1 keeps the weight of v itself.
    """
    return (snr + least).clamp(max=most) / (snr + 1)


class Learner(nn.Module):
    """What learns together: the model, and the reading of attributes from its code, which is left behind."""

    def __init__(self, model: DiffusionAutoencoder, columns: int, random: torch.Generator) -> None:
        super().__init__()
        self.model = model
        self.readout = nn.Linear(model.config.w_dim, columns, device="meta").to_empty(device="cpu")
        initialise(self.readout, random)

    def losses(
        self, schedule: Schedule, pictures: Tensor, columns: Tensor, recipe: DiffusionRecipe, random: torch.Generator
    ) -> dict[str, Tensor]:
        """Of pictures (B, 3, R, R) in [−1, 1] and their attributes (B, columns)."""
        # One time in each of B equal parts, so that every batch has all levels of noise.
        parts = (torch.arange(len(pictures)) + torch.rand(len(pictures), generator=random)) / len(pictures)
        t = (parts * schedule.total).long()
        noise = torch.randn(pictures.shape, generator=random).to(pictures)
        noised = schedule.noised(pictures, t, noise)
        t = t.to(pictures.device)
        with half_precision(pictures.device, recipe.bfloat16):
            code = self.model.encoder(pictures)
            predicted = self.model.synthesis.unet(noised, t, code)
            read = self.readout(code)
        error = (predicted.float() - schedule.target(pictures, t, noise)).square().mean((1, 2, 3))
        weight = loss_weight(schedule.snr(t), recipe.least_weight, recipe.most_weight).to(error)
        return {
            "picture": (weight * error).mean(),
            "attributes": F.mse_loss(read.float(), columns),
        }


def train_diffusion(
    subject: Subject,
    recipe: DiffusionRecipe,
    work: Path,
    encoder_file: Path,
    out: Path,
    device: str = "cpu",
    config: DiffusionConfig = DIFFUSION,
    start: Path | None = None,
) -> dict[str, float]:
    """Run all phases, resuming from `work`; writes `out` (safetensors, half precision) and gives the held-out report.

    encoder_file: the subject's `PictureEncoder`, whose trunk the semantic encoder begins as. start: a file of an
    earlier run's weights to go on with, by the recipe's further steps; no state of an optimiser is needed.
    """
    z, pictures = photos(subject, recipe.photos, config.resolution, 0, work)
    columns = attribute_code(subject, subject.sitters_from_latents(z))
    random = torch.Generator().manual_seed(recipe.seed)
    if start is None:
        model = DiffusionAutoencoder(config, random)
        begin_encoder(model.encoder, encoder_file)
    else:
        model = load_diffusion(start).requires_grad_(True)
        recipe = replace(recipe, steps_at_64=recipe.further_steps_at_64, steps_at_128=recipe.further_steps)
    learner = Learner(model, columns.shape[1], random).to(device)
    average = Ema(learner, Learner(DiffusionAutoencoder(model.config, random), columns.shape[1], random), recipe.ema)
    average.average.to(device).eval()
    name = f"diffusion-{subject.name}" if start is None else f"diffusion-{subject.name}-further"
    Run(name, recipe, work, learner, average, random).train(pictures, columns)
    trained = average.average.model
    missed = train_mapping(trained, z, pictures, recipe)
    log.info("diffusion of %s: the mapping misses %.1f %% of the codes' variance", subject.name, 100 * missed)
    save_diffusion(trained, out, {"subject": subject.name, "seed": str(recipe.seed)})
    sheet(
        trained, to_float(pictures[: recipe.shown]), recipe.redraw_steps, out.with_name("sheet.jpg"), z[: recipe.shown]
    )
    figures = report(trained, to_float(pictures[: recipe.held_out]), recipe.redraw_steps)
    return {**figures, "codes' variance that the mapping misses": missed}


@torch.no_grad()
def begin_encoder(encoder: TrunkEncoder, file: Path) -> None:
    """Take the trunk of a trained `PictureEncoder`; the code's own layer keeps its random start."""
    trained = load_encoder(file).network.state_dict()
    own = encoder.state_dict()
    encoder.load_state_dict({name: trained.get(name, value) for name, value in own.items()})


class Run:
    """Training of encoder and U-Net: steps, figures, sheets and checkpoints."""

    def __init__(
        self,
        name: str,
        recipe: DiffusionRecipe,
        work: Path,
        learner: Learner,
        average: Ema,
        random: torch.Generator,
    ) -> None:
        self.name, self.recipe, self.work, self.learner, self.average = name, recipe, work, learner, average
        self.random = random
        self.optimiser = torch.optim.Adam(learner.parameters(), recipe.learning_rate, betas=(0.9, 0.99), foreach=True)
        self.checkpoint = Checkpoint(
            work / f"{name}.pt",
            {"learner": learner, "average": average.average, "optimiser": self.optimiser, "random": random},
        )
        self.figures = FigureLog(work / f"{name}.csv")

    def train(self, pictures: Tensor, columns: Tensor) -> None:
        """All steps that the checkpoint does not have yet, on uint8 pictures (N, 3, R, R); the first are held out."""
        recipe, full = self.recipe, pictures.shape[-1]
        done, begun, mean = self.checkpoint.resume(), time.monotonic(), dict[str, float]()
        self.learner.train().to(memory_format=torch.channels_last)
        for step in range(done + 1, recipe.steps + 1):
            side = recipe.resolution(step, full)
            losses = self._step(step, pictures, columns, side)
            for name, loss in losses.items():
                mean[name] = 0.98 * mean.get(name, loss) + 0.02 * loss
            if step % 50 == 0:
                self.figures.write(step=step, side=side, **mean)
                words = ", ".join(f"{name} {value:.4f}" for name, value in mean.items())
                seconds = (time.monotonic() - begun) / (step - done)
                log.info("%s %d of %d at %d: %s, %.2f s a step", self.name, step, recipe.steps, side, words, seconds)
            if step % recipe.save_every == 0 or step == recipe.steps:
                self.checkpoint.save(step)
                # What another machine can go on from, by `start`; the mapping is taught when all steps are done.
                save_diffusion(self.average.average.model, self.work / f"{self.name}.safetensors", {"step": step})
            if step % recipe.sheet_every == 0:
                self._show(step, pictures, side)

    def _step(self, step: int, pictures: Tensor, columns: Tensor, side: int) -> dict[str, float]:
        recipe, full, device = self.recipe, pictures.shape[-1], self.learner.model.device
        falling = recipe.last_share + 2 * (1 - recipe.last_share) * (1 - step / recipe.steps)  # from half-way on
        share = min(1.0, step / recipe.warm_steps, falling)
        self.optimiser.param_groups[0]["lr"] = recipe.learning_rate * share
        index = torch.randint(recipe.held_out, len(pictures), (recipe.batch,), generator=self.random)
        seen = F.avg_pool2d(to_float(pictures[index]).to(device), full // side)
        losses = self.learner.losses(
            schedule_at(self.learner.model.config, side), seen, columns[index].to(device), recipe, self.random
        )
        self.optimiser.zero_grad()
        (losses["picture"] + recipe.attribute_weight * losses["attributes"]).backward()
        nn.utils.clip_grad_norm_(self.learner.parameters(), recipe.largest_gradient)
        self.optimiser.step()
        self.average.decay = min(recipe.ema, (1 + step) / (10 + step))  # or the random start would stay in it for long
        self.average.update()
        return {name: loss.item() for name, loss in losses.items()}

    def _show(self, step: int, pictures: Tensor, side: int) -> None:
        model = self.average.average.model
        seen = F.avg_pool2d(to_float(pictures[: self.recipe.shown]), pictures.shape[-1] // side)
        sheet(model, seen, self.recipe.redraw_steps, self.work / f"{self.name}-{step:06d}.jpg")


def schedule_at(config: DiffusionConfig, side: int) -> Schedule:
    """The model's schedule, or that of pictures of half the size, in which the same noise hides more."""
    if side == config.resolution:
        return config.schedule
    return replace(config.schedule, alphas=shifted(config.schedule.alphas, -SHIFT))


def shifted(alphas: tuple[float, ...], shift: float) -> tuple[float, ...]:
    """ᾱ with `shift` added to its log-SNR."""
    return tuple(torch.sigmoid(torch.logit(torch.tensor(alphas, dtype=torch.float64)) + shift).tolist())


def train_mapping(model: DiffusionAutoencoder, z: Tensor, pictures: Tensor, recipe: DiffusionRecipe) -> float:
    """Teach the mapping the codes of renders, from their latents; gives the share of variance missed on held-out ones.

    Sets the mean and spread of codes, too. z (N, z_dim), pictures (N, 3, R, R) uint8; the first are held out.
    """
    with torch.no_grad():
        codes = torch.cat([model.encoder(to_float(part).to(model.device)) for part in pictures.split(64)])
        known = codes[recipe.held_out :]
        model.mapping.mean.copy_(known.mean(0))
        model.mapping.std.copy_(known.std(0))
        codes = (codes - model.mapping.mean) / model.mapping.std
    z = z.to(model.device)
    random = torch.Generator().manual_seed(recipe.seed + 1)
    initialise(model.mapping, random)
    net = model.mapping.net.requires_grad_(True)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.mapping_rate, weight_decay=0.1, foreach=True)
    for step in range(1, recipe.mapping_steps + 1):
        optimiser.param_groups[0]["lr"] = recipe.mapping_rate * min(1.0, step / 50, 1.02 - step / recipe.mapping_steps)
        index = torch.randint(recipe.held_out, len(z), (recipe.mapping_batch,), generator=random)
        loss = F.mse_loss(net(z[index]), codes[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.requires_grad_(False)
    held_out = slice(recipe.held_out)
    with torch.no_grad():
        return float(F.mse_loss(net(z[held_out]), codes[held_out]))


@torch.no_grad()
def redrawn(model: DiffusionAutoencoder, pictures: Tensor, steps: int) -> dict[str, Tensor]:
    """Pictures (N, 3, R, R) drawn again in so many steps, of "both codes" and of "z_sem alone" with a random x_T.

    Pictures of half the model's size are taken for such as it was taught at first.
    """
    schedule = schedule_at(model.config, pictures.shape[-1])
    w = model.encoder(pictures)
    predict = model.synthesis.predict(w)
    x_t = travel(predict, schedule, pictures, upwards(schedule, steps))
    other = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1)).to(pictures)
    return {
        "both codes": travel(predict, schedule, x_t, downwards(schedule, steps)),
        "z_sem alone": travel(predict, schedule, other, downwards(schedule, steps)),
    }


@torch.no_grad()
def sheet(model: DiffusionAutoencoder, pictures: Tensor, steps: int, path: Path, z: Tensor | None = None) -> None:
    """Write a JPEG: pictures, what their two codes give, what z_sem alone gives, and with z what the mapping gives."""
    rows = [pictures, *redrawn(model, pictures.to(model.device), steps).values()]
    if z is not None:
        rows.append(model(z.to(model.device)))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid(torch.cat([row.cpu() for row in rows]), len(pictures)).save(path, quality=88)


@torch.no_grad()
def report(model: DiffusionAutoencoder, pictures: Tensor, steps: int) -> dict[str, float]:
    """Mean absolute difference in [−1, 1] of pictures (N, 3, R, R) drawn again, by what they are drawn from."""
    totals: dict[str, float] = {}
    for part in pictures.split(32):
        for name, drawn in redrawn(model, part.to(model.device), steps).items():
            totals[name] = totals.get(name, 0.0) + float((drawn.cpu() - part).abs().mean()) * len(part) / len(pictures)
    return totals
