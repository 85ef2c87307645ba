"""Trains the studio's CLIP: a critic that follows words and is hard to fool.

Four terms, all in every step once the warm-up is over:
1. contrast: images against captions, with the truth known, so that every fitting caption counts as right;
2. robustness: the images are first moved by one L2 gradient step that makes (1) worse (fast adversarial
   training, Wong et al. 2020), and changed by nuisances that mean nothing;
3. pairs: for one person as photo and in a domain, the image direction must be the text direction;
4. fooling pictures: generators are adapted against the critic as it trains, and what they draw on the way is
   called a broken picture. Without this, adaptation finds tiny patterns that please the critic. What the same
   generator draws when it is shown the domain (supervised, so surely right) is called the domain, or else
   softness alone would give a fooling picture away.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from ..checkpoints import load_generator
from ..clip import CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE
from ..directions import image_direction, text_direction
from ..stylegan2 import Generator
from .attributes import people_from_unit
from .augment import nuisance
from .captions import BROKEN_INDEX, TRAITS, adjectives, caption, known_words, labels, truth
from .data import latents_of_people, people_in_domains, to_float
from .domains import DOMAINS, TARGETS
from .supervised import supervised_pictures
from .training import Checkpoint, FigureLog

log = logging.getLogger(__name__)

MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 192, "head_width": 48, "patch_size": 8},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4},
}
MEAN = STD = (0.5, 0.5, 0.5)
#: Longest logit scale: beyond it the contrast only sharpens what is already told apart.
MAX_SCALE = 30.0


@dataclass(frozen=True)
class ClipRecipe:
    """Steps, sizes and weights; the defaults made the committed weights."""

    people: int = 1_500
    held_out: int = 100
    warm_steps: int = 200
    robust_steps: int = 1_300
    fooling_steps: int = 750
    people_a_step: int = 20
    domains_a_person: int = 4
    learning_rate: float = 1e-3
    radius: float = 3.0
    pair_weight: float = 0.7
    fooled: int = 16
    drawn: int = 16
    supervised_people: int = 128
    supervised_steps: int = 70
    keep_after: int = 8
    adaptation_batch: int = 6
    adaptation_steps: int = 120
    seed: int = 1
    data_seed: int = 11
    save_every: int = 50


class Batch:
    """Pictures with what is true of them, and a caption each."""

    def __init__(self, pictures: torch.Tensor, domains: torch.Tensor, traits: torch.Tensor, rng: random.Random) -> None:
        captions = [caption(int(d), t, rng) for d, t in zip(domains, traits)]
        self.pictures, self.domains, self.traits = pictures, domains, traits
        self.texts = [c.text for c in captions]
        self.truth = truth(domains, traits, torch.stack([c.claims for c in captions])).to(pictures.device)


def contrast(image: torch.Tensor, text: torch.Tensor, true: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric cross-entropy with every true caption as a target, in equal shares.

    image (B, D), text (N, D) unit; true bool (B, N) with at least one True a row and a column → scalar.
    """
    logits = scale * image @ text.T
    share = true.float()
    rows = -(share / share.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    columns = -(share / share.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (rows + columns) / 2


class Towers:
    """The open_clip model with short text batches: the tower is causal, so padding after the longest text is cut."""

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    def images(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 3, R, R) in [−1, 1] → unit (B, D)."""
        return F.normalize(self.model.encode_image(pictures), dim=-1)

    def texts(self, texts: list[str]) -> torch.Tensor:
        """Sentences → unit (N, D)."""
        tokens = self.tokenizer(texts).to(self.model.logit_scale.device)
        length = int(tokens.argmax(1).max()) + 1
        m = self.model
        x = m.token_embedding(tokens[:, :length]) + m.positional_embedding[:length]
        x = m.ln_final(m.transformer(x, attn_mask=m.attn_mask[:length, :length]))
        x = x[torch.arange(len(texts), device=x.device), tokens.argmax(1)] @ m.text_projection
        return F.normalize(x, dim=-1)

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


def attack(towers: Towers, batch: Batch, text: torch.Tensor, radius: float, random_: torch.Generator) -> torch.Tensor:
    """The pictures after one L2 gradient step that worsens the contrast, of a length drawn from 0 to `radius` each.

    Lengths are drawn because a critic that only ever saw the full attack reads clean pictures badly.
    """
    pictures = batch.pictures.detach().requires_grad_(True)
    loss = contrast(towers.images(pictures), text.detach(), batch.truth, towers.scale().detach())
    (slope,) = torch.autograd.grad(loss, pictures)
    step = slope / slope.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
    length = radius * torch.rand(len(step), 1, 1, 1, generator=random_).to(step.device)
    return (pictures + length * step).detach().clamp(-1, 1)


def pair_loss(
    towers: Towers, image: torch.Tensor, text_pairs: tuple[torch.Tensor, torch.Tensor], pairs: torch.Tensor
) -> torch.Tensor:
    """mean(1 − cos(E_I(domain) − E_I(photo), E_T(domain words) − E_T(photo words))) over pairs (P, 2) of rows."""
    moved = image_direction(image[pairs[:, 0]], image[pairs[:, 1]])
    said = text_direction(*text_pairs)
    return (1 - (moved * said).sum(-1)).mean()


class FoolingPictures:
    """Generators in the middle of being adapted against the critic that is being trained, and what they drew.

    One generator a target domain takes turns; each is taken back to the source after `steps` of its steps, so
    that early and late attempts are both among the negatives.
    """

    def __init__(
        self, source: Generator, w: torch.Tensor, traits: torch.Tensor, recipe: ClipRecipe, size: int = 2048
    ) -> None:
        self.source, self.w, self.traits, self.recipe = source, w, traits, recipe
        self.attempts: dict[int, tuple[Generator, torch.optim.Adam, int, int]] = {}
        self.pictures: list[torch.Tensor] = []
        self.size = size

    def adapt_one(self, towers: Towers, random_: torch.Generator, rng: random.Random) -> float:
        """One adaptation step towards one domain; gives its directional loss."""
        d = rng.randrange(1, len(DOMAINS))
        generator, optimiser, done, life = self.attempts.get(d) or self._fresh(rng)
        index = torch.randint(len(self.w), (self.recipe.adaptation_batch,), generator=random_)
        with torch.no_grad():
            before = self.source.synthesis(self.w[index])
            said = self._directions(d, index, towers, rng)
        after = generator.synthesis(self.w[index])
        views = after
        if rng.random() < 0.3:
            # Some users' attempts see nuisances too; the same ones must not become a way out.
            seed = rng.randrange(2**31)
            before, views = (nuisance(x, torch.Generator().manual_seed(seed), 0.7) for x in (before, after))
        with torch.no_grad():
            anchor = towers.images(before)
        loss = (1 - (image_direction(anchor, towers.images(views)) * said).sum(-1)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        towers.model.zero_grad(set_to_none=True)
        if done > self.recipe.keep_after:
            kept = ((after.detach().clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
            self.pictures.extend(kept.unbind(0))
            if len(self.pictures) > self.size:  # forget at random, so that old tricks are remembered
                rng.shuffle(self.pictures)
                del self.pictures[self.size :]
        self.attempts[d] = (generator, optimiser, done + 1, life)
        if done + 1 >= life:
            del self.attempts[d]
        return float(loss.detach())

    def _directions(self, d: int, index: torch.Tensor, towers: Towers, rng: random.Random) -> torch.Tensor:
        """Text directions as the methods make them, (1, D) for all or (B, D) with words of each image's own."""
        wording = rng.choice(DOMAINS[d].wordings)
        frame = rng.choice(("{}", "a {}", "a photo of a {}", "a picture of a {}"))
        own = [""] if rng.random() < 0.5 else [adjectives(t, DOMAINS[d], rng) for t in self.traits[index]]
        texts = [frame.format(f"{words} {noun}".strip()) for noun in ("photo", wording) for words in own]
        return text_direction(*towers.texts(texts).chunk(2))

    def _fresh(self, rng: random.Random) -> tuple[Generator, torch.optim.Adam, int, int]:
        generator = copy.deepcopy(self.source)
        generator.requires_grad_(False)
        generator.synthesis.requires_grad_(True)
        rate = rng.choice((1e-3, 2e-3, 4e-3))
        optimiser = torch.optim.Adam(generator.synthesis.parameters(), lr=rate, betas=(0.0, 0.99))
        return generator, optimiser, 0, rng.randrange(self.recipe.adaptation_steps // 3, self.recipe.adaptation_steps)

    def draw(self, count: int, rng: random.Random) -> torch.Tensor:
        """`count` kept pictures, (count, 3, R, R) in [−1, 1]; fewer while there are fewer."""
        return to_float(torch.stack(rng.sample(self.pictures, min(count, len(self.pictures)))))


class Trainer:
    """Everything a step needs, in one place."""

    def __init__(self, recipe: ClipRecipe, work: Path, generator_file: Path, device: str) -> None:
        self.recipe, self.work, self.generator_file, self.device = recipe, work, generator_file, device
        self.random, self.rng = torch.Generator().manual_seed(recipe.seed), random.Random(recipe.seed)
        size = MODEL["vision_cfg"]["image_size"]
        u, self.pictures = people_in_domains(recipe.people, size, recipe.data_seed, work)
        self.u, self.traits = u, labels(people_from_unit(u))
        self.towers = build_model(recipe.seed)
        self.towers.model.to(device)
        embedding, plain, decayed = [], [], []
        for name, parameter in self.towers.model.named_parameters():
            (embedding if "token_embedding" in name else decayed if parameter.ndim > 1 else plain).append(parameter)
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.05}, {"params": plain + embedding, "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
        )
        self.fooling: FoolingPictures | None = None
        self.drawn: torch.Tensor | None = None

    def start_fooling(self) -> None:
        """Bring in the generator: from now on its pictures are part of every batch."""
        source = load_generator(self.generator_file, self.device).requires_grad_(False)
        z = latents_of_people(self.u, source.config.z_dim, self.recipe.data_seed).to(self.device)
        with torch.no_grad():
            w = source.mapping(z)
        self.drawn = supervised_pictures(
            source, z, self.pictures, self.work, self.recipe.supervised_people, self.recipe.supervised_steps
        )
        self.fooling = FoolingPictures(source, w, self.traits, self.recipe)

    def batch(self) -> tuple[Batch, torch.Tensor]:
        """Pictures of one step and the pairs (photo row, domain row) among them."""
        r = self.recipe
        people = torch.randint(r.held_out, r.people, (r.people_a_step,), generator=self.random)
        pictures, domains, traits, pairs = [], [], [], []
        for person in people:
            others = self.rng.sample(range(1, len(DOMAINS)), r.domains_a_person - 1)
            first = len(pictures)
            for k, d in enumerate([0, *others]):
                pictures.append(self.pictures[d, person])
                domains.append(d)
                traits.append(self.traits[person])
                if k:
                    pairs.append((first, first + k))
        stack = nuisance(to_float(torch.stack(pictures)), self.random)
        if self.drawn is not None:
            kept = self.drawn.shape[1]
            drawn = []
            for owner in torch.randint(kept, (r.drawn // 2,), generator=self.random):
                # As photo and in a domain, so that pairs in the generator's hand count too.
                pairs.append((len(stack) + len(drawn), len(stack) + len(drawn) + 1))
                for d in (0, self.rng.randrange(1, len(DOMAINS))):
                    drawn.append(self.drawn[d, owner])
                    domains.append(d)
                    traits.append(self.traits[len(self.traits) - kept + owner])
            stack = torch.cat([stack, nuisance(to_float(torch.stack(drawn)), self.random, 0.6)])
        if self.fooling is not None and self.fooling.pictures:
            fooled = nuisance(self.fooling.draw(r.fooled, self.rng), self.random, 0.6)
            stack = torch.cat([stack, fooled])
            domains += [BROKEN_INDEX] * len(fooled)
            traits += [torch.full((len(TRAITS),), -2)] * len(fooled)
        return Batch(stack.to(self.device), torch.tensor(domains), torch.stack(traits), self.rng), torch.tensor(pairs)

    def step(self, robust: bool) -> dict[str, float]:
        """One optimiser step; gives its losses."""
        batch, pairs = self.batch()
        # Pair words: one frame around all domains' words, so that only the domain differs.
        frame = self.rng.choice(("{}", "a {}", "a photo of a {}", "a picture of a {}", "a portrait, {}"))
        said = [frame.format(d.name if self.rng.random() < 0.4 else self.rng.choice(d.wordings)) for d in DOMAINS]
        texts = self.towers.texts(batch.texts + said)
        own, words = texts[: len(batch.texts)], texts[len(batch.texts) :]
        sources, targets = words[:1], words[batch.domains[pairs[:, 1]]]
        pictures = attack(self.towers, batch, own, self.recipe.radius, self.random) if robust else batch.pictures
        image = self.towers.images(pictures)
        loss_contrast = contrast(image, own, batch.truth, self.towers.scale())
        loss_pairs = pair_loss(self.towers, image, (sources, targets), pairs)
        loss = loss_contrast + self.recipe.pair_weight * loss_pairs
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.towers.model.parameters(), 1.0)
        self.optimiser.step()
        return {"contrast": float(loss_contrast.detach()), "pairs": float(loss_pairs.detach())}

    @torch.no_grad()
    def zero_shot(self) -> float:
        """Share of held-out renders whose domain is told right from "a photo of a {domain}"."""
        texts = self.towers.texts([f"a photo of a {d.name}" for d in DOMAINS])
        right = []
        for d in range(len(DOMAINS)):
            image = self.towers.images(to_float(self.pictures[d, : self.recipe.held_out]).to(self.device))
            right.append((image @ texts.T).argmax(1) == d)
        return float(torch.cat(right).float().mean())


def train_clip(recipe: ClipRecipe, work: Path, generator_file: Path, out: Path, device: str = "cpu") -> None:
    """Run the recipe, resuming from `work`, and write an open_clip model directory to `out`.

    Reads `generator_file` (safetensors) when the fooling pictures begin. Writes work/clip.pt (checkpoint) and
    work/clip.csv (figures).
    """
    trainer = Trainer(recipe, work, generator_file, device)
    checkpoint = Checkpoint(
        work / "clip.pt", {"model": trainer.towers.model, "optimiser": trainer.optimiser, "random": trainer.random}
    )
    figures = FigureLog(work / "clip.csv")
    total = recipe.warm_steps + recipe.robust_steps + recipe.fooling_steps
    begun, done = time.monotonic(), checkpoint.resume()
    trainer.rng.seed(recipe.seed + done)
    for step in range(done + 1, total + 1):
        progress = step / total
        rate = recipe.learning_rate * min(1.0, step / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in trainer.optimiser.param_groups:
            group["lr"] = rate
        fooled: list[float] = []
        if step > recipe.warm_steps + recipe.robust_steps:
            if trainer.fooling is None:
                trainer.start_fooling()
            fooled = [trainer.fooling.adapt_one(trainer.towers, trainer.random, trainer.rng) for _ in range(2)]
        losses = trainer.step(robust=step > recipe.warm_steps)
        if step % 10 == 0:
            row = {**losses, "directional": sum(fooled) / max(1, len(fooled))}
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
