"""The comparison of methods: the same targets, seeds and samples for each, measured by the judge and by true renders.

Runs come from the library where they exist and are made where they don't.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from ...drawing.sampling import draw
from ...errors import InputError
from ...latents import generator_from_seed, latents_from_seeds
from ...library.find_or_run import finished_run
from ...library.store import Entry, run_key
from ...methods.config import AdaptConfig
from ...methods.registry import method_of
from ...models.catalog import generator_digest, judge_of, load_adapted, load_generator, load_judge
from ...studio.data import at_half
from ...studio.judge import Verdict
from ...studio.way import change_made
from ...studio.world.domains import PHOTO, Domain
from ..intervals import t_interval
from ..judge_score import judge_score
from ..kept_attributes import kept_attributes, kept_identity
from ..spread import identity_spread

#: Samples are drawn from these seeds on: never watched in a preview, never part of a training pool.
FIRST_SAMPLE_SEED = 500_000
#: What every other method is compared with.
BASELINE = "nada"
# Sitters whose true renders are compared with what is drawn of them.
_SITTERS = 100


@dataclass(frozen=True)
class Score:
    """One run, measured. judge, attributes: shares 0–1. identity: cosine. diversity: ratio to the source's.

    method: as `registry.method_of` names it. way_areas, way_strokes: see `change_made`, of sitters without truncation,
    whose true renders are known. loss: mean adaptation loss of the last twenty steps. seconds: of the run that made it,
    on its machine; threads: of that run, which its last bits depend on. samples, psi: what it was measured on. run:
    which run of which weights it is, the first digits of its key.
    """

    target: str
    method: str
    seed: int
    judge: float
    diversity: float
    attributes: float
    identity: float
    way_areas: float
    way_strokes: float
    loss: float
    seconds: float
    threads: int
    samples: int
    psi: float
    run: str


def run_of(config: AdaptConfig) -> str:
    """The first digits of a run's key; InputError as `library.run_key`."""
    return run_key(config)[:16]


def score(entry: Entry, samples: int = 200, psi: float = 0.7) -> Score:
    """Measure one run on `samples` fresh latents at truncation `psi`. InputError if its model has no judge."""
    config = entry.config
    judge = load_judge(judge_of(config.model))
    domain = judge.subject.domain(config.target)
    before = _source_read(config.model, generator_digest(config.model), samples, psi)
    after = judge.read(draw(load_adapted(entry.path), _seeds(samples), psi))
    losses = [float(row["adaptation"]) for row in entry.history() if row["stage"] == "generator"][-20:]
    areas, lines = way(entry)
    return Score(
        target=config.target,
        method=method_of(config),
        seed=config.seed,
        judge=judge_score(after, domain),
        diversity=identity_spread(before, after),
        attributes=kept_attributes(before, after, domain),
        identity=kept_identity(before, after),
        way_areas=areas,
        way_strokes=lines,
        loss=statistics.fmean(losses),
        seconds=entry.run.seconds,
        threads=entry.record.threads,
        samples=samples,
        psi=psi,
        run=run_of(config),
    )


def way(entry: Entry, sitters: int = _SITTERS) -> tuple[float, float]:
    """`change_made` by one run, on sitters at half the size, which is what the critic sees.

    Latents are not truncated, as only then the renderer knows whom each stands for.
    """
    config = entry.config
    subject = load_judge(judge_of(config.model)).subject
    before, photos = _source_drawn(config.model, generator_digest(config.model), sitters)
    after = _at_half(draw(load_adapted(entry.path), _seeds(sitters), psi=1.0))
    return change_made(before, after, photos, _rendered(config.model, subject.domain(config.target), sitters))


def _seeds(count: int) -> range:
    return range(FIRST_SAMPLE_SEED, FIRST_SAMPLE_SEED + count)


@lru_cache(maxsize=2)
def _source_read(model: str, digest: str, samples: int, psi: float) -> Verdict:
    """The judge's word on the source's samples, which all runs of a table share. digest: of the model's file."""
    return load_judge(judge_of(model)).read(draw(load_generator(model), _seeds(samples), psi))


@lru_cache(maxsize=2)
def _source_drawn(model: str, digest: str, sitters: int) -> tuple[Tensor, Tensor]:
    """Sitters as the source draws them, and their photos by the renderer. digest: of the model's file."""
    return _at_half(draw(load_generator(model), _seeds(sitters), psi=1.0)), _rendered(model, PHOTO, sitters)


def _rendered(model: str, domain: Domain, sitters: int) -> Tensor:
    shape, subject = load_generator(model).config, load_judge(judge_of(model)).subject
    who = subject.sitters_from_latents(latents_from_seeds(_seeds(sitters), shape.z_dim))
    return _at_half(subject.render(domain, who, generator_from_seed(0, "grain of true renders"), shape.resolution))


def _at_half(pictures: Tensor) -> Tensor:
    return at_half(pictures.clamp(-1, 1))


