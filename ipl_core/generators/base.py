"""Generator families: the interface that every generator implements, and the list of families.

Methods, previews, library, commands and app use the `Generator` protocol and never check the family; families differ
only in how they implement its members. Latents are opaque to their users: w (B, w_dim) is the input of the prompt
mapper, w_plus (B, num_layers, w_dim) is stored for a person, and noise is a list of tensors with one row per picture.

To add a family: a package beside `stylegan2` and `diffusion` whose generator has these members, and a line in FAMILIES.

| member | StyleGAN2 | Diffusion Autoencoder |
|---|---|---|
| `config.num_layers`: rows of w_plus | one per layer | 1, so there is no style mixing |
| `mapping`, `truncate`, `w_avg`, `to_w_plus` | mapping network | MLP, or latent DDIM without noise of its own |
| `make_noise`, `synthesis.noise.buffers()` | one map per layer | one x_T |
| `noise_path`: how noise is interpolated | straight | great circle |
| `synthesis(w, noise, recompute=…)` | one pass | DDIM from x_T |
| `calls_a_picture`: network passes per picture | 1 | steps |
| `learning_start`, `draw_to_learn` | the noise; one pass | a noised picture of the source; `Chain` |
| `trainable(group)` | layers, torgb, adaptive groups | all, decoder, modulation |
| `encode` | none: latents need optimisation | z_sem and x_T, without optimisation |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..storage.apart import Contents
from .diffusion import files as diffusion_files
from .diffusion import released
from .diffusion.model import DiffusionAutoencoder
from .learning import Chain, LearningStart
from .stylegan2 import files as stylegan2_files
from .stylegan2 import network as stylegan2

#: Noise of pictures, one tensor (1 or B, …) for each place where it is added. "const" is the generator's stored noise.
Noise = Sequence[Tensor] | str
#: One random generator per sample, or a single one for all samples.
Randoms = torch.Generator | Sequence[torch.Generator]


class Config(Protocol):
    """The sizes of a generator that its users need."""

    @property
    def resolution(self) -> int:
        """Side of a picture in pixels."""

    @property
    def z_dim(self) -> int:
        """Width of z."""

    @property
    def w_dim(self) -> int:
        """Width of w, and of each row of w_plus."""

    @property
    def num_layers(self) -> int:
        """Rows of w_plus."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""


@runtime_checkable
class Generator(Protocol):
    """An image generator of any family; also an `nn.Module`, whose trainable weights are `synthesis.*`."""

    config: Config
    synthesis: nn.Module
    noise_path: str  # "straight" or "great circle"

    @property
    def w_avg(self) -> Tensor:
        """The mean latent (w_dim,)."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""

    @property
    def num_layers(self) -> int:
        """Rows of w_plus."""

    @property
    def calls_a_picture(self) -> int:
        """Network passes that drawing one picture takes, for time estimates."""

    def mapping(self, z: Tensor) -> Tensor:
        """z (B, z_dim) → w (B, w_dim). Raises InputError if the model can't draw from seeds."""

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Pull w or w_plus towards the mean: w_avg + psi (w − w_avg)."""

    def to_w_plus(self, w: Tensor) -> Tensor:
        """(B, w_dim) → (B, num_layers, w_dim)."""

    def make_noise(self, generators: Randoms, batch: int | None = None) -> list[Tensor]:
        """Fresh noise; row i is drawn from generator i only."""

    def learning_start(self, w: Tensor, chain: Chain, noise: Noise, random: Randoms) -> LearningStart:
        """The starting point from which source and student draw training pictures of w; without gradient.

        The source generator computes it. noise: of the pictures. random: for all other random numbers; row i is drawn
        from generator i.
        """

    def draw_to_learn(self, w: Tensor, start: LearningStart, chain: Chain, recompute: bool = False) -> Iterator[Tensor]:
        """Yields batches of pictures (B, 3, R, R) with gradient, each with a computation graph of its own.

        The loss is the mean over the batches; call backward on one before taking the next. Source and student yield
        equally many batches for the same w, start and chain.
        """

    def trainable(self, group: str) -> list[str]:
        """Names of the parameters in a trainable group, in network order. Raises InputError for an unknown group."""

    def encode(self, pictures: Tensor, steps: int | None = None) -> tuple[Tensor, list[Tensor]] | None:
        """Square pictures (B, 3, H, H) in [−1, 1] → w_plus and noise that reproduce them, without optimisation.

        None if the family needs optimisation to find a latent.
        """


@dataclass(frozen=True)
class Family:
    """A generator family: its class, its names, and its file formats.

    kind: its identifier in this program's files. title: its name for people. generator: its class. endings: suffixes
    of the files that it can be written to. groups: the trainable groups, the default first.
    from_file: (tensors, description, path for errors) of this program's file → generator. save: writes (generator,
    path, metadata) in the format of the suffix. recognises: whether an unpickled object is of this family. contents:
    (object, path) → its tensors under our names and its description. from_foreign: a generator from these.
    """

    kind: str
    title: str
    generator: type
    endings: tuple[str, ...]
    groups: tuple[str, ...]
    from_file: Callable[[Mapping[str, Tensor], Mapping[str, Any], str | os.PathLike[str]], Any]
    save: Callable[..., None]
    recognises: Callable[[Any], bool]
    contents: Callable[[Any, Any], Contents]
    from_foreign: Callable[[Mapping[str, Tensor], Mapping[str, Any], str | os.PathLike[str]], Any]


_DIFFUSION = Family(
    kind=diffusion_files.KIND,
    title="Diffusion Autoencoder",
    generator=DiffusionAutoencoder,
    endings=(".safetensors",),
    groups=("all", "decoder", "modulation"),
    from_file=diffusion_files.diffusion_from,
    save=diffusion_files.write_diffusion,
    recognises=released.recognises,
    contents=released.contents_of,
    from_foreign=released.foreign_model,
)
_STYLEGAN2 = Family(
    kind=stylegan2_files.GENERATOR_KIND,
    title="StyleGAN2",
    generator=stylegan2.Generator,
    endings=(".safetensors", ".pt"),
    groups=("all", "coarse", "middle", "fine"),
    from_file=stylegan2_files.generator_from,
    save=stylegan2_files.write_generator,
    recognises=lambda root: True,  # tried last; its error says what a pickle without a generator contains
    contents=stylegan2_files.contents_of,
    from_foreign=stylegan2_files.foreign_generator,
)

#: All families by kind, in the order in which they are tried on another program's file.
FAMILIES: dict[str, Family] = {family.kind: family for family in (_DIFFUSION, _STYLEGAN2)}


def family_of(generator: nn.Module) -> Family:
    """The family of a generator. Raises TypeError for any other module."""
    for family in FAMILIES.values():
        if isinstance(generator, family.generator):
            return family
    raise TypeError(f"{type(generator).__name__} is no generator of a known family")
