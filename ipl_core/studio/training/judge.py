"""Trains a subject's judge on renders under augmentations of its own, and reports it on held-out sitters.

The first phase learns traits from photos, of which there are many; the second learns traits, domain and identity in
every domain. AdamW doesn't reach in ten times as many steps what Muon reaches in minutes.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from ...generators.files import load_generator
from ..data import photos, portrayed, to_float
from ..judge import Judge, save_judge
from ..world.subject import Subject
from .augment import roughen
from .loop import Checkpoint, FigureLog, figure_words, first_weights, half_precision
from .muon import MuonAdam
from .supervised import supervised

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgeRecipe:
    """Steps, sizes and rates; the defaults made the committed weights."""

    sitters: int = 1_000  # in every domain
    held_out: int = 100
    photos: int = 12_000  # of further sitters; the generator's own, where they are in the work folder
    photo_steps: int = 700  # of photos alone
    steps: int = 1_200  # of everything
    batch: int = 64  # photos at first; then sitters in domains, two pictures of each
    drawn: int = 16
    photos_kept: int = 24  # photos in a step of everything
    supervised_sitters: int = 256
    supervised_steps: int = 160
    learning_rate: float = 0.02  # of Muon, relative to the weights
    adam_rate: float = 2e-3
    seed: int = 7
    data_seed: int = 11
    save_every: int = 250


#: The smallest recipe that runs every line: it shows that the script works and teaches nothing.
SMOKE = JudgeRecipe(
    sitters=5, held_out=2, photos=4, photo_steps=1, steps=2, batch=4, drawn=4, photos_kept=2, supervised_sitters=2,
    supervised_steps=1, save_every=2,
)  # fmt: skip


def identity_loss(identity: torch.Tensor, person: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al. 2020): pictures of one person attract, of others repel.

    identity: unit (B, D). person: (B,) numbers of the people.
    """
    logits = identity @ identity.T * 10
    self_mask = torch.eye(len(identity), dtype=torch.bool, device=identity.device)
    same = (person[:, None] == person[None]) & ~self_mask
    log_share = logits.masked_fill(self_mask, -1e9).log_softmax(1)
    counted = same.any(1)
    return -((log_share * same).sum(1)[counted] / same.sum(1)[counted]).mean()


@dataclass(frozen=True)
class Examples:
    """What a judge learns from, with the labels (…, traits) of who is shown; all pictures uint8.

    pictures (domains, S, 3, R, R): the same sitters in every domain; traits (S, T). photos (N, 3, R, R) of further
    sitters; photo_traits (N, T). drawn (domains, K, 3, R, R): the last K of the S sitters in the generator's own hand.
    """

    pictures: torch.Tensor
    traits: torch.Tensor
    photos: torch.Tensor
    photo_traits: torch.Tensor
    drawn: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """pictures (B, 3, R, R) uint8, photos of further sitters first; traits (B, T).

    domain (B,), and person (P,), numbers of who is on the last P pictures: None in a batch of photos alone.
    """

    pictures: torch.Tensor
    traits: torch.Tensor
    domain: torch.Tensor | None = None
    person: torch.Tensor | None = None


def examples(subject: Subject, recipe: JudgeRecipe, work: Path, generator_file: Path, device: str) -> Examples:
    """The examples of a recipe, made once and kept in `work`."""
    z, pictures = portrayed(subject, recipe.sitters, Judge.resolution, recipe.data_seed, work)
    photo_z, photo_pictures = photos(subject, recipe.photos, Judge.resolution, 0, work)
    source, kept = load_generator(generator_file, device), recipe.supervised_sitters
    # The generator's own photos, and pictures of its copies that were trained on a domain: right, but softer.
    last = z[-kept:].to(device)
    drawn = supervised(subject, source, last, pictures[:, -kept:], work, recipe.supervised_steps).drawn
    traits, photo_traits = (subject.labels(subject.sitters_from_latents(latents)) for latents in (z, photo_z))
    return Examples(pictures, traits, photo_pictures, photo_traits, drawn)


def photos_alone(seen: Examples, recipe: JudgeRecipe, random: torch.Generator) -> Batch:
    """A batch of the first phase."""
    index = torch.randint(recipe.photos, (recipe.batch,), generator=random)
    return Batch(seen.photos[index], seen.photo_traits[index])


