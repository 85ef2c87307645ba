"""What is known of an adapted domain that is kept, as types: what made it, and what its files hold.

An adapted domain was trained by a run, picked from the earlier steps of one, imported from a file, or mixed from
others; its `origin` says which. settings.json holds it as JSON, whose fields only ever grow: a file that an earlier
version wrote is read, and one that this version writes can be read by an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..fields import earlier_values
from ..methods.config import AdaptConfig
from ..storage import stored, words

#: What is measured of a finished model, see `metrics.side_by_side`.
FIGURES = ("judge", "diversity", "attributes", "identity", "distance")
MAX_TITLE = 80  # characters
MAX_READING = 1000  # characters of what a prompt says of a person
_MAX_STEPS = 1_000_000  # that a record may speak of
#: What the settings that came later mean in runs that were kept before.
EARLIER = earlier_values(AdaptConfig)


@dataclass(frozen=True)
class FileFacts:
    """What tells whether a file is as it was written: its size in bytes and its sha256."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class EarlierStep(FileFacts):
    """An earlier step of a run, whose weights were kept; diversity: of its previews, where it was measured."""

    diversity: float | None = None


@dataclass(frozen=True)
class Resumed:
    """Where a run went on: after which step of which entry; exactly: with the state of its training.

    as_one_run: whether the weights are those of a run in one go, since no run that it goes on from went on otherwise.
    """

    entry: str
    step: int
    exactly: bool
    as_one_run: bool

    def written(self) -> dict[str, Any]:
        """As settings.json holds it."""
        return {"entry": self.entry, "step": self.step, "exactly": self.exactly, "as one run": self.as_one_run}


@dataclass(frozen=True)
class Trained:
    """A run made it, as `config` says.

    prompt_steps, generator_steps: steps made in stage 1 and 2. stopped: why it ended before its last step ("asked",
    "not finite"), None if it did not. revision: of the method, None where it wasn't noted. resumed: None for a run in
    one go.
    """

    made: ClassVar[str] = "adapted"

    config: AdaptConfig
    prompt_steps: int
    generator_steps: int
    seconds: float
    stopped: str | None = None
    revision: int | None = None
    resumed: Resumed | None = None

    @property
    def in_one_go(self) -> bool:
        """Whether its weights are those of a run that never ended on the way."""
        return self.resumed is None or self.resumed.as_one_run


@dataclass(frozen=True)
class Picked(Trained):
    """An earlier step of a run, made an entry of its own; generator_steps says which."""


@dataclass(frozen=True)
class Imported:
    """It came from a file.

    file, sha256: what the file was called, and its hash. changes_mapping: whether the mapping network differs from the
    model's. run: the settings of the run that it came from, where the file says them.
    """

    made: ClassVar[str] = "imported"

    file: str
    sha256: str
    changes_mapping: bool
    run: Mapping[str, Any] = field(default_factory=dict)

    def written(self) -> dict[str, Any]:
        """As settings.json holds it."""
        facts = {"file": self.file, "sha256": self.sha256, "changes mapping": self.changes_mapping}
        return {**facts, **({"run": dict(self.run)} if self.run else {})}


@dataclass(frozen=True)
class Part:
    """A part of a mix: the name of an entry, its share, and what its settings.json said of how it was made."""

    entry: str
    share: float
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Mixed:
    """It is a mix of other entries."""

    made: ClassVar[str] = "mixed"

    parts: tuple[Part, ...]

    def written(self) -> list[dict[str, Any]]:
        """As settings.json holds it."""
        return [{"entry": part.entry, "share": part.share, "config": dict(part.config)} for part in self.parts]


Origin = Trained | Picked | Imported | Mixed


@dataclass(frozen=True)
class Domain:
    """A domain that was adapted to, whatever did it.

    model, critic: the generator that it was adapted from and the CLIP model that goes with it, by name or path; critic
    None is the model's own. source, target: in words. preview_seeds, preview_psi: the people in its pictures.
    """

    target: str
    source: str
    model: str
    critic: str | None
    preview_seeds: tuple[int, ...]
    preview_psi: float

    @classmethod
    def of(cls, config: AdaptConfig) -> Domain:
        """The domain that a run adapts to."""
        names = ("target", "source", "model", "critic", "preview_seeds", "preview_psi")
        return cls(**{name: getattr(config, name) for name in names})

    @classmethod
    def named(cls, target: str, source: str, model: str, critic: str | None) -> Domain:
        """A domain with the usual previews. Raises InputError for words or names that can't be used."""
        return cls.of(AdaptConfig(target, source=source, model=model, critic=critic))

    def written(self) -> dict[str, Any]:
        """The settings that stand for it in settings.json, where earlier versions read those of a run."""
        facts = {"model": self.model, "critic": self.critic, "preview_psi": self.preview_psi}
        return AdaptConfig(self.target, source=self.source, preview_seeds=self.preview_seeds, **facts).to_dict()


@dataclass(frozen=True)
class Measured:
    """What was measured when a finished model was made: how many samples, and FIGURES of the source and of itself."""

    samples: int
    source: Mapping[str, float]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """What settings.json of an adapted domain says.

    critic: the CLIP model's name or path, never None. key: of the run, "" where it wasn't noted. title: the name that a
    person gave, "" for none. created: time in ISO 8601. threads: that computed it, 0 where
    that wasn't noted. weights, training, earlier: the files of tensors; training
    None where the state wasn't kept. readings: what the prompts of the preview seeds say, by seed. left_out: whether
    there was no room for earlier steps or the state of training. measured: of a finished model alone.
    """

    domain: Domain
    origin: Origin
    critic: str
    model_sha256: str
    critic_sha256: str
    key: str
    title: str
    created: str
    threads: int
    weights: FileFacts
    training: FileFacts | None
    earlier: Mapping[int, EarlierStep]
    diversity: float | None
    readings: Mapping[int, str]
    left_out: bool
    measured: Measured | None


