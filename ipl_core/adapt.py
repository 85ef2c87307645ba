"""The two stages of a run as one generator function that yields Snapshots; knows nothing about files kept or shown.

Stage 1 ("prompts") trains the prompt learner against source images; manual prompts have nothing to learn and skip
it. Stage 2 ("generator") moves the generator along the text directions. NADA, shared prompt and IPL differ in the
scheme that gives those directions and in nothing else, so a comparison of methods compares just that: the same seed
draws the same latents and layers for each of them.
"""

from __future__ import annotations

import copy
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .catalog import critic_digest, critic_of, generator_digest, load_critic, load_generator
from .clip import Critic
from .config import AdaptConfig
from .devices import usable_device
from .directions import image_direction
from .errors import InputError
from .latents import generator_from_seed, latents_from_seeds
from .library import home
from .losses import directional_loss, diversity
from .media import to_uint8
from .pool import SourcePool, draw_indices, open_pool, pool_path
from .prompts import PromptScheme, make_prompts
from .snapshot import Snapshot, Start
from .stepping import NotFinite, Pace, kept, own_modes, require_finite
from .stylegan2 import Generator

log = logging.getLogger(__name__)

LAYER_CHOICE_LATENTS = 8  # latents that the adaptive choice looks at (NADA §4.2)
# NADA's Adam: no first moment, and the second one shortened as for StyleGAN2's lazy regularisation.
GENERATOR_BETAS = (0.0, 0.99**0.8)
# Named groups by the resolution a layer works at, as StyleGAN (CVPR 2019, §3.1) splits its styles.
_GROUP_RESOLUTIONS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, math.inf)}


def adapt(
    config: AdaptConfig,
    stop: threading.Event | None = None,
    preview_interval: float = 1.0,
    start: Start | None = None,
) -> Iterator[Snapshot]:
    """Adapts the generator of `config` and yields one Snapshot a step, then a last one with phase "done".

    stop: set it, from any thread, to end after the step under way; the last Snapshot then says stopped="asked" and
        carries what has been reached.
    preview_interval: seconds between two renewals of the pictures; the first step and the last Snapshot always
        carry them. Never changes the weights.
    start: where an earlier run with the same settings but `steps` ended; this one goes on there, without stage 1. With
        the state of its training it gives, on the same machine's CPU, bit by bit what a run in one go would.

    The weights are those of the running average (EMA). Loss, gradients or embeddings that stop being finite end the
    run with stopped="not finite" and the weights before that step. The same settings give bit-identical weights on
    the same machine's CPU, whatever else runs there. Closing the iterator frees everything.
    Raises InputError, on the first step, for models or words that can't be used.
    """
    began = time.perf_counter()
    device = usable_device(config.device)
    with own_modes(device):
        source = load_generator(config.model, config.device)
        critic = load_critic(config.critic or critic_of(config.model), config.device)
        scheme = make_prompts(config, critic, source.config.w_dim, generator_from_seed(config.seed, "prompts"))
        pool_facts = (home() / "pools", *_digests(config), not config.share_noise, str(device))
        pool = open_pool(*pool_facts)
        stages: list[tuple[str, int, Callable[[], dict[str, float]]]] = []
        if start is not None:
            scheme.load_state_dict(start.prompts)
        elif scheme.needs_training:
            stages.append(("prompts", config.mapper_steps, PromptTraining(config, source, critic, scheme, pool)))
        training = GeneratorTraining(config, source, critic, scheme, pool)
        if start is not None:
            training.go_on(start)
        stages.append(("generator", config.steps, training))
        previews = _Previews(config, source, critic)
    forecast = {"generator": training.seconds_a_step(previews.seconds_an_image)}
    pace = Pace({phase: total for phase, total, _ in stages}, forecast)

    shown = -math.inf
    stopped = None
    done = first = start.step if start is not None else 0  # steps of stage 2
    try:
        for phase, total, train_step in stages:
            pace.begin(phase)
            for step in range(first + 1, total + 1):
                if stop is not None and stop.is_set():
                    stopped = "asked"
                    break
                try:
                    with own_modes(device):
                        losses = train_step()
                except NotFinite as error:
                    log.warning("%s at step %d of the stage “%s”: the weights before it are kept", error, step, phase)
                    stopped = "not finite"
                    break
                done = step if phase == "generator" else 0
                kept_too = phase == "generator" and config.keep_every and step < total and not step % config.keep_every
                before = after = spread = None
                if kept_too or time.perf_counter() - shown >= preview_interval:
                    with own_modes(device):
                        before, after, spread = previews.render(training.averaged if done else None)
                    shown = time.perf_counter()
                yield Snapshot(
                    step=step,
                    total=total,
                    phase=phase,
                    losses=losses,
                    before=before,
                    after=after,
                    diversity=spread,
                    seconds=time.perf_counter() - began,
                    remaining=pace.remaining(step),
                    weights=training.changed_weights() if kept_too else None,
                )
            if stopped:
                break
        with own_modes(device):
            before, after, spread = previews.render(training.averaged if done else None)
        yield Snapshot(
            step=done,
            total=config.steps,
            phase="done",
            before=before,
            after=after,
            diversity=spread,
            seconds=time.perf_counter() - began,
            weights=training.changed_weights(),
            prompts=kept(scheme.state_dict()) if scheme.needs_training else {},
            training=training.state() if config.keep_state else None,
            stopped=stopped,
        )
    finally:
        pool.save(pool_path(*pool_facts))


