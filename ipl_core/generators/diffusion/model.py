"""A Diffusion Autoencoder as a generator of pictures: z → code → picture, and picture → code and noise.

A picture has two codes: w, which is z_sem of the paper and says who is shown, and x_T, the noise that DDIM makes the
rest of. `synthesis` decodes both, `encode` finds both, and `mapping` draws w from z. There is one row of latents, so
w_plus is (B, 1, w_dim). The module knows nothing about CLIP, prompts, training loops or files; random numbers only come
from generators that the caller passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingABC
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...storage.words import quoted
from ..encoder import EncoderConfig
from ..learning import Chain, LearningStart
from .network import (
    MAX_WIDTH,
    DenoisingUNet,
    LatentNet,
    MappingMLP,
    SemanticEncoder,
    TrunkEncoder,
    UNetConfig,
    initialise,
)
from .sampler import downwards, step, travel, upwards
from .schedule import Schedule

MAX_RESOLUTION = 2048
MAX_MAPPING_LAYERS = 64


@dataclass(frozen=True)
class MLPConfig:
    """Shape of a mapping that is learnt outright."""

    width: int = 512
    layers: int = 4


@dataclass(frozen=True)
class LatentNetConfig:
    """Shape of a mapping by a latent DDIM: its network, its schedule, and the steps it is sampled by, without noise."""

    schedule: Schedule
    width: int = 2048
    layers: int = 10
    features: int = 64
    time_width: int = 512
    steps: int = 50


_ENCODERS = {"unet": UNetConfig, "trunk": EncoderConfig}
_MAPPINGS = {"mlp": MLPConfig, "latent ddim": LatentNetConfig}


@dataclass(frozen=True)
class DiffusionConfig:
    """Shape of a Diffusion Autoencoder, and how it is sampled.

    resolution: side of the picture in pixels. unet, encoder: of the decoder and of the semantic encoder. w_dim: width
    of z_sem. schedule: of pictures. z_dim, mapping: what w is drawn from, and how; None where nothing can be drawn.
    steps: from noise to picture. encode_steps: from picture to noise.
    """

    resolution: int
    unet: UNetConfig
    encoder: UNetConfig | EncoderConfig
    schedule: Schedule
    mapping: MLPConfig | LatentNetConfig | None = None
    z_dim: int = 512
    w_dim: int = 512
    steps: int = 20
    encode_steps: int = 50

    def __post_init__(self) -> None:
        numbers = {"resolution": (self.resolution, MAX_RESOLUTION)}
        numbers |= {name: (getattr(self, name), MAX_WIDTH) for name in ("z_dim", "w_dim")}
        if self.mapping is not None:
            own = ("width",) if isinstance(self.mapping, MLPConfig) else ("width", "features", "time_width")
            numbers |= {f"mapping's {name}": (getattr(self.mapping, name), MAX_WIDTH) for name in own}
            numbers["mapping's layers"] = (self.mapping.layers, MAX_MAPPING_LAYERS)
        for name, (value, high) in numbers.items():
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
                raise InputError(f"A diffusion model's {name} is a whole number from 1 to {high}, got {quoted(value)}.")
        if self.resolution % self.unet.factor:
            raise InputError(
                f"This U-Net draws pictures whose side is a multiple of {self.unet.factor} pixels, not "
                f"{self.resolution}."
            )
        for steps in (self.steps, self.encode_steps):
            self.schedule.check_steps(steps)
        if isinstance(self.encoder, EncoderConfig) and self.encoder.w_dim != self.w_dim:
            raise InputError(f"This encoder gives codes of {self.encoder.w_dim} numbers, not {self.w_dim}.")
        if isinstance(self.mapping, LatentNetConfig):
            self.mapping.schedule.check_steps(self.mapping.steps)
            if self.z_dim != self.w_dim:
                raise InputError(f"A latent net's z is as wide as its codes, {self.w_dim}, not {self.z_dim}.")

    @property
    def num_layers(self) -> int:
        """Rows of w_plus: one."""
        return 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; `from_dict` reads it back."""
        values = {**asdict(self), "schedule": self.schedule.to_dict()}
        values["encoder"]["kind"] = _kind_of(self.encoder, _ENCODERS)
        if self.mapping is not None:
            values["mapping"]["kind"] = _kind_of(self.mapping, _MAPPINGS)
        return values

    @classmethod
    def from_dict(cls, values: MappingABC[str, Any]) -> DiffusionConfig:
        """Inverse of `to_dict`; InputError when a part is missing, unknown or out of range."""
        try:
            parts = dict(values)
            parts["unet"] = UNetConfig(**parts["unet"])
            parts["encoder"] = _part(parts["encoder"], _ENCODERS)
            parts["schedule"] = Schedule(**parts["schedule"])
            if parts.get("mapping") is not None:
                mapping = dict(parts["mapping"])
                if "schedule" in mapping:
                    mapping["schedule"] = Schedule(**mapping["schedule"])
                parts["mapping"] = _part(mapping, _MAPPINGS)
            return cls(**parts)
        except InputError:
            raise
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                f"The description of a diffusion model lacks a part or has an unknown one ({error})."
            ) from (error)