# ----------------------------------------------------------------------------------------------------------------------
# From JSON


def read_record(settings: Mapping[str, Any]) -> Record:
    """The record that settings.json holds, checked; what came later may be missing.

    Raises KeyError, ValueError, TypeError or InputError for damage.
    """
    config = read_config(settings["config"])
    names = {name: stored.text(settings[name], name, 2000) for name in ("critic", "model_sha256", "critic_sha256")}
    key = settings.get("key", "")
    title = stored.text(settings.get("title", ""), "title", MAX_TITLE)
    if not title.isprintable():
        raise ValueError("its title can't be shown")
    stored.time(settings["created"], "created")
    training, threads = settings.get("training"), settings.get("threads", 0)
    return Record(
        domain=Domain.of(config),
        origin=_origin(settings, config),
        **names,
        key=key if isinstance(key, str) else "",
        title=title,
        created=settings["created"],
        threads=threads if isinstance(threads, int) else 0,
        weights=_file_facts(settings["weights"], "weights"),
        training=None if training is None else _file_facts(training, "training"),
        earlier=_earlier(settings),
        diversity=_diversity(settings["diversity"]),
        readings=_readings(settings),
        left_out="left out" in settings,
        measured=_measured(settings["shipped"]) if "shipped" in settings else None,
    )


def read_config(config: Any) -> AdaptConfig:
    """The configuration of a run in settings.json. Raises InputError or ValueError for one that can't be."""
    return AdaptConfig.from_dict({**EARLIER, **stored.mapping(config, "config")})


def _origin(settings: Mapping[str, Any], config: AdaptConfig) -> Origin:
    stopped, steps = settings["stopped"], stored.mapping(settings["steps"], "steps")
    if stopped is not None and not stored.text(stopped, "stopped", 40).isprintable():
        raise ValueError("stopped can't be shown")
    made = stored.whole(steps["generator"], "steps of generator", _MAX_STEPS)
    learned = stored.whole(steps.get("prompts", 0), "steps of prompts", _MAX_STEPS)
    seconds = stored.number(settings["seconds"], "seconds", 0, 1e9)
    if "imported" in settings:
        return _imported(stored.mapping(settings["imported"], "imported"))
    if "mixed" in settings:
        return _mixed(settings["mixed"])
    revision = settings.get("revision")
    resumed = _resumed(settings["resumed"]) if "resumed" in settings else None
    kind = Picked if stopped == "picked" else Trained
    return kind(config, learned, made, seconds, stopped, revision if isinstance(revision, int) else None, resumed)


def _resumed(value: Any) -> Resumed:
    facts = stored.mapping(value, "resumed")
    step = stored.whole(facts["step"], "step resumed at", _MAX_STEPS)
    exactly, as_one_run = (stored.flag(facts[name], name) for name in ("exactly", "as one run"))
    return Resumed(str(facts.get("entry", "")), step, exactly, as_one_run)


def _imported(facts: Mapping[str, Any]) -> Imported:
    file = stored.text(facts["file"], "file imported from", 2000)
    changes = stored.flag(facts["changes mapping"], "changes mapping")
    run = facts.get("run", {})
    return Imported(file, str(facts.get("sha256", "")), changes, run if isinstance(run, Mapping) else {})


def _mixed(parts: Any) -> Mixed:
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"mixed is {words.quoted(parts)} instead of its parts")
    found = []
    for part in parts:
        share = stored.number(stored.mapping(part, "a part of the mix")["share"], "share", 0, 1000)
        read_config(part["config"])
        found.append(Part(str(part.get("entry", "")), share, part["config"]))
    return Mixed(tuple(found))


def _file_facts(value: Any, what: str) -> FileFacts:
    stored.file_facts(value, what)
    return FileFacts(value["bytes"], value["sha256"])


def _earlier(settings: Mapping[str, Any]) -> dict[int, EarlierStep]:
    found = {}
    for step, facts in stored.mapping(settings.get("earlier", {}), "earlier").items():
        if not re.fullmatch(r"[1-9][0-9]{0,4}", step):
            raise ValueError(f"{words.quoted(step)} is no earlier step")
        known = _file_facts(facts, f"step {step}")
        found[int(step)] = EarlierStep(known.bytes, known.sha256, _diversity(facts.get("diversity")))
    return dict(sorted(found.items()))


def _diversity(value: Any) -> float | None:
    return None if value is None else stored.number(value, "diversity", 0, 1e6)


def _readings(settings: Mapping[str, Any]) -> dict[int, str]:
    found = {}
    for seed, said in stored.mapping(settings.get("readings", {}), "readings").items():
        if not re.fullmatch(r"0|[1-9][0-9]{0,9}", seed):
            raise ValueError(f"{words.quoted(seed)} in readings is no seed")
        found[int(seed)] = words.shown(stored.text(said, f"what is read of {seed}", MAX_READING), MAX_READING)
    return found


def _measured(value: Any) -> Measured:
    facts = stored.mapping(value, "shipped")
    samples = stored.whole(facts["samples"], "samples", _MAX_STEPS)
    figures: Sequence[dict[str, float]] = [
        {figure: stored.number(stored.mapping(facts[name], name)[figure], figure, -1, 1e6) for figure in FIGURES}
        for name in ("source", "figures")
    ]
    return Measured(samples, *figures)
