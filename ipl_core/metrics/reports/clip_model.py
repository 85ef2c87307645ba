"""Whether a CLIP model can be trusted: compares adapted generators with true renders of the domain.

An adapted generator is right if its directional loss and the length of its ΔI come near those of true renders, and the
judge (a classifier) recognises the domain. If the loss is low but ΔI is short, or the judge still says photo, the CLIP
model was fooled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from ...clip.model import Critic
from ...drawing.sampling import draw
from ...library.find_or_run import finished_run
from ...methods.config import AdaptConfig
from ...methods.losses import adaptation_loss
from ...methods.prompts import ManualPrompts, templates
from ...models.catalog import critic_of, judge_of, load_adapted, load_critic, load_generator, load_judge, suited_to
from ...studio.world.captions import labels_in_words
from ...studio.world.domains import PHOTO
from ...studio.world.subject import Subject
from ..judge_score import judge_score
from .methods import FIRST_SAMPLE_SEED


@dataclass(frozen=True)
class Movement:
    """How a set of pictures moved: directional loss against NADA's direction, length of ΔI, judge's share."""

    loss: float
    length: float
    judge: float


def critic_report(model: str = "studio", samples: int = 100, smoke: bool = False) -> Iterator[str]:
    """Lines of the report: attribute reading, a table with a line per domain, and a summary.

    The summary counts domains that come near true renders, and gives the CLIP model's zero-shot accuracy on renders.

    Adapted generators are runs of the default method with seed 0, from the library where they exist.
    """
    samples = 4 if smoke else samples
    critic, judge = load_critic(critic_of(model)), load_judge(judge_of(model))
    source = load_generator(model)
    subject, random = judge.subject, torch.Generator().manual_seed(2_024)
    sitters = subject.random(samples, random)
    photos = subject.render(PHOTO, sitters, random, judge.resolution)
    seeds = range(FIRST_SAMPLE_SEED, FIRST_SAMPLE_SEED + samples)
    drawn = draw(source, seeds)
    found = attribute_retrieval(critic, subject, photos, subject.labels(sitters))
    yield "attributes of photos told by words, and by saying always the commonest: " + ", ".join(
        f"{name} {right:.0%} ({commonest:.0%})" for name, (right, commonest) in found.items()
    )
    right, commonest = torch.tensor(list(found.values())).mean(0).tolist()
    yield f"all attributes: {right:.1%} ({commonest:.1%})"
    heads = "loss length judge"
    yield f"{'':18}{'true renders':^25}{'adapted generator':^25}"
    yield f"{'domain':18}" + 2 * "".join(f"{head:>8}" for head in heads.split())
    names = domain_names(critic, subject)
    near, named = 0, [zero_shot(critic, names, photos, subject.domains.index(PHOTO))]
    for domain in subject.domains[1:2] if smoke else subject.domains[1:]:
        direction = ManualPrompts(critic, PHOTO.name, domain.name, templates("studio")).direction
        true = subject.render(domain, sitters, random, judge.resolution)
        config = AdaptConfig(domain.name, model=model, **suited_to(critic_of(model)))
        if smoke:
            config = replace(config, steps=2, mapper_steps=1)
        adapted = draw(load_adapted(finished_run(config).path), seeds)
        a = _movement(critic, photos, true, direction, judge_score(judge.read(true), domain))
        b = _movement(critic, drawn, adapted, direction, judge_score(judge.read(adapted), domain))
        named.append(zero_shot(critic, names, true, subject.domains.index(domain)))
        near += abs(a.loss - b.loss) <= 0.1 and abs(a.length - b.length) <= 0.1
        yield f"{domain.name:18}" + "".join(f"{m.loss:8.3f}{m.length:8.3f}{m.judge:8.1%}" for m in (a, b))
    yield f"within 0.1 of true renders in loss and length: {near} domains"
    yield f"true renders and photos whose domain is named, zero-shot: {sum(named) / len(named):.1%}"


@torch.no_grad()
def domain_names(critic: Critic, subject: Subject) -> torch.Tensor:
    """The CLIP model's embeddings (domains, D) of “a photo of a” with the name of each of the subject's domains."""
    return critic.encode_texts([f"a photo of a {domain.name}" for domain in subject.domains])


@torch.no_grad()
def zero_shot(critic: Critic, names: torch.Tensor, pictures: torch.Tensor, place: int) -> float:
    """Zero-shot accuracy: the share of pictures (B, 3, H, W) whose nearest row of `domain_names` is the given one."""
    nearest = (critic.encode_images(pictures) @ names.T).argmax(1)
    return float((nearest == place).float().mean())


@torch.no_grad()
def attribute_retrieval(
    critic: Critic, subject: Subject, photos: torch.Tensor, labels: torch.Tensor
) -> dict[str, tuple[float, float]]:
    """For each trait, the zero-shot accuracy on photos (B, 3, H, W) with labels (B, traits), and a baseline.

    The baseline is the share of the commonest label. Photos whose label has no words of its own, such as an everyday
    smile, are left out.
    """
    seen, found = critic.encode_images(photos), {}
    for i, trait in enumerate(subject.traits):
        said = labels_in_words(subject, trait)
        worded = torch.tensor(list(said))
        counted = torch.isin(labels[:, i], worded)
        if len(said) < 2 or not counted.any():
            continue
        nearest = (seen[counted] @ critic.encode_texts(list(said.values())).T).argmax(1)
        right = (worded[nearest.cpu()] == labels[counted, i]).float().mean()
        commonest = labels[counted, i].bincount().max() / counted.sum()
        found[trait.attribute] = (float(right), float(commonest))
    return found


@torch.no_grad()
def _movement(
    critic: Critic, before: torch.Tensor, after: torch.Tensor, direction: torch.Tensor, judged: float
) -> Movement:
    first, second = critic.encode_images(before), critic.encode_images(after.clamp(-1, 1))
    loss = adaptation_loss(second, first, direction)
    return Movement(float(loss), float((second - first).norm(dim=1).mean()), judged)
