"""GAN inversion in two phases, each a plain loop that yields its steps; knows nothing about faces or files.

Phase "latent" optimises a latent so that its picture comes near the given one, with the generator fixed. Phase
"tuning" then fixes the latent and fine-tunes the generator to reproduce the remaining details (pivotal tuning). Time
limits, previews and saving are in `running`. No classifier is used here: likeness is measured elsewhere.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.ensemble import members
from ..clip.model import Critic
from ..latents import generator_from_seed
from ..lpips import load_lpips, lpips_view
from ..memory import pictures_at_once
from ..methods.config import InvertConfig
from ..models.catalog import critic_of, load_critic
from ..running.modes import require_finite
from ..running.steps import Step, cpu_copies
from .stylegan2.network import Generator
from .stylegan2.ops import LEAKY_SLOPE

#: An encoder: a picture (1, 3, R, R) in [-1, 1] → w (1, w_dim) or w_plus (1, rows, w_dim).
Encoder = Callable[[Tensor], Tensor]
#: A perceptual distance: the reference picture → a function from pictures (N, 3, R, R) to distances (N,).
Perceptual = Callable[[Tensor], Callable[[Tensor], Tensor]]

LOCALITY_INTERVAL = 4  # tuning steps between two evaluations of the locality loss
LOCALITY_REACH = 8.0  # distance of the locality latent from the pivot, in standard deviations of the latents
ROW_RATE = 0.5  # learning rate of the rows' offsets, relative to that of the shared latent
_SPACE_SAMPLES = 4096
_SMALLEST_SCALE = 8  # pixels a side


def search_latent(config: InvertConfig, search: LatentSearch) -> Iterator[Step]:
    """Phase "latent": optimises the latent; the generator is fixed.

    Raises NotFinite if a step's loss or gradient isn't finite; that step has changed nothing.
    """
    optimiser, parameters = search.optimiser()
    for step in range(1, config.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * group["scale"] * rate_schedule((step - 1) / config.steps)

        losses = search.losses()
        optimiser.zero_grad()
        losses["total"].backward()
        require_finite(losses["total"], parameters)
        optimiser.step()
        search.normalise_noise()
        yield Step(step, config.steps, "latent", {name: term.item() for name, term in losses.items()})


def tune_generator(config: InvertConfig, tuning: PivotalTuning, steps: int) -> Iterator[Step]:
    """Phase "tuning": fine-tunes the generator for `steps` more steps; the latent is fixed.

    The learning rate rises and falls once during these steps. Raises NotFinite as `search_latent` does.
    """
    begun = tuning.steps
    for step in range(begun + 1, begun + steps + 1):
        for group in tuning.optimiser.param_groups:
            group["lr"] = config.tune_rate * rate_schedule((step - 1 - begun) / steps)

        losses = tuning.losses()
        tuning.optimiser.zero_grad()
        losses["total"].backward()
        require_finite(losses["total"], tuning.parameters)
        tuning.optimiser.step()
        tuning.steps = step
        yield Step(step, begun + steps, "tuning", {name: term.item() for name, term in losses.items()})


def rate_schedule(progress: float) -> float:
    """Factor on the learning rate: a short ramp-up, constant, then a cosine ramp-down (Karras et al. 2020, app. D).

    progress: fraction of the steps done, 0 to 1.
    """
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, (progress - 0.5) / 0.5))
    return min(1.0, progress / 0.05 + 0.1) * fall + 1e-3


# ----------------------------------------------------------------------------------------------------------------------
# Image losses


def view_of(config: InvertConfig) -> Perceptual:
    """The perceptual distance that a configuration names."""
    if config.view != "critic":
        return lpips_view(load_lpips(config.view, config.device))
    critics = members(config.critic or critic_of(config.model))
    return mean_view([(critic_view(load_critic(name, config.device)), weight) for name, weight in critics])


def critic_view(critic: Critic) -> Perceptual:
    """A perceptual distance in a CLIP model's features, similar to LPIPS (Zhang et al., CVPR 2018).

    The mean of 1 - cos over three layers (at each location of their feature maps) and the embeddings; 0 for equal
    pictures, at most 2.
    """

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
    """The weighted mean of several perceptual distances; a single one is returned unchanged."""

    def compare_with(target: Tensor) -> Callable[[Tensor], Tensor]:
        distances = [(view(target), weight) for view, weight in views]
        total = sum(weight for _, weight in distances)
        return lambda images: sum(weight / total * distance(images) for distance, weight in distances)

    return compare_with


class PictureLoss:
    """The losses between pictures and the one to invert; each term is a mean over pixels or features, per picture."""

    def __init__(self, config: InvertConfig, target: Tensor, perceptual: Perceptual) -> None:
        self.target = target
        self._weights = {"pixel": config.pixel, "multiscale": config.multiscale, "perceptual": config.perceptual}
        self._scales = _halvings(target)
        self._perceptual = perceptual(target)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """The weighted terms in use and their sum "total" for pictures (N, 3, R, R); each has the shape (N,)."""
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
        """For one picture (1, 3, R, R): "pixel", the mean absolute difference (0 to 2), and "perceptual"."""
        image = image.clamp(-1, 1)
        return {
            "pixel": float((image - self.target).abs().mean()),
            "perceptual": float(self._perceptual(image)),
        }


def _halvings(images: Tensor) -> list[Tensor]:
    """The pictures at a half, a quarter and so on of their size."""
    scales = []
    while images.shape[-1] >= 2 * _SMALLEST_SCALE:
        images = F.avg_pool2d(images, 2)
        scales.append(images)
    return scales


def at_resolution(picture: Tensor, resolution: int) -> Tensor:
    """A square picture (1, 3, H, H) in [-1, 1] at the generator's resolution. Raises ValueError for another shape."""
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

    The mapping network's last activation is inverted and the result whitened (P_N space of Zhu et al. 2020, "Improved
    StyleGAN embedding"). One learning rate then suits every direction, and the distance from 0 tells how unusual a
    latent is. `decode` inverts `encode`, with mean (w_dim,) and out (w_dim, w_dim).
    """

    def __init__(self, generator: Generator, random: torch.Generator, samples: int = _SPACE_SAMPLES) -> None:
        with torch.no_grad():
            z = torch.randn(samples, generator.config.z_dim, generator=random).to(generator.device)
            before = _undo_activation(generator.mapping(z)).double().cpu()
            self.mean = before.mean(0)
            values, vectors = torch.linalg.eigh(torch.cov(before.T))
            # Directions of almost no variance get a lower bound, so that the matrix stays invertible.
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
    """The latent being optimised, and its losses.

    Every row of w+ is the shared latent plus an offset, which stays zero in the space "w".
    noise: the noise maps (1, 1, h, w) of the layers. seconds_a_step: estimated time of a step.
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
        if config.space == "w+":
            self._offsets.requires_grad_(True)
        else:
            self._offsets = torch.zeros_like(self._offsets)
        if config.noise:
            self.noise = [noise.requires_grad_(True) for noise in self.noise]

    def optimiser(self) -> tuple[torch.optim.Adam, list[Tensor]]:
        """Adam over the optimised tensors, whose groups have a "scale" for the learning rate; and all the tensors."""
        groups = [{"params": [self._shared], "scale": 1.0}]
        if self._config.space == "w+":
            groups.append({"params": [self._offsets], "scale": ROW_RATE})
        if self._config.noise:
            groups.append({"params": self.noise, "scale": 1.0})
        adam = torch.optim.Adam(groups, lr=self._config.learning_rate, betas=(0.9, 0.99))
        return adam, [parameter for group in adam.param_groups for parameter in group["params"]]

    @property
    def w_plus(self) -> Tensor:
        """The current w_plus (1, rows, w_dim), with gradient."""
        return self.space.decode(self._shared + self._offsets)

    def draw(self, generator: Generator) -> Tensor:
        """The picture (1, 3, R, R) that `generator` draws from the latent, without gradient."""
        with torch.no_grad():
            return generator.synthesis(self.w_plus, noise=self.noise)

    def losses(self) -> dict[str, Tensor]:
        """Scalars: the image losses, the noise regularisation, and "total", which adds the priors on the latent."""
        config = self._config
        image = self._generator.synthesis(self.w_plus, noise=self.noise)
        losses = {name: term.mean() for name, term in self._loss(image).items()}
        losses["total"] = losses["total"] + config.mean_pull * self._shared.square().mean()
        if config.space == "w+":
            losses["total"] = losses["total"] + config.row_pull * self._offsets.square().mean()
        if config.noise:
            losses["noise"] = sum(noise_structure(noise) for noise in self.noise)
            losses["total"] = losses["total"] + config.noise_pull * losses["noise"]
        return losses

    @torch.no_grad()
    def normalise_noise(self) -> None:
        """Resets optimised noise maps to mean 0 and variance 1."""
        for noise in self.noise if self._config.noise else ():
            noise.sub_(noise.mean()).mul_(torch.rsqrt(noise.square().mean() + 1e-8))

    def latent(self) -> dict[str, Tensor]:
        """ "w_plus" and, where they were optimised, the noise maps, float32 on the CPU."""
        found = {"w_plus": self.w_plus}
        if self._config.noise:
            found.update({f"noise.{k}": noise for k, noise in enumerate(self.noise)})
        return cpu_copies(found)

    @torch.no_grad()
    def _start(self, encoder: Encoder | None) -> Tensor:
        """Initial coordinates (1, 1 or rows, w_dim); also measures how long a picture takes."""
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


