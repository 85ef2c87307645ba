"""Trains the studio's CLIP model, which has to follow words and to be hard to fool.

Every step after the warm-up has these parts:
1. Contrast: images against captions. The truth is known, so every fitting caption counts as right. The words for the
   labels of a trait are also compared with each other; else small things such as glasses would have no weight. Some
   sitters are seen in every domain and soon known by heart, so many more are seen as photo and in one domain.
2. Robustness: half of the images are first moved by one L2 gradient step that makes (1) worse (fast adversarial
   training, Wong et al. 2020), and all get nuisances that mean nothing (augment.py).
3. Pairs: for one person as photo and in a domain, the image direction must be the text direction between the two
   descriptions of that person, colours included, also where the domain loses them. The direction of the domain's plain
   words is asked of the mean over people only, and weighs less: asked of each, it would teach that everybody changes
   alike. Pictures by generators that were trained on the domain count, too; else softness alone would tell generated
   pictures from rendered ones.
4. Blends of a photo and its picture in a domain count as the domain by their share of it (mixup, Zhang et al. 2018).
   So the score rises steadily from one to the other, which gives adaptation a slope to follow.
5. Adversaries (adversaries.py): generators are adapted against the CLIP model as it trains. The distance of their
   pictures from the truth is known, so their directions must agree with the words as far as they have come, and no
   further; the part that is neither photo nor domain is called a broken picture. Domains that fool the CLIP model most
   are drawn most often.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ...clip.model import WEIGHTS_FILE
from ...generators.files import load_generator
from ...methods.directions import image_direction, normalise, text_direction
from ...storage.tensors import load_tensors
from ..data import to_float
from ..world.captions import BROKEN_INDEX, PLAINLY, caption, describe, facts, labels_in_words, truth
from ..world.domains import DOMAINS
from ..world.subject import SUBJECTS, Subject
from .adversaries import FRAMES, Adversaries, Cast, ReplayBuffer, wanted_agreement
from .augment import nuisance
from .contrast import contrast, label_losses
from .ends import Ends
from .loop import Checkpoint, FigureLog, figure_words
from .muon import MuonAdam
from .towers import MODEL, Towers, build_model, take_weights, write_clip

log = logging.getLogger(__name__)

#: A picture that has changed this much, in units of the true change, is called broken where it isn't the domain.
BROKEN_FROM = 0.4
#: Weight of one pair in the running mean of its domain's directions.
_NEW_DIRECTION = 0.05


@dataclass(frozen=True)
class ClipRecipe:
    """Steps, sizes and weights; the card of the committed weights says by which steps they came about."""

    sitters: int = 1_000  # of each subject, in every domain
    held_out: int = 100
    photos: int = 12_000  # of further sitters; the generators' own, where they are in the work folder
    further_a_step: tuple[int, ...] = (18, 9)  # of those, each as photo and in a domain
    warm_steps: int = 100
    robust_steps: int = 400
    fooling_steps: int = 1_600
    sitters_a_step: tuple[int, ...] = (4, 2)  # of each subject
    domains_a_sitter: int = 4
    learning_rate: float = 0.02  # of Muon, relative to the weights
    further_share: float = 0.5  # of the rate, where training goes on from a trained model
    further_steps: int = 600  # in that case, all with adversaries
    adam_rate: float = 1e-3
    weight_decay: float = 0.05
    radius: float = 3.0
    pair_weight: float = 0.7  # of pairs in which the sitter is described
    plain_weight: float = 0.3  # of the mean direction of a domain against its plain words
    own_words: float = 0.7  # share of text directions in which the sitter is described, too
    own_traits: tuple[int, int] = (2, 8)  # the fewest and the most that are said there
    several: float = 0.5  # share of adversaries' descriptions that are several sentences, as in described prompts
    sentences: int = 4
    said_at_once: int = 4  # traits in each of those
    traits_a_step: int = 8  # of each subject
    traits_weight: float = 1.5
    fooled_weight: float = 1.0  # of pairs with an adversary's picture
    blended: float = 0.35  # share of the pictures in a domain that are blends with their photo
    fooled: int = 32
    drawn: int = 12  # pictures of generators that were trained on a domain, and their photos
    supervised_sitters: int = 256
    supervised_steps: int = 160  # fewer leave out the lattices: tiles, seams, stitches
    keep_after: int = 12
    remembered: int = 6_144  # pictures in the replay buffer
    adaptations_a_step: int = 8
    runs_a_step: int = 4  # of the library that are looked at
    adaptation_batch: int = 4
    adaptation_steps: int = 120
    on_the_way: float = 0.3  # share of adversaries that begin on the way to the weights of supervised training
    gone_on_with: float = 0.4  # share of the others that begin on the way to where an earlier adaptation ended
    ends_kept: int = 3  # of each domain
    bfloat16: bool = True  # saves a third of the time
    seed: int = 1
    data_seed: int = 11
    save_every: int = 50


#: The smallest recipe that runs every line: it shows that the script works and teaches nothing.
SMOKE = ClipRecipe(
    sitters=5, held_out=2, photos=4, further_a_step=(2, 2), warm_steps=1, robust_steps=1, fooling_steps=2,
    sitters_a_step=(2, 2), further_steps=2, fooled=2, drawn=4, supervised_sitters=2, supervised_steps=1,
    keep_after=0, adaptation_batch=2, adaptation_steps=6, save_every=2,
)  # fmt: skip


class Rows:
    """The pictures of a batch while it is gathered, each with its facts and the domain that it is blended with."""

    def __init__(self) -> None:
        self.pictures: list[torch.Tensor] = []
        self.subjects: list[Subject] = []
        self.domains: list[int] = []
        self.traits: list[torch.Tensor] = []
        self.share: list[float] = []  # how much of the domain is in it
        self.rest: list[int] = []  # the domain of the remainder
        self.pairs: list[tuple[int, int, float]] = []
        self.true_pairs = 0  # how many of the first pairs are right; the others are of adversaries

    def add(
        self,
        picture: torch.Tensor,
        subject: Subject,
        domain: int,
        traits: torch.Tensor,
        share: float = 1.0,
        rest: int = 0,
    ) -> int:
        """Append one picture (3, R, R); gives its row."""
        self.pictures.append(picture)
        self.subjects.append(subject)
        self.domains.append(domain)
        self.traits.append(traits)
        self.share.append(share)
        self.rest.append(rest)
        return len(self.pictures) - 1

    def pair(self, photo: int, other: int, progress: float) -> None:
        """Rows of one sitter as photo and on the way to a domain, `progress` of the way done."""
        self.pairs.append((photo, other, progress))

    def facts(self, domains: list[int]) -> torch.Tensor:
        """What would be true of each picture if it were in these domains."""
        return torch.cat([facts(s, torch.tensor([d]), t[None]) for s, d, t in zip(self.subjects, domains, self.traits)])


class Batch:
    """Pictures with how far each caption is true of them, 0–1, and a caption each.

    pairs (P, 2): rows of one sitter as photo and on the way to a domain. wanted (P,): the cosine that the image
    direction of each pair should have with the text direction. true_pairs: how many of the first pairs are right.
    subjects, traits: who sits in each picture, and the labels of their traits.
    """

    def __init__(self, rows: Rows, pictures: torch.Tensor, rng: random.Random) -> None:
        captions = [
            caption(subject, d if rng.random() < share else rest, traits, rng)
            for subject, d, rest, share, traits in zip(rows.subjects, rows.domains, rows.rest, rows.share, rows.traits)
        ]
        self.texts = [c.text for c in captions]
        self.pictures, self.domains = pictures, torch.tensor(rows.domains)
        self.subjects, self.traits = rows.subjects, rows.traits
        self.pairs, self.true_pairs = torch.tensor([pair[:2] for pair in rows.pairs]), rows.true_pairs
        self.wanted = wanted_agreement(torch.tensor([pair[2] for pair in rows.pairs])).to(pictures.device)
        claims, share = torch.stack([c.claims for c in captions]), torch.tensor(rows.share)[:, None]
        whole, rest = truth(rows.facts(rows.domains), claims), truth(rows.facts(rows.rest), claims)
        self.truth = (share * whole + (1 - share) * rest).to(pictures.device)


def attack(towers: Towers, batch: Batch, text: torch.Tensor, radius: float, random_: torch.Generator) -> torch.Tensor:
    """The pictures, a random half of them after one L2 gradient step that worsens the contrast.

    The step's length is drawn from 0 to `radius`: a model that only ever saw full attacks reads clean pictures badly.
    """
    chosen = torch.randperm(len(batch.pictures), generator=random_)[: len(batch.pictures) // 2].to(text.device)
    pictures = batch.pictures[chosen].requires_grad_(True)
    loss = contrast(towers.images(pictures), text.detach(), batch.truth[chosen], towers.scale().detach())
    (slope,) = torch.autograd.grad(loss, pictures)
    step = slope / slope.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
    length = radius * torch.rand(len(step), 1, 1, 1, generator=random_).to(step.device)
    return batch.pictures.index_copy(0, chosen, (pictures + length * step).detach().clamp(-1, 1))


class MeanDirections(nn.Module):
    """Running mean of the true image directions of each subject in each domain, (subjects, domains, D).

    Part of the checkpoint. Nothing that is learnt from it reaches the image tower.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(len(SUBJECTS), len(DOMAINS), width))

    @torch.no_grad()
    def update(self, subjects: list[int], domains: list[int], moved: torch.Tensor) -> None:
        """Take in unit image directions (P, D) of pairs of these subjects and domains."""
        for subject, domain, direction in zip(subjects, domains, moved):
            self.means[subject, domain].lerp_(direction, _NEW_DIRECTION if self.means[subject, domain].any() else 1.0)

    def loss(self, said: torch.Tensor) -> torch.Tensor:
        """1 − cos with the plain words' directions (domains, D), mean over what has been seen; 0 before anything is."""
        seen = self.means.any(-1)
        cosines = (normalise(self.means) * said).sum(-1)
        return (1 - cosines)[seen].sum() / seen.sum().clamp_min(1)


