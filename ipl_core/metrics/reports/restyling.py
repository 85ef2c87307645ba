"""How well restyling preserves a person: portraits of known sitters are inverted and drawn by adapted generators.

Every figure is given for the restyled picture, for the inversion before restyling, and for the renderer's own picture
of the sitter in the domain. The last is the upper limit: a charcoal drawing of a person has no eye colour.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...drawing.mixing import Mixer
from ...errors import InputError
from ...generators.invert import Perceptual, view_of
from ...library.find_or_run import finished_run
from ...library.store import Entry
from ...methods.config import AdaptConfig, InvertConfig
from ...methods.registry import method_of
from ...models.catalog import judge_of, load_generator, load_judge
from ...pictures.media import to_float, to_uint8
from ...running.steps import InvertResult
from ...studio.judge import Judge
from ...studio.world.attributes import Sitters
from ...studio.world.domains import Domain
from ..judge_score import judge_score
from ..kept_attributes import kept_identity
from ..ssim import ssim

#: The method of rows that measure the renderer's own picture of the sitter in the domain.
TRUE = "true picture"
_PAPER_SEED = 7_901  # of grain and strokes in true pictures


@dataclass(frozen=True)
class RestyleScore:
    """A portrait after restyling, measured against the portrait itself.

    preset: of the inversion. method: of the adaptation, or TRUE. number: which sitter. judge: 1 if the judge calls the
    picture the target, else 0. identity: cosine of the judge's identity vectors. attributes: share of its readings
    that are the truth, colours left out where the domain has its own. ssim: up to 1. perceptual: the distance that the
    inversion's own loss uses. The same with _before: of the inversion, before restyling.
    """

    preset: str
    target: str
    method: str
    seed: int
    number: int
    judge: float
    identity_before: float
    identity: float
    attributes_before: float
    attributes: float
    ssim_before: float
    ssim: float
    perceptual_before: float
    perceptual: float


class Restyling:
    """Adapted generators by which inverted portraits are drawn and measured; runs that don't exist are made.

    configs: what to adapt, all from `model`. sitters: who is portrayed, in the order of their numbers.
    Raises InputError, before any run, for a domain or a model that can't be judged.
    """

    def __init__(self, configs: Sequence[AdaptConfig], sitters: Sitters, model: str) -> None:
        self._judge, self._sitters = load_judge(judge_of(model)), sitters
        if any(config.model != model for config in configs):
            raise InputError(f"Portraits that were inverted with “{model}” are restyled by what was adapted from it.")
        domains = [self._judge.subject.domain(config.target) for config in configs]
        self._runs: list[tuple[Entry, Domain]] = [(finished_run(config), d) for config, d in zip(configs, domains)]
        self._mixer = Mixer(model, generator=load_generator(model))

    def scores(self, config: InvertConfig, number: int, portrait: Tensor, inverted: InvertResult) -> list[RestyleScore]:
        """A score for each adapted generator, and one for each domain's true picture.

        config: of the inversion. portrait: sitter `number`, uint8 (1, R, R, 3). inverted: its result.
        """
        target = to_float(portrait)
        measured = _Measured(self._judge, self._judge.subject.labels(self._sitters)[number], target, view_of(config))
        latent = dict(inverted.latent)
        w_plus = latent.pop("w_plus")
        noise = [latent[f"noise.{k}"] for k in range(len(latent))] or "const"
        tuned = self._mixer.fitted(inverted.weights, "the inversion")
        rows = []
        for entry, domain in self._runs:
            drawn = self._mixer.draw(w_plus, self._mixer.weights([(entry, 1.0)], [(tuned, 1.0)]), noise)
            before, after = (
                measured(to_float(inverted.pictures.after), domain),
                measured(to_float(to_uint8(drawn)), domain),
            )
            facts = (config.preset, domain.name, method_of(entry.config), entry.config.seed, number)
            rows.append(_row(facts, before, after))
        for domain in dict.fromkeys(domain for _, domain in self._runs):
            true = measured(self._true_picture(number, domain, portrait.shape[1]), domain)
            before = measured(to_float(inverted.pictures.after), domain)
            rows.append(_row((config.preset, domain.name, TRUE, 0, number), before, true))
        return rows

    def _true_picture(self, number: int, domain: Domain, resolution: int) -> Tensor:
        random = torch.Generator().manual_seed(_PAPER_SEED + number)
        sitter = self._sitters.select(slice(number, number + 1))
        picture = self._judge.subject.render(domain, sitter, random, resolution, supersample=2)
        return to_float(to_uint8(picture))


class _Measured:
    """Pictures (1, 3, R, R) measured against one portrait: judge, identity, attributes, ssim, perceptual."""

    def __init__(self, judge: Judge, truth: Tensor, portrait: Tensor, view: Perceptual) -> None:
        self._judge, self._truth, self._portrait = judge, truth, portrait
        self._seen, self._distance = judge.read(portrait), view(portrait)

    @torch.no_grad()
    def __call__(self, picture: Tensor, domain: Domain) -> tuple[float, float, float, float, float]:
        seen = self._judge.read(picture)
        right = [
            float(int(reading.argmax(1)) == int(label))
            for trait, reading, label in zip(seen.subject.traits, seen.traits, self._truth)
            if domain.colours or not trait.colour
        ]
        return (
            judge_score(seen, domain),
            kept_identity(self._seen, seen),
            statistics.fmean(right),
            float(ssim(self._portrait, picture)),
            float(self._distance(picture)),
        )


def _row(facts: tuple[str, str, str, int, int], before: tuple[float, ...], after: tuple[float, ...]) -> RestyleScore:
    both = [value for pair in zip(before[1:], after[1:]) for value in pair]
    return RestyleScore(*facts, after[0], *both)


def markdown(scores: Sequence[RestyleScore]) -> str:
    """A table with a row a preset, target and method, before → after; then a row a method over all targets."""
    out = io.StringIO()
    out.write("| preset | target | method | pictures | judge | identity | attributes | SSIM | perceptual |\n")
    out.write("|---|---|---|--:|--:|--:|--:|--:|--:|\n")
    groups: dict[tuple[str, str, str], list[RestyleScore]] = {}
    for row in scores:
        groups.setdefault((row.preset, row.target, row.method), []).append(row)
        groups.setdefault((row.preset, "**all**", row.method), []).append(row)
    for (preset, target, method), rows in sorted(groups.items(), key=lambda item: item[0][1] == "**all**"):

        def mean(name: str, form: str, rows: Sequence[RestyleScore] = rows) -> str:
            values = (statistics.fmean(getattr(row, part) for row in rows) for part in (f"{name}_before", name))
            return " → ".join(format(value, form) for value in values)

        judge = statistics.fmean(row.judge for row in rows)
        out.write(
            f"| {preset} | {target} | {method} | {len(rows)} | {judge:.1%} | {mean('identity', '.3f')} "
            f"| {mean('attributes', '.1%')} | {mean('ssim', '.3f')} | {mean('perceptual', '.4f')} |\n"
        )
    return out.getvalue()