# ----------------------------------------------------------------------------------------------------------------------
# Stage 1


class PromptTraining:
    """Calling it trains the prompt learner by one step and gives the step's loss terms; model and critic are fixed."""

    def __init__(
        self, config: AdaptConfig, source: Generator, critic: Critic, scheme: PromptScheme, pool: SourcePool
    ) -> None:
        self._source, self._critic, self._scheme, self._pool = source, critic, scheme, pool
        self._indices = draw_indices(config.mapper_batch, generator_from_seed(config.seed, "stage 1"))
        self._parameters = list(scheme.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=config.mapper_lr, foreach=True)

    def __call__(self) -> dict[str, float]:
        """One step. Raises NotFinite before anything has changed."""
        w, image = self._pool.take(next(self._indices), self._source, self._critic)
        losses = self._scheme.losses(w, image)
        self._optimiser.zero_grad()
        losses["total"].backward()
        require_finite(losses["total"], self._parameters)
        self._optimiser.step()
        return {name: loss.item() for name, loss in losses.items()}


# ----------------------------------------------------------------------------------------------------------------------
# Stage 2


class GeneratorTraining:
    """Calling it trains a copy of the source generator by one step and gives the step's loss terms.

    averaged: the running average of the copy (EMA), a generator of its own; the one that is shown and kept.
    """

    def __init__(
        self, config: AdaptConfig, source: Generator, critic: Critic, scheme: PromptScheme, pool: SourcePool
    ) -> None:
        self._config, self._source, self._critic, self._scheme, self._pool = config, source, critic, scheme, pool
        self._student = copy.deepcopy(source)
        self.averaged = copy.deepcopy(source)
        self._trained: dict[str, Tensor] = {}  # of the student; grows as layers are chosen
        self._steps = 0
        self._indices = draw_indices(config.batch, generator_from_seed(config.seed, "stage 2"))
        self._noise = generator_from_seed(config.seed, "noise")
        self._choices = generator_from_seed(config.seed, "layer choice")
        if config.layers == "adaptive":
            self._target = critic.encode_texts([config.target])
        else:
            self._train(group_parameters(config.layers, source))
        # Adam passes over a tensor without gradient, so it may know them all.
        self._optimiser = torch.optim.Adam(
            self._student.synthesis.parameters(), lr=config.learning_rate, betas=GENERATOR_BETAS, foreach=True
        )

    def __call__(self) -> dict[str, float]:
        """One step. Raises NotFinite before anything has changed."""
        config = self._config
        if config.layers == "adaptive" and self._steps % config.layer_interval == 0:
            self._train(self._chosen_parameters())
        w, before = self._pool.take(next(self._indices), self._source, self._critic)
        with torch.no_grad():
            directions = self._scheme.text_directions(w)
        # Random noise differs from the source's, which the pool drew; constant noise is the same for both.
        noise = "const" if config.share_noise else self._student.make_noise(self._noise, len(w))
        loss = adaptation_loss(self._student, self._critic, w, before, directions, noise)
        self._optimiser.zero_grad()
        loss.backward()
        require_finite(loss, self._student.synthesis.parameters())
        self._optimiser.step()
        self._average()
        self._steps += 1
        return {"adaptation": loss.item()}

    def _chosen_parameters(self) -> list[str]:
        z = torch.randn(LAYER_CHOICE_LATENTS, self._source.config.z_dim, generator=self._choices)
        self._student.requires_grad_(False)
        w = self._student.mapping(z.to(self._student.device))
        layers = choose_layers(self._student, self._critic, w, self._target)
        return [name for k in layers for name in self._student.layer_parameters(k)]

    def _train(self, names: list[str]) -> None:
        self._student.requires_grad_(False)
        for name in names:
            self._trained[name] = self._student.get_parameter(name).requires_grad_(True)

    @torch.no_grad()
    def _average(self) -> None:
        for name, value in self._trained.items():
            self.averaged.get_parameter(name).lerp_(value, 1 - self._config.ema)

    def changed_weights(self) -> dict[str, Tensor]:
        """The averaged tensors that training has changed, float32 on the CPU, by state-dict name."""
        if not self._steps:
            return {}
        return kept({name: self.averaged.get_parameter(name) for name in self._trained})

    def state(self) -> dict[str, Tensor]:
        """What `go_on` needs beside the changed weights to train on as if nothing had been between, on the CPU."""
        state = {"random.noise": self._noise.get_state(), "random.choices": self._choices.get_state()}
        for name, parameter in self._trained.items():
            state[f"learns.{name}"] = torch.tensor(parameter.requires_grad)
            state |= kept({f"student.{name}": parameter})
            state |= kept({f"adam.{key}.{name}": value for key, value in self._optimiser.state[parameter].items()})
        return state

    def go_on(self, start: Start) -> None:
        """Takes up training where it ended: its very state if that was kept, else its averaged weights."""
        state = start.training or {}
        self._steps = start.step
        for _ in range(start.step):
            next(self._indices)
        for name, averaged in start.weights.items():
            parameter = self._student.get_parameter(name)
            self._trained[name] = parameter.requires_grad_(bool(state.get(f"learns.{name}", True)))
            with torch.no_grad():
                self.averaged.get_parameter(name).copy_(averaged)
                parameter.copy_(state.get(f"student.{name}", averaged))
            names = {key: f"adam.{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq")}
            if names["step"] in state:
                at = {key: "cpu" if key == "step" else parameter.device for key in names}
                self._optimiser.state[parameter] = {key: state[names[key]].to(at[key]) for key in names}
        if state:
            self._noise.set_state(state["random.noise"])
            self._choices.set_state(state["random.choices"])

    def seconds_a_step(self, seconds_an_image: float) -> float:
        """Forecast of a step's time from that of drawing and embedding one image; going back costs twice that."""
        images = float(self._config.batch)
        if self._config.layers == "adaptive":
            images += LAYER_CHOICE_LATENTS / self._config.layer_interval
        return 3 * images * seconds_an_image


