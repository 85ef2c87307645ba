"""Trains the studio's CLIP: a critic that follows words and is hard to fool.

What every step holds once the warm-up is over:
1. contrast: images against captions, with the truth known, so that every fitting caption counts as right; and
   traits: the words for each label of a trait against each other, or small things such as glasses would drown.
   Besides the sitters that are seen in every domain, and are soon known by heart, there are many more that are seen
   as photo and in one domain: what can be told of a person must be told in any domain;
2. robustness: half of the images are first moved by one L2 gradient step that makes (1) worse (fast adversarial
   training, Wong et al. 2020), and all are changed by nuisances that mean nothing;
3. pairs: for one person as photo and in a domain, the image direction must be the text direction, that of the
   domain alone or that of the person described as photo and in the domain. What the generator draws when it is
   shown the domain (supervised, so surely right) counts too, or else softness alone would give its pictures away;
4. blends: some pictures are on their way from the photo to the domain, and are called the domain in the
   measure in which they are (mixup, Zhang et al. 2018). Between the two the critic then rises steadily, and its
   slope is what adaptation follows;
5. fooling pictures: generators are adapted against the critic as it trains. How near a picture on their way has
   come to the truth is known, so its direction must agree with the words as far as it has, and no further; the
   part that is neither photo nor domain is called a broken picture. Without this, adaptation finds tiny patterns
   that please the critic. Attempts turn up most where the critic is fooled most. Some begin on the way to where an
   earlier one, or a run of the library's, ended, and some on the way to the weights that were shown the domain: what
   the right way looks like in the generator's hand, and what lies beside it, no attempt from the photo tells.
   Where runs ended is also looked at as it is.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import random
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..checkpoints import load_generator, load_tensors
from ..clip import CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE
from ..directions import image_direction, text_direction
from ..errors import InputError
from ..stylegan2 import Generator
from .augment import nuisance
from .captions import BROKEN_INDEX, adjectives, caption, facts, known_words, labels_in_words, truth
from .data import at_half, halved, photos, portrayed, scattered, to_bytes, to_float
from .domains import DOMAINS, TARGETS
from .ends import Ends
from .muon import Together
from .subject import SUBJECTS, Subject
from .supervised import supervised
from .training import Checkpoint, FigureLog

log = logging.getLogger(__name__)

MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 6, "width": 192, "head_width": 48, "patch_size": 8},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4},
}
MEAN = STD = (0.5, 0.5, 0.5)
#: Around a domain's words where a direction is made of them.
_FRAMES = ("{}", "a {}", "a photo of a {}", "a picture of a {}")
_IMAGE_LAYERS = "visual.transformer.resblocks."
#: Longest logit scale: beyond it the contrast only sharpens what is already told apart.
MAX_SCALE = 50.0
#: Cosine with the text direction of a picture that has only just set out on the right way.
FIRST_AGREEMENT = 0.4
#: Change against the photo, in units of the true one, from which a picture is broken rather than still a photo.
BROKEN_FROM = 0.4


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
    further_share: float = 0.5  # of the rate, where a trained critic is gone on with
    further_steps: int = 600  # in that case, all with attempts
    adam_rate: float = 1e-3
    weight_decay: float = 0.05
    radius: float = 3.0
    pair_weight: float = 0.7
    own_words: float = 0.5  # share of text directions in which the sitter is described, too
    traits_a_step: int = 8  # of each subject
    traits_weight: float = 1.5
    fooled_weight: float = 1.0  # of pairs with an attempt
    blended: float = 0.35  # share of the pictures in a domain that are blends with their photo
    fooled: int = 32
    drawn: int = 12  # pictures of generators that were shown a domain, and their photos
    supervised_sitters: int = 256
    supervised_steps: int = 160  # fewer leave out the lattices: tiles, seams, stitches
    keep_after: int = 12
    remembered: int = 6_144  # pictures of attempts
    adaptations_a_step: int = 8
    runs_a_step: int = 4  # of the library that are looked at
    adaptation_batch: int = 4
    adaptation_steps: int = 120
    on_the_way: float = 0.3  # share of the attempts that begin on the way to the weights that were shown the domain
    gone_on_with: float = 0.4  # share of those that begin on the way to where an earlier one ended
    ends_kept: int = 3  # of each domain
    bfloat16: bool = True  # saves a third of the time
    seed: int = 1
    data_seed: int = 11
    save_every: int = 50


class Rows:
    """Pictures as they are gathered for a batch: each with what is true of it, and what it is blended with."""

    def __init__(self) -> None:
        self.pictures: list[torch.Tensor] = []
        self.subjects: list[Subject] = []
        self.domains: list[int] = []
        self.traits: list[torch.Tensor] = []
        self.share: list[float] = []  # how much of the domain is in it
        self.rest: list[int] = []  # the domain of the remainder
        self.pairs: list[tuple[int, int, float]] = []
        self.true_pairs = 0  # how many of the first pairs are right, the others being a generator's attempts

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


def contrast(image: torch.Tensor, text: torch.Tensor, true: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric cross-entropy with every true caption as a target, in the measure in which it is true.

    image (B, D), text (N, D) unit; true (B, N) in [0, 1]; rows and columns in which nothing is true don't count
    → scalar.
    """
    logits = scale * image @ text.T
    rows = -(true / true.sum(1, keepdim=True).clamp_min(1e-6) * logits.log_softmax(1)).sum(1).mean()
    columns = -(true / true.sum(0, keepdim=True).clamp_min(1e-6) * logits.log_softmax(0)).sum(0).mean()
    return (rows + columns) / 2


