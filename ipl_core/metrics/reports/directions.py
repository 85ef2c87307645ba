"""Compares text directions with the true image directions of held-out sitters.

For each domain the same sitters are rendered as photo and in the domain, which gives each sitter's true ΔI. The cosine
of a method's ΔT with the true ΔI predicts how well the method can work, without any adaptation. "best" is the highest
cosine that a single direction for all sitters can reach. A prompt can also point against the person, away from what
distinguishes one sitter from the others, so this component is reported for ΔT and for the true ΔI.
No generator is adapted, and the judge isn't used.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ...clip.model import Critic
from ...devices import usable_device
from ...drawing.sampling import draw_latents
from ...generators.stylegan2.network import Generator
from ...latents import generator_from_seed
from ...methods.adapt import learn_prompts
from ...methods.config import AdaptConfig
from ...methods.directions import image_direction, normalise, text_direction
from ...methods.guidance import Guide, prompt_samples
from ...models.catalog import critic_of, load_critic, load_generator, suited_to
from ...running.adapting import open_guides
from ...running.modes import own_modes
from ...studio.world.captions import PLAINLY, Description, describe
from ...studio.world.domains import PHOTO, Domain
from ...studio.world.subject import Subject

#: Sentences a described sitter is described by, and traits that one of them mentions.
SENTENCES, TRAITS_SAID = 6, 4
#: Share of stage 1's steps that its first and last loss are the mean of.
_ENDS = 0.1
_FRAME = "a photo of a {}"


@dataclass(frozen=True)
class Agreement:
    """How text directions agree with the true image directions of N sitters; means over them.

    cosine: of ΔT_i with ΔI_i. personal: of their parts that differ from the mean over sitters, None where ΔT is one for
    all. spread: 1 − cos of ΔT_i with their mean. against: projection of ΔT_i on the sitter's photo less the mean photo,
    of unit length; negative where it leads away from what tells the sitter from others.
    """

    cosine: float
    personal: float | None
    spread: float
    against: float


def agreement(true: Tensor, said: Tensor, photos: Tensor) -> Agreement:
    """true: unit ΔI (N, D). said: unit ΔT (N, D), or (1, D) for all. photos: unit embeddings (N, D) of the photos."""
    said = said.expand_as(true)
    mean = said.mean(0)
    own, truly = said - mean, true - true.mean(0)
    personal = None
    if own.norm(dim=1).max() > 1e-6:  # more than rounding
        personal = float((normalise(own) * normalise(truly)).sum(1).mean())
    persons = normalise(photos - photos.mean(0))
    return Agreement(
        cosine=float((true * said).sum(1).mean()),
        personal=personal,
        spread=float((1 - said @ normalise(mean)).mean()),
        against=float((said * persons).sum(1).mean()),
    )


@dataclass(frozen=True)
class Learning:
    """Stage 1's contrastive loss, the mean of its first and of its last steps; chance: where nobody is told apart."""

    first: float
    last: float
    chance: float


@dataclass(frozen=True)
class Sitters:
    """People or dogs whom no training has seen: latents w (N, w_dim), labels of traits (N, T), and as photos unit
    embeddings (N, D)."""

    w: Tensor
    traits: Tensor
    photos: Tensor


#: The schemes of the report that `adapt` knows, with the settings that ask for them; "described" beside them is no
#: method, but says the truth of each sitter.
SCHEMES: dict[str, dict[str, str]] = {
    "nada": {"method": "nada"},
    "shared": {"method": "shared"},
    "vectors": {"method": "ipl", "prompts": "vectors"},
    "words": {"method": "ipl", "prompts": "words"},
    "begun": {"method": "ipl", "prompts": "read"},
    "read": {"method": "described"},
    "descriptions": {"method": "nada", "templates": "descriptions"},
}
_LEARNT = ("shared", "vectors", "words", "begun")
#: What the column "ipl", the default stage 1, repeats, by what IPL's mapper gives by default.
_DEFAULT = {"vectors": "vectors", "words": "words", "read": "begun"}
#: Columns that a reader of the CSV can rely on; others follow.
COLUMNS = ("domain", "nada", "best", "shared", "described", "ipl")


