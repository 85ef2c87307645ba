"""The two stages of a run as one generator function that yields Snapshots; knows nothing about files kept or shown.

Stage 1 ("prompts") trains the prompt learner against source images; manual prompts have nothing to learn and skip
it. Stage 2 ("generator") moves the generator along the text directions. NADA, shared prompt and IPL differ in the
scheme that gives those directions and in nothing else, so a comparison of methods compares just that: the same seed
draws the same latents and layers for each of them.

Several critics are several Views of the same pictures: each has prompts and directions of its own, and every loss is
the weighted sum over the Views.
"""

from __future__ import annotations

import copy
import functools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..clip.model import Critic
from ..devices import check_precision, usable_device
from ..errors import InputError
from ..generators.stylegan2.network import Generator
from ..latents import generator_from_seed, latents_from_seeds
from ..memory import pictures_at_once, saves_memory
from ..models.catalog import (
    critic_of,
    digested_members,
    generator_digest,
    load_critic,
    load_generator,
    own_judge,
    vocabulary_of,
)
from ..pictures.media import to_uint8
from ..running.snapshot import Snapshot, Start
from ..running.stepping import Stage, kept, mixed, own_modes, require_finite, run_stages, seconds_between
from ..storage.folders import home
from .config import SHORTEST_MOVE, AdaptConfig
from .directions import image_direction
from .losses import directional_loss, diversity
from .prompts import PromptScheme, make_prompts
from .source_samples import BLOCK, SourcePool, blocks_of, draw_indices, open_pool, pool_path, take_samples

LAYER_CHOICE_LATENTS = 8  # latents that the adaptive choice looks at (NADA §4.2)
# NADA's Adam: no first moment, and the second one shortened as for StyleGAN2's lazy regularisation.
GENERATOR_BETAS = (0.0, 0.99**0.8)
# Named groups by the resolution a layer works at, as StyleGAN (CVPR 2019, §3.1) splits its styles.
_GROUP_RESOLUTIONS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, math.inf)}


@dataclass(frozen=True)
class View:
    """A critic's part in a run: the weight of its word, the prompts made for it, and the pool of what it has seen."""

    critic: Critic
    scheme: PromptScheme
    pool: SourcePool
    weight: float = 1.0


def adapt(
    config: AdaptConfig,
    stop: threading.Event | None = None,
    preview_interval: float = 1.0,
    start: Start | None = None,
) -> Iterator[Snapshot]:
    """Adapts the generator of `config` and yields one Snapshot a step, then a last one with phase "done".

    stop: set it, from any thread, to end after the step under way; the last Snapshot then says stopped="asked" and
        carries what has been reached.
    preview_interval: seconds between two renewals of the pictures, more where drawing them takes long (see
        `stepping.seconds_between`); the first step and the last Snapshot always carry them. Never changes the weights.
    start: where an earlier run with the same settings but `steps` ended; this one goes on there, without stage 1. With
        the state of its training it gives, on the same machine's CPU, bit by bit what a run in one go would.

    The weights are those of the running average (EMA). Loss, gradients or embeddings that stop being finite end the
    run with stopped="not finite" and the weights before that step. The same settings give bit-identical weights on
    the same machine's CPU, whatever else runs there. Closing the iterator frees everything.
    Raises InputError, on the first step, for models or words that can't be used.
    """
    began = time.perf_counter()
    device = usable_device(config.device)
    check_precision(config.precision, device)

    def carried(step: int) -> dict[str, Any]:
        wanted = config.keep_every and step < config.steps and step % config.keep_every == 0
        return {"weights": training.changed_weights()} if wanted else {}

    with own_modes(device):
        source = load_generator(config.model, config.device)
        views, pool_paths = open_views(config, source)
        training = GeneratorTraining(config, source, views)
        previews = _Previews(config, source, views)
        if start is not None:
            take_prompts(views, start.prompts)
            training.go_on(start)
        forecast = previews.seconds_with(training.seconds_a_step(previews.seconds_an_image), preview_interval)
        stages = [Stage("generator", config.steps, lambda: training, forecast, training.steps, carried)]
        samples = [training.samples]
        if _learns(views) and start is None:
            learning = PromptTraining(config, source, views)
            stages.insert(0, Stage("prompts", config.mapper_steps, lambda: learning))
            samples.append(learning.samples)

    def drawing() -> tuple[float, float]:
        return seconds_of_drawing(samples, BLOCK * previews.seconds_an_image)

    @functools.cache
    def said() -> dict[int, str] | None:
        return readings(views, source, config.preview_seeds, config.preview_psi)

    def pictures() -> dict[str, Any]:
        if not training.steps:  # the prompts are being learned still
            return previews.render(None)
        return {**previews.render(training.averaged), "readings": said()}

    try:
        stopped, done = yield from run_stages(stages, device, began, pictures, preview_interval, stop, drawing)
        with own_modes(device):
            shown = {**pictures(), "readings": said()}
        yield Snapshot(
            step=done["generator"],
            total=config.steps,
            phase="done",
            seconds=time.perf_counter() - began,
            weights=training.changed_weights(),
            prompts=learnt_prompts(views),
            training=training.state() if config.keep_state else None,
            stopped=stopped,
            **shown,
        )
    finally:
        for view, path in zip(views, pool_paths):
            view.pool.save(path)