def _kind_of(part: Any, kinds: dict[str, type]) -> str:
    return next(name for name, kind in kinds.items() if isinstance(part, kind))


def _part(values: MappingABC[str, Any], kinds: dict[str, type]) -> Any:
    rest = dict(values)
    kind = rest.pop("kind")
    if kind not in kinds:
        raise InputError(f"A diffusion model has no part of the kind {quoted(kind)}; known are {', '.join(kinds)}.")
    return kinds[kind](**rest)


# ----------------------------------------------------------------------------------------------------------------------
# Parts


class Mapping(nn.Module):
    """z (B, z_dim) → w (B, w_dim): a network's standardised code, times `std`, plus `mean` of all codes.

    net: an MLP, or a latent DDIM that z is the noise of (η = 0); None where the model can encode but not draw.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        mapping = config.mapping
        self.config = mapping
        self.net: nn.Module | None = None
        if isinstance(mapping, MLPConfig):
            self.net = MappingMLP(config.z_dim, config.w_dim, mapping.width, mapping.layers)
        elif mapping is not None:
            self.net = LatentNet(config.w_dim, mapping.width, mapping.layers, mapping.features, mapping.time_width)
        self.register_buffer("mean", torch.zeros(config.w_dim))
        self.register_buffer("std", torch.ones(config.w_dim))

    def forward(self, z: Tensor) -> Tensor:
        if self.net is None:
            raise InputError(
                "This diffusion model encodes and decodes pictures but can't draw any of a seed: its latent net is "
                "missing. Use the checkpoint that has one (its name ends in _latent), or give it a picture."
            )
        if isinstance(self.config, MLPConfig):
            return self.net(z) * self.std + self.mean
        way = downwards(self.config.schedule, self.config.steps)
        return travel(self.net, self.config.schedule, z, way) * self.std + self.mean


class ConstantNoise(nn.Module):
    """The x_T (1, 3, R, R) that pictures begin at unless another is given, in a place like that of other generators."""

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.register_buffer("0", torch.empty(1, 3, resolution, resolution))


class Decoder(nn.Module):
    """w and x_T → picture, by DDIM; the network of one step is `unet`."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = DenoisingUNet(config.unet, config.w_dim)
        self.noise = ConstantNoise(config.resolution)

    def predict(self, w: Tensor, recompute: bool = False) -> Any:
        """The network of one step for codes w (B, w_dim) or (B, 1, w_dim), as the sampler calls it."""
        code = self._code(w)
        return lambda x, t: self.unet(x, t, code, recompute)

    def make_noise(
        self, generators: torch.Generator | Sequence[torch.Generator], batch: int | None = None
    ) -> list[Tensor]:
        """Fresh x_T, drawn on the CPU and moved to the network's device: one tensor (B, 3, R, R) in a list.

        generators: one per sample, so that sample i gets the same noise in any batch; or a single one, from which
        `batch` samples are drawn one after the other.
        """
        if isinstance(generators, torch.Generator):
            generators = [generators] * (1 if batch is None else batch)
        elif batch is not None and batch != len(generators):
            raise ValueError(f"{len(generators)} noise generators for a batch of {batch}: give one per sample.")
        shape = (3, self.config.resolution, self.config.resolution)
        constant = next(self.noise.buffers())
        return [torch.stack([torch.randn(shape, generator=random) for random in generators]).to(constant)]

    def forward(
        self,
        w: Tensor,
        noise: Sequence[Tensor] | str = "const",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        steps: int | None = None,
        recompute: bool = False,
    ) -> Tensor:
        """Draw pictures (B, 3, R, R), in [−1, 1] where the schedule clamps.

        w: (B, w_dim) or (B, 1, w_dim). noise: "const" = the stored x_T, "random" = fresh x_T from `generator`, or
        a list of one tensor (1 or B, 3, R, R). steps: of DDIM; None takes the model's own. recompute: keeps only what
        passes between stages, for the gradient.
        """
        schedule = self.config.schedule
        way = downwards(schedule, self.config.steps if steps is None else steps)
        return travel(self.predict(w, recompute), schedule, self._start(noise, generator, len(w)), way)

    def _code(self, w: Tensor) -> Tensor:
        width = self.config.w_dim
        if w.shape[1:] not in ((width,), (1, width)):
            raise ValueError(f"w must be (B, {width}) or (B, 1, {width}), got {tuple(w.shape)}.")
        return w.reshape(-1, width)

    def _start(
        self,
        noise: Sequence[Tensor] | str,
        generator: torch.Generator | Sequence[torch.Generator] | None,
        batch: int,
    ) -> Tensor:
        if noise == "const":
            noise = list(self.noise.buffers())
        elif noise == "random":
            if generator is None:
                raise ValueError('noise="random" needs the torch.Generator(s) to draw it from.')
            noise = self.make_noise(generator, batch)
        if isinstance(noise, str) or len(noise) != 1:
            raise ValueError(f'noise must be "const", "random" or a list of one x_T, got {noise!r:.80}.')
        return noise[0].expand(batch, -1, -1, -1)


