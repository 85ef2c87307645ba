"""The generator that stage 2 trains: its weights, their running average, its optimiser and its random numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from ..generators.stylegan2.network import Generator
from ..latents import generator_from_seed
from ..memory import pictures_at_once, saves_memory
from ..running.modes import mixed
from ..running.steps import Start, cpu_copies
from .config import AdaptConfig
from .layers import LAYER_CHOICE_LATENTS

# NADA's Adam: no first moment, and the second one shortened as for StyleGAN2's lazy regularisation.
GENERATOR_BETAS = (0.0, 0.99**0.8)


class Student:
    """A copy of the source generator on its way to the target domain.

    network: the copy that the optimiser changes.
    averaged: the running average of its weights (EMA), a generator of its own; the one that is shown and kept.
    trained: its trained parameters by state-dict name; they grow in number as layers are chosen.
    steps: how many steps of stage 2 were made.
    """

    def __init__(self, config: AdaptConfig, source: Generator) -> None:
        """Raises InputError for a layer group that the source doesn't have."""
        self._config = config
        self._saves_memory = saves_memory(config.memory, source.config.resolution, config.batch)
        self.network = copy.deepcopy(source)
        self.averaged = copy.deepcopy(source)
        self.trained: dict[str, Tensor] = {}
        self.steps = 0
        self._noise = generator_from_seed(config.seed, "noise")
        self._choices = generator_from_seed(config.seed, "layer choice")
        if not config.adaptive_layers:
            self.train_only(source.trainable(config.layers))
        # Adam passes over a tensor without gradient, so it may know them all.
        self.optimiser = torch.optim.Adam(
            self.network.synthesis.parameters(), lr=config.learning_rate, betas=GENERATOR_BETAS, foreach=True
        )

    # --- drawing ------------------------------------------------------------------------------------------------

    def draw(self, w: Tensor, noise: str | list[Tensor] = "const") -> Tensor:
        """Pictures (B, 3, R, R) about [-1, 1] of w (B, w_dim) or w+ (B, rows, w_dim), in the run's precision."""
        with mixed(self.network.device, self._config.precision):
            return self.network.synthesis(w, noise=noise, recompute=self._saves_memory)

    def noise(self, batch: int) -> str | list[Tensor]:
        """The noise of a batch: the generator's constant one, which the source has too, or random maps."""
        return "const" if self._config.share_noise else self.network.make_noise(self._noise, batch)

    def choice_noise(self, batch: int) -> str | list[Tensor]:
        """The noise of pictures that the choice of layers looks at, from random numbers of its own."""
        # As in the released code, which draws each picture with a noise of its own, here too.
        return "const" if self._config.share_noise else self.network.make_noise(self._choices, batch)

    def choice_latents(self) -> Tensor:
        """Fresh latents w (LAYER_CHOICE_LATENTS, w_dim) for a choice of layers."""
        z = torch.randn(LAYER_CHOICE_LATENTS, self.network.config.z_dim, generator=self._choices)
        return self.network.mapping(z.to(self.network.device))

    def parts(self, batch: int) -> list[slice]:
        """How a batch is split so that it fits into memory: into one part, unless memory is to be saved."""
        size = pictures_at_once(self.network.config.resolution) if self._saves_memory else batch
        return [slice(start, start + size) for start in range(0, batch, size)]

    # --- weights ------------------------------------------------------------------------------------------------

    def train_only(self, names: Iterable[str]) -> None:
        """From now on these parameters are trained, and no others."""
        self.network.requires_grad_(False)
        for name in names:
            self.trained[name] = self.network.get_parameter(name).requires_grad_(True)

    @torch.no_grad()
    def update_average(self) -> None:
        """The step's update of the running average: averaged ← ema · averaged + (1 − ema) · network."""
        for name, value in self.trained.items():
            self.averaged.get_parameter(name).lerp_(value, 1 - self._config.ema)

    def changed_weights(self) -> dict[str, Tensor]:
        """The averaged parameters that training has changed, float32 on the CPU; {} before the first step."""
        if not self.steps:
            return {}
        return cpu_copies({name: self.averaged.get_parameter(name) for name in self.trained})

    # --- continuing a run ---------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """What `resume` needs beside the changed weights to train on as if nothing had been between, on the CPU."""
        state = {"random.noise": self._noise.get_state(), "random.choices": self._choices.get_state()}
        for name, parameter in self.trained.items():
            state[f"learns.{name}"] = torch.tensor(parameter.requires_grad)
            state |= cpu_copies({f"student.{name}": parameter})
            moments = self.optimiser.state[parameter]
            state |= cpu_copies({f"adam.{key}.{name}": value for key, value in moments.items()})
        return state

    def resume(self, start: Start) -> None:
        """Takes up training where it ended: from its very state if that was kept, else from its averaged weights."""
        state = start.training or {}
        self.steps = start.step
        for name, averaged in start.weights.items():
            parameter = self.network.get_parameter(name)
            self.trained[name] = parameter.requires_grad_(bool(state.get(f"learns.{name}", True)))
            with torch.no_grad():
                self.averaged.get_parameter(name).copy_(averaged)
                parameter.copy_(state.get(f"student.{name}", averaged))
            names = {key: f"adam.{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq")}
            if names["step"] in state:
                at = {key: "cpu" if key == "step" else parameter.device for key in names}
                self.optimiser.state[parameter] = {key: state[names[key]].to(at[key]) for key in names}
        if state:
            self._noise.set_state(state["random.noise"])
            self._choices.set_state(state["random.choices"])
