"""Trains the text tower of a CLIP model on how people change in each domain, with the image tower frozen.

A text direction follows a person only if the words for that person were taught in the domain, too: a sketch takes the
pink from somebody with pink hair. Each step takes sitters, a domain each, and words that are true of them, colours
also in domains that lose them. The losses ask that
1. the text direction of the described sitter is the sitter's own image direction;
2. descriptions tell photos and pictures in the domain apart (the truth is known), and the words for each label of a
   trait tell photos apart;
3. the plain wordings of domains and subjects keep their embeddings, and with them NADA's direction.
The image tower doesn't change, so the CLIP model stays as hard to fool as it was, and its embeddings of the sitters are
computed once. The sitters and words of a step follow from the seed and the step's number alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ...clip.model import WEIGHTS_FILE
from ...errors import InputError
from ...methods.directions import image_direction, text_direction
from ...storage.digests import file_digest
from ...storage.tensors import load_tensors
from ..data import at_half, kept
from ..world.captions import BROKEN, PLAIN, Description, claims, describe, facts, labels_in_words, truth
from ..world.domains import DOMAINS, PHOTO
from ..world.subject import SUBJECTS, Subject
from .contrast import contrast, label_losses
from .loop import Checkpoint, FigureLog, figure_words
from .towers import MODEL, Towers, build_model, take_weights, write_clip

log = logging.getLogger(__name__)

#: Sitters that are rendered and embedded together, and kept in one file.
GROUP = 50
_IMAGE_TOWER = "visual."


@dataclass(frozen=True)
class TextRecipe:
    """Sitters, steps and weights."""

    taught: tuple[int, ...] = (800, 400)  # sitters of each subject, in every domain
    tested: int = 50  # further ones of each, for the log
    steps: int = 1_200
    sitters_a_step: tuple[int, ...] = (32, 16)  # of each subject
    traits: tuple[int, int] = (2, 8)  # the fewest and the most that are said
    all_traits: float = 0.1  # share of descriptions that say all of them
    in_front: float = 0.5  # share of descriptions whose words all stand in front of the noun
    pair_weight: float = 2.0
    photo_weight: float = 0.3
    domain_weight: float = 0.15
    traits_a_step: int = 4  # of each subject
    traits_weight: float = 0.3
    plain_weight: float = 3.0
    plain_a_step: int = 64  # of the wordings whose embedding is to stay
    learning_rate: float = 1e-3
    seed: int = 5
    data_seed: int = 12
    save_every: int = 100


#: The smallest recipe that runs every line: it shows that the script works and teaches nothing.
SMOKE = TextRecipe(
    taught=(4, 4), tested=2, steps=2, sitters_a_step=(2, 2), save_every=2,
)  # fmt: skip


@dataclass(frozen=True)
class Embedded:
    """Sitters of one subject as the frozen image tower sees them.

    images: unit embeddings (domains, S, D) in the order of `subject.numbers`. traits: labels (S, T).
    """

    subject: Subject
    images: torch.Tensor
    traits: torch.Tensor


def embedded(towers: Towers, subject: Subject, count: int, seed: int, work: Path) -> Embedded:
    """`count` sitters in every domain of their subject, embedded.

    Embeddings are kept in `work`, GROUP sitters a file, under a name that changes with the image tower.
    """
    tower, groups = image_digest(towers.model)[:12], []
    for start in range(0, count, GROUP):
        size = min(GROUP, count - start)
        name = f"{subject.name}-views-{tower}-{seed}-{start}-{size}.safetensors"
        groups.append(kept(work / name, lambda start=start, size=size: _embed(towers, subject, size, seed + start)))
        log.info("embedded %d of %d %s", start + size, count, subject.name)
    images = torch.cat([group["images"] for group in groups], 1)
    return Embedded(subject, images, torch.cat([group["traits"] for group in groups]))


@torch.no_grad()
def _embed(towers: Towers, subject: Subject, count: int, seed: int) -> dict[str, torch.Tensor]:
    random_ = torch.Generator().manual_seed(seed)
    sitters, size = subject.random(count, random_), 2 * MODEL["vision_cfg"]["image_size"]
    device = towers.model.logit_scale.device
    portraits = {form: subject.portrait(sitters, form, size) for form in {d.form for d in subject.domains}}
    images = [
        towers.images(at_half(domain.stylise(portraits[domain.form], random_)).to(device)).cpu()
        for domain in subject.domains
    ]
    return {"images": torch.stack(images), "traits": subject.labels(sitters)}


def image_digest(model: nn.Module) -> str:
    """Sha256 of the image tower's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(_IMAGE_TOWER):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class TextTower(nn.Module):
    """The parameters of a CLIP that are no part of its image tower, as a module of their own for checkpoints.

    The logit scale is left as it is: it belongs to both towers.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        model.requires_grad_(False)
        for name, parameter in model.named_parameters():
            if not name.startswith(_IMAGE_TOWER) and name != "logit_scale":
                self.register_parameter(name.replace(".", "/"), parameter.requires_grad_(True))


@dataclass(frozen=True)
class Lesson:
    """What one step says of one subject's sitters: image embeddings (B, D) as photo and in a domain each, their facts
    (B, C), the sentences for both with their claims (B, C), and the labels of their traits (B, T)."""

    photos: torch.Tensor
    portraits: torch.Tensor
    photo_facts: torch.Tensor
    portrait_facts: torch.Tensor
    photo_claims: torch.Tensor
    portrait_claims: torch.Tensor
    photo_texts: list[str]
    portrait_texts: list[str]
    traits: torch.Tensor


def lesson(seen: Embedded, count: int, recipe: TextRecipe, rng: random.Random) -> Lesson:
    """Sitters by lot, each in a domain by lot and with a description of its own, in the same words for both."""
    subject = seen.subject
    who = rng.sample(range(len(seen.traits)), count)
    places = [rng.randrange(1, len(subject.numbers)) for _ in who]
    numbers = [subject.numbers[place] for place in places]
    photo_texts, portrait_texts, photo_claims, portrait_claims = [], [], [], []
    for sitter, number in zip(who, numbers):
        most = len(subject.traits) if rng.random() < recipe.all_traits else rng.randint(*recipe.traits)
        said = describe(subject, seen.traits[sitter], most, rng, in_front=rng.random() < recipe.in_front)
        frame = rng.choice(PLAIN)
        for texts, claimed, domain in ((photo_texts, photo_claims, 0), (portrait_texts, portrait_claims, number)):
            name = DOMAINS[domain].name if rng.random() < 0.4 else rng.choice(DOMAINS[domain].wordings)
            texts.append(frame.format(said.of(name)))
            claimed.append(claims(subject, domain, said.labels, names_subject=False))
    traits, domains = seen.traits[who], torch.tensor(numbers)
    return Lesson(
        photos=seen.images[0, who],
        portraits=seen.images[places, who],
        photo_facts=facts(subject, torch.zeros_like(domains), traits),
        portrait_facts=facts(subject, domains, traits),
        photo_claims=torch.stack(photo_claims),
        portrait_claims=torch.stack(portrait_claims),
        photo_texts=photo_texts,
        portrait_texts=portrait_texts,
        traits=traits,
    )


def plain_texts() -> list[str]:
    """What is said of domains and subjects without describing anybody, and of broken pictures."""
    nouns = [words for domain in DOMAINS for words in (*domain.wordings, *domain.of_people)]
    nouns += [noun for subject in SUBJECTS for noun in (subject.noun, *subject.nouns)]
    return [*(frame.format(noun) for noun in dict.fromkeys(nouns) for frame in PLAIN), *BROKEN]


class TextTrainer:
    """Everything a step needs, in one place. Each step's lot is drawn from the seed and the step's number."""

    def __init__(self, recipe: TextRecipe, start: Path, work: Path, device: str = "cpu") -> None:
        self.recipe = recipe
        self.towers = build_model(recipe.seed)
        self.towers.model.eval().to(device)
        take_weights(self.towers.model, load_tensors(start / WEIGHTS_FILE)[0])
        self.text = TextTower(self.towers.model)
        self.optimiser = torch.optim.Adam(self.text.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98))
        seeds = [recipe.data_seed * 1_000_003 + 500_000 * k for k in range(2)]
        self.taught = [embedded(self.towers, s, n, seeds[0], work) for s, n in zip(SUBJECTS, recipe.taught)]
        self.tested = [embedded(self.towers, s, recipe.tested, seeds[1], work) for s in SUBJECTS]
        self.plain = plain_texts()
        with torch.no_grad():
            self.meant = self.towers.texts(self.plain)

    def step(self, number: int) -> dict[str, float]:
        """One optimiser step; gives its losses."""
        r, rng, device = self.recipe, random.Random(f"{self.recipe.seed} {number}"), self.meant.device
        lessons = [lesson(seen, n, r, rng) for seen, n in zip(self.taught, r.sitters_a_step)]
        plain = rng.sample(range(len(self.plain)), r.plain_a_step)
        asked = [
            (k, i, labels_in_words(seen.subject, seen.subject.traits[i], rng))
            for k, seen in enumerate(self.taught)
            for i in rng.sample(range(len(seen.subject.traits)), r.traits_a_step)
        ]
        photo_texts = [text for part in lessons for text in part.photo_texts]
        portrait_texts = [text for part in lessons for text in part.portrait_texts]
        labels = [text for _, _, said in asked for text in said.values()]
        embedded = self.towers.texts([*photo_texts, *portrait_texts, *(self.plain[i] for i in plain), *labels])
        as_photo, as_portrait, anchored, named = embedded.split(
            [len(photo_texts), len(portrait_texts), len(plain), len(labels)]
        )

        def together(field: str) -> torch.Tensor:
            return torch.cat([getattr(part, field) for part in lessons]).to(device)

        photos, portraits, scale = together("photos"), together("portraits"), self.towers.scale().detach()
        right = truth(together("photo_facts"), together("photo_claims")).float()
        right_too = truth(together("portrait_facts"), together("portrait_claims")).float()
        moved = image_direction(photos, portraits)
        losses = {
            "pairs": (1 - (moved * text_direction(as_photo, as_portrait)).sum(-1)).mean(),
            "photos": contrast(photos, as_photo, right, scale),
            "portraits": contrast(portraits, as_portrait, right_too, scale),
            "traits": label_losses(
                [(lessons[k].photos.to(device), lessons[k].traits[:, i], said) for k, i, said in asked], named, scale
            ),
            "plain": (1 - (anchored * self.meant[plain]).sum(-1)).mean(),
        }
        weights = (r.pair_weight, r.photo_weight, r.domain_weight, r.traits_weight, r.plain_weight)
        self.optimiser.zero_grad(set_to_none=True)
        sum(weight * loss for weight, loss in zip(weights, losses.values())).backward()
        self.optimiser.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @torch.no_grad()
    def agreement(self) -> dict[str, float]:
        """Mean cosine of text with true image directions of the sitters that are tested, over all domains: with the
        plain words, and with each sitter described by eight traits."""
        plain, described = [], []
        for seen in self.tested:
            subject, rng = seen.subject, random.Random(0)
            said = [describe(subject, traits, 8, rng) for traits in seen.traits]

            def phrases(noun: str, said: list[Description] = said) -> list[str]:
                return [noun, *(description.of(noun) for description in said)]

            photo = self.towers.texts(["a photo of a " + words for words in phrases(PHOTO.name)])
            for place, domain in enumerate(subject.domains[1:], 1):
                moved = image_direction(seen.images[0], seen.images[place]).to(photo.device)
                named = self.towers.texts(["a photo of a " + words for words in phrases(domain.name)])
                towards = text_direction(photo, named)
                plain.append((moved @ towards[0]).mean())
                described.append((moved * towards[1:]).sum(-1).mean())
        return {"plain": float(torch.stack(plain).mean()), "described": float(torch.stack(described).mean())}


def train_text(recipe: TextRecipe, work: Path, start: Path, out: Path, device: str = "cpu") -> None:
    """Run the recipe on the CLIP model in the folder `start`, resuming from `work`, and write the model to `out`.

    `out` may be `start`, which is written only when training has ended.
    Writes work/text.pt (checkpoint), work/text.csv (figures) and work/text.json (the recipe, and what it began with).
    Raises InputError if the training in `work` began with another CLIP model.
    """
    note = work / "text.json"
    _check_start(note, start)  # before any sitter is rendered
    trainer = TextTrainer(recipe, start, work, device)
    _note_start(note, recipe, start, image_digest(trainer.towers.model))
    checkpoint = Checkpoint(work / "text.pt", {"text": trainer.text, "optimiser": trainer.optimiser})
    figures = FigureLog(work / "text.csv")
    begun, done = time.monotonic(), checkpoint.resume()
    for step in range(done + 1, recipe.steps + 1):
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in trainer.optimiser.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, step / 50) * falling
        with trainer.towers.attention():
            losses = trainer.step(step)
        if step % 10 == 0 or step == recipe.steps:
            figures.write(step=step, **losses)
            log.info("text %d of %d: %s, %.0f s", step, recipe.steps, figure_words(losses), time.monotonic() - begun)
        if step % recipe.save_every == 0 or step == recipe.steps:
            agreement = figure_words(trainer.agreement())
            log.info("cosine with the true directions of sitters that aren't taught: %s", agreement)
            checkpoint.save(step)
    write_clip(trainer.towers.model, out)  # only now: `out` may be `start`


def _check_start(note: Path, start: Path) -> None:
    """Raises InputError if the training in `note`'s folder began with another CLIP model."""
    if note.exists() and json.loads(note.read_text())["start"] != file_digest(start / WEIGHTS_FILE):
        raise InputError(
            f"The training in {note.parent} began with another CLIP model than {start}: give another --work."
        )


def _note_start(note: Path, recipe: TextRecipe, start: Path, image_tower: str) -> None:
    """Writes the recipe and the hash of the CLIP model that training began with."""
    begun_with = file_digest(start / WEIGHTS_FILE)
    record = {"recipe": dataclasses.asdict(recipe), "start": begun_with, "image tower": image_tower}
    note.write_text(json.dumps(record, indent=1) + "\n")