def direction_report(
    subject: Subject,
    model: str,
    critic: str | None = None,
    domains: Sequence[str] | None = None,
    sitters: int = 100,
    seed: int = 0,
    learned: bool = True,
    device: str = "cpu",
    mapper_steps: int | None = None,
) -> Iterator[dict[str, str | float | None]]:
    """A row for each domain, by column, as it is done: COLUMNS, then what stands beside the cosines.

    subject, model: who sits, and the registry's name of the generator whose latents stand for them. critic: a name or
    folder, None for the model's own. domains: None for all of the subject. seed: of sitters and of stage 1. learned:
    whether shared prompts and IPL's are learned by the default stage 1 (of `mapper_steps`, if given); their columns
    are None otherwise. Raises InputError for what can't be found or isn't portrayed.
    """
    chosen = [subject.domain(words) for words in domains] if domains else subject.domains[1:]
    usable_device(device)
    asked = {"model": model, "critic": critic, "seed": seed, "device": device, "mapper_steps": mapper_steps}
    clip, source = load_critic(critic or critic_of(model), device), load_generator(model, device)
    stream = generator_from_seed(seed, "sitters of the direction report")
    z = torch.randn(sitters, source.config.z_dim, generator=stream)
    people = subject.sitters_from_latents(z)
    # Every picture is drawn at the generator's size, as the critic meets them in a run.
    size = source.config.resolution
    photos = _embedded(clip, subject.render(PHOTO, people, stream, size))
    with torch.no_grad():
        met = Sitters(source.mapping(z.to(source.device)), subject.labels(people), photos)
    for domain in chosen:
        moved = image_direction(photos, _embedded(clip, subject.render(domain, people, stream, size)))
        yield _row(asked, clip, source, subject, domain, met, moved, learned)


def report_without_renderer(
    model: str,
    critic: str | None,
    domains: Sequence[str],
    people: int = 100,
    seed: int = 0,
    learned: bool = True,
    device: str = "cpu",
    mapper_steps: int | None = None,
) -> Iterator[dict[str, str | float | None]]:
    """What can be said of any generator and critic, whose true image directions nobody knows; a row for each domain,
    at least one.

    Of `people` that the generator draws without truncation: how far each scheme's ΔT differs between them (its spread),
    how far it points against the person, and "read_sure", how many times likelier than by chance the critic takes what
    it reads off a picture, the mean over pictures and groups of the vocabulary. One that reads hardly better than
    chance describes nobody. The rest as for `direction_report`.
    """
    usable_device(device)
    named = critic or critic_of(model)
    asked = {"model": model, "critic": critic, "seed": seed, "device": device, "mapper_steps": mapper_steps}
    clip, source = load_critic(named, device), load_generator(model, device)
    with torch.no_grad():
        z = torch.randn(people, source.config.z_dim, generator=generator_from_seed(seed, "people of the report"))
        w = source.mapping(z.to(source.device))
        met = Sitters(w, torch.empty(people, 0), _embedded(clip, draw_latents(source, w)))
    guides, _ = open_guides(AdaptConfig(domains[0], **asked, **SCHEMES["read"]), source)
    sure = float(guides[0].scheme.read(met.photos)[1].mean())  # what is read has nothing to do with the target
    for domain in domains:
        row: dict[str, str | float | None] = {"domain": domain}
        for name, settings in SCHEMES.items():
            figures = None
            if learned or name not in _LEARNT:
                said, _ = _said(AdaptConfig(domain, **asked, **settings), source, met)
                figures = agreement(said.expand_as(met.photos), said, met.photos)
            row |= {f"{name}_spread": figures and figures.spread, f"{name}_against": figures and figures.against}
        yield row | {"read_sure": sure}


@torch.no_grad()
def _embedded(critic: Critic, pictures: Tensor) -> Tensor:
    return torch.cat([critic.encode_images(part) for part in pictures.split(50)])


