"""The comparison of methods: the same targets, seeds and samples for each, measured by the judge.

Runs come from the library where they exist and are made where they don't.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..catalog import judge_of, load_generator, load_judge
from ..config import AdaptConfig
from ..library import Entry, load_adapted
from ..runs import finished_run
from ..sampling import draw
from .judge_score import judge_score
from .kept_attributes import kept_attributes, kept_identity
from .spread import identity_spread

#: Samples are drawn from these seeds on: never watched in a preview, never part of a training pool.
FIRST_SAMPLE_SEED = 500_000


@dataclass(frozen=True)
class Score:
    """One run, measured. judge, attributes: shares 0–1. identity: cosine. diversity: ratio to the source's.

    loss: mean adaptation loss of the last twenty steps. seconds: of the run that made it, on its machine.
    """

    target: str
    method: str
    seed: int
    judge: float
    diversity: float
    attributes: float
    identity: float
    loss: float
    seconds: float


def score(entry: Entry, samples: int = 200, psi: float = 0.7) -> Score:
    """Measure one run on `samples` fresh latents at truncation `psi`. InputError if its model has no judge."""
    config = entry.config
    judge = load_judge(judge_of(config.model))
    seeds = range(FIRST_SAMPLE_SEED, FIRST_SAMPLE_SEED + samples)
    domain = judge.subject.domain(config.target)
    before = judge.read(draw(load_generator(config.model), seeds, psi))
    after = judge.read(draw(load_adapted(entry.path), seeds, psi))
    losses = [float(row["adaptation"]) for row in entry.history() if row["stage"] == "generator"][-20:]
    return Score(
        target=config.target,
        method=config.method,
        seed=config.seed,
        judge=judge_score(after, domain),
        diversity=identity_spread(before, after),
        attributes=kept_attributes(before, after, domain),
        identity=kept_identity(before, after),
        loss=statistics.fmean(losses),
        seconds=float(entry.settings["seconds"]),
    )


def compare(configs: Sequence[AdaptConfig], samples: int = 200, psi: float = 0.7) -> Iterator[Score]:
    """A Score for every configuration, as each is done. InputError, before any run, for what can't be judged."""
    for config in configs:
        load_judge(judge_of(config.model)).subject.domain(config.target)
    for config in configs:
        yield score(finished_run(config), samples, psi)


def markdown(scores: Sequence[Score]) -> str:
    """A table with a row a target and method: the mean over seeds, and the lowest judge score of any seed."""
    out = io.StringIO()
    out.write("| target | method | seeds | judge | lowest | diversity | attributes kept | identity |\n")
    out.write("|---|---|--:|--:|--:|--:|--:|--:|\n")
    groups: dict[tuple[str, str], list[Score]] = {}
    for row in scores:
        groups.setdefault((row.target, row.method), []).append(row)
        groups.setdefault(("**all**", row.method), []).append(row)
    for (target, method), rows in sorted(groups.items(), key=lambda item: item[0][0] == "**all**"):
        mean = {
            f: statistics.fmean(getattr(r, f) for r in rows) for f in ("judge", "diversity", "attributes", "identity")
        }
        out.write(
            f"| {target} | {method} | {len({r.seed for r in rows})} "
            f"| {mean['judge']:.1%} | {min(r.judge for r in rows):.1%} "
            f"| {mean['diversity']:.2f} | {mean['attributes']:.1%} | {mean['identity']:.2f} |\n"
        )
    return out.getvalue()
