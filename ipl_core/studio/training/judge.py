"""Trains a subject's judge on renders under augmentations of its own, and reports it on held-out sitters.

It learns to read traits from photos, of which there are many, and then to read them, the domain and who it is in
every domain. Muon reads in minutes what AdamW doesn't in ten times as many steps.
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
from .loop import Checkpoint, FigureLog, half_precision
from .muon import Together
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


def train_judge(
    subject: Subject, recipe: JudgeRecipe, work: Path, generator_file: Path, out: Path, device: str = "cpu"
) -> dict[str, object]:
    """Run the recipe, resuming from `work`; writes `out` (safetensors) and gives the held-out report."""
    z, pictures = portrayed(subject, recipe.sitters, Judge.resolution, recipe.data_seed, work)
    traits = subject.labels(subject.sitters_from_latents(z))
    photo_z, photo_pictures = photos(subject, recipe.photos, Judge.resolution, 0, work)
    photo_traits = subject.labels(subject.sitters_from_latents(photo_z))
    source, kept = load_generator(generator_file, device), recipe.supervised_sitters
    # The critic's right examples, too: the generator's own photos, and every domain after it was shown it.
    last = z[-kept:].to(device)
    drawn = supervised(subject, source, last, pictures[:, -kept:], work, recipe.supervised_steps).drawn
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(recipe.seed)  # torch.nn draws its first weights from the global seed
    judge = Judge(subject).to(device)
    torch.random.set_rng_state(torch_state)
    random = torch.Generator().manual_seed(recipe.seed)
    optimiser = Together(judge, recipe.learning_rate, recipe.adam_rate, decay=0.02)
    checkpoint = Checkpoint(
        work / f"judge-{subject.name}.pt", {"judge": judge, "optimiser": optimiser, "random": random}
    )
    figures = FigureLog(work / f"judge-{subject.name}.csv")
    total = recipe.photo_steps + recipe.steps
    begun, done = time.monotonic(), checkpoint.resume()
    for step in range(done + 1, total + 1):
        optimiser.set_rate(min(1.0, step / 50, 1.25 * (1 - step / total) + 0.01))
        everything = step > recipe.photo_steps
        count = recipe.photos_kept if everything else recipe.batch
        extra = torch.randint(recipe.photos, (count,), generator=random)
        stack, truth = [photo_pictures[extra]], [photo_traits[extra]]
        if everything:
            sitter = torch.randint(recipe.held_out, recipe.sitters, (recipe.batch // 4,), generator=random).repeat(2)
            domain = torch.randint(len(subject.domains), (len(sitter),), generator=random)
            own = torch.randint(kept, (recipe.drawn,), generator=random)
            own_domain = torch.randint(len(subject.domains), (recipe.drawn,), generator=random)
            own_domain[: recipe.drawn // 4] = 0  # the source's own pictures, as they are
            stack += [pictures[domain, sitter], drawn[own_domain, own]]
            person = torch.cat([sitter, recipe.sitters - kept + own])
            truth.append(traits[person])
        rough = roughen(to_float(torch.cat(stack)).to(device), random)
        with half_precision(rough.device):
            domain_logits, trait_logits, identity, _ = judge(rough)
        labels = torch.cat(truth).to(device)
        loss_traits = torch.stack([F.cross_entropy(t.float(), labels[:, i]) for i, t in enumerate(trait_logits)]).mean()
        loss, row = 2 * loss_traits, {"domain": 0.0, "traits": float(loss_traits.detach()), "identity": 0.0}
        if everything:
            domain = torch.cat([torch.zeros(count, dtype=torch.int64), domain, own_domain]).to(device)
            loss_domain = F.cross_entropy(domain_logits.float(), domain, label_smoothing=0.02)
            loss_identity = identity_loss(identity[count:].float(), person.to(device))
            loss = loss + loss_domain + 0.3 * loss_identity
            row |= {"domain": float(loss_domain.detach()), "identity": float(loss_identity.detach())}
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            figures.write(step=step, **row)
            log.info(
                "judge of %s %d of %d: %s, %.0f s",
                *(subject.name, step, total, ", ".join(f"{k} {v:.3f}" for k, v in row.items())),
                time.monotonic() - begun,
            )
        if step % recipe.save_every == 0 or step == total:
            checkpoint.save(step)
    judge.cpu().eval().requires_grad_(False)
    save_judge(judge, out, {"seed": str(recipe.seed)})
    return report(judge, pictures[:, : recipe.held_out], traits[: recipe.held_out])


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