# ----------------------------------------------------------------------------------------------------------------------
# Source samples


class Samples:
    """The source samples that the steps of one stage look at, batch by batch.

    seconds, blocks: what drawing those took that no pool had yet, and how many of a pool's blocks that were.
    """

    def __init__(
        self, config: AdaptConfig, source: Generator, views: Sequence[View], stage: str, steps: int, batch: int
    ) -> None:
        self._config, self._source, self._views, self._stage = config, source, views, stage
        self._steps, self._batch = steps, batch
        self._indices = draw_indices(batch, generator_from_seed(config.seed, stage))
        self._looked_into = blocks_of(0, steps * batch, generator_from_seed(config.seed, stage))
        self.seconds, self.blocks = 0.0, 0

    def skip(self, steps: int) -> None:
        """Leaves out the batches that an earlier run has had."""
        for _ in range(steps):
            next(self._indices)
        order = generator_from_seed(self._config.seed, self._stage)
        self._looked_into = blocks_of(steps * self._batch, self._steps * self._batch, order)

    def take(self) -> tuple[Tensor, list[Tensor]]:
        """w (B, w_dim) of the next batch, and each View's embeddings (B, D) of its pictures, on the source's device."""
        lacking, began = int(self.lacking().sum()), time.perf_counter()
        # In the student's own precision, so that what it loses is lost on both sides of a pair.
        with mixed(self._source.device, self._config.precision):
            pools = [(view.pool, view.critic) for view in self._views]
            taken = take_samples(pools, next(self._indices), self._source)
        self.seconds += time.perf_counter() - began
        self.blocks += lacking - int(self.lacking().sum())
        return taken

    def lacking(self) -> Tensor:
        """Which blocks (BLOCKS,) the stage looks into and some View's pool lacks."""
        return self._looked_into & ~torch.stack([view.pool.present for view in self._views]).all(0)


def seconds_of_drawing(stages: Sequence[Samples], seconds_a_block: float) -> tuple[float, float]:
    """What drawing source samples took so far, and what those will take that the stages still lack.

    seconds_a_block: what a block is expected to take, for as long as none has been drawn.
    """
    seconds, blocks = sum(stage.seconds for stage in stages), sum(stage.blocks for stage in stages)
    to_come = int(torch.stack([stage.lacking() for stage in stages]).any(0).sum())
    return seconds, to_come * (seconds / blocks if blocks else seconds_a_block)


# ----------------------------------------------------------------------------------------------------------------------
# Stage 1