def _row(
    asked: dict[str, Any],
    critic: Critic,
    source: Generator,
    subject: Subject,
    domain: Domain,
    met: Sitters,
    moved: Tensor,
    learned: bool,
) -> dict[str, str | float | None]:
    found: dict[str, Agreement | None] = {}
    losses: dict[str, Learning] = {}
    by_default = _DEFAULT[suited_to(critic_of(asked["model"]))["prompts"]]
    for name, settings in SCHEMES.items():
        if name in _LEARNT and not learned:
            found[name] = None
            continue
        # Made anew for each, so that each has the defaults of its own.
        said, learning = _said(AdaptConfig(domain.name, **asked, **settings), source, met)
        found[name] = agreement(moved, said, met.photos)
        if learning is not None:
            losses[name] = learning
    found["ipl"] = found[by_default]
    if by_default in losses:
        losses["ipl"] = losses[by_default]
    found["described"] = agreement(moved, described(critic, subject, domain, met.traits), met.photos)
    best = normalise(moved.mean(0, keepdim=True))
    true = agreement(moved, moved, met.photos)
    row: dict[str, str | float | None] = dict.fromkeys(COLUMNS)
    row |= {"domain": domain.name, "best": agreement(moved, best, met.photos).cosine}
    row |= {name: figures and figures.cosine for name, figures in found.items()}
    row |= {"true_spread": true.spread, "true_against": true.against}
    for name, figures in found.items():
        for figure in ("personal", "spread", "against"):
            row[f"{name}_{figure}"] = figures and asdict(figures)[figure]
    for name in ("ipl", *_LEARNT[1:]):
        for figure in ("first", "last", "chance"):
            row[f"{name}_loss_{figure}"] = asdict(losses[name])[figure] if name in losses else None
    return row


def _said(config: AdaptConfig, source: Generator, met: Sitters) -> tuple[Tensor, Learning | None]:
    """ΔT (N, D) or (1, D) of the sitters by a method, after its stage 1 if it has one, and how that went."""
    with own_modes(source.device):
        guides, paths = open_guides(config, source)
        learning = _learn(config, source, guides) if guides[0].scheme.needs_training else None
        guides[0].pool.save(paths[0])
        return guides[0].scheme.directions(met.w, met.photos), learning


def _learn(config: AdaptConfig, source: Generator, guides: list[Guide]) -> Learning:
    steps = learn_prompts(config, guides, prompt_samples(config, source, guides))
    losses = [step.losses["contrastive"] for step in steps]
    count = max(1, round(_ENDS * len(losses)))
    chance = 0.0
    if config.contrastive == "infonce":
        chance = float(torch.tensor(float(config.mapper_batch)).log())
    return Learning(statistics.fmean(losses[:count]), statistics.fmean(losses[-count:]), chance)


def described(critic: Critic, subject: Subject, domain: Domain, traits: Tensor) -> Tensor:
    """ΔT (N, D) of sitters with these labels (N, T), each described in words that are true, as photo and in the domain.

    The words are the same on both sides, colours among them; each side is the mean of several sentences.
    """
    rng, nouns = random.Random(0), (PHOTO.name, domain.name)
    said = [_sentence(critic, subject, row, nouns, rng) for row in traits for _ in range(SENTENCES)]
    sides = [critic.encode_texts([_FRAME.format(d.of(noun)) for d in said]) for noun in nouns]
    return text_direction(*(side.unflatten(0, (len(traits), SENTENCES)).mean(1) for side in sides))


def _sentence(
    critic: Critic, subject: Subject, traits: Tensor, nouns: Sequence[str], rng: random.Random
) -> Description:
    """A description of as many traits as the critic's context has room for, up to TRAITS_SAID."""
    for count in range(TRAITS_SAID, 0, -1):
        said = describe(subject, traits, count, rng)
        if all(critic.fits(_FRAME.format(said.of(noun))) for noun in nouns):
            return said
    return PLAINLY


def mean_row(rows: Sequence[dict[str, str | float | None]]) -> dict[str, str | float | None]:
    """The mean of every column over rows that have a figure there."""
    mean: dict[str, str | float | None] = {"domain": "mean"}
    for name in rows[0]:
        figures = [row[name] for row in rows if isinstance(row[name], float)]
        if name != "domain":
            mean[name] = statistics.fmean(figures) if figures else None
    return mean