def everything(seen: Examples, recipe: JudgeRecipe, random: torch.Generator) -> Batch:
    """A batch of the second phase: photos, sitters in domains, two pictures of each, and the generator's pictures."""
    domains, kept, count = len(seen.pictures), recipe.supervised_sitters, recipe.photos_kept
    index = torch.randint(recipe.photos, (count,), generator=random)
    sitter = torch.randint(recipe.held_out, recipe.sitters, (recipe.batch // 4,), generator=random).repeat(2)
    domain = torch.randint(domains, (len(sitter),), generator=random)
    own = torch.randint(kept, (recipe.drawn,), generator=random)
    own_domain = torch.randint(domains, (recipe.drawn,), generator=random)
    own_domain[: recipe.drawn // 4] = 0  # the source's own pictures, as they are
    person = torch.cat([sitter, recipe.sitters - kept + own])
    return Batch(
        torch.cat([seen.photos[index], seen.pictures[domain, sitter], seen.drawn[own_domain, own]]),
        torch.cat([seen.photo_traits[index], seen.traits[person]]),
        torch.cat([torch.zeros(count, dtype=torch.int64), domain, own_domain]),
        person,
    )


def judge_loss(judge: Judge, batch: Batch, random: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of a batch under augmentations, and its terms by name."""
    device = next(judge.parameters()).device
    rough = roughen(to_float(batch.pictures).to(device), random)
    with half_precision(rough.device):
        domain, traits, identity, _ = judge(rough)
    labels = batch.traits.to(device)
    loss_traits = torch.stack([F.cross_entropy(t.float(), labels[:, i]) for i, t in enumerate(traits)]).mean()
    loss, terms = 2 * loss_traits, {"domain": 0.0, "traits": float(loss_traits.detach()), "identity": 0.0}
    if batch.person is not None:
        loss_domain = F.cross_entropy(domain.float(), batch.domain.to(device), label_smoothing=0.02)
        known = identity[len(identity) - len(batch.person) :]
        loss_identity = identity_loss(known.float(), batch.person.to(device))
        loss = loss + loss_domain + 0.3 * loss_identity
        terms |= {"domain": float(loss_domain.detach()), "identity": float(loss_identity.detach())}
    return loss, terms


def train_judge(
    subject: Subject, recipe: JudgeRecipe, work: Path, generator_file: Path, out: Path, device: str = "cpu"
) -> dict[str, object]:
    """Run the recipe, resuming from `work`; writes `out` (safetensors) and gives the held-out report."""
    seen = examples(subject, recipe, work, generator_file, device)
    judge = first_weights(lambda: Judge(subject).to(device), recipe.seed)
    random = torch.Generator().manual_seed(recipe.seed)
    optimiser = MuonAdam(judge, recipe.learning_rate, recipe.adam_rate, decay=0.02)
    checkpoint = Checkpoint(
        work / f"judge-{subject.name}.pt", {"judge": judge, "optimiser": optimiser, "random": random}
    )
    figures = FigureLog(work / f"judge-{subject.name}.csv")
    total = recipe.photo_steps + recipe.steps
    begun, done = time.monotonic(), checkpoint.resume()
    for step in range(done + 1, total + 1):
        optimiser.set_rate(min(1.0, step / 50, 1.25 * (1 - step / total) + 0.01))
        take = everything if step > recipe.photo_steps else photos_alone
        loss, terms = judge_loss(judge, take(seen, recipe, random), random)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            figures.write(step=step, **terms)
            seconds = time.monotonic() - begun
            log.info("judge of %s %d of %d: %s, %.0f s", subject.name, step, total, figure_words(terms), seconds)
        if step % recipe.save_every == 0 or step == total:
            checkpoint.save(step)
    judge.cpu().eval().requires_grad_(False)
    save_judge(judge, out, {"seed": str(recipe.seed)})
    return report(judge, seen.pictures[:, : recipe.held_out], seen.traits[: recipe.held_out])


def report(judge: Judge, pictures: torch.Tensor, traits: torch.Tensor) -> dict[str, object]:
    """Accuracy on held-out renders (domains, P, 3, R, R) of sitters with known traits (P, T).

    Gives domain accuracy overall and per domain, per trait on photos and on all domains, and the share of
    sitters who are recognised among P when their photo is compared with their pictures in the other domains.
    """
    verdicts = [judge.read(to_float(rows)) for rows in pictures]
    subject = judge.subject
    per_domain = {
        d.name: float((v.domain.argmax(1) == i).float().mean())
        for i, (d, v) in enumerate(zip(subject.domains, verdicts))
    }
    right = torch.stack(
        [torch.stack([(t.argmax(1) == traits[:, i]).float().mean() for i, t in enumerate(v.traits)]) for v in verdicts]
    )
    photo = verdicts[0].identity
    found = [float(((v.identity @ photo.T).argmax(1) == torch.arange(len(photo))).float().mean()) for v in verdicts[1:]]
    return {
        "domain accuracy": sum(per_domain.values()) / len(per_domain),
        "domain accuracy by domain": per_domain,
        "trait accuracy on photos": {t.attribute: float(right[0, i]) for i, t in enumerate(subject.traits)},
        "trait accuracy in all domains": {t.attribute: float(right[:, i].mean()) for i, t in enumerate(subject.traits)},
        "sitters recognised from their photo": sum(found) / len(found),
    }
