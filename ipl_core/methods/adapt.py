"""The two stages of the method, each a plain loop that yields its steps.

Stage 1 trains the prompts against pictures of the source generator; manual prompts have nothing to learn and skip it.
Stage 2 trains the generator along the directions that the prompts give. NADA, the shared prompt and IPL differ in
those directions and in nothing else, so a comparison of methods compares just that: the same seed draws the same
latents and layers for each of them.

The loops know nothing about stopping, time, previews or files; `running` wraps them. They expect the modes of
`running.modes.own_modes` around each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..running.modes import require_finite
from ..running.steps import Step
from .config import AdaptConfig
from .guidance import Guide, weighted
from .layers import adaptive_parameters
from .losses import adaptation_loss, global_loss
from .source_samples import SampleStream
from .student import Student


def learn_prompts(config: AdaptConfig, guides: Sequence[Guide], samples: SampleStream) -> Iterator[Step]:
    """Stage 1: trains the prompts of the guides; generator and CLIP are fixed (IPL §3.2, L = L_constr + λ L_domain).

    Raises NotFinite in place of a step whose loss or gradient isn't finite; that step has changed nothing.
    """
    parameters = [parameter for guide in guides for parameter in guide.scheme.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=config.mapper_lr, foreach=True)

    for step in range(1, config.mapper_steps + 1):
        # w_i and E_I(G_s(w_i)), as each CLIP model sees the picture
        w, embeddings = samples.take()

        # L_constr, L_domain and their weighted sum
        terms = [guide.scheme.losses(w, seen) for guide, seen in zip(guides, embeddings)]
        losses = {name: weighted(guides, [term[name] for term in terms]) for name in terms[0]}

        optimiser.zero_grad()
        losses["total"].backward()
        require_finite(losses["total"], parameters)
        optimiser.step()
        yield Step(step, config.mapper_steps, "prompts", {name: loss.item() for name, loss in losses.items()})


def adapt_generator(
    config: AdaptConfig, student: Student, guides: Sequence[Guide], samples: SampleStream
) -> Iterator[Step]:
    """Stage 2: trains the student; prompts and CLIP are fixed (IPL eq. 6, L_adapt).

    Goes on after the steps that the student has made. Raises NotFinite in place of a step whose loss or gradient isn't
    finite; that step has changed nothing.
    """
    distance = distance_to_target(config, student, guides) if config.adaptive_layers else None

    for step in range(student.steps + 1, config.steps + 1):
        # Which layers are trained (NADA §4.2); a fixed group was chosen when the student was made
        if distance is not None and (step - 1) % config.layer_interval == 0:
            student.network.requires_grad_(False)
            latents = student.choice_latents()
            student.train_only(adaptive_parameters(config.layers, student.network, latents, distance))

        # w_i and E_I(G_s(w_i)), then ΔT_i
        w, sources = samples.take()
        directions = [guide.scheme.directions(w, seen).expand(len(w), -1) for guide, seen in zip(guides, sources)]

        # L_adapt. It is a mean over pictures, so the gradients of a batch's parts add up to its own.
        noise = student.noise(len(w))
        student.optimiser.zero_grad()
        loss = 0.0
        for part in student.parts(len(w)):
            images = student.draw(w[part], noise if isinstance(noise, str) else [layer[part] for layer in noise])
            losses = [
                adaptation_loss(
                    guide.embed(images, config.precision), source[part], direction[part], config.shortest_move
                )
                for guide, source, direction in zip(guides, sources, directions)
            ]
            share = weighted(guides, losses) * (len(images) / len(w))
            share.backward()
            loss = loss + share.detach()

        require_finite(loss, student.network.synthesis.parameters())
        student.optimiser.step()
        student.update_average()
        student.steps = step
        yield Step(step, config.steps, "generator", {"adaptation": loss.item()})


def distance_to_target(config: AdaptConfig, student: Student, guides: Sequence[Guide]) -> Callable[[Tensor], Tensor]:
    """L_global of the student's pictures of w+ (B, rows, w_dim), which the adaptive choice of layers descends."""
    targets = [guide.critic.encode_texts([config.target]) for guide in guides]

    def distance(w_plus: Tensor) -> Tensor:
        images = student.draw(w_plus, student.choice_noise(len(w_plus)))
        losses = [global_loss(guide.embed(images, config.precision), target) for guide, target in zip(guides, targets)]
        return weighted(guides, losses)

    return distance
