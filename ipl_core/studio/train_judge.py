"""Trains the judge on renders of every domain, under augmentations of its own, and reports it on held-out people."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from ..checkpoints import load_generator
from .attributes import people_from_unit
from .augment import roughen
from .captions import TRAITS, labels
from .data import latents_of_people, people_in_domains, to_float
from .domains import DOMAINS
from .judge import Judge, save_judge
from .supervised import supervised_pictures
from .training import Checkpoint, FigureLog

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgeRecipe:
    """Steps, sizes and rates; the defaults made the committed weights."""

    people: int = 1_500
    held_out: int = 100
    steps: int = 3_000
    batch: int = 64
    drawn: int = 12
    supervised_people: int = 384
    supervised_steps: int = 70
    learning_rate: float = 2e-3
    seed: int = 7
    data_seed: int = 11
    save_every: int = 250


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
    recipe: JudgeRecipe, work: Path, generator_file: Path, out: Path, device: str = "cpu"
) -> dict[str, object]:
    """Run the recipe, resuming from `work`; writes `out` (safetensors) and gives the held-out report.

    Its photo examples contain the generator's own samples and every domain what the generator draws of it after
    supervised training, so that softness alone is no sign of a domain.
    """
    u, pictures = people_in_domains(recipe.people, Judge.resolution, recipe.data_seed, work)
    traits = labels(people_from_unit(u))
    source = load_generator(generator_file, device)
    z = latents_of_people(u, source.config.z_dim, recipe.data_seed).to(device)
    drawn = supervised_pictures(source, z, pictures, work, recipe.supervised_people, recipe.supervised_steps)
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(recipe.seed)  # torch.nn draws its first weights from the global seed
    judge = Judge().to(device)
    torch.random.set_rng_state(torch_state)
    random = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(judge.parameters(), lr=recipe.learning_rate, weight_decay=0.02)
    checkpoint = Checkpoint(work / "judge.pt", {"judge": judge, "optimiser": optimiser, "random": random})
    figures = FigureLog(work / "judge.csv")
    begun, done = time.monotonic(), checkpoint.resume()
    for step in range(done + 1, recipe.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, step / 100, 1.25 * (1 - step / recipe.steps) + 0.01)
        people = torch.randint(recipe.held_out, recipe.people, (recipe.batch // 2,), generator=random).repeat(2)
        domain = torch.randint(len(DOMAINS), (len(people),), generator=random)
        own = torch.randint(drawn.shape[1], (recipe.drawn,), generator=random)
        own_domain = torch.randint(len(DOMAINS), (recipe.drawn,), generator=random)
        stack = torch.cat([pictures[domain, people], drawn[own_domain, own]])
        domain, person = torch.cat([domain, own_domain]), torch.cat([people, recipe.people - drawn.shape[1] + own])
        domain_logits, trait_logits, identity, _ = judge(roughen(to_float(stack).to(device), random))
        truth, domain, person = traits[person].to(device), domain.to(device), person.to(device)
        loss_domain = F.cross_entropy(domain_logits, domain, label_smoothing=0.02)
        loss_traits = torch.stack([F.cross_entropy(t, truth[:, i]) for i, t in enumerate(trait_logits)]).mean()
        loss_identity = identity_loss(identity, person)
        loss = loss_domain + 2 * loss_traits + 0.3 * loss_identity
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            row = {
                "domain": float(loss_domain.detach()),
                "traits": float(loss_traits.detach()),
                "identity": float(loss_identity.detach()),
            }
            figures.write(step=step, **row)
            log.info(
                "judge %d of %d: %s, %.0f s",
                step,
                recipe.steps,
                ", ".join(f"{k} {v:.3f}" for k, v in row.items()),
                time.monotonic() - begun,
            )
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(step)
    judge.cpu().eval().requires_grad_(False)
    save_judge(judge, out, {"seed": str(recipe.seed)})
    return report(judge, pictures[:, : recipe.held_out], traits[: recipe.held_out])


def report(judge: Judge, pictures: torch.Tensor, traits: torch.Tensor) -> dict[str, object]:
    """Accuracy on held-out renders (domains, P, 3, R, R) of people with known traits (P, T).

    Gives domain accuracy overall and per domain, per trait on photos and on all domains, and the share of
    people who are recognised among P when their photo is compared with their pictures in the other domains.
    """
    verdicts = [judge.read(to_float(rows)) for rows in pictures]
    per_domain = {
        d.name: float((v.domain.argmax(1) == i).float().mean()) for i, (d, v) in enumerate(zip(DOMAINS, verdicts))
    }
    right = torch.stack(
        [torch.stack([(t.argmax(1) == traits[:, i]).float().mean() for i, t in enumerate(v.traits)]) for v in verdicts]
    )
    photo = verdicts[0].identity
    found = [float(((v.identity @ photo.T).argmax(1) == torch.arange(len(photo))).float().mean()) for v in verdicts[1:]]
    return {
        "domain accuracy": sum(per_domain.values()) / len(per_domain),
        "domain accuracy by domain": per_domain,
        "trait accuracy on photos": {t.attribute: float(right[0, i]) for i, t in enumerate(TRAITS)},
        "trait accuracy in all domains": {t.attribute: float(right[:, i].mean()) for i, t in enumerate(TRAITS)},
        "people recognised from their photo": sum(found) / len(found),
    }


def write_report(figures: dict[str, object], path: Path) -> None:
    """The report as JSON, rounded to four places."""
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 4))
    path.write_text(json.dumps(rounded, indent=1) + "\n")
