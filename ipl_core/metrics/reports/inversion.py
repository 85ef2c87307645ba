"""How well pictures are inverted: portraits of known attributes that no training saw, and the generator's own samples.

The judge measures and takes no part in the inversion itself.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...drawing.sampling import draw
from ...methods.config import InvertConfig
from ...models.catalog import judge_of, load_generator, load_judge
from ...pictures.media import to_float, to_uint8
from ...running.inverting import invert
from ...running.steps import InvertResult
from ...studio.judge import Judge
from ...studio.world.attributes import Sitters
from ...studio.world.domains import PHOTO
from ...studio.world.subject import Subject
from ..kept_attributes import kept_attributes, kept_identity
from ..ssim import ssim
from .methods import FIRST_SAMPLE_SEED

_PEOPLE_SEED = 7_001  # of the held-out people; training sets are drawn from small seeds
_SUPERSAMPLE = 2


@dataclass(frozen=True)
class InversionScore:
    """One inverted picture, measured.

    kind: "portraits" are renders of people that no training saw, "samples" what the generator draws of fresh seeds.
    number: which picture. identity: cosine of the judge's identity vectors. attributes: share of the judge's readings
    that are the truth, for samples those that stay. readable: the same of the picture itself, the most that can be
    expected. ssim: up to 1. pixel, perceptual: see `PictureLoss.distances`. seconds: of the inversion, on its machine.
    """

    preset: str
    kind: str
    number: int
    identity: float
    attributes: float
    readable: float
    ssim: float
    pixel: float
    perceptual: float
    seconds: float


def held_out_portraits(subject: Subject, count: int, resolution: int) -> tuple[Sitters, Tensor]:
    """Sitters that no training saw and their portraits, uint8 (count, R, R, 3).

    The first ones are the same whatever the count.
    """
    parts, pictures = [], []
    for number in range(count):
        random = torch.Generator().manual_seed(_PEOPLE_SEED + number)
        parts.append(subject.random(1, random))
        pictures.append(subject.render(PHOTO, parts[-1], random, resolution, supersample=_SUPERSAMPLE))
    sitters = Sitters({name: torch.cat([part[name] for part in parts]) for name in parts[0].values})
    return sitters, to_uint8(torch.cat(pictures))


#: What else to do with a portrait: the settings of its inversion, its number, uint8 (1, R, R, 3), its result.
Watch = Callable[[InvertConfig, int, Tensor, InvertResult], None]


def evaluate_inversion(
    presets: Sequence[str],
    count: int = 100,
    samples: int = 50,
    model: str = "studio",
    seed: int = 0,
    start: str = "auto",
    view: str = "critic",
    watch: Watch | None = None,
) -> Iterator[InversionScore]:
    """A score for every picture and preset, as each is done: `count` portraits, then `samples` of the generator's own.

    Samples are drawn without truncation. start, view: as in InvertConfig. watch: called with every inverted portrait,
    before its score comes. Raises InputError, before any inversion, for what can't be measured.
    """
    shared = dict(model=model, seed=seed, start=start, view=view, aim="pixels")
    configs = [InvertConfig(preset=preset, **shared) for preset in presets]
    judge, generator = load_judge(judge_of(model)), load_generator(model)
    resolution = generator.config.resolution
    if count:
        sitters, portraits = held_out_portraits(judge.subject, count, resolution)
        truth = judge.subject.labels(sitters)
    for config in configs:
        for number in range(count):
            portrait = portraits[number : number + 1]
            last = _inverted(config, portrait)
            if watch is not None:
                watch(config, number, portrait, last)
            yield _score(config, "portraits", number, portrait, last, judge, truth[number])
        for number in range(samples):
            drawn = to_uint8(draw(generator, [FIRST_SAMPLE_SEED + number], psi=1.0))
            yield _score(config, "samples", number, drawn, _inverted(config, drawn), judge, None)


def _inverted(config: InvertConfig, picture: Tensor) -> InvertResult:
    *_, last = invert(config, to_float(picture), preview_interval=float("inf"))
    return last


def _score(
    config: InvertConfig,
    kind: str,
    number: int,
    picture: Tensor,
    last: InvertResult,
    judge: Judge,
    truth: Tensor | None,
) -> InversionScore:
    target, found = to_float(picture), to_float(last.pictures.after)
    before, after = judge.read(target), judge.read(found)
    if truth is None:
        attributes, readable = kept_attributes(before, after, PHOTO), 1.0
    else:
        attributes, readable = (
            statistics.fmean(float(int(trait.argmax(1)) == int(label)) for trait, label in zip(seen.traits, truth))
            for seen in (after, before)
        )
    return InversionScore(
        preset=config.preset,
        kind=kind,
        number=number,
        identity=kept_identity(before, after),
        attributes=attributes,
        readable=readable,
        ssim=float(ssim(target, found)),
        **last.distances,
        seconds=last.seconds,
    )


def markdown(scores: Sequence[InversionScore]) -> str:
    """A table with a row a preset and kind: means, and the lowest identity similarity of any picture.

    Of the seconds it is the median: a few pictures wait for whatever else the machine is asked to do.
    """
    out = io.StringIO()
    out.write("| preset | pictures | count | identity | lowest | attributes | of the picture | SSIM ")
    out.write("| pixel | perceptual | seconds |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
    groups: dict[tuple[str, str], list[InversionScore]] = {}
    for row in scores:
        groups.setdefault((row.preset, row.kind), []).append(row)
    for (preset, kind), rows in groups.items():
        mean = {
            f.name: statistics.fmean(getattr(row, f.name) for row in rows)
            for f in fields(InversionScore)
            if f.name not in ("preset", "kind", "number", "seconds")
        }
        out.write(
            f"| {preset} | {kind} | {len(rows)} | {mean['identity']:.3f} | {min(row.identity for row in rows):.3f} "
            f"| {mean['attributes']:.1%} | {mean['readable']:.1%} | {mean['ssim']:.3f} | {mean['pixel']:.4f} "
            f"| {mean['perceptual']:.4f} | {statistics.median(row.seconds for row in rows):.1f} |\n"
        )
    return out.getvalue()
