"""Picture to latent as one generator function that yields Snapshots; knows nothing about faces or about files.

Phase "latent" looks for the latent whose picture is nearest, the generator fixed. Phase "tuning" then holds the
latent and moves the generator, so that it draws there what the latent alone could not reach (pivotal tuning), and goes
on for the few pictures that are still far off. The judge has no part in either: it measures the result elsewhere.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.ensemble import members
from ..clip.model import Critic
from ..devices import usable_device
from ..latents import generator_from_seed
from ..lpips import load_lpips, lpips_view
from ..memory import pictures_at_once
from ..methods.config import InvertConfig
from ..models.catalog import critic_of, load_critic, load_encoder, load_generator, starting_encoder
from ..pictures.media import to_uint8
from ..running.snapshot import Snapshot
from ..running.stepping import Stage, kept, own_modes, require_finite, run_stages
from .stylegan2.network import Generator
from .stylegan2.ops import LEAKY_SLOPE

#: An encoder's guess: a picture (1, 3, R, R) in [-1, 1] → w (1, w_dim) or w_plus (1, rows, w_dim).
Encoder = Callable[[Tensor], Tensor]
#: A perceptual distance: the picture to compare with → a function of pictures (N, 3, R, R) that gives (N,).
Perceptual = Callable[[Tensor], Callable[[Tensor], Tensor]]

LOCALITY_INTERVAL = 4  # steps of tuning between two looks at another latent
LOCALITY_REACH = 8.0  # how far from the pivot that latent lies, in standard deviations of the latents
ROW_RATE = 0.5  # how fast single rows of w+ move against the latent that they share
_SPACE_SAMPLES = 4096
_SMALLEST_SCALE = 8  # pixels a side


def invert(
    config: InvertConfig,
    picture: Tensor,
    stop: threading.Event | None = None,
    preview_interval: float = 1.0,
    *,
    encoder: Encoder | None = None,
    perceptual: Perceptual | None = None,
) -> Iterator[Snapshot]:
    """Finds the latent of `picture` and yields one Snapshot a step, then a last one with phase "done".

    picture: (1, 3, H, W) in [-1, 1], a square, cut as the generator's own pictures are; any size.
    stop: set it, from any thread, to end after the step under way; the last Snapshot then says stopped="asked" and
        carries what has been reached.
    preview_interval: seconds between two renewals of the pictures, more where drawing them takes long (see
        `stepping.seconds_between`); the first step and the last Snapshot always carry them. Never changes the result.
    encoder: gives the start, whatever the configuration says of it.
    perceptual: the perceptual term, instead of the view that the configuration names.

    The last Snapshot carries `latent`, `distances` and, where tuning ran, the tuned `weights`. Numbers that stop
    being finite end the run with stopped="not finite" and what was reached before. The same settings give
    bit-identical results on the same machine's CPU. Raises InputError, on the first step, for models that can't be
    used, ValueError for a picture or an encoder's guess of the wrong shape.
    """
    began = time.perf_counter()
    device = usable_device(config.device)
    with own_modes(device):
        generator = load_generator(config.model, config.device)
        target = _at_resolution(picture.to(device), generator.config.resolution)
        if encoder is None:
            name = starting_encoder(config.model, config.start, config.encoder)
            encoder = None if name is None else load_encoder(name, config.model, generator.config, config.device)
        loss = PictureLoss(config, target, perceptual or view_of(config))
        search = LatentSearch(config, generator, loss, encoder)
    tuning: PivotalTuning | None = None

    def begin_tuning() -> PivotalTuning:
        nonlocal tuning
        tuning = PivotalTuning(config, generator, loss, search)
        return tuning

    def draw() -> Tensor:
        return search.draw(tuning.tuned if tuning else generator)

    def pictures() -> dict[str, Any]:
        return {"before": before, "after": to_uint8(draw())}

    def far_off() -> bool:
        with own_modes(device):
            return loss.distances(draw())["perceptual"] > config.tune_until

    before = to_uint8(target)
    stages = [Stage("latent", config.steps, lambda: search)]
    if config.tune:
        stages.append(Stage("tuning", config.tune_steps, begin_tuning, 1.5 * search.seconds_a_step))
    stopped, done = yield from run_stages(stages, device, began, pictures, preview_interval, stop)
    if tuning is not None and stopped is None and config.tune_further and far_off():
        further = Stage("tuning", config.tune_steps + config.tune_further, tuning.further, done=config.tune_steps)
        stopped, more = yield from run_stages([further], device, began, pictures, preview_interval, stop)
        done.update(more)
    phase = "tuning" if done.get("tuning") else "latent"
    with own_modes(device):
        image = draw()
        distances = loss.distances(image)
    yield Snapshot(
        step=done[phase],
        total=tuning.planned if tuning else config.steps,
        phase="done",
        before=before,
        after=to_uint8(image),
        seconds=time.perf_counter() - began,
        weights=tuning.changed_weights() if tuning else {},
        latent=search.latent(),
        distances=distances,
        stopped=stopped,
    )


def view_of(config: InvertConfig) -> Perceptual:
    """The perceptual distance that a configuration names."""
    if config.view != "critic":
        return lpips_view(load_lpips(config.view, config.device))
    critics = members(config.critic or critic_of(config.model))
    return mean_view([(critic_view(load_critic(name, config.device)), weight) for name, weight in critics])


def critic_view(critic: Critic) -> Perceptual:
    """The critic's view as a perceptual distance: 1 - cos of its features, place by place in three depths, and of
    its embeddings, averaged; 0 for equal pictures, at most 2. In the manner of LPIPS (Zhang et al., CVPR 2018)."""

    def compare_with(target: Tensor) -> Callable[[Tensor], Tensor]:
        with torch.no_grad():
            target_maps, target_embedding = critic.encode_layers(target)

        def distance(images: Tensor) -> Tensor:
            maps, embeddings = critic.encode_layers(images)
            terms = [(1 - F.cosine_similarity(a, b, dim=1)).mean((1, 2)) for a, b in zip(maps, target_maps)]
            terms.append(1 - (embeddings * target_embedding).sum(-1))
            return torch.stack(terms).mean(0)

        return distance

    return compare_with


def mean_view(views: Sequence[tuple[Perceptual, float]]) -> Perceptual:
    """Several perceptual distances as one: their mean, weighted; one alone is what it was."""

    def compare_with(target: Tensor) -> Callable[[Tensor], Tensor]:
        distances = [(view(target), weight) for view, weight in views]
        total = sum(weight for _, weight in distances)
        return lambda images: sum(weight / total * distance(images) for distance, weight in distances)

    return compare_with


class PictureLoss:
    """How far pictures are from the one to invert; every term is a mean over pixels or features, one a picture."""

    def __init__(self, config: InvertConfig, target: Tensor, perceptual: Perceptual) -> None:
        self.target = target
        self._weights = {"pixel": config.pixel, "multiscale": config.multiscale, "perceptual": config.perceptual}
        self._scales = _halvings(target)
        self._perceptual = perceptual(target)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """The weighted terms that are used and their sum "total", each (N,), of pictures (N, 3, R, R)."""
        terms: dict[str, Tensor] = {}
        if self._weights["pixel"]:
            terms["pixel"] = (images - self.target).abs().mean((1, 2, 3))
        if self._weights["multiscale"]:
            scales = zip(_halvings(images), self._scales)
            terms["multiscale"] = torch.stack([(a - b).abs().mean((1, 2, 3)) for a, b in scales]).mean(0)
        if self._weights["perceptual"]:
            terms["perceptual"] = self._perceptual(images)
        total = sum(self._weights[name] * term for name, term in terms.items())
        return {**terms, "total": total}

    @torch.no_grad()
    def distances(self, image: Tensor) -> dict[str, float]:
        """Of one picture (1, 3, R, R): "pixel", the mean absolute difference in [-1, 1] (0 to 2), and "perceptual"."""
        image = image.clamp(-1, 1)
        return {
            "pixel": float((image - self.target).abs().mean()),
            "perceptual": float(self._perceptual(image)),
        }


def _halvings(images: Tensor) -> list[Tensor]:
    """The pictures at half the size, a quarter and so on."""
    scales = []
    while images.shape[-1] >= 2 * _SMALLEST_SCALE:
        images = F.avg_pool2d(images, 2)
        scales.append(images)
    return scales


def _at_resolution(picture: Tensor, resolution: int) -> Tensor:
    if picture.ndim != 4 or picture.shape[:2] != (1, 3) or picture.shape[2] != picture.shape[3]:
        raise ValueError(f"The picture to invert must be a square (1, 3, H, H), got {tuple(picture.shape)}.")
    picture = picture.float()
    if picture.shape[-1] != resolution:
        picture = F.interpolate(picture, (resolution,) * 2, mode="bicubic", antialias=True, align_corners=False)
    return picture.clamp(-1, 1)


# ----------------------------------------------------------------------------------------------------------------------
# Phase "latent"


class LatentSpace:
    """Coordinates of w in which the generator's own latents are about standard normal.

    The activation that ends the mapping network is undone and the result whitened (P_N space of Zhu et al. 2020,
    "Improved StyleGAN embedding"). One rate then suits every direction, and distance from 0 says how unusual a
    latent is. `encode` and `decode` are inverse to each other. mean (w_dim,), out (w_dim, w_dim): what `decode` takes.
    """

    def __init__(self, generator: Generator, random: torch.Generator, samples: int = _SPACE_SAMPLES) -> None:
        with torch.no_grad():
            z = torch.randn(samples, generator.config.z_dim, generator=random).to(generator.device)
            before = _undo_activation(generator.mapping(z)).double().cpu()
            self.mean = before.mean(0)
            values, vectors = torch.linalg.eigh(torch.cov(before.T))
            # Directions that the mapping hardly uses stay narrow, but not so narrow that they can't be inverted.
            spread = values.clamp_min(0).sqrt().clamp_min(1e-2 * values[-1].sqrt())
            self.out, self._in = (vectors * spread).T, vectors / spread
            self.mean, self.out, self._in = (t.float().to(generator.device) for t in (self.mean, self.out, self._in))

    def encode(self, w: Tensor) -> Tensor:
        """w (..., w_dim) → coordinates (..., w_dim)."""
        return (_undo_activation(w) - self.mean) @ self._in

    def decode(self, coordinates: Tensor) -> Tensor:
        """Coordinates (..., w_dim) → w (..., w_dim)."""
        return F.leaky_relu(coordinates @ self.out + self.mean, LEAKY_SLOPE)


def _undo_activation(w: Tensor) -> Tensor:
    return F.leaky_relu(w, 1 / LEAKY_SLOPE)


class LatentSearch:
    """Calling it moves the latent by one step and gives the step's loss terms; the generator is fixed.

    Every row of w+ is the shared latent plus an offset of its own, which the space "w" leaves at zero.
    """

    def __init__(
        self, config: InvertConfig, generator: Generator, loss: PictureLoss, encoder: Encoder | None = None
    ) -> None:
        self._config, self._generator, self._loss = config, generator, loss
        self.space = LatentSpace(generator, generator_from_seed(config.seed, "latent space"))
        start = self._start(encoder)  # (1, 1 or rows, w_dim)
        self._shared = start.mean(1, keepdim=True).requires_grad_(True)
        self._offsets = (start - self._shared.detach()).repeat(1, generator.num_layers // start.shape[1], 1)
        self.noise = [buffer.detach().clone() for buffer in generator.synthesis.noise.buffers()]
        groups = [{"params": [self._shared], "scale": 1.0}]
        if config.space == "w+":
            groups.append({"params": [self._offsets.requires_grad_(True)], "scale": ROW_RATE})
        else:
            self._offsets = torch.zeros_like(self._offsets)
        if config.noise:
            groups.append({"params": [noise.requires_grad_(True) for noise in self.noise], "scale": 1.0})
        self._optimiser = torch.optim.Adam(groups, lr=config.learning_rate, betas=(0.9, 0.99))
        self._steps = 0

    @property
    def w_plus(self) -> Tensor:
        """(1, rows, w_dim) as it is now, with gradient."""
        return self.space.decode(self._shared + self._offsets)

    def draw(self, generator: Generator) -> Tensor:
        """The picture (1, 3, R, R) that `generator` draws of the latent, without gradient."""
        with torch.no_grad():
            return generator.synthesis(self.w_plus, noise=self.noise)

    def __call__(self) -> dict[str, float]:
        """One step. Raises NotFinite before anything has changed."""
        config = self._config
        for group in self._optimiser.param_groups:
            group["lr"] = config.learning_rate * group["scale"] * _schedule(self._steps / config.steps)
        losses = {name: term.mean() for name, term in self._loss(self._synthesise()).items()}
        losses["total"] = losses["total"] + config.mean_pull * self._shared.square().mean()
        if config.space == "w+":
            losses["total"] = losses["total"] + config.row_pull * self._offsets.square().mean()
        if config.noise:
            losses["noise"] = sum(noise_structure(noise) for noise in self.noise)
            losses["total"] = losses["total"] + config.noise_pull * losses["noise"]
        self._optimiser.zero_grad()
        losses["total"].backward()
        require_finite(losses["total"], [p for group in self._optimiser.param_groups for p in group["params"]])
        self._optimiser.step()
        if config.noise:
            self._normalise_noise()
        self._steps += 1
        return {name: term.item() for name, term in losses.items()}

    def latent(self) -> dict[str, Tensor]:
        """ "w_plus" and, where they were optimised, the noise maps, float32 on the CPU."""
        found = {"w_plus": self.w_plus}
        if self._config.noise:
            found.update({f"noise.{k}": noise for k, noise in enumerate(self.noise)})
        return kept(found)

    def _synthesise(self) -> Tensor:
        return self._generator.synthesis(self.w_plus, noise=self.noise)

    @torch.no_grad()
    def _start(self, encoder: Encoder | None) -> Tensor:
        """Coordinates (1, 1 or rows, w_dim) to begin at; measures on the way how long a picture takes."""
        generator, config = self._generator, self._config
        began, drawn = time.perf_counter(), 1
        if encoder is not None:
            w = encoder(self._loss.target).to(generator.device, torch.float32)
            self._loss(generator.synthesis(w))
            start = self.space.encode(w)[:, None] if w.ndim == 2 else self.space.encode(w)
        else:
            random = generator_from_seed(config.seed, "starts")
            z = torch.randn(config.starts, generator.config.z_dim, generator=random).to(generator.device)
            candidates = generator.w_avg[None]
            if config.start != "mean":
                candidates = torch.cat([candidates, generator.mapping(z)])
            parts = candidates.split(pictures_at_once(generator.config.resolution))
            scores = torch.cat([self._loss(generator.synthesis(part))["total"] for part in parts])
            drawn = len(candidates)
            start = self.space.encode(candidates[scores.argmin()])[None, None]
        self.seconds_a_step = 3 * (time.perf_counter() - began) / drawn
        return start

    @torch.no_grad()
    def _normalise_noise(self) -> None:
        for noise in self.noise:
            noise.sub_(noise.mean()).mul_(torch.rsqrt(noise.square().mean() + 1e-8))


def _schedule(progress: float) -> float:
    """Factor on the learning rate: a short rise, then half a cosine from the middle on (Karras et al. 2020, app. D)."""
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, (progress - 0.5) / 0.5))
    return min(1.0, progress / 0.05 + 0.1) * fall + 1e-3


def noise_structure(noise: Tensor) -> Tensor:
    """How much a noise map (1, 1, h, w) is like itself one pixel on, over its halvings down to 8 pixels a side.

    0 for white noise (StyleGAN2, CVPR 2020, app. D): without it the picture would be hidden in the noise.
    """
    total = noise.new_zeros(())
    while True:
        for dim in (2, 3):
            total = total + (noise * noise.roll(1, dim)).mean().square()
        if noise.shape[-1] <= 8:
            return total
        noise = F.avg_pool2d(noise, 2) * 2  # twice the mean of four keeps the variance of white noise


# ----------------------------------------------------------------------------------------------------------------------
# Phase "tuning"


class PivotalTuning:
    """Calling it tunes a copy of the generator about the latent by one step (PTI, Roich et al., TOG 2022).

    tuned: the copy. planned: its steps, those of a second round too once that has begun. Latents near the pivot are
    held to what the source generator draws of them (its §3.3), so that the change stays local.
    """

    def __init__(self, config: InvertConfig, generator: Generator, loss: PictureLoss, search: LatentSearch) -> None:
        self._config, self._source, self._loss, self._space = config, generator, loss, search.space
        self._pivot = search.w_plus.detach()
        self._noise = [noise.detach() for noise in search.noise]
        self.tuned = copy.deepcopy(generator)
        self.tuned.synthesis.requires_grad_(True)
        self._parameters = list(self.tuned.synthesis.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=config.tune_rate, betas=(0.9, 0.99), foreach=True)
        self._random = generator_from_seed(config.seed, "tuning")
        self._steps = self._round_began = 0
        self.planned = config.tune_steps

    def further(self) -> PivotalTuning:
        """Begins a second round, in which the rate rises and falls once more."""
        self._round_began, self.planned = self._steps, self._steps + self._config.tune_further
        return self

    def __call__(self) -> dict[str, float]:
        """One step. Raises NotFinite before anything has changed."""
        config = self._config
        progress = (self._steps - self._round_began) / (self.planned - self._round_began)
        for group in self._optimiser.param_groups:
            group["lr"] = config.tune_rate * _schedule(progress)
        images = self.tuned.synthesis(self._pivot, noise=self._noise)
        losses = {name: term.mean() for name, term in self._loss(images).items()}
        if config.locality and self._steps % LOCALITY_INTERVAL == 0:
            losses["locality"] = self._elsewhere()
            losses["total"] = losses["total"] + config.locality * losses["locality"]
        self._optimiser.zero_grad()
        losses["total"].backward()
        require_finite(losses["total"], self._parameters)
        self._optimiser.step()
        self._steps += 1
        return {name: term.item() for name, term in losses.items()}

    def _elsewhere(self) -> Tensor:
        """Mean absolute change of the picture of a latent on the way from the pivot to a random one."""
        z = torch.randn(1, self._source.config.z_dim, generator=self._random).to(self._pivot)
        pivot, other = self._space.encode(self._pivot), self._space.encode(self._source.mapping(z))[:, None]
        way = other - pivot
        length = way.square().mean((1, 2), keepdim=True).mul(way.shape[-1]).sqrt()
        near = self._space.decode(pivot + way * (LOCALITY_REACH / length).clamp(max=1.0))
        with torch.no_grad():
            expected = self._source.synthesis(near)
        return (self.tuned.synthesis(near) - expected).abs().mean()

    def changed_weights(self) -> dict[str, Tensor]:
        """The tuned tensors by state-dict name, float32 on the CPU; {} before the first step."""
        if not self._steps:
            return {}
        return kept({f"synthesis.{name}": tensor for name, tensor in self.tuned.synthesis.named_parameters()})