def adaptation_loss(
    student: Generator,
    critic: Critic,
    w: Tensor,
    source_embeddings: Tensor,
    text_directions: Tensor,
    noise: str | list[Tensor] = "const",
) -> Tensor:
    """L_adapt (IPL, CVPR 2023, eq. 6) of the student's images of `w` against their sources' embeddings.

    w: (B, w_dim). source_embeddings: unit (B, D). text_directions: unit (1, D) or (B, D). Gives a scalar, the mean
    over the batch, so a batch gives the mean of what its samples give one by one.
    """
    embeddings = critic.encode_images(student.synthesis(w, noise=noise))
    return directional_loss(image_direction(source_embeddings, embeddings), text_directions)


def choose_layers(
    generator: Generator, critic: Critic, w: Tensor, target: Tensor, count: int | None = None
) -> list[int]:
    """The synthesis layers whose rows of w+ one gradient step towards the target text moves most (NADA §4.2).

    w: (B, w_dim). target: unit (1, D), the raw target words. count: how many; None takes two thirds of the rows,
    int(2 (2 log2(resolution) − 2) / 3). Gives layer numbers in ascending order.

    Only dL/dw+ is computed. A step of plain gradient descent moves a row by its gradient times the rate, so the
    mean absolute gradient ranks the rows. Row k chooses the layer that it drives, layer k; the last row drives
    nothing but a toRGB, which stays frozen, and takes no part. (The released code trains layer k − 1 for row k.)
    """
    rows = generator.num_layers
    count = min(count or int(2 * rows / 3), rows - 1)
    w_plus = generator.to_w_plus(w).detach().clone().requires_grad_(True)
    embeddings = critic.encode_images(generator.synthesis(w_plus, noise="const"))
    loss = (1 - (embeddings * target).sum(-1)).mean()
    (gradient,) = torch.autograd.grad(loss, w_plus)
    movement = gradient.abs().mean(dim=(0, 2))[: rows - 1]
    return sorted(movement.topk(count).indices.tolist())