class Trainer:
    """Everything a step needs, in one place."""

    def __init__(
        self, recipe: ClipRecipe, work: Path, generators: dict[str, Path], device: str, ends: Mapping[str, Ends]
    ) -> None:
        self.recipe, self.work, self.generators, self.device, self.ends = recipe, work, generators, device, ends
        self.random, self.rng = torch.Generator().manual_seed(recipe.seed), random.Random(recipe.seed)
        self.casts = [Cast(subject, recipe, work) for subject in SUBJECTS]
        self.towers = build_model(recipe.seed)
        self.towers.bfloat16 = recipe.bfloat16
        model = self.towers.model.to(device)
        tables = [p for name, p in model.named_parameters() if name.endswith("embedding") or "token_embedding" in name]
        self.optimiser = MuonAdam(model, recipe.learning_rate, recipe.adam_rate, tables, recipe.weight_decay)
        self.means = MeanDirections(MODEL["embed_dim"]).to(device)
        self.memory = ReplayBuffer(recipe.remembered)
        self.adversaries: Adversaries | None = None

    def meet_generators(self) -> None:
        """Loads the generators: from now on their pictures are part of every batch."""
        for cast in self.casts:
            source = load_generator(self.generators[cast.subject.name], self.device).requires_grad_(False)
            cast.meet(source, self.recipe, self.work)
        self.adversaries = Adversaries(self.casts, self.recipe, self.memory, self.ends)

    def checkpoint(self) -> Checkpoint:
        """Everything that an interrupted training goes on from."""
        return Checkpoint(
            self.work / "clip.pt",
            {
                "model": self.towers.model,
                "optimiser": self.optimiser,
                "random": self.random,
                "means": self.means,
                "memory": self.memory,
            },
        )

    def adapt_generators(self) -> float:
        """Adapts generators before a step of CLIP; gives their mean directional loss."""
        if self.adversaries is None:
            self.meet_generators()
        steps, runs = self.recipe.adaptations_a_step, self.recipe.runs_a_step
        with self.towers.attention():
            losses = [self.adversaries.adapt_one(self.towers, self.random, self.rng) for _ in range(steps)]
            for _ in range(runs):
                self.adversaries.look_at_run(self.towers, self.random, self.rng)
        return sum(losses) / max(1, len(losses))

    def batch(self) -> Batch:
        """The pictures of one step, nuisances included."""
        r, rows = self.recipe, Rows()
        for cast, count, further in zip(self.casts, r.sitters_a_step, r.further_a_step):
            for sitter in torch.randint(r.held_out, r.sitters, (count,), generator=self.random).tolist():
                domains = self.rng.sample(cast.subject.numbers[1:], r.domains_a_sitter - 1)
                pictures = [(d, cast.pictures[cast.places[d], sitter]) for d in domains]
                self._add_sitter(rows, cast, cast.traits[sitter], cast.pictures[0, sitter], pictures)
            for sitter in torch.randint(len(cast.photos), (further,), generator=self.random).tolist():
                pictures = [(int(cast.domains[sitter]), cast.scattered[sitter])]
                self._add_sitter(rows, cast, cast.further_traits[sitter], cast.photos[sitter], pictures)
        rendered, rows.true_pairs = len(rows.pictures), len(rows.pairs)
        if self.adversaries is not None:
            # Right examples of a domain stand beside the adversaries' pictures of it.
            self._add_drawn(rows)
            rows.true_pairs = len(rows.pairs)
            self._add_adversarial(rows)
        stack = torch.stack(rows.pictures)
        parts = [nuisance(stack[:rendered], self.random)]
        if len(stack) > rendered:
            parts.append(nuisance(stack[rendered:], self.random, 0.6))
        return Batch(rows, torch.cat(parts).to(self.device), self.rng)

    def _add_sitter(
        self, rows: Rows, cast: Cast, traits: torch.Tensor, photo: torch.Tensor, others: list[tuple[int, torch.Tensor]]
    ) -> None:
        """A photo and the same sitter in domains, all uint8; some of those are blended with the photo."""
        photo = to_float(photo)
        first = rows.add(photo, cast.subject, 0, traits)
        for d, other in others:
            share = self.rng.uniform(0.1, 1) if self.rng.random() < self.recipe.blended else 1.0
            blend = share * to_float(other) + (1 - share) * photo
            rows.pair(first, rows.add(blend, cast.subject, d, traits, share), share)

    def _add_drawn(self, rows: Rows) -> None:
        """Pictures by generators that were trained on a domain, beside their photos."""
        for number in self.rng.choices(range(len(self.casts)), self.recipe.sitters_a_step, k=self.recipe.drawn // 2):
            cast, d = self.casts[number], self.adversaries.weak_domain(number, self.rng)
            owner = self.rng.randrange(cast.drawn.shape[1])
            traits = cast.drawn_traits[owner]
            first = rows.add(to_float(cast.drawn[0, owner]), cast.subject, 0, traits)
            drawn = to_float(cast.drawn[cast.places[d], owner])
            rows.pair(first, rows.add(drawn, cast.subject, d, traits), 1.0)

    def _add_adversarial(self, rows: Rows) -> None:
        """Pictures from the replay buffer beside the photos that they began as."""
        for picture, number, d, owner in self.rng.sample(
            self.memory.kept, min(self.recipe.fooled, len(self.memory.kept))
        ):
            cast, after = self.casts[number], to_float(picture)
            done, moved = (float(share) for share in cast.way_done(after[None], d, torch.tensor([owner])))
            traits = cast.drawn_traits[owner]
            first = rows.add(to_float(cast.drawn[0, owner]), cast.subject, 0, traits)
            rest = BROKEN_INDEX if moved > BROKEN_FROM else 0
            rows.pair(first, rows.add(after, cast.subject, d, traits, min(1.0, max(0.0, done)), rest), done)

    def step(self, robust: bool) -> dict[str, float]:
        """One optimiser step; gives its losses."""
        batch = self.batch()
        said, places = self._pair_words(batch)
        texts = self.towers.texts(batch.texts + said)
        own, words = texts[: len(batch.texts)], texts[len(batch.texts) :]
        pictures = attack(self.towers, batch, own, self.recipe.radius, self.random) if robust else batch.pictures
        image = self.towers.images(pictures)
        loss_contrast = contrast(image, own, batch.truth, self.towers.scale())
        moved = image_direction(image[batch.pairs[:, 0]], image[batch.pairs[:, 1]])
        agreed = (moved * text_direction(words[places[:, 0]], words[places[:, 1]])).sum(-1)
        off = (batch.wanted - agreed).abs()
        described = places[: batch.true_pairs, 0] >= len(DOMAINS)
        loss_pairs = off[: batch.true_pairs][described].sum() / max(1, int(described.sum()))
        self._take_note(batch, moved)
        loss_plain = self.means.loss(text_direction(words[:1], words[: len(DOMAINS)]))
        loss_traits = self._traits(image, batch)
        loss = (
            loss_contrast
            + self.recipe.pair_weight * loss_pairs
            + self.recipe.plain_weight * loss_plain
            + self.recipe.traits_weight * loss_traits
        )
        figures = {"contrast": loss_contrast, "pairs": loss_pairs, "plain": loss_plain, "traits": loss_traits}
        if len(off) > batch.true_pairs:
            fooled = slice(batch.true_pairs, None)
            loss = loss + self.recipe.fooled_weight * off[fooled].mean()
            figures |= {"fooled": off[fooled].mean(), "wanted": batch.wanted[fooled].mean()}
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {name: float(value.detach()) for name, value in figures.items()}

    def _pair_words(self, batch: Batch) -> tuple[list[str], torch.Tensor]:
        """Sentences, and the places (P, 2) of the two that name photo and domain of each pair.

        Both sentences of most pairs describe the sitter. With the domain's words alone, every person's image direction
        would be trained to be the same, and prompts of one's own would be of no use. The plain words of all domains
        come first.
        """
        frame = self.rng.choice((*FRAMES, "a portrait, {}"))
        names = [d.name if self.rng.random() < 0.4 else self.rng.choice(d.wordings) for d in DOMAINS]
        said, places = [frame.format(name) for name in names], []
        for row in batch.pairs[:, 1].tolist():
            d, own = int(batch.domains[row]), PLAINLY
            if self.rng.random() < self.recipe.own_words:
                count = self.rng.randint(*self.recipe.own_traits)
                own = describe(batch.subjects[row], batch.traits[row], count, self.rng)
            if own.labels:
                places.append((len(said), len(said) + 1))
                said += [frame.format(own.of(names[number])) for number in (0, d)]
            else:
                places.append((0, d))
        return said, torch.tensor(places)

    def _take_note(self, batch: Batch, moved: torch.Tensor) -> None:
        """Updates the mean directions by the pairs that are right and no blends."""
        whole = [k for k in range(batch.true_pairs) if batch.wanted[k] > 0.999]
        rows = batch.pairs[whole, 1].tolist()
        subjects = [SUBJECTS.index(batch.subjects[row]) for row in rows]
        self.means.update(subjects, batch.domains[rows].tolist(), moved.detach()[whole])

    def _traits(self, image: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the words for the labels of a few traits of each subject, over its pictures."""
        asked = [
            (subject, number, labels_in_words(subject, subject.traits[number], self.rng))
            for subject in (cast.subject for cast in self.casts)
            for number in self.rng.sample(range(len(subject.traits)), self.recipe.traits_a_step)
        ]
        texts = self.towers.texts([text for _, _, said in asked for text in said.values()])
        pictures = list(zip(batch.subjects, batch.domains.tolist()))
        told = []
        for subject, number, said in asked:
            rows = [
                row
                for row, (whose, d) in enumerate(pictures)
                if whose is subject and (DOMAINS[d].colours or not subject.traits[number].colour)
            ]
            told.append((image[rows], torch.tensor([int(batch.traits[row][number]) for row in rows]), said))
        return label_losses(told, texts, self.towers.scale())

    @torch.no_grad()
    def zero_shot(self) -> float:
        """Share of held-out renders whose domain is told right from "a photo of a {domain}"."""
        texts = self.towers.texts([f"a photo of a {d.name}" for d in DOMAINS])
        right = []
        for cast in self.casts:
            for number, place in cast.places.items():
                for part in cast.pictures[place, : self.recipe.held_out].split(50):
                    image = self.towers.images(to_float(part).to(self.device))
                    right.append((image @ texts.T).argmax(1) == number)
        return float(torch.cat(right).float().mean())


def train_clip(
    recipe: ClipRecipe,
    work: Path,
    generators: dict[str, Path],
    out: Path,
    device: str = "cpu",
    start: Path | None = None,
    ends: Mapping[str, Ends] | None = None,
) -> None:
    """Run the recipe, resuming from `work`, and write an open_clip model directory to `out`.

    generators: subject → its generator's file (safetensors), read when the adversaries begin. start: the folder of a
    trained CLIP model to go on from, with adversaries in every step. ends: subject → the weights where earlier runs
    ended (ends.py). Writes work/clip.pt (checkpoint) and work/clip.csv (figures).
    """
    highest = 1.0
    if start is not None:
        highest = recipe.further_share
        recipe = replace(recipe, warm_steps=0, robust_steps=0, fooling_steps=recipe.further_steps)
    trainer = Trainer(recipe, work, generators, device, ends or {})
    if start is not None:
        take_weights(trainer.towers.model, load_tensors(start / WEIGHTS_FILE)[0])
    checkpoint, figures = trainer.checkpoint(), FigureLog(work / "clip.csv")
    total = recipe.warm_steps + recipe.robust_steps + recipe.fooling_steps
    begun, done = time.monotonic(), checkpoint.resume()
    trainer.rng.seed(recipe.seed + done)
    for step in range(done + 1, total + 1):
        falling = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / total))
        trainer.optimiser.set_rate(highest * min(1.0, step / 50) * falling)
        fooled = trainer.adapt_generators() if step > recipe.warm_steps + recipe.robust_steps else 0.0
        with trainer.towers.attention():
            losses = trainer.step(robust=step > recipe.warm_steps)
        if step % 10 == 0:
            row = {"fooled": 0.0, "wanted": 0.0, **losses, "directional": fooled}
            figures.write(step=step, **row)
            log.info("clip %d of %d: %s, %.0f s", step, total, figure_words(row), time.monotonic() - begun)
        if step % recipe.save_every == 0 or step == total:
            log.info("zero-shot domain accuracy on held-out renders %.3f", trainer.zero_shot())
            if trainer.adversaries is not None:
                log.info("fooled most by: %s", trainer.adversaries.weakest())
            checkpoint.save(step)
            write_clip(trainer.towers.model, out)