# ----------------------------------------------------------------------------------------------------------------------
# The whole


class DiffusionAutoencoder(nn.Module):
    """Semantic encoder, DDIM decoder and mapping (Preechakul et al., CVPR 2022).

    ``DiffusionAutoencoder(config, generator=torch.Generator().manual_seed(0))`` draws its weights on the CPU; without
    ``generator`` they are left unset, to be loaded. It is a `generators.base.Generator`.
    """

    noise_path = "great circle"

    def __init__(self, config: DiffusionConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):  # no first weights, which would take time and global random numbers
            trunk = isinstance(config.encoder, EncoderConfig)
            self.encoder = TrunkEncoder(config.encoder) if trunk else SemanticEncoder(config.encoder, config.w_dim)
            self.mapping = Mapping(config)
            self.synthesis = Decoder(config)
        if torch.get_default_device().type != "meta":
            self.to_empty(device="cpu")
            with torch.no_grad():
                self.mapping.mean.zero_()
                self.mapping.std.fill_(1)
        if generator is not None:
            initialise(self, generator)
            with torch.no_grad():
                for constant in self.synthesis.noise.buffers():
                    constant.copy_(torch.randn(constant.shape, generator=generator))

    @property
    def num_layers(self) -> int:
        """Rows of ``w_plus``: one."""
        return self.config.num_layers

    @property
    def calls_a_picture(self) -> int:
        """Passes of the U-Net that drawing a picture takes."""
        return self.config.steps

    @property
    def w_avg(self) -> Tensor:
        """The mean code (w_dim,)."""
        return self.mapping.mean

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.w_avg.device

    def forward(
        self,
        z: Tensor,
        psi: float = 1.0,
        noise: Sequence[Tensor] | str = "const",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """z (B, z_dim) → pictures (B, 3, R, R) in [−1, 1]; see `Decoder.forward`."""
        return self.synthesis(self.truncate(self.mapping(z), psi), noise, generator)

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Pull w (B, w_dim) or w_plus (B, 1, w_dim) towards the mean: ``w_avg + psi * (w - w_avg)``."""
        return w if psi == 1.0 else torch.lerp(self.w_avg.expand_as(w), w, psi)

    def to_w_plus(self, w: Tensor) -> Tensor:
        """(B, w_dim) → (B, 1, w_dim) in memory of its own; w_plus is handed back as it is."""
        return w if w.ndim == 3 else w[:, None, :].clone()

    def make_noise(
        self, generators: torch.Generator | Sequence[torch.Generator], batch: int | None = None
    ) -> list[Tensor]:
        """Fresh x_T; see `Decoder.make_noise`."""
        return self.synthesis.make_noise(generators, batch)

    @torch.no_grad()
    def learning_start(
        self,
        w: Tensor,
        chain: Chain,
        noise: Sequence[Tensor] | str = "const",
        random: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> LearningStart:
        """Pictures of w (B, w_dim) as this model draws them, noised: x_t and t, alike for source and student.

        For the chain "step" each picture has a time of its own from 0 to t0, so that every level of noise that sampling
        visits is learnt; for the others all begin at t0. noise: as in `Decoder.forward`. random: of times and noise,
        row i of generator i alone. Raises InputError for a chain that the schedule doesn't have.
        """
        schedule = self.config.schedule
        schedule.check_t0(chain.t0)
        randoms = [random] * len(w) if isinstance(random, torch.Generator) else random
        if randoms is None or len(randoms) != len(w):
            raise ValueError(f"A start of {len(w)} pictures needs a torch.Generator for each.")
        drawn = self.synthesis(w, noise, random if noise == "random" else None, chain.source_steps)
        each_own = chain.kind == "step"
        t = [int(torch.randint(chain.t0 + 1, (), generator=one)) if each_own else chain.t0 for one in randoms]
        times = torch.tensor(t, device=drawn.device)
        fresh = torch.stack([torch.randn(drawn.shape[1:], generator=one) for one in randoms]).to(drawn)
        return LearningStart((schedule.noised(drawn, times, fresh), times))

    def draw_to_learn(self, w: Tensor, start: LearningStart, chain: Chain, recompute: bool = False) -> Iterator[Tensor]:
        """Clean pictures x̂_0 (B, 3, R, R) with gradient, which values outside [−1, 1] keep; see `learning.CHAINS`."""
        schedule, (x, times) = self.config.schedule, start.tensors
        predict = self.synthesis.predict(w, recompute)
        if chain.kind == "step":
            yield schedule.clean(x, times, predict(x, times), clamp=False)
            return
        way = downwards(schedule, chain.steps, chain.t0)
        if chain.kind == "full":
            yield travel(predict, schedule, x, way, clamp=False)
            return
        for t, alpha_next in way:
            following, x0 = step(predict, schedule, x, t, alpha_next, clamp=False)
            x = following.detach()
            yield x0

    def trainable(self, group: str) -> list[str]:
        """Names of the parameters that a group trains; encoder and mapping never are, or codes would change meaning.

        "all" is the whole U-Net, "decoder" its middle and its way up. "modulation" is everything with one dimension:
        biases and the norms' scales (DiffFit, Xie et al. 2023), among them the bias of each scale by the code.
        Raises InputError for another group.
        """
        names = [f"synthesis.{name}" for name, _ in self.synthesis.named_parameters()]
        if group == "all":
            return names
        if group == "decoder":
            parts = tuple(f"synthesis.unet.{part}." for part in ("middle_block", "output_blocks", "out"))
            return [name for name in names if name.startswith(parts)]
        if group == "modulation":
            return [name for name in names if self.get_parameter(name).ndim == 1]
        raise InputError(f"A diffusion model trains all, decoder or modulation, not {quoted(group)}.")

    def encode(self, pictures: Tensor, steps: int | None = None) -> tuple[Tensor, list[Tensor]]:
        """Pictures (B, 3, H, H) in [−1, 1] → w_plus (B, 1, w_dim) and noise, x_T (B, 3, R, R), that draw them again.

        steps: of the way to the noise; None takes the model's own. Pictures of another size are resampled.
        Raises InputError for pictures that aren't square.
        """
        pictures = self.at_resolution(pictures)
        w = self.encoder(pictures)
        schedule = self.config.schedule
        way = upwards(schedule, self.config.encode_steps if steps is None else steps)
        return self.to_w_plus(w), [travel(self.synthesis.predict(w), schedule, pictures, way)]

    def at_resolution(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, H) at the model's size, in [−1, 1]. Raises InputError for what isn't square."""
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise ValueError(f"Pictures must be (B, 3, H, H), got {tuple(pictures.shape)}.")
        height, width = pictures.shape[2:]
        if height != width:
            raise InputError(
                f"This model encodes square pictures, but this one has {width}×{height} pixels: cut a square first."
            )
        if height != self.config.resolution:
            side = (self.config.resolution,) * 2
            pictures = F.interpolate(pictures, side, mode="bicubic", antialias=True, align_corners=False)
        return pictures.clamp(-1, 1)
