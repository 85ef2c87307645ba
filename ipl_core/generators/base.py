"""Families of generators: what every generator answers, and the one list of those there are.

Methods, previews, library, commands and app speak to a `Generator` and never ask which family it is of; what a family
does otherwise, it says by these members. Latents are opaque outside: w (B, w_dim) is what prompts look at, w_plus
(B, num_layers, w_dim) is what is kept of a person, and noise is a list of tensors, one row a picture.

To add a family: a package beside `stylegan2` and `diffusion` whose generator has these members, and a line in FAMILIES.

| member | StyleGAN2 | Diffusion Autoencoder |
|---|---|---|
| `config.num_layers`: rows of w_plus | one a layer | 1, so there is no style to mix |
| `mapping`, `truncate`, `w_avg`, `to_w_plus` | mapping network | MLP, or latent DDIM without noise of its own |
| `make_noise`, `synthesis.noise.buffers()` | a map a layer | one x_T |
| `noise_path`: how noise is interpolated | straight | great circle |
| `synthesis(w, noise, recompute=…)` | one pass | DDIM from x_T |
| `calls_a_picture`: passes of the network | 1 | steps |
| `learning_start`, `draw_to_learn` | the noise; one pass | a noised picture of the source; `Chain` |
| `trainable(group)` | layers, torgb, adaptive groups | all, decoder, modulation |
| `encode` | none: latents are searched for | z_sem and x_T, without a search |
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

#: Noise of pictures, a tensor a place where it enters: (1 or B, …). "const" is the generator's own.
Noise = Sequence[Tensor] | str
#: One random stream a sample, or a single one for all of them.
Randoms = torch.Generator | Sequence[torch.Generator]


class Config(Protocol):
    """Shape of a generator, as far as others need it."""

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
    """A generator of pictures, of whatever family; also an `nn.Module`, whose trained weights are `synthesis.*`."""

    config: Config
    synthesis: nn.Module
    noise_path: str  # "straight" or "great circle"

    @property
    def w_avg(self) -> Tensor:
        """The mean latent (w_dim,)."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def num_layers(self) -> int:
        """Rows of w_plus."""

    @property
    def calls_a_picture(self) -> int:
        """Passes of the network that drawing a picture takes, for forecasts of time."""

    def mapping(self, z: Tensor) -> Tensor:
        """z (B, z_dim) → w (B, w_dim). Raises InputError where a model can't draw of a seed."""

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """Pull w or w_plus towards the mean: w_avg + psi (w − w_avg)."""

    def to_w_plus(self, w: Tensor) -> Tensor:
        """(B, w_dim) → (B, num_layers, w_dim)."""

    def make_noise(self, generators: Randoms, batch: int | None = None) -> list[Tensor]:
        """Fresh noise, row i of generator i alone."""

    def learning_start(self, w: Tensor, chain: Chain, noise: Noise, random: Randoms) -> LearningStart:
        """Where pictures of w begin that source and student draw to learn; made by the source, without gradient.

        noise: of the pictures. random: for what else is drawn, row i of generator i.
        """

    def draw_to_learn(self, w: Tensor, start: LearningStart, chain: Chain, recompute: bool = False) -> Iterator[Tensor]:
        """Pictures (B, 3, R, R) with gradient, once or several times; each is a graph of its own.

        The loss is the mean over what comes, so whoever iterates goes backward through one before taking the next.
        Source and student, given the same w, start and chain, yield the same number.
        """

    def trainable(self, group: str) -> list[str]:
        """Names of the parameters that a group trains, in the order of the network. Raises InputError for others."""

    def encode(self, pictures: Tensor, steps: int | None = None) -> tuple[Tensor, list[Tensor]] | None:
        """Square pictures (B, 3, H, H) in [−1, 1] → w_plus and noise that draw them again, without a search.

        None where a latent has to be searched for.
        """


@dataclass(frozen=True)
class Family:
    """One family: how its generators are kept in files, and what they are called.

    kind: in the description of this program's files. title: in words. generator: its class. endings: of files that it
    can be written to. groups: what `trainable` takes, the default first.
    from_file: tensors, description and path (for errors) of this program's file → generator. save: generator, path,
    metadata → a file by its ending. recognises: whether an opened pickle is one of this family's; contents: what it
    holds, under our names, of (object, path); from_foreign: a generator of that.
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
    recognises=lambda root: True,  # asked last; it says what a pickle without a generator holds instead
    contents=stylegan2_files.contents_of,
    from_foreign=stylegan2_files.foreign_generator,
)

#: Every family by the kind that its files say, in the order in which a foreign file is offered to them.
FAMILIES: dict[str, Family] = {family.kind: family for family in (_DIFFUSION, _STYLEGAN2)}


def family_of(generator: nn.Module) -> Family:
    """The family of a generator. Raises TypeError for any other module."""
    for family in FAMILIES.values():
        if isinstance(generator, family.generator):
            return family
    raise TypeError(f"{type(generator).__name__} is no generator of a known family")
