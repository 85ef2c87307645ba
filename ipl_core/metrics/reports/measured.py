"""Runs measured by the registry's metrics, and what each score stands beside: the source, a floor and a ceiling.

All of them are comparisons, so they are measured alike:
  source   the source's pictures in the place of adapted ones;
  floor    true pictures of other sitters in the domain: what needs no likeness is as good as it gets, and what
           compares a person with the picture of somebody else is as bad;
  ceiling  the renderer's pictures of the sitters in the domain, beside its photos of the same sitters.
Floor and ceiling exist in the portrait studio alone.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...drawing.sampling import draw
from ...errors import InputError
from ...generators.stylegan2.network import Generator
from ...latents import generator_from_seed, latents_from_seeds
from ...library.find_or_run import finished_run
from ...library.store import Entry, run_key
from ...methods.config import AdaptConfig
from ...methods.registry import settings_of
from ...models.catalog import generator_digest, load_adapted, load_generator, own_judge
from ...pictures.media import to_float, to_uint8
from ...pictures.reading import read_picture
from ...storage.paths import as_path
from ...storage.values import truncation, whole
from ...studio.world.attributes import Sitters
from ...studio.world.domains import PHOTO, Domain
from ...studio.world.subject import Subject
from ..comparison import Comparison
from ..features import LARGEST_SIDE, Pictures
from ..metric import Metric
from ..networks import Networks
from ..registry import METRICS, lacking, measure, metrics_of
from ..registry import settings_of as metric_settings
from ..sifid import APART
from .methods import FIRST_SAMPLE_SEED

SOURCE, FLOOR, CEILING = "source", "floor", "ceiling"
#: What stands beside methods and is no run.
BESIDE = (SOURCE, FLOOR, CEILING)
REFERENCES = 20  # of the embedded family, of which the first three are R1, R2, R3
_PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Measuring:
    """How all runs of a table are measured.

    family: "embedded" or "real". samples: fresh latents a run. psi: their truncation; at 1 the renderer knows whom each
    stands for. true: true pictures that distributions are compared with, and of the floor. groups: of pictures that the
    jackknife leaves out. judge_clip: name of a CLIP that adaptation doesn't follow, "" for none. metrics: names, none
    for all of the family. references, truth: folders with a folder of pictures for each target, for models that nobody
    renders; "" for none. Raises InputError for values outside their limits.
    """

    family: str = "embedded"
    samples: int = 500
    psi: float = 1.0
    true: int = 500
    groups: int = 10
    judge_clip: str = ""
    metrics: tuple[str, ...] = ()
    references: str = ""
    truth: str = ""

    def __post_init__(self) -> None:
        whole(self.samples, "Samples", 2, 50_000)
        whole(self.true, "True pictures", 2, 50_000)
        whole(self.groups, "Groups of pictures", 0, 100)
        truncation(self.psi)
        metrics_of(self.family)
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise InputError(f"There is no metric “{unknown[0]}”: use some of {', '.join(METRICS)}.")

    @property
    def chosen(self) -> list[Metric]:
        """The metrics that are to measure."""
        return [METRICS[name] for name in self.metrics] or metrics_of(self.family)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; `from_dict` gives it back."""
        return {**asdict(self), "metrics": list(self.metrics)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measuring:
        """What `to_dict` gave."""
        return cls(**{**values, "metrics": tuple(values["metrics"])})


def measure_run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A task of a sweep: makes a run where it isn't in the library, and measures it.

    settings: of `run_settings`. Gives the scores by column, what the run's training took, and under "unmeasured" the
    names of metrics that could not measure it. Raises InputError as `finished_run`, or where nothing can be measured.
    """
    measuring = Measuring.from_dict(settings["measuring"])
    facts: dict[str, Any] = {}
    entry = None
    if settings["method"] not in BESIDE:
        entry = finished_run(config_of(settings))
        facts = _facts(entry)
    comparison = compared(settings, measuring, entry)
    found = measure(measuring.chosen, comparison, measuring.groups)
    if not found.scores:
        raise InputError(f"Nothing can be measured: {next(iter(found.lacking.values()))}")
    if comparison.references is not None:
        hashes = [hashlib.sha256(level.numpy().tobytes()) for level in comparison.references.levels[:APART]]
        facts["references"] = " ".join(one.hexdigest()[:12] for one in hashes)
    return {**found.scores, **facts, "unmeasured": " ".join(found.lacking)}


def described(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """How a row of a target is measured, before any run: the settings of each metric, and why others can't measure."""
    measuring = Measuring.from_dict(settings["measuring"])
    comparison = compared({**settings, "method": SOURCE}, measuring)
    lack = {metric.name: lacking(metric, comparison) for metric in measuring.chosen}
    can = [metric for metric in measuring.chosen if not lack[metric.name]]
    return {metric.name: metric_settings(metric, comparison) for metric in can}, {
        n: why for n, why in lack.items() if why
    }


def run_settings(target: str, method: str, seed: int, measuring: Measuring, **more: Any) -> dict[str, Any]:
    """The settings of one row, ready for JSON.

    method: as `registry.settings_of` knows it, or one of BESIDE, which have no seed. more: further settings of
    AdaptConfig (model, source, preset …), and "row" and "level", by which a table names what varies. "weights" tells
    rows apart that other weights were measured for. Raises InputError for settings or a model that can't be used.
    """
    named = {name: more.pop(name) for name in ("row", "level") if name in more}
    changes = dict(sorted(more.items()))
    if method in BESIDE:  # the same beside every method, whatever the settings of runs
        changes = {name: value for name, value in changes.items() if name in ("model", "critic")}
        seed, named = 0, {name: value for name, value in named.items() if name == "row"}
    which = {"row": target, **named, "target": target, "method": method, "seed": seed}
    settings = {**which, "changes": changes, "measuring": measuring.to_dict()}
    model = changes.get("model", AdaptConfig.model)
    weights = generator_digest(model) if method in BESIDE else run_key(config_of(settings))
    return {**settings, "weights": weights[:16]}


def config_of(settings: Mapping[str, Any]) -> AdaptConfig:
    """The run that a row measures. Raises InputError for settings that AdaptConfig refuses."""
    which = {"target": settings["target"], "seed": settings["seed"]}
    return AdaptConfig.from_dict({**which, **settings_of(settings["method"]), **settings["changes"]})


def _facts(entry: Entry) -> dict[str, Any]:
    losses = [float(row["adaptation"]) for row in entry.history() if row["stage"] == "generator"][-20:]
    return {
        "loss": statistics.fmean(losses) if losses else None,
        "trained_seconds": entry.run.seconds,
        "trained_threads": entry.record.threads,
    }


# ----------------------------------------------------------------------------------------------------------------------
# Comparisons


def compared(settings: Mapping[str, Any], measuring: Measuring, entry: Entry | None = None) -> Comparison:
    """The comparison that a row stands for. entry: of its run, None for one of BESIDE.

    Raises InputError for a floor or a ceiling where nobody renders the target, and for pictures that can't be read.
    """
    target, changes = settings["target"], settings["changes"]
    model = changes.get("model", AdaptConfig.model)
    digest = generator_digest(model)
    networks = _networks(model, digest, changes.get("critic"), measuring.judge_clip)
    source = _source(model, digest, measuring.samples, measuring.psi)
    studio = Studio.of(model, target)
    truth = _given(measuring.truth, target) if studio is None else studio.true("true pictures", measuring.true)
    references = _given(measuring.references, target) if studio is None else studio.references()
    domain = None if studio is None else studio.domain
    if entry is not None:
        key = f"run {run_key(entry.config)} {_seeds_key(measuring)}"
        pictures = _drawn(key, load_adapted(entry.path), measuring.samples, measuring.psi)
    elif settings["method"] == SOURCE:
        pictures = source
    elif studio is None:
        raise InputError(f"“{target}” has no {settings['method']} with “{model}”: nobody knows true pictures of it.")
    elif settings["method"] == FLOOR:
        pictures = studio.true("floor", measuring.samples)
    else:
        source, pictures = studio.sitters(PHOTO, measuring.samples), studio.sitters(domain, measuring.samples)
    return Comparison(source, pictures, target, networks, domain, truth, references)


@lru_cache(maxsize=4)
def _networks(model: str, digest: str, critic: str | None, judge_clip: str) -> Networks:
    return Networks(model, critic, judge_clip or None)


def _seeds(count: int) -> range:
    return range(FIRST_SAMPLE_SEED, FIRST_SAMPLE_SEED + count)


def _seeds_key(measuring: Measuring) -> str:
    return f"from {FIRST_SAMPLE_SEED}, psi {measuring.psi:g}, at most {LARGEST_SIDE}"


def _drawn(key: str, generator: Generator, count: int, psi: float) -> Pictures:
    return Pictures(key, count, lambda places: draw(generator, [_seeds(count)[k] for k in places], psi))


@lru_cache(maxsize=2)
def _source(model: str, digest: str, samples: int, psi: float) -> Pictures:
    """The source's pictures, which all runs of a table share. digest: of the model's file."""
    key = f"model {digest} from {FIRST_SAMPLE_SEED}, psi {psi:g}, at most {LARGEST_SIDE}"
    return _drawn(key, load_generator(model), samples, psi)


@lru_cache(maxsize=8)
def _given(folder: str, target: str) -> Pictures | None:
    """The pictures of a target in a person's folder, their middle squares at one size; None where none was named."""
    if not folder:
        return None
    place = as_path(folder) / target
    files = sorted(f for f in place.glob("*") if f.suffix.lower() in _PICTURE_ENDINGS) if place.is_dir() else []
    if not files:
        raise InputError(f"There are no pictures of “{target}” in {place}: put PNG, JPEG or WebP files there.")
    levels = torch.cat([_square(file) for file in files])
    digest = hashlib.sha256(levels.numpy().tobytes()).hexdigest()
    return Pictures(f"files {digest}", len(files), lambda places: to_float(levels[list(places)]))


def _square(file: Path) -> Tensor:
    """A file's middle square as bytes (1, 256, 256, 3)."""
    import numpy as np

    picture = read_picture(file).convert("RGB")
    side = min(picture.size)
    if side < LARGEST_SIDE:
        raise InputError(
            f"{file} is {picture.size[0]}×{picture.size[1]}; pictures need at least {LARGEST_SIDE} a side."
        )
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((LARGEST_SIDE,) * 2, 4)  # box, an average
    return torch.from_numpy(np.array(square))[None]


# ----------------------------------------------------------------------------------------------------------------------
# True pictures


def is_rendered(model: str, target: str) -> bool:
    """Whether true pictures of a target are known for a model, and so a floor and a ceiling."""
    return Studio.of(model, target) is not None


@dataclass(frozen=True)
class Studio:
    """A model whose sitters the renderer knows, and one of their domains: what floors and ceilings are drawn from."""

    model: str
    subject: Subject
    domain: Domain

    @classmethod
    def of(cls, model: str, target: str) -> Studio | None:
        """None for a model without a judge, or words that are no domain of its subject."""
        judge = own_judge(model)
        if judge is None:
            return None
        try:
            return cls(model, judge.subject, judge.subject.domain(target))
        except InputError:
            return None

    def true(self, purpose: str, count: int) -> Pictures:
        """Pictures of random sitters in the domain; those of another purpose are others."""
        return self._rendered(self.domain, purpose, count, 1)

    def references(self) -> Pictures:
        """Single pictures of held-out sitters, drawn at twice the size and averaged."""
        return self._rendered(self.domain, "references", REFERENCES, 2)

    def sitters(self, domain: Domain, count: int) -> Pictures:
        """Pictures of the sitters that the sampled latents stand for, in a domain."""
        return self._rendered(domain, "", count, 1)

    def _rendered(self, domain: Domain, purpose: str, count: int, supersample: int) -> Pictures:
        shape = load_generator(self.model).config
        return _renders(shape.resolution, shape.z_dim, self.subject, domain, purpose, count, supersample)


@lru_cache(maxsize=6)
def _renders(
    resolution: int, z_dim: int, subject: Subject, domain: Domain, purpose: str, count: int, supersample: int
) -> Pictures:
    if purpose:
        who = subject.random(count, generator_from_seed(0, f"sitters of {purpose}"))
    else:
        who = subject.sitters_from_latents(latents_from_seeds(_seeds(count), z_dim))

    def render(places: range) -> Tensor:
        grain = generator_from_seed(places.start, f"grain of {purpose} of {domain.name}")
        some = _select(who, places)
        return subject.render(domain, some, grain, resolution, supersample)

    # The renderer's code may change, so its pictures are known by what the first of them look like.
    first = hashlib.sha256(to_uint8(render(range(min(2, count)))).numpy().tobytes()).hexdigest()
    key = f"renders of {subject.name} in {domain.name}, {purpose or 'sitters'} {supersample} {first}"
    return Pictures(key, count, render)


def _select(sitters: Sitters, places: Sequence[int]) -> Sitters:
    return sitters.select(slice(places[0], places[-1] + 1))