class Towers:
    """The open_clip model with short text batches: the tower is causal, so padding after the longest text is cut.

    bfloat16: whether it computes in that precision; embeddings are float32 in any case.
    """

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        self.model, self.tokenizer, self.bfloat16 = model, tokenizer, False

    def precision(self) -> torch.autocast:
        """The block in which the model, and a generator that is adapted against it, compute."""
        return torch.autocast(self.model.logit_scale.device.type, torch.bfloat16, enabled=self.bfloat16)

    def attention(self) -> AbstractContextManager:
        """The block in which training goes on: over so few places a CPU's fused attention is slower than products."""
        return sdpa_kernel(SDPBackend.MATH) if self.model.logit_scale.device.type == "cpu" else nullcontext()

    def images(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 3, R, R) in [−1, 1] → unit (B, D)."""
        with self.precision():
            embedded = self.model.encode_image(pictures)
        return F.normalize(embedded.float(), dim=-1)

    def texts(self, texts: list[str]) -> torch.Tensor:
        """Sentences → unit (N, D)."""
        tokens = self.tokenizer(texts).to(self.model.logit_scale.device)
        length = int(tokens.argmax(1).max()) + 1
        m = self.model
        with self.precision():
            x = m.token_embedding(tokens[:, :length]) + m.positional_embedding[:length]
            x = m.ln_final(m.transformer(x, attn_mask=m.attn_mask[:length, :length]))
            x = x[torch.arange(len(texts), device=x.device), tokens.argmax(1)] @ m.text_projection
        return F.normalize(x.float(), dim=-1)

    def scale(self) -> torch.Tensor:
        """The factor on cosines."""
        return self.model.logit_scale.exp().clamp(max=MAX_SCALE)


def build_model(seed: int, model: dict[str, Any] = MODEL) -> Towers:
    """An untrained model and its tokenizer; open_clip draws weights from the global seed, so it is set and restored."""
    from open_clip import CLIP, SimpleTokenizer

    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    network = CLIP(**model)
    torch.random.set_rng_state(state)
    with torch.no_grad():
        network.logit_scale.fill_(math.log(10.0))
    return Towers(network, SimpleTokenizer(context_length=model["text_cfg"]["context_length"]))


def take_weights(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give a model the weights of a trained one; image layers that that one lacks begin by changing next to nothing.

    Raises InputError for weights of a model that differs in anything else.
    """
    try:
        missing, strange = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # a shape that differs
        raise InputError(f"the critic to go on from is of another shape: {error}") from error
    if strange or any(not name.startswith(_IMAGE_LAYERS) for name in missing):
        names = ", ".join([*strange, *missing][:3])
        raise InputError(f"the critic to go on from differs in more than the number of its image layers: {names}, …")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in missing and name.rsplit(".", 2)[1] in ("out_proj", "c_proj"):
                parameter.mul_(0.1)  # not 0: Muon's steps are relative


