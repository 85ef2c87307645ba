"""How photographs become portraits, with known truth: renders under changes that no training saw.

Three ways beside each other: the reader's reading drawn as it is, the portrait with its colours brought to the
picture's, and the search that follows pixels. The judge reads what is drawn and takes no part in any of them.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...drawing.sampling import draw
from ...generators.portrait import PortraitSearch, decide
from ...generators.stylegan2.network import Generator
from ...methods.config import InvertConfig
from ...models.catalog import judge_of, load_generator, load_judge, load_reader, reader_of
from ...pictures.media import to_float, to_uint8
from ...running.inverting import invert
from ...studio.judge import Judge
from ...studio.training.photographs import HELD_OUT, HELD_OUT_DRAWN
from ...studio.world.domains import PHOTO
from ...studio.world.form import AS_THEY_ARE
from ...studio.world.subject import Subject
from ..frechet import frechet_distance
from .methods import FIRST_SAMPLE_SEED

_SEED = 9_001  # of the sitters; training sets are drawn from small seeds
_SUPERSAMPLE = 2
_RENDERS = 1_000  # that results are compared with
#: Traits that a person would look for first, by subject.
LOOKED_FOR = {
    "people": ("skin_tone", "hair_colour", "hair_cut", "glasses", "beard", "hat", "smile", "turn"),
    "dogs": ("coat_colour", "ears", "markings", "coat_length", "head_shape", "mouth", "collar", "turn"),
}
WAYS = ("reading", "portrait", "pixels")


@dataclass(frozen=True)
class PhotographScore:
    """One changed render and what one way made of it.

    change: which kind, "none" for none. number: which sitter. traits: names of those of `LOOKED_FOR` that the judge
    reads in the result as they truly are, with blanks between them. right: their share. readable: that share of the
    unchanged render itself, the most that can be expected. colours: how far the result is from the unchanged render
    at 8 × 8 pixels, mean absolute difference in [-1, 1]. sharpness: mean absolute difference of neighbouring pixels of
    the result. taken_as: what "auto" decides of the changed picture. seconds: on its machine.
    """

    way: str
    change: str
    number: int
    traits: str
    right: float
    readable: float
    colours: float
    sharpness: float
    taken_as: str
    seconds: float


def changed_portraits(subject: Subject, count: int, resolution: int) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """For each of `count` sitters that no training saw: the change, the true labels (traits,), the unchanged render and
    the changed one, (1, 3, R, R) in [-1, 1].

    Changes take turns: none, each of `HELD_OUT`, each of `HELD_OUT_DRAWN` that the subject has. The first sitters are
    the same whatever the count.
    """
    drawn = {domain.name: domain for domain in subject.domains if domain.name in HELD_OUT_DRAWN}
    kinds = ["none", *HELD_OUT, *drawn]
    for number in range(count):
        random = torch.Generator().manual_seed(_SEED + number)
        sitter, kind = subject.random(1, random), kinds[number % len(kinds)]
        portrait = subject.portrait(sitter, AS_THEY_ARE, resolution, _SUPERSAMPLE)
        render = PHOTO.stylise(portrait, random)
        changed = render
        if kind in HELD_OUT:
            changed = HELD_OUT[kind]((render + 1) / 2, portrait.figure, random).clamp(0, 1) * 2 - 1
        elif kind in drawn:
            changed = subject.render(drawn[kind], sitter, random, resolution, _SUPERSAMPLE)
        yield kind, subject.labels(sitter)[0], render, changed


def evaluate_photographs(
    count: int = 200, pixels: int = 20, model: str = "studio", results: dict[str, list[Tensor]] | None = None
) -> Iterator[PhotographScore]:
    """A score for each way and picture, as each is done.

    pixels: how many of the pictures are also followed pixel by pixel, by the preset "fast", which takes longest.
    results: filled with what each way drew, (1, 3, R, R) each. Raises InputError for a model without judge or reader.
    """
    config = InvertConfig(model=model, preset="fast", aim="portrait")
    judge, generator = load_judge(judge_of(model)), load_generator(model)
    decide(config, torch.zeros(1, 3, 8, 8))  # refuses a model without a reader
    reader = load_reader(reader_of(model))
    resolution = generator.config.resolution
    for number, (kind, truth, render, changed) in enumerate(changed_portraits(judge.subject, count, resolution)):
        changed = to_float(to_uint8(changed))
        taken_as = decide(InvertConfig(model=model), changed).aim
        for way in WAYS[: 3 if number < pixels else 2]:
            began = time.perf_counter()
            if way == "pixels":
                *_, last = invert(InvertConfig(model=model, preset="fast", aim="pixels"), changed, None, float("inf"))
                result = to_float(last.pictures.after)
            else:
                search = PortraitSearch(config, generator, changed, reader)
                for _ in range(search.steps if way == "portrait" else 0):
                    search()
                result = search.draw(generator).clamp(-1, 1)
            seconds = time.perf_counter() - began
            if results is not None:
                results.setdefault(way, []).append(result)
            right, readable = (_right(judge, picture, truth) for picture in (result, render))
            yield PhotographScore(
                way=way,
                change=kind,
                number=number,
                traits=" ".join(name for name, hit in right.items() if hit),
                right=statistics.fmean(right.values()),
                readable=statistics.fmean(readable.values()),
                colours=float((_coarse(result) - _coarse(render)).abs().mean()),
                sharpness=sharpness(result),
                taken_as=taken_as,
                seconds=seconds,
            )


def _right(judge: Judge, picture: Tensor, truth: Tensor) -> dict[str, bool]:
    seen = judge.read(picture).traits
    names = LOOKED_FOR[judge.subject.name]
    places = {trait.attribute: place for place, trait in enumerate(judge.subject.traits)}
    return {name: int(seen[places[name]].argmax(1)) == int(truth[places[name]]) for name in names}


def _coarse(picture: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(picture, 8)


def sharpness(pictures: Tensor) -> float:
    """Mean absolute difference of neighbouring pixels of pictures (B, 3, R, R)."""
    across, down = pictures.diff(dim=3).abs().mean(), pictures.diff(dim=2).abs().mean()
    return float((across + down) / 2)


def beside_samples(results: dict[str, list[Tensor]], model: str = "studio") -> dict[str, tuple[float, float, int]]:
    """Sharpness, Fréchet distance from renders in the judge's features, and number of pictures, of each way's results
    and of as many samples of the generator's own without truncation, "samples".

    A Fréchet distance from few pictures is large whatever they are: compare it with that of the samples beside it.
    """
    judge, generator = load_judge(judge_of(model)), load_generator(model)
    subject, random = judge.subject, torch.Generator().manual_seed(_SEED - 1)
    parts = [subject.render(PHOTO, subject.random(50, random), random, judge.resolution) for _ in range(_RENDERS // 50)]
    renders = torch.cat([judge.read(part).features for part in parts])
    most = max(len(pictures) for pictures in results.values())
    sets = {name: torch.cat(pictures) for name, pictures in results.items() if len(pictures) == most}
    sets["samples"] = _samples(generator, most)
    return {
        name: (sharpness(pictures), frechet_distance(judge.read(pictures).features, renders), len(pictures))
        for name, pictures in sets.items()
    }


def _samples(generator: Generator, count: int) -> Tensor:
    return draw(generator, [FIRST_SAMPLE_SEED + number for number in range(count)], psi=1.0).clamp(-1, 1)


def markdown(scores: Sequence[PhotographScore]) -> str:
    """Two tables: each trait and the means of each way, then the share that is right by kind of change."""
    out = io.StringIO()
    ways = [way for way in WAYS if any(row.way == way for row in scores)]
    most = {row.number for row in scores if row.way == ways[-1]}
    seen = {trait for row in scores for trait in row.traits.split()}
    names = [name for known in LOOKED_FOR.values() if seen <= {*known} for name in known][: len(LOOKED_FOR["people"])]
    out.write(f"| way | pictures | {' | '.join(name.replace('_', ' ') for name in names)} | right | readable ")
    out.write(f"| colours | sharpness | seconds |\n|---|--:{'|--:' * (len(names) + 5)}|\n")
    for way in ways:
        for rows, which in _parts(scores, way, most):
            shares = (statistics.fmean(name in row.traits.split() for row in rows) for name in names)
            out.write(
                f"| {way}{which} | {len(rows)} | {' | '.join(f'{share:.0%}' for share in shares)} "
                f"| {_mean(rows, 'right'):.1%} | {_mean(rows, 'readable'):.1%} | {_mean(rows, 'colours'):.3f} "
                f"| {_mean(rows, 'sharpness'):.4f} | {statistics.median(row.seconds for row in rows):.1f} |\n"
            )
    out.write(f"\n| change | pictures | {' | '.join(ways)} | readable | taken as a portrait |\n")
    out.write(f"|---|--:{'|--:' * (len(ways) + 2)}|\n")
    for kind in dict.fromkeys(row.change for row in scores):
        rows = [row for row in scores if row.change == kind]
        first = [row for row in rows if row.way == ways[0]]
        shares = ([row.right for row in rows if row.way == way] for way in ways)
        out.write(
            f"| {kind} | {len(first)} | {' | '.join(f'{statistics.fmean(s):.1%}' if s else '–' for s in shares)} "
            f"| {_mean(first, 'readable'):.1%} | {statistics.fmean(r.taken_as == 'portrait' for r in first):.0%} |\n"
        )
    return out.getvalue()


def _parts(scores: Sequence[PhotographScore], way: str, most: set[int]) -> Iterator[tuple[list[PhotographScore], str]]:
    """All rows of a way, and, where another way has fewer pictures, those of these pictures alone."""
    rows = [row for row in scores if row.way == way]
    yield rows, ""
    few = [row for row in rows if row.number in most]
    if len(few) < len(rows):
        yield few, ", the same pictures as pixels"


def _mean(rows: Sequence[PhotographScore], name: str) -> float:
    return statistics.fmean(getattr(row, name) for row in rows)
