"""Trains the studio's readers of attributes, one a subject: from renders under photographic change to who sits there.

It begins with the layers of the subject's encoder that see pictures, which know the studio's portraits, and learns
under the changes of photographs.py. What a change has made unknowable, such as the wall behind a sitter who now stands
elsewhere, isn't asked for.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...storage.digests import file_digest
from ...storage.tensors import load_tensors
from ..data import layered
from ..reading import BINS, NEAR, AttributeReader, Reading, save_reader
from ..world.attributes import Categorical, Continuous
from ..world.domains import Domain
from ..world.subject import Subject
from .loop import Checkpoint, FigureLog, half_precision
from .muon import MuonAdam
from .photographs import DRAWN, HELD_OUT, HELD_OUT_DRAWN, Changed, photographed

log = logging.getLogger(__name__)

#: What can't be known once another place, other clothes, or no colours are in the picture.
_OF_BACKGROUND = ("background", "background_hue", "background_light")
_OF_CLOTHES = ("clothes", "clothes_hue", "clothes_light", "collar_hue")
_OF_COLOURS = ("background_hue", "clothes_hue", "collar_hue", "light_warmth", "skin_warmth", "lip_redness", "blush")


@dataclass(frozen=True)
class AttributeReaderRecipe:
    """Steps, sizes and rates; the defaults made the committed weights."""

    sitters: int = 16_000  # to learn from
    held_out: int = 600  # others, to measure by
    steps: int = 1_600
    falls_from: int = 500  # the step from which the rates fall
    batch: int = 96
    muon_rate: float = 0.02  # relative to the weights
    adam_rate: float = 2e-3
    spoken: float = 8.0  # weight of numbers that traits speak of, such as a smile, beside that of the others
    numbers: float = 2.0  # weight of numbers' cross-entropy beside that of labels
    bfloat16: bool = True
    seed: int = 21
    save_every: int = 250


SMOKE = AttributeReaderRecipe(sitters=5, held_out=2, steps=2, batch=4, save_every=2)


def train_attribute_reader(
    subject: Subject, recipe: AttributeReaderRecipe, work: Path, encoder_file: Path, out: Path, device: str = "cpu"
) -> dict[str, object]:
    """Run the recipe, resuming from `work`; writes `out` (safetensors) and gives the held-out report."""
    drawn = [domain for domain in subject.domains if domain.name in DRAWN]
    data = layered(subject, drawn, recipe.sitters, recipe.seed, work)
    goal = targets(subject, data["u"])
    place = torch.device(device)
    random = torch.Generator().manual_seed(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # torch.nn draws its first weights from the global seed
        reader = AttributeReader(subject)
    begin_at(reader, encoder_file)
    reader.to(place, memory_format=torch.channels_last)
    # Muon would move the heads by a share of weights that say nothing yet.
    optimiser = MuonAdam(reader, recipe.muon_rate, recipe.adam_rate, [reader.heads.weight], decay=0.02)
    checkpoint = Checkpoint(
        work / f"attribute-reader-{subject.name}.pt", {"reader": reader, "optimiser": optimiser, "random": random}
    )
    figures = FigureLog(work / f"attribute-reader-{subject.name}.csv")
    begun, done, mean = time.monotonic(), checkpoint.resume(), {}
    reader.train()
    for step in range(done + 1, recipe.steps + 1):
        left = (recipe.steps - step) / max(recipe.steps - recipe.falls_from, 1)
        optimiser.set_rate(min(1.0, step / 100, left + 0.01))
        index = torch.randint(recipe.sitters, (recipe.batch,), generator=random)
        changed = photographed(data["pictures"][index] / 255, data["masks"][index] / 255, random)
        unknown = _unknown(subject, changed, data["place"][index], drawn)
        with half_precision(place, recipe.bfloat16):
            logits = reader((changed.pictures * 2 - 1).to(place, memory_format=torch.channels_last))
        losses = _losses(subject, logits, [part[index] for part in goal], unknown, recipe.spoken)
        optimiser.zero_grad()
        (losses["labels"] + recipe.numbers * losses["numbers"]).backward()
        optimiser.step()
        for name, loss in losses.items():
            mean[name] = 0.98 * mean.get(name, loss.item()) + 0.02 * loss.item()
        if step % 50 == 0:
            figures.write(step=step, **mean)
            words = ", ".join(f"{name} {value:.3f}" for name, value in mean.items())
            log.info(
                "attribute reader of %s %d of %d: %s, %.0f s",
                *(subject.name, step, recipe.steps, words, time.monotonic() - begun),
            )
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(step)
    reader.cpu().eval().requires_grad_(False)
    save_reader(reader, out, {"seed": str(recipe.seed), "begun_at_sha256": file_digest(encoder_file)})
    return report(reader, recipe.held_out, recipe.seed + 1, work)


def begin_at(reader: AttributeReader, encoder_file: Path) -> None:
    """Give a reader the layers of an encoder that see pictures, where they have its shape; the others stay."""
    theirs, _ = load_tensors(encoder_file)
    own = reader.state_dict()
    alike = {
        name: tensor.float()
        for name, tensor in theirs.items()
        if name.split(".")[0] in ("stem", "norm", "blocks") and name in own and own[name].shape == tensor.shape
    }
    reader.load_state_dict(alike, strict=False)


def targets(subject: Subject, u: Tensor) -> list[Tensor]:
    """The probabilities that a reader should give of points of the unit cube: (B, labels or BINS) for each attribute.

    A number's lie on the two parts of its range whose middles are next to it.
    """
    sitters, found = subject.sitters_from_unit(u), []
    for column, attribute in enumerate(subject.attributes):
        if isinstance(attribute, Categorical):
            found.append(F.one_hot(sitters[attribute.name], len(attribute.labels)).float())
            continue
        place = u[:, column] * BINS - 0.5
        place = place if attribute.circular else place.clamp(0, BINS - 1)
        low = place.floor()
        share = (place - low)[:, None]
        ends = (F.one_hot(end.long().remainder(BINS), BINS) for end in (low, low + 1))
        below, above = ends
        found.append(below * (1 - share) + above * share)
    return found


def _unknown(subject: Subject, changed: Changed, place: Tensor, drawn: list[Domain]) -> dict[str, Tensor]:
    """For attributes that can't be known of some pictures, of which: name → (B,) bool."""
    colourless = torch.tensor([not domain.colours for domain in drawn] + [False])  # −1, a photo, is the last
    without = colourless[place]
    unknown: dict[str, Tensor] = {}
    groups = [(_OF_BACKGROUND, changed.background | (place >= 0)), (_OF_CLOTHES, changed.clothes)]
    groups += [(_OF_COLOURS, changed.colours | without)]
    groups += [(tuple(trait.attribute for trait in subject.traits if trait.colour), without)]
    for names, which in groups:
        for name in names:
            unknown[name] = unknown.get(name, torch.zeros_like(which)) | which
    return unknown