def noise_structure(noise: Tensor) -> Tensor:
    """Noise regularisation (StyleGAN2, CVPR 2020, app. D): autocorrelation of a noise map (1, 1, h, w) at one pixel.

    Summed over halved resolutions down to 8 pixels a side; 0 for white noise. Without it, the optimisation would hide
    the picture in the noise.
    """
    total = noise.new_zeros(())
    while True:
        for dim in (2, 3):
            total = total + (noise * noise.roll(1, dim)).mean().square()
        if noise.shape[-1] <= 8:
            return total
        noise = F.avg_pool2d(noise, 2) * 2  # twice the mean of four pixels keeps the variance of white noise


# ----------------------------------------------------------------------------------------------------------------------
# Phase "tuning"


class PivotalTuning:
    """A copy of the generator that is fine-tuned around the latent (pivotal tuning, PTI, Roich et al., TOG 2022).

    tuned: the copy. parameters: its trained parameters. steps: number of steps done. The locality loss (§3.3) keeps
    pictures of nearby latents as the source generator draws them.
    """

    def __init__(self, config: InvertConfig, generator: Generator, loss: PictureLoss, search: LatentSearch) -> None:
        self._config, self._source, self._loss, self._space = config, generator, loss, search.space
        self._pivot = search.w_plus.detach()
        self._noise = [noise.detach() for noise in search.noise]
        self.tuned = copy.deepcopy(generator)
        self.tuned.synthesis.requires_grad_(True)
        self.parameters = list(self.tuned.synthesis.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.tune_rate, betas=(0.9, 0.99), foreach=True)
        self._random = generator_from_seed(config.seed, "tuning")
        self.steps = 0

    def losses(self) -> dict[str, Tensor]:
        """Scalars: the image losses, every few steps the locality loss, and their sum "total"."""
        images = self.tuned.synthesis(self._pivot, noise=self._noise)
        losses = {name: term.mean() for name, term in self._loss(images).items()}
        if self._config.locality and self.steps % LOCALITY_INTERVAL == 0:
            losses["locality"] = self._locality()
            losses["total"] = losses["total"] + self._config.locality * losses["locality"]
        return losses

    def _locality(self) -> Tensor:
        """Locality loss: mean absolute change of the picture of a latent between the pivot and a random latent."""
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
        if not self.steps:
            return {}
        return cpu_copies({f"synthesis.{name}": tensor for name, tensor in self.tuned.synthesis.named_parameters()})
