"""Runs an adaptation: loads what it needs, and wraps the loops of `methods.adapt` in what a run needs beside them.

That is stopping, the guard against NaN, previews, earlier steps, time left, and saving the embeddings of source
pictures for later runs. Nothing of the result is kept here; `library` does that.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ..devices import check_precision, usable_device
from ..generators.stylegan2.network import Generator
from ..latents import generator_from_seed
from ..memory import saves_memory
from ..methods.adapt import adapt_generator, learn_prompts
from ..methods.config import AdaptConfig
from ..methods.guidance import Guide, generator_samples, learns, learnt_prompts, prompt_samples, take_prompts
from ..methods.layers import LAYER_CHOICE_LATENTS
from ..methods.registry import make_prompts
from ..methods.source_samples import BLOCK, open_pool, pool_path, seconds_of_drawing
from ..methods.student import Student
from ..models.catalog import critic_of, digested_members, generator_digest, load_critic, load_generator, vocabulary_of
from ..storage.folders import home
from .modes import own_modes
from .previews import Previews
from .steps import AdaptResult, Start, Step
from .time_left import Costs, TimeLeft
from .wrappers import Guarded, in_own_modes, timed, with_pictures


def adapt(
    config: AdaptConfig,
    stop: threading.Event | None = None,
    preview_interval: float = 1.0,
    start: Start | None = None,
) -> Iterator[Step | AdaptResult]:
    """Adapts the generator of `config`; yields a Step for each training step, then the AdaptResult.

    stop: set it, from any thread, to end after the step under way; the result then says stopped="asked" and carries
        what has been reached.
    preview_interval: seconds between two renewals of the pictures, more where drawing them takes long (see
        `wrappers.seconds_between`); the first step and the result always carry them. Never changes the weights.
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

    with own_modes(device):
        source = load_generator(config.model, config.device)
        guides, pool_paths = open_guides(config, source)
        student = Student(config, source)
        previews = Previews(config, source, guides)
        samples = [generator_samples(config, source, guides)]
        plan = {"generator": config.steps}
        steps = adapt_generator(config, student, guides, samples[0])
        if start is not None:
            take_prompts(guides, start.prompts)
            student.resume(start)
            samples[0].skip(start.step)
        elif learns(guides):
            samples.append(prompt_samples(config, source, guides))
            plan = {"prompts": config.mapper_steps, **plan}
            steps = itertools.chain(learn_prompts(config, guides, samples[1]), steps)
        forecast = {"generator": previews.seconds_with(_step_seconds(config, source, previews), preview_interval)}

    def drawing() -> tuple[float, float]:
        return seconds_of_drawing(samples, BLOCK * previews.seconds_an_image)

    guarded = Guarded(steps, sum(plan.values()) - student.steps, stop)
    kept = with_earlier_weights(guarded, student, config)
    shown = with_pictures(kept, lambda step: previews.at(student, step), preview_interval)
    try:
        yield from in_own_modes(timed(shown, began, TimeLeft(plan, forecast, drawing)), device)
        with own_modes(device):
            pictures = previews.final(student)
        yield AdaptResult(
            step=student.steps,
            total=config.steps,
            pictures=pictures,
            weights=student.changed_weights(),
            seconds=time.perf_counter() - began,
            stopped=guarded.stopped,
            prompts=learnt_prompts(guides),
            training=student.state() if config.keep_state else None,
        )
    finally:
        for guide, path in zip(guides, pool_paths):
            guide.pool.save(path)


def with_earlier_weights(steps: Iterable[Step], student: Student, config: AdaptConfig) -> Iterator[Step]:
    """The steps, of which those that `keep_every` asks for carry the weights that were reached."""
    for step in steps:
        earlier = config.keep_every and step.phase == "generator" and step.step < step.total
        if earlier and step.step % config.keep_every == 0:
            step = replace(step, weights=student.changed_weights())
        yield step


def open_guides(config: AdaptConfig, source: Generator) -> tuple[list[Guide], list[Path]]:
    """A Guide for each CLIP model of `config`, and where the embeddings that it has made are kept.

    Raises InputError for a model that can't be had and for words that it doesn't know.
    """
    guides, paths = [], []
    computed = str(source.device) if config.precision == "float32" else f"{source.device} {config.precision}"
    for name, weight, digest in digested_members(config.critic or critic_of(config.model)):
        critic = load_critic(name, config.device)
        # The same stream for each of them: a CLIP model's prompts begin as they would if it were alone.
        w_dim, suited = source.config.w_dim, vocabulary_of(config.model)
        scheme = make_prompts(config, critic, w_dim, generator_from_seed(config.seed, "prompts"), suited)
        facts = (home() / "pools", generator_digest(config.model), digest, not config.share_noise, computed)
        guides.append(Guide(critic, scheme, open_pool(*facts), weight))
        paths.append(pool_path(*facts))
    return guides, paths


def _step_seconds(config: AdaptConfig, source: Generator, previews: Previews) -> float:
    """Forecast of a step of stage 2, without previews and source samples."""
    low = saves_memory(config.memory, source.config.resolution, config.batch)
    return Costs(previews.seconds_an_image).generator_step(config.batch, low, chosen_on=chosen_on(config))


def chosen_on(config: AdaptConfig) -> float:
    """Pictures that the adaptive choice of layers looks at, a step on average."""
    return LAYER_CHOICE_LATENTS / config.layer_interval if config.adaptive_layers else 0.0