def _check(configs: Sequence[AdaptConfig], scores: Sequence[Score], samples: int, psi: float) -> None:
    """Raises what `compare` refuses."""
    known = {(row.target, row.method, row.seed): row for row in scores}
    for config in configs:
        load_judge(judge_of(config.model)).subject.domain(config.target)
        row = known.get((config.target, method_of(config), config.seed))
        if row is not None and (row.run, row.samples, row.psi) != (run_of(config), samples, psi):
            raise InputError(
                f"There is a row of {row.target}, {row.method}, seed {row.seed} by other settings, weights or samples: "
                "give another folder."
            )


def compare(
    configs: Sequence[AdaptConfig],
    samples: int = 200,
    psi: float = 0.7,
    scores: Sequence[Score] = (),
    failed: Callable[[AdaptConfig, InputError], None] | None = None,
) -> Iterator[Score]:
    """A Score for every configuration that `scores` don't have yet, as each is done.

    failed: told of a run that fails, and the others are made; without it the error ends all. Raises InputError, before
    any run, for what can't be judged, and for a target, method and seed that `scores` have of another run.
    """
    _check(configs, scores, samples, psi)
    have = {row.run for row in scores}
    for config in configs:
        if run_of(config) in have:
            continue
        try:
            yield score(finished_run(config), samples, psi)
        except InputError as error:
            if failed is None:
                raise
            failed(config, error)


_MEASURES = ("judge", "diversity", "attributes", "identity", "way_areas", "way_strokes")


def markdown(scores: Sequence[Score]) -> str:
    """A table with a row a target and method, the mean over seeds and the lowest judge score of any seed; under it how
    the methods differ from NADA."""
    out = io.StringIO()
    out.write(
        "| target | method | seeds | judge | lowest | diversity | attributes kept | identity | way, areas "
        "| way, strokes |\n"
    )
    out.write("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
    groups: dict[tuple[str, str], list[Score]] = {}
    for row in scores:
        groups.setdefault((row.target, row.method), []).append(row)
        groups.setdefault(("**all**", row.method), []).append(row)
    for (target, method), rows in sorted(groups.items(), key=lambda item: item[0][0] == "**all**"):
        mean = {name: statistics.fmean(getattr(row, name) for row in rows) for name in _MEASURES}
        out.write(
            f"| {target} | {method} | {len({row.seed for row in rows})} "
            f"| {mean['judge']:.1%} | {min(row.judge for row in rows):.1%} "
            f"| {mean['diversity']:.2f} | {mean['attributes']:.1%} | {mean['identity']:.2f} "
            f"| {mean['way_areas']:.2f} | {mean['way_strokes']:.2f} |\n"
        )
    differences = paired(scores)
    return out.getvalue() + (f"\n{differences}" if differences else "")


def paired(scores: Sequence[Score]) -> str:
    """How each method differs from NADA, paired by target and seed, as a table; "" where there are no pairs.

    Each difference is the mean over the targets that both have with every seed; its 95 % interval is over seeds.
    Beside it: in how many targets both diversity and attributes, as means over seeds, are above NADA's.
    """
    by_method: dict[str, dict[tuple[str, int], Score]] = {}
    for row in scores:
        by_method.setdefault(row.method, {})[row.target, row.seed] = row
    base = by_method.pop(BASELINE, {})
    lines = []
    for method, rows in by_method.items():
        both = rows.keys() & base.keys()
        seeds = sorted({seed for _, seed in both})
        targets = [target for target in dict.fromkeys(t for t, _ in rows) if all((target, s) in both for s in seeds)]
        if not (seeds and targets):
            continue

        def difference(name: str, target: str, seed: int, rows: dict[tuple[str, int], Score] = rows) -> float:
            return getattr(rows[target, seed], name) - getattr(base[target, seed], name)

        cells = []
        for name in _MEASURES:
            found = t_interval([statistics.fmean(difference(name, t, s) for t in targets) for s in seeds])
            cells.append(_with_interval(*found, percent=name in ("judge", "attributes")))
        better = sum(
            all(statistics.fmean(difference(name, t, s) for s in seeds) > 0 for name in ("diversity", "attributes"))
            for t in targets
        )
        lines.append(f"| {method} | {len(targets)} | {len(seeds)} | {' | '.join(cells)} | {better} of {len(targets)} |")
    if not lines:
        return ""
    heads = "| method − NADA | targets | seeds | judge | diversity | attributes kept | identity | way, areas "
    heads += "| way, strokes | better in diversity and attributes |"
    return "\n".join([heads, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|", *lines]) + "\n"


def _with_interval(mean: float, half: float, percent: bool) -> str:
    scale, unit, digits = (100, " points", 1) if percent else (1, "", 3)
    around = f" ± {scale * half:.{digits}f}" if math.isfinite(half) else ""
    return f"{scale * mean:+.{digits}f}{around}{unit}"