def _losses(
    subject: Subject, logits: tuple[Tensor, ...], goal: list[Tensor], unknown: dict[str, Tensor], spoken: float
) -> dict[str, Tensor]:
    """Mean cross-entropy of labels and of numbers, over what can be known; spoken: weight of traits' numbers."""
    terms: dict[type, list[Tensor]] = {Categorical: [], Continuous: []}
    traits = {trait.attribute for trait in subject.traits if trait.edges}
    weights = torch.tensor(
        [spoken if a.name in traits else 1.0 for a in subject.attributes if isinstance(a, Continuous)]
    )
    for attribute, read, true in zip(subject.attributes, logits, goal):
        loss = -(F.log_softmax(read.float(), 1) * true.to(read.device)).sum(1)
        if attribute.name in unknown:
            kept = (~unknown[attribute.name]).float().to(read.device)
            loss = loss * kept * len(kept) / kept.sum().clamp_min(1)
        terms[type(attribute)].append(loss.mean())
    return {
        "labels": torch.stack(terms[Categorical]).mean(),
        "numbers": (torch.stack(terms[Continuous]) * weights).sum() / weights.sum(),
    }


# ----------------------------------------------------------------------------------------------------------------------
# Report


@torch.no_grad()
def report(reader: AttributeReader, count: int, seed: int, work: Path) -> dict[str, object]:
    """Share of readings that are right, of sitters that no training saw: as they are, under the changes of training,
    under each kind that is held out, and in the domains that are.

    A label is right where it is the truth, a number within a sixth of its range.
    """
    subject = reader.subject
    data = layered(subject, [], count, seed, work)
    renders, masks = data["pictures"] / 255, data["masks"] / 255
    random = torch.Generator().manual_seed(seed)
    seen = {"as they are": renders, "changes of training": photographed(renders, masks, random).pictures}
    seen.update({kind: change(renders, masks[:, :1], random) for kind, change in HELD_OUT.items()})
    sitters = subject.sitters_from_unit(data["u"])
    for domain in subject.domains:
        if domain.name in HELD_OUT_DRAWN:
            parts = torch.arange(count).split(32)
            drawn = [subject.render(domain, sitters.select(part), random, 128) for part in parts]
            seen[domain.name] = (F.avg_pool2d(torch.cat(drawn), 2) + 1) / 2
    rows = {kind: right(reader.read(pictures * 2 - 1), data["u"]) for kind, pictures in seen.items()}
    held_out = [row for kind, row in rows.items() if kind in HELD_OUT]
    names = [attribute.name for attribute in subject.attributes]
    return {
        "labels and numbers right, by kind": {
            kind: {"labels": _mean(row, subject, Categorical), "numbers": _mean(row, subject, Continuous)}
            for kind, row in rows.items()
        },
        "held-out kinds, by attribute": {name: sum(row[name] for row in held_out) / len(held_out) for name in names},
    }


def right(reading: Reading, u: Tensor) -> dict[str, float]:
    """The share of right readings of each attribute; u: the truth, points of the unit cube."""
    read, sitters, true = reading.unit(), reading.sitters(), reading.subject.sitters_from_unit(u)
    shares = {}
    for column, attribute in enumerate(reading.subject.attributes):
        if isinstance(attribute, Categorical):
            hits = sitters[attribute.name] == true[attribute.name]
        else:
            far = (read[:, column] - u[:, column]).abs()
            hits = (torch.minimum(far, 1 - far) if attribute.circular else far) <= NEAR
        shares[attribute.name] = float(hits.float().mean())
    return shares


def _mean(row: dict[str, float], subject: Subject, kind: type) -> float:
    chosen = [row[attribute.name] for attribute in subject.attributes if isinstance(attribute, kind)]
    return sum(chosen) / len(chosen)