def group_parameters(group: str, generator: Generator) -> list[str]:
    """Names of the parameters that a layer group trains.

    "all" is the whole synthesis network: the learned constant, every layer, every toRGB. "coarse" (up to 8×8),
    "middle" (16 and 32), "fine" (64 and up), and two of them joined by "+", are layers alone, as the adaptive choice
    is. The mapping network is never trained. Raises InputError for a group that has no layer in this generator.
    """
    if group == "all":
        return [f"synthesis.{name}" for name, _ in generator.synthesis.named_parameters()]
    names: list[str] = []
    for part in group.split("+"):
        low, high = _GROUP_RESOLUTIONS[part]
        layers = [k for k, layer in enumerate(generator.synthesis.layers) if low <= layer.resolution <= high]
        if not layers:
            size = generator.config.resolution
            raise InputError(
                f"This model has no {part} layers: it draws {size}×{size} pictures, and {part} layers work at "
                f"{low}×{low} and up. Choose other layers."
            )
        names += [name for k in layers for name in generator.layer_parameters(k)]
    return names


# ----------------------------------------------------------------------------------------------------------------------
# What surrounds a step


def _digests(config: AdaptConfig) -> tuple[str, str]:
    return generator_digest(config.model), critic_digest(config.critic or critic_of(config.model))


class _Previews:
    """The watched latents, drawn by the source once and by the adapted generator as often as asked."""

    def __init__(self, config: AdaptConfig, source: Generator, critic: Critic) -> None:
        self._critic, self._psi = critic, config.preview_psi
        self._z = latents_from_seeds(config.preview_seeds, source.config.z_dim).to(source.device)
        began = time.perf_counter()
        self._before, embeddings = self._draw(source)
        self.seconds_an_image = (time.perf_counter() - began) / len(self._z)
        self._spread = float(diversity(embeddings))

    @torch.no_grad()
    def _draw(self, generator: Generator) -> tuple[Tensor, Tensor]:
        images = generator(self._z, psi=self._psi)
        return to_uint8(images), self._critic.encode_images(images)

    def render(self, adapted: Generator | None) -> tuple[Tensor, Tensor, float | None]:
        """Pictures before and after, uint8 (N, H, W, 3), and their diversity; None stands for the source itself."""
        if adapted is None:
            return self._before, self._before, 1.0 if self._spread > 0 else None
        after, embeddings = self._draw(adapted)
        return self._before, after, float(diversity(embeddings)) / self._spread if self._spread > 0 else None