def attack(towers: Towers, batch: Batch, text: torch.Tensor, radius: float, random_: torch.Generator) -> torch.Tensor:
    """The pictures, a random half of them after one L2 gradient step that worsens the contrast.

    The step's length is drawn from 0 to `radius`: a critic that only ever saw full attacks reads clean pictures
    badly.
    """
    chosen = torch.randperm(len(batch.pictures), generator=random_)[: len(batch.pictures) // 2].to(text.device)
    pictures = batch.pictures[chosen].requires_grad_(True)
    loss = contrast(towers.images(pictures), text.detach(), batch.truth[chosen], towers.scale().detach())
    (slope,) = torch.autograd.grad(loss, pictures)
    step = slope / slope.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
    length = radius * torch.rand(len(step), 1, 1, 1, generator=random_).to(step.device)
    return batch.pictures.index_copy(0, chosen, (pictures + length * step).detach().clamp(-1, 1))


def agreement(image: torch.Tensor, rows: torch.Tensor, texts: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """cos(E_I(domain) − E_I(photo), E_T(domain words) − E_T(photo words)) of pairs (P, 2) of rows → (P,)."""
    moved = image_direction(image[rows[:, 0]], image[rows[:, 1]])
    return (moved * text_direction(*texts)).sum(-1)


def way_done(before: torch.Tensor, after: torch.Tensor, true: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far pictures have come from photo to truth, all (B, 3, R, R).

    Gives 1 − |after − true| / |before − true|, (B,), 1 at the truth, 0 no nearer than the photo, negative for
    farther; and |after − before| / |before − true|, (B,). Distances are L1 over four scales, so that neither
    grain nor large areas alone decide.
    """

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        scales = [F.avg_pool2d(a - b, k).abs().mean((1, 2, 3)) for k in (1, 2, 4, 8)]
        return torch.stack(scales).mean(0)

    way = distance(before, true).clamp_min(1e-6)
    return 1 - distance(after, true) / way, distance(after, before) / way


def wanted_agreement(done: torch.Tensor) -> torch.Tensor:
    """Cosine that the image direction should have with the text direction after that share of the way, `done` (B,).

    It must keep rising up to the domain itself: a direction that half the way already satisfies would leave
    adaptation there. Pictures that moved away from the truth get less than those that have just set out.
    """
    return FIRST_AGREEMENT + torch.where(done > 0, (1 - FIRST_AGREEMENT) * done, done).clamp(min=-0.6)


class Cast:
    """One subject as the critic's training knows it: pictures in every domain at the critic's size, and their truth.

    pictures (domains, P, 3, R, R) uint8 in the order of `subject.numbers`; traits (P, T). Of further sitters photos
    and scattered, both (N, 3, R, R), the latter in the domains (N,), and further_traits (N, T). w, drawn and shown
    (the weights that drew) come with the generator, see `meet`.
    """

    def __init__(self, subject: Subject, recipe: ClipRecipe, work: Path) -> None:
        size = MODEL["vision_cfg"]["image_size"]
        z, large = portrayed(subject, recipe.sitters, 2 * size, recipe.data_seed, work)
        self.subject = subject
        self.pictures = torch.stack([halved(rows) for rows in large])
        self.traits = subject.labels(subject.sitters_from_latents(z))
        photo_z, large = photos(subject, recipe.photos, 2 * size, 0, work)
        places, larger = scattered(subject, recipe.photos, 2 * size, 0, work)
        self.photos, self.scattered = halved(large), halved(larger)
        self.domains = torch.tensor(subject.numbers)[places]
        self.further_traits = subject.labels(subject.sitters_from_latents(photo_z))
        self.places = {number: place for place, number in enumerate(subject.numbers)}
        self.source: Generator | None = None

    def meet(self, source: Generator, recipe: ClipRecipe, work: Path) -> None:
        """Let the subject's generator draw the last sitters in every domain, and be there to be adapted."""
        self.source, kept = source, recipe.supervised_sitters
        size = 2 * MODEL["vision_cfg"]["image_size"]
        z, large = portrayed(self.subject, recipe.sitters, size, recipe.data_seed, work)
        z = z[-kept:].to(source.synthesis.input.device)
        drawn, self.shown = supervised(self.subject, source, z, large[:, -kept:], work, recipe.supervised_steps)
        self.drawn = torch.stack([halved(rows) for rows in drawn])
        with torch.no_grad():
            self.w = source.mapping(z)
        self.drawn_traits = self.traits[-kept:]

    def way_done(self, after: torch.Tensor, domain: int, owners: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`way_done` of pictures (B, 3, R, R) of drawn sitters (B,) towards what is the domain in their case."""
        photo, true = (to_float(self.drawn[place, owners]) for place in (0, self.places[domain]))
        return way_done(photo, after.cpu(), true)

    def target(self, rng: random.Random) -> int:
        """A domain of the subject that is not the photo, as its number in domains.DOMAINS."""
        return rng.choice(self.subject.numbers[1:])


class Memory:
    """What generators drew on their way so far: pictures, subjects, domains and sitters.

    Bounded, and forgetting at random, so that old tricks are remembered. Part of the checkpoint.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[tuple[torch.Tensor, int, int, int]] = []

    def add(self, pictures: torch.Tensor, subject: int, domain: int, owners: torch.Tensor, rng: random.Random) -> None:
        """Keep pictures (B, 3, R, R) in [−1, 1] of sitters (B,), numbered among the drawn ones."""
        pictures = to_bytes(pictures.detach()).cpu()
        self.kept.extend((picture, subject, domain, int(owner)) for picture, owner in zip(pictures, owners))
        if len(self.kept) > self.size:
            rng.shuffle(self.kept)
            del self.kept[self.size :]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Tensors only; empty while nothing is kept."""
        if not self.kept:
            return {}
        pictures, *numbers = zip(*self.kept)
        return {"pictures": torch.stack(pictures), "numbers": torch.tensor(numbers)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what state_dict gave."""
        self.kept = list(zip(state["pictures"], *state["numbers"].tolist())) if state else []


class FoolingPictures:
    """Generators in the middle of being adapted against the critic that is being trained.

    One generator a subject and target domain takes turns; each begins anew, at the source, on the way to where one
    ended or on the way to where it should, after a number of steps drawn for it, so that early and late attempts are
    both in the memory. Generators draw at their full size, as in a run, or their last layers would find what deceives
    with nobody looking. An interrupted training forgets where its own attempts ended.

    ends: subject → where earlier runs ended.
    """

    def __init__(self, casts: list[Cast], recipe: ClipRecipe, memory: Memory, ends: Mapping[str, Ends]) -> None:
        self.casts, self.recipe, self.memory = casts, recipe, memory
        self.attempts: dict[tuple[int, int], tuple[Generator, torch.optim.Adam, int, int]] = {}
        self.runs = {
            (number, d): found
            for number, cast in enumerate(casts)
            for d, found in ends.get(cast.subject.name, {}).items()
        }
        self.ends = dict(self.runs)
        # By how much each domain's attempts agree with the words more than they should.
        self.excess = [{d: 0.2 for d in cast.subject.numbers[1:]} for cast in casts]

    def adapt_one(self, towers: Towers, random_: torch.Generator, rng: random.Random) -> float:
        """One adaptation step of one subject towards one domain; gives its directional loss."""
        number = rng.choices(range(len(self.casts)), self.recipe.sitters_a_step)[0]
        cast, excess = self.casts[number], self.excess[number]
        d = rng.choices(list(excess), [0.03 + max(0.0, value) for value in excess.values()])[0]
        generator, optimiser, done, life = self.attempts.get((number, d)) or self._fresh(number, d, rng)
        index = torch.randint(len(cast.w), (self.recipe.adaptation_batch,), generator=random_)
        after, agreed = self._drawn(generator, cast, d, index, towers, rng)
        loss = 1 - agreed
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        towers.model.zero_grad(set_to_none=True)
        if done > self.recipe.keep_after:
            self._remember(after, number, d, index, float(agreed.detach()), rng)
        self.attempts[number, d] = (generator, optimiser, done + 1, life)
        if done + 1 >= life:
            # The latest few: what the critic was fooled by long ago is in its memory.
            ends = [*self.ends.get((number, d), ()), self.attempts.pop((number, d))[0].synthesis.state_dict()]
            self.ends[number, d] = ends[-self.recipe.ends_kept :]
        return float(loss.detach())

    @torch.no_grad()
    def look_at_run(self, towers: Towers, random_: torch.Generator, rng: random.Random) -> None:
        """Remember pictures on the way to where a run of the library's ended, as they are: hardly any attempt gets as
        far in its time."""
        if not self.runs:
            return
        number, d = rng.choice(list(self.runs))
        cast, generator = self.casts[number], self._on_the_way(number, rng.choice(self.runs[number, d]), rng)
        index = torch.randint(len(cast.w), (self.recipe.adaptation_batch,), generator=random_)
        after, agreed = self._drawn(generator, cast, d, index, towers, rng)
        self._remember(after, number, d, index, float(agreed), rng)

    def _drawn(
        self, generator: Generator, cast: Cast, d: int, index: torch.Tensor, towers: Towers, rng: random.Random
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a generator draws of these sitters, at the critic's size, and its mean agreement with the words."""
        with torch.no_grad():
            anchor = towers.images(to_float(cast.drawn[0, index]).to(cast.w.device))
            said = self._directions(cast, d, index, towers, rng)
        with towers.precision():
            after = generator.synthesis(cast.w[index])
        after = at_half(after.float())
        return after, (image_direction(anchor, towers.images(after)) * said).sum(-1).mean()

    def _remember(
        self, after: torch.Tensor, number: int, d: int, owners: torch.Tensor, agreed: float, rng: random.Random
    ) -> None:
        """Keep pictures, and by how much more they agree with the words than they should."""
        self.memory.add(after, number, d, owners, rng)
        way, _ = self.casts[number].way_done(after.detach(), d, owners)
        excess = self.excess[number]
        excess[d] += 0.1 * (agreed - float(wanted_agreement(way).mean()) - excess[d])

    def weakest(self, count: int = 5) -> str:
        """Where attempts agree with the words more than they should, and by how much, the worst first."""
        found = [
            (value, f"{DOMAINS[d].name} of {cast.subject.name}")
            for cast, excess in zip(self.casts, self.excess)
            for d, value in excess.items()
        ]
        return ", ".join(f"{name} {value:.2f}" for value, name in sorted(found, reverse=True)[:count])

    def _directions(self, cast: Cast, d: int, index: torch.Tensor, towers: Towers, rng: random.Random) -> torch.Tensor:
        """Text directions as the methods make them, (1, D) for all or (B, D) with words of each image's own."""
        wording = rng.choice(DOMAINS[d].wordings)
        frame = rng.choice(_FRAMES)
        own = [""]
        if rng.random() < self.recipe.own_words:
            own = [adjectives(cast.subject, traits, DOMAINS[d], rng) for traits in cast.drawn_traits[index]]
        texts = [frame.format(f"{words} {noun}".strip()) for noun in ("photo", wording) for words in own]
        return text_direction(*towers.texts(texts).chunk(2))

    def _on_the_way(self, number: int, end: dict[str, torch.Tensor], rng: random.Random) -> Generator:
        """A generator somewhere between the source and these weights."""
        generator = copy.deepcopy(self.casts[number].source)
        share, own = rng.uniform(0.2, 1.0), generator.synthesis.state_dict()
        for name, tensor in end.items():
            own[name].lerp_(tensor.to(own[name]), share)
        return generator

    def _fresh(self, number: int, d: int, rng: random.Random) -> tuple[Generator, torch.optim.Adam, int, int]:
        ends = self.ends.get((number, d), ())
        if rng.random() < self.recipe.on_the_way:
            ends = self.casts[number].shown[d]
        elif rng.random() >= self.recipe.gone_on_with:
            ends = ()
        generator = (
            self._on_the_way(number, rng.choice(ends), rng) if ends else copy.deepcopy(self.casts[number].source)
        )
        generator.requires_grad_(False)
        generator.synthesis.requires_grad_(True)
        rate = rng.choice((1e-3, 2e-3, 4e-3))
        optimiser = torch.optim.Adam(generator.synthesis.parameters(), lr=rate, betas=(0.0, 0.99))
        return generator, optimiser, 0, rng.randrange(self.recipe.adaptation_steps // 3, self.recipe.adaptation_steps)


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
        self.optimiser = Together(model, recipe.learning_rate, recipe.adam_rate, tables, recipe.weight_decay)
        self.memory = Memory(recipe.remembered)
        self.fooling: FoolingPictures | None = None

    def start_fooling(self) -> None:
        """Bring in the generators: from now on their pictures are part of every batch."""
        for cast in self.casts:
            source = load_generator(self.generators[cast.subject.name], self.device).requires_grad_(False)
            cast.meet(source, self.recipe, self.work)
        self.fooling = FoolingPictures(self.casts, self.recipe, self.memory, self.ends)

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
        if self.fooling is not None:
            for cast in self.rng.choices(self.casts, r.sitters_a_step, k=r.drawn // 2):
                owner, d = self.rng.randrange(cast.drawn.shape[1]), cast.target(self.rng)
                traits = cast.drawn_traits[owner]
                first = rows.add(to_float(cast.drawn[0, owner]), cast.subject, 0, traits)
                drawn = to_float(cast.drawn[cast.places[d], owner])
                rows.pair(first, rows.add(drawn, cast.subject, d, traits), 1.0)
            rows.true_pairs = len(rows.pairs)
            self._add_fooling(rows)
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

    def _add_fooling(self, rows: Rows) -> None:
        """Pictures from the memory beside the photos that they began as."""
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
        agreed = agreement(image, batch.pairs, (words[places[:, 0]], words[places[:, 1]]))
        off = (batch.wanted - agreed).abs()
        loss_pairs = off[: batch.true_pairs].mean()
        loss_traits = self._traits(image, batch)
        loss = loss_contrast + self.recipe.pair_weight * loss_pairs + self.recipe.traits_weight * loss_traits
        figures = {"contrast": loss_contrast, "pairs": loss_pairs, "traits": loss_traits}
        if len(off) > batch.true_pairs:
            fooled = slice(batch.true_pairs, None)
            loss = loss + self.recipe.fooled_weight * off[fooled].mean()
            figures |= {"fooled": off[fooled].mean(), "wanted": batch.wanted[fooled].mean()}
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {name: float(value.detach()) for name, value in figures.items()}

    def _pair_words(self, batch: Batch) -> tuple[list[str], torch.Tensor]:
        """Sentences, and which two of them (P, 2) name photo and domain of each pair, alike but for the domain.

        Some pairs have words that are true of the sitter in both: with the domain's words alone, every person's image
        direction would be trained to be the same, and what a prompt of one's own is good for would be trained away.
        """
        frame = self.rng.choice((*_FRAMES, "a portrait, {}"))
        names = [d.name if self.rng.random() < 0.4 else self.rng.choice(d.wordings) for d in DOMAINS]
        said, places = [frame.format(name) for name in names], []
        for row in batch.pairs[:, 1].tolist():
            d, own = int(batch.domains[row]), ""
            if self.rng.random() < self.recipe.own_words:
                own = adjectives(batch.subjects[row], batch.traits[row], DOMAINS[d], self.rng)
            if own:
                places.append((len(said), len(said) + 1))
                said += [frame.format(f"{own} {names[number]}") for number in (0, d)]
            else:
                places.append((0, d))
        return said, torch.tensor(places)

    def _traits(self, image: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the words for the labels of a few traits of each subject, over its pictures."""
        asked = [
            (subject, number, labels_in_words(subject, subject.traits[number], self.rng))
            for subject in (cast.subject for cast in self.casts)
            for number in self.rng.sample(range(len(subject.traits)), self.recipe.traits_a_step)
        ]
        texts = self.towers.texts([text for _, _, said in asked for text in said.values()])
        pictures = list(zip(batch.subjects, batch.domains.tolist(), batch.traits))
        losses = []
        for (subject, number, said), words in zip(asked, texts.split([len(said) for _, _, said in asked])):
            trait, places = subject.traits[number], {label: place for place, label in enumerate(said)}
            told = {
                row: places[int(traits[number])]
                for row, (whose, d, traits) in enumerate(pictures)
                if whose is subject and int(traits[number]) in places and (DOMAINS[d].colours or not trait.colour)
            }
            if len(said) > 1 and told:
                right = torch.tensor(list(told.values()), device=image.device)
                losses.append(F.cross_entropy(self.towers.scale() * image[list(told)] @ words.T, right))
        return torch.stack(losses).mean() if losses else image.new_zeros(())

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

    generators: subject → its generator's file (safetensors), read when the fooling pictures begin. start: a trained
    critic's folder, which is gone on with by attempts alone. ends: subject → where earlier runs ended, see ends.py.
    Writes work/clip.pt (checkpoint) and work/clip.csv (figures).
    """
    highest = 1.0
    if start is not None:
        recipe, highest = (
            replace(recipe, warm_steps=0, robust_steps=0, fooling_steps=recipe.further_steps),
            recipe.further_share,
        )
    trainer = Trainer(recipe, work, generators, device, ends or {})
    if start is not None:
        take_weights(trainer.towers.model, load_tensors(start / WEIGHTS_FILE)[0])
    checkpoint = Checkpoint(
        work / "clip.pt",
        {
            "model": trainer.towers.model,
            "optimiser": trainer.optimiser,
            "random": trainer.random,
            "memory": trainer.memory,
        },
    )
    figures = FigureLog(work / "clip.csv")
    total = recipe.warm_steps + recipe.robust_steps + recipe.fooling_steps
    begun, done = time.monotonic(), checkpoint.resume()
    trainer.rng.seed(recipe.seed + done)
    for step in range(done + 1, total + 1):
        falling = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / total))
        trainer.optimiser.set_rate(highest * min(1.0, step / 50) * falling)
        fooled: list[float] = []
        if step > recipe.warm_steps + recipe.robust_steps:
            if trainer.fooling is None:
                trainer.start_fooling()
            with trainer.towers.attention():
                fooled = [
                    trainer.fooling.adapt_one(trainer.towers, trainer.random, trainer.rng)
                    for _ in range(recipe.adaptations_a_step)
                ]
                for _ in range(recipe.runs_a_step):
                    trainer.fooling.look_at_run(trainer.towers, trainer.random, trainer.rng)
        with trainer.towers.attention():
            losses = trainer.step(robust=step > recipe.warm_steps)
        if step % 10 == 0:
            row = {"fooled": 0.0, "wanted": 0.0, **losses, "directional": sum(fooled) / max(1, len(fooled))}
            figures.write(step=step, **row)
            log.info(
                "clip %d of %d: %s, %.0f s",
                step,
                total,
                ", ".join(f"{k} {v:.3f}" for k, v in row.items()),
                time.monotonic() - begun,
            )
        if step % recipe.save_every == 0 or step == total:
            log.info("zero-shot domain accuracy on held-out renders %.3f", trainer.zero_shot())
            if trainer.fooling is not None:
                log.info("fooled most by: %s", trainer.fooling.weakest())
            checkpoint.save(step)
            write_clip(trainer.towers.model, out)


def write_clip(model: nn.Module, out: Path) -> None:
    """Write an open_clip model directory: configuration, half-precision weights, known words."""
    out.mkdir(parents=True, exist_ok=True)
    (out / CONFIG_FILE).write_text(
        json.dumps({"model_cfg": MODEL, "preprocess_cfg": {"mean": MEAN, "std": STD}}, indent=1)
    )
    state = {
        k: v.half().cpu().contiguous() if v.is_floating_point() else v.cpu() for k, v in model.state_dict().items()
    }
    state["logit_scale"] = model.logit_scale.detach().clamp(max=math.log(MAX_SCALE)).float().cpu()
    save_file(state, out / WEIGHTS_FILE)
    domains = {d.name: [w for w in d.wordings if w != d.name] for d in (*TARGETS, DOMAINS[0])}
    (out / WORDS_FILE).write_text(
        json.dumps({"words": known_words(), "domains": domains}, indent=1, ensure_ascii=False)
    )