class PromptTraining:
    """Calling it trains the prompt learner by one step and gives the step's loss terms; model and critic are fixed."""

    def __init__(self, config: AdaptConfig, source: Generator, views: Sequence[View]) -> None:
        self._views = views
        self.samples = Samples(config, source, views, "stage 1", config.mapper_steps, config.mapper_batch)
        self._parameters = [parameter for view in views for parameter in view.scheme.parameters()]
        self._optimiser = torch.optim.Adam(self._parameters, lr=config.mapper_lr, foreach=True)

    def __call__(self) -> dict[str, float]:
        """One step. Raises NotFinite before anything has changed."""
        w, images = self.samples.take()
        terms = [view.scheme.losses(w, image) for view, image in zip(self._views, images)]
        losses = {name: _weighted(self._views, [term[name] for term in terms]) for name in terms[0]}
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
    steps: how many were made.
    """

    def __init__(self, config: AdaptConfig, source: Generator, views: Sequence[View]) -> None:
        self._config, self._source, self._views = config, source, views
        self._low = saves_memory(config.memory, source.config.resolution, config.batch)
        self._student = copy.deepcopy(source)
        self.averaged = copy.deepcopy(source)
        self._trained: dict[str, Tensor] = {}  # of the student; grows as layers are chosen
        self.steps = 0
        self.samples = Samples(config, source, views, "stage 2", config.steps, config.batch)
        self._noise = generator_from_seed(config.seed, "noise")
        self._choices = generator_from_seed(config.seed, "layer choice")
        if self._adaptive:
            self._targets = [view.critic.encode_texts([config.target]) for view in views]
        else:
            self._train(group_parameters(config.layers, source))
        # Adam passes over a tensor without gradient, so it may know them all.
        self._optimiser = torch.optim.Adam(
            self._student.synthesis.parameters(), lr=config.learning_rate, betas=GENERATOR_BETAS, foreach=True
        )

    def __call__(self) -> dict[str, float]:
        """One step. Raises NotFinite before anything has changed."""
        config = self._config
        if self._adaptive and self.steps % config.layer_interval == 0:
            self._train(self._chosen_parameters())
        w, before = self.samples.take()
        directions = [view.scheme.directions(w, seen).expand(len(w), -1) for view, seen in zip(self._views, before)]
        # Random noise differs from the source's, which the pool drew; constant noise is the same for both.
        noise = "const" if config.share_noise else self._student.make_noise(self._noise, len(w))
        self._optimiser.zero_grad()
        loss = 0.0
        # No term looks across the batch, so that the gradients of its parts add up to its own.
        for part in self._parts(len(w)):
            images = self._draw(w[part], noise if isinstance(noise, str) else [layer[part] for layer in noise])
            losses = [
                adaptation_loss(self._embed(view, images), seen[part], direction[part], config.shortest_move)
                for view, seen, direction in zip(self._views, before, directions)
            ]
            share = _weighted(self._views, losses) * (len(images) / len(w))
            share.backward()
            loss = loss + share.detach()
        require_finite(loss, self._student.synthesis.parameters())
        self._optimiser.step()
        self._average()
        self.steps += 1
        return {"adaptation": loss.item()}

    @property
    def _adaptive(self) -> bool:
        return self._config.layers.startswith("adaptive")

    def _parts(self, batch: int) -> list[slice]:
        size = pictures_at_once(self._source.config.resolution) if self._low else batch
        return [slice(start, start + size) for start in range(0, batch, size)]

    def _draw(self, w: Tensor, noise: str | list[Tensor] = "const") -> Tensor:
        with mixed(self._student.device, self._config.precision):
            return self._student.synthesis(w, noise=noise, recompute=self._low)

    def _embed(self, view: View, images: Tensor) -> Tensor:
        with mixed(images.device, self._config.precision):
            return view.critic.encode_images(images).float()

    def _chosen_parameters(self) -> list[str]:
        z = torch.randn(LAYER_CHOICE_LATENTS, self._source.config.z_dim, generator=self._choices)
        self._student.requires_grad_(False)
        w = self._student.mapping(z.to(self._student.device))
        if self._config.layers == "adaptive-released":
            groups = released_groups(self._student)
            rows = choose_layers(self._student, w, self._distance_to_target, rows=len(groups))
            return [name for row in rows for name in groups[row]]
        layers = choose_layers(self._student, w, self._distance_to_target)
        return [name for k in layers for name in self._student.layer_parameters(k)]

    def _distance_to_target(self, w_plus: Tensor) -> Tensor:
        """1 − cos of pictures and the raw target words, the mean over the pictures (NADA's global loss, eq. 1)."""
        # As in the released code, which draws each picture with a noise of its own, here too.
        noise = "const" if self._config.share_noise else self._student.make_noise(self._choices, len(w_plus))
        images = self._draw(w_plus, noise)
        cosines = [(self._embed(view, images) * target).sum(-1) for view, target in zip(self._views, self._targets)]
        return _weighted(self._views, [(1 - cosine).mean() for cosine in cosines])

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
        if not self.steps:
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
        self.steps = start.step
        self.samples.skip(start.step)
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
        """Forecast of a step's time, but for source samples, from that of drawing and embedding one image.

        Going back costs twice that, and once more to save memory.
        """
        images = float(self._config.batch)
        if self._adaptive:
            images += LAYER_CHOICE_LATENTS / self._config.layer_interval
        return (3 + self._low) * images * seconds_an_image


def adaptation_loss(
    embeddings: Tensor, source_embeddings: Tensor, text_directions: Tensor, shortest_move: float = SHORTEST_MOVE
) -> Tensor:
    """L_adapt (IPL, CVPR 2023, eq. 6) of the student's pictures, by a critic's embeddings of them and of their sources.

    embeddings, source_embeddings: unit (B, D). text_directions: unit (1, D) or (B, D). Gives a scalar, the mean over
    the batch, so a batch gives the mean of what its samples give one by one.
    """
    return directional_loss(image_direction(source_embeddings, embeddings, shortest_move), text_directions)


def choose_layers(
    generator: Generator,
    w: Tensor,
    distance: Callable[[Tensor], Tensor],
    count: int | None = None,
    rows: int | None = None,
) -> list[int]:
    """The rows of w+ that one gradient step towards the target text moves most, and so the layers (NADA §4.2).

    w: (B, w_dim). distance: w+ (B, rows, w_dim) → how far the pictures are from the target text, their mean. count:
    how many; None takes two thirds of the rows, int(2 (2 log2(resolution) − 2) / 3). rows: how many take part; None all
    but the last, which drives nothing but a toRGB, and that stays frozen. Gives row numbers in ascending order; row k
    drives layer k.
    """
    rows = rows or generator.num_layers - 1
    count = min(count or int(2 * generator.num_layers / 3), rows)
    return sorted(movement(generator, w, distance)[:rows].topk(count).indices.tolist())


def movement(generator: Generator, w: Tensor, distance: Callable[[Tensor], Tensor]) -> Tensor:
    """How far one step of plain gradient descent moves each row of w+ (rows,), but for the rate; see `choose_layers`.

    Only dL/dw+ is computed, of no more pictures at a time than memory suits.
    """
    gradients = []
    for part in generator.to_w_plus(w).detach().split(pictures_at_once(generator.config.resolution)):
        w_plus = part.clone().requires_grad_(True)
        gradients += torch.autograd.grad(distance(w_plus) * (len(part) / len(w)), w_plus)
    return torch.cat(gradients).abs().mean(dim=(0, 2))


def released_groups(generator: Generator) -> list[list[str]]:
    """What each row of w+ stands for in IPL's released code: the parameters of layer 0, of the first toRGB, then of
    layer k − 1 for row k, though it is layer k that row k drives."""
    layers = [generator.layer_parameters(k) for k in range(generator.num_layers - 1)]
    first_torgb = [name for name in generator.torgb_parameters() if name.startswith("synthesis.torgb.0.")]
    return [layers[0], first_torgb, *layers[1:]]


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


def open_views(config: AdaptConfig, source: Generator) -> tuple[list[View], list[Path]]:
    """A View of each critic of `config`, and where its pool is kept."""
    views, paths = [], []
    computed = str(source.device) if config.precision == "float32" else f"{source.device} {config.precision}"
    for name, weight, digest in digested_members(config.critic or critic_of(config.model)):
        critic = load_critic(name, config.device)
        # The same stream for each of them: a critic's prompts begin as they would if it were alone.
        w_dim, suited = source.config.w_dim, vocabulary_of(config.model)
        scheme = make_prompts(config, critic, w_dim, generator_from_seed(config.seed, "prompts"), suited)
        facts = (home() / "pools", generator_digest(config.model), digest, not config.share_noise, computed)
        views.append(View(critic, scheme, open_pool(*facts), weight))
        paths.append(pool_path(*facts))
    return views, paths


def _learns(views: Sequence[View]) -> bool:
    return any(view.scheme.needs_training for view in views)


def learnt_prompts(views: Sequence[View]) -> dict[str, Tensor]:
    """What stage 1 taught the prompts, by name; of several critics, "0." and so on before the names of each one's."""
    if not _learns(views):
        return {}
    schemes = [view.scheme for view in views]
    return kept((schemes[0] if len(schemes) == 1 else nn.ModuleList(schemes)).state_dict())


def take_prompts(views: Sequence[View], prompts: dict[str, Tensor]) -> None:
    """Gives the prompts back what `learnt_prompts` gave; nothing where nothing is learnt."""
    if _learns(views):
        schemes = [view.scheme for view in views]
        (schemes[0] if len(schemes) == 1 else nn.ModuleList(schemes)).load_state_dict(prompts)


@torch.no_grad()
def readings(views: Sequence[View], source: Generator, seeds: Sequence[int], psi: float) -> dict[int, str] | None:
    """What the prompt of each of these people says, by seed, of several critics that of the first; None where prompts
    say nothing in words. psi: truncation at which the people are drawn."""
    if not views[0].scheme.readable:
        return None
    said: dict[int, str] = {}
    for some in torch.tensor(seeds).split(pictures_at_once(source.config.resolution)):
        z = latents_from_seeds(some.tolist(), source.config.z_dim).to(source.device)
        w = source.truncate(source.mapping(z), psi)
        found = views[0].scheme.readings(w, views[0].critic.encode_images(source.synthesis(w)))
        said.update(zip(some.tolist(), found))
    return said


def _weighted(views: Sequence[View], values: Sequence[Any]) -> Any:
    return sum(view.weight * value for view, value in zip(views, values))


class _Previews:
    """The watched latents, drawn by the source once and by the adapted generator as often as asked.

    How varied they are is the judge's to say where the model has one. A critic that sees the domain above all finds
    every pencil sketch alike, and would call a run collapsed that has kept everybody apart.
    """

    def __init__(self, config: AdaptConfig, source: Generator, views: Sequence[View]) -> None:
        self._views, self._psi = views, config.preview_psi
        self._judge = own_judge(config.model)
        self._z = latents_from_seeds(config.preview_seeds, source.config.z_dim).to(source.device)
        began = time.perf_counter()
        self._before, self._spread = self._draw(source)
        self.seconds_an_image = (time.perf_counter() - began) / len(self._z)

    def seconds_with(self, seconds_a_step: float, preview_interval: float) -> float:
        """What a step takes with its share of the previews, from what it takes without."""
        seconds = self.seconds_an_image * len(self._z)
        every = seconds_between(preview_interval, seconds)
        return seconds_a_step + seconds * (min(1.0, seconds_a_step / every) if every else 1.0)

    @torch.no_grad()
    def _draw(self, generator: Generator) -> tuple[Tensor, float]:
        pictures, seen = [], []
        for z in self._z.split(pictures_at_once(generator.config.resolution)):
            images = generator(z, psi=self._psi)
            pictures.append(to_uint8(images))
            if self._judge is None:
                seen.append([view.critic.encode_images(images) for view in self._views])
            else:
                seen.append([self._judge.read(images.cpu()).identity])
        spreads = [float(diversity(torch.cat(embeddings))) for embeddings in zip(*seen)]
        return torch.cat(pictures), _weighted(self._views, spreads) if self._judge is None else spreads[0]

    def render(self, adapted: Generator | None) -> dict[str, Any]:
        """The fields of a Snapshot that show `adapted`; None stands for the source itself."""
        after, spread = self._before, self._spread
        if adapted is not None:
            after, spread = self._draw(adapted)
        ratio = spread / self._spread if self._spread > 0 else None
        return {"before": self._before, "after": after, "diversity": ratio}
