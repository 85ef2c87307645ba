"""Adapted domains on disk: keeps runs, mixes and imports, and finds, lists, renames, copies and deletes them.

Each has a folder of its own, which is whole or absent. The module knows nothing about training; it is handed what a
run yields. Finished models that come with the app (shipped.py) are listed, too, and can be drawn but not changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from ..errors import InputError
from ..methods.config import REVISION, AdaptConfig
from ..methods.registry import rank
from ..models import catalog
from ..pictures.media import grid, save_png
from ..running import step_history
from ..running.steps import AdaptResult, Start, Step
from ..storage import digests, durable, folders, space, words
from ..storage.folders import HISTORY, home
from ..storage.folders import check_writable as check_writable
from ..storage.folders import check_writable_file as check_writable_file
from ..storage.paths import as_path, is_folder
from ..storage.tensors import load_tensors, read_shapes
from ..storage.values import whole
from ..storage.words import clean_line
from . import shipped
from .domain_folder import (
    ADAPTED,
    FILES,
    GENERATOR,
    KIND,
    PROMPTS,
    SAMPLES_PICTURE,
    SOURCE_PICTURE,
    TRAINING,
    is_adapted,
    read_domain,
    read_settings,
    read_shipped,
    shipped_settings,
    step_file,
    step_picture,
    tensors_of,
)
from .records import (
    MAX_TITLE,
    Domain,
    Imported,
    Measured,
    Mixed,
    Origin,
    Part,
    Picked,
    Record,
    Resumed,
    Trained,
    read_record,
)

log = logging.getLogger(__name__)


MAX_MORE_STEPS = 5000  # that a run goes on for at once


def runs_folder() -> Path:
    """Where the runs are kept."""
    return home() / "runs"


# ----------------------------------------------------------------------------------------------------------------------
# What a run is called


def run_key(config: AdaptConfig) -> str:
    """Hash of everything that decides the weights: model and critic files, settings the method uses, the method itself.

    Raises InputError if the model or the critic can't be found.
    """
    decisive = {**config.decisive(), **_digests(config), "revision": REVISION}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _digests(config: AdaptConfig | Domain) -> dict[str, str]:
    return {
        "model_sha256": catalog.generator_digest(config.model),
        "critic_sha256": catalog.critic_digest(_critic(config)),
    }


def _critic(config: AdaptConfig | Domain) -> str:
    return config.critic or catalog.critic_of(config.model)


def _folder_name(config: AdaptConfig) -> str:
    return folders.folder_name(config.target, "domain", run_key(config), config.method)


# ----------------------------------------------------------------------------------------------------------------------
# Entries


@dataclass(frozen=True)
class Entry:
    """An adapted domain that is kept; its files lie in `path`.

    settings: what settings.json holds, for files that repeat it; `record` is the same as types.
    sizes: the bytes of each file, as they were when it was opened.
    """

    path: Path
    settings: dict[str, Any]
    sizes: Mapping[str, int] = field(default_factory=dict, compare=False)

    shipped: ClassVar[bool] = False  # whether it comes with the app, and so can't be changed

    @property
    def name(self) -> str:
        """What it is called by in lists and commands: its folder's name."""
        return self.path.name

    @cached_property
    def record(self) -> Record:
        """What is known of it, as `settings` says."""
        return read_record(self.settings)

    @property
    def origin(self) -> Origin:
        """What made it: a run, a step of one, a file, or a mix."""
        return self.record.origin

    @property
    def target(self) -> str:
        """The domain that it draws, in words."""
        return self.record.domain.target

    @property
    def source(self) -> str:
        """The domain that its model draws, in words."""
        return self.record.domain.source

    @property
    def model(self) -> str:
        """The generator that it was adapted from, by name or path."""
        return self.record.domain.model

    @property
    def run(self) -> Trained:
        """The run that made it. Raises InputError for an entry that no run made."""
        if not isinstance(self.origin, Trained):
            raise InputError(f"“{self.title}” was {self.origin.made}, so there is no run behind it.")
        return self.origin

    @property
    def config(self) -> AdaptConfig:
        """The configuration of the run that made it. Raises InputError for an entry that no run made."""
        return self.run.config

    @property
    def from_run(self) -> bool:
        """Whether a run made it, as all of `config` says."""
        return isinstance(self.origin, Trained)

    @property
    def made_by(self) -> str:
        """The name of the method that made it, or "imported" or "mixed"."""
        return self.origin.config.method if isinstance(self.origin, Trained) else self.origin.made

    @property
    def finished(self) -> bool:
        """Whether it is all that it was to be: a run that came to its last step, or no run at all."""
        return not isinstance(self.origin, Trained) or self.origin.stopped is None

    @property
    def title(self) -> str:
        """The name that a person gave it, else `plain_title`."""
        return self.record.title or self.plain_title

    @property
    def plain_title(self) -> str:
        """A line that tells it from others: source, target, method, seed, and how far it came if it was stopped."""
        domains, origin = f"{self.source} → {self.target}", self.origin
        if isinstance(origin, Imported):
            return f"{domains} (imported from {words.shown(origin.file)})"
        if isinstance(origin, Mixed):
            return f"{domains} (mixed)"
        title = f"{domains} ({origin.config.method}, seed {origin.config.seed})"
        if origin.stopped is not None:
            how = "" if isinstance(origin, Picked) else "stopped at "
            title += f", {how}step {origin.generator_steps} of {origin.config.steps}"
        if not origin.in_one_go:
            title += f", resumed at step {origin.resumed.step}"
        return title

    @property
    def files(self) -> list[str]:
        """Names of its files."""
        earlier = [name for step in self.steps() for name in (step_file(step), step_picture(step))]
        return [*FILES, *earlier, *([TRAINING] if self.resumes_exactly else [])]

    @property
    def bytes(self) -> int:
        """What it takes on the disk."""
        return sum(self.sizes.get(name, 0) for name in self.files)

    @property
    def resumes_exactly(self) -> bool:
        """Whether the state of its training was kept, so that the run may go on as if it had not ended."""
        return self.record.training is not None

    @property
    def left_out(self) -> str:
        """A sentence about what the run was to keep and didn't for want of space; "" for nothing."""
        return "There was no room for earlier steps or the state of training." if self.record.left_out else ""

    def steps(self) -> list[int]:
        """The earlier steps of stage 2 whose weights were kept, in ascending order."""
        return list(self.record.earlier)

    @property
    def readings(self) -> dict[int, str]:
        """What the prompts of its preview seeds say in words, by seed; {} where they say nothing."""
        return dict(self.record.readings)

    @property
    def source_picture(self) -> Path | bytes:
        """Grid of the preview seeds by the source generator, as a file or what is in one."""
        return self.path / SOURCE_PICTURE

    @property
    def samples_picture(self) -> Path | bytes:
        """Grid of the same seeds, in the same layout, by the adapted generator."""
        return self.path / SAMPLES_PICTURE

    def history(self) -> list[dict[str, Any]]:
        """The run's rows: stage (text), step (int), every loss term of that stage and seconds (float).

        Rows of stage 2 have "diversity" too, where pictures were renewed, and after the last step.
        Raises InputError if the file is missing or damaged.
        """
        try:
            return step_history.read_history(self.path / HISTORY)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KIND.damaged(self.path, f"{HISTORY}: {error}") from error


class Shipped(Entry):
    """A finished model that comes with the app: `path` is its one file, see shipped.py, whose weights are quantised.

    settings: those of the run, with what was measured when it was made as "shipped".
    """

    shipped = True

    @property
    def measured(self) -> Measured:
        """What was measured when it was made."""
        return self.record.measured

    @property
    def name(self) -> str:
        """What it is called by in lists and commands: its file's name without the ending."""
        return self.path.stem

    @property
    def files(self) -> list[str]:
        """The name of its one file."""
        return [self.path.name]

    @property
    def source_picture(self) -> bytes:
        """Grid of the preview seeds by the source generator, WebP. Raises InputError if the file is damaged."""
        return read_shipped(self.path, shipped.read_picture, shipped.SOURCE_PICTURE)

    @property
    def samples_picture(self) -> bytes:
        """Grid of the same seeds, in the same layout, by the adapted generator, WebP; raises as the other does."""
        return read_shipped(self.path, shipped.read_picture, shipped.SAMPLES_PICTURE)

    def history(self) -> list[dict[str, Any]]:
        """The run's rows, as of any entry."""
        return read_shipped(self.path, lambda path: step_history.parsed_history(shipped.read_history(path)))


def open_entry(path: str | os.PathLike[str]) -> Entry:
    """The entry in the folder `path`, checked for completeness but not read through, or the finished model in a file.

    Raises InputError naming it if it isn't one or is damaged.
    """
    path = as_path(path)
    if shipped.is_one(path):
        return _open_shipped(path)
    if not is_folder(path):
        read_settings(path)  # says what is wrong with it
    sizes = KIND.sizes(path)
    settings = read_settings(path)
    entry = Entry(path, settings, sizes)
    KIND.check_files(path, sizes, entry.files)
    record = entry.record
    written = {ADAPTED: record.weights, TRAINING: record.training}
    written.update({step_file(step): facts for step, facts in record.earlier.items()})
    for name, facts in written.items():
        if facts is not None and sizes[name] != facts.bytes:
            raise KIND.damaged(path, f"{name} doesn't have the size it was written with")
    return entry


def _open_shipped(path: Path) -> Shipped:
    settings = shipped_settings(path)
    record = read_record(settings)
    model = record.domain.model
    if catalog.generator_digest(model) != record.model_sha256:
        raise _OtherSource(
            f"The finished model “{path.stem}” was made from other weights of the model “{model}” than those here: "
            f"restore the model's file, or make it anew by ipl_core.studio ship."
        )
    read_shipped(path, shipped.check_whole)
    facts = {"bytes": path.stat().st_size, "sha256": digests.file_digest(path)}
    return Shipped(path, {**settings, "weights": facts}, {path.name: facts["bytes"]})


class _OtherSource(InputError):
    """A finished model belongs to other weights of its source than those that are here."""


def find(config: AdaptConfig) -> Entry | None:
    """The finished run with the weights that `config` would give, or None.

    A run that was stopped is never given, nor one without the earlier steps or the state that `config` wants kept.
    One that is damaged counts as absent, which is logged, so that asking again makes it anew.
    Raises InputError if the model or the critic can't be found.
    """
    durable.settle(runs_folder())
    entry = _whole(runs_folder() / _folder_name(config))
    if entry is None or (config.keep_state and not entry.resumes_exactly):
        return None
    wanted = range(config.keep_every, config.steps, config.keep_every) if config.keep_every else ()
    return entry if set(wanted) <= set(entry.steps()) else None


def _whole(path: Path) -> Entry | None:
    """The entry in `path` if there is one; None, which is logged, for a damaged one."""
    if not path.is_dir():
        return None
    try:
        return open_entry(path)
    except InputError as error:
        log.warning("%s", error)
        return None


def list_entries() -> list[Entry]:
    """Every whole entry, the newest first; damaged ones are logged and left out, see `scan`."""
    return scan()[0]


def scan() -> tuple[list[Entry], list[str]]:
    """Every whole entry, the newest first, and a sentence about each damaged one; finished models come last.

    Of finished models that were made from other weights than those here there is one sentence for all.
    """
    entries, problems = folders.opened(runs_folder(), KIND.what, _open_folder)
    entries.sort(key=lambda entry: entry.record.created, reverse=True)
    finished, further = _finished_models()
    return [*entries, *finished], [*problems, *further]


def _finished_models() -> tuple[list[Entry], list[str]]:
    """The finished models that come with the app, by domain and method, and what is wrong with others."""
    found, problems, others = [], [], 0
    for path in shipped.files():
        try:
            found.append(_open_shipped(path))
        except _OtherSource:
            others += 1
        except InputError as error:
            problems.append(str(error))
    if others:
        problems.append(
            f"{others} of the finished models in {shipped.folder()} {'is' if others == 1 else 'are'} left out, made "
            "from other weights than those here: restore the models, or make them anew by ipl_core.studio ship."
        )
    for problem in problems:
        log.warning("%s", problem)
    found.sort(key=lambda entry: (entry.target, rank(entry.config.method)))
    return found, problems


def _open_folder(path: Path) -> Entry:
    if not os.path.isdir(path):
        raise ValueError("it is no folder")
    return open_entry(path)


def _check_own(entry: Entry) -> None:
    """Raises InputError for a finished model, which can't be changed or gone on with."""
    if entry.shipped:
        raise InputError(
            f"“{entry.name}” comes with the app: it can be drawn, mixed, compared and exported, but not renamed, "
            "deleted or gone on with."
        )


def delete(entry: Entry) -> None:
    """Removes a kept run for good. Raises InputError if it isn't in the library or can't be removed."""
    _check_own(entry)
    folders.delete(entry.path, runs_folder(), "the library")


def check_title(title: str, path: Path) -> str:
    """The title as it would be kept for the entry in `path`, which need not be there yet; "" stays "".

    Raises InputError for a title that another entry has, or that can't be written.
    """
    title = clean_line(title, "The title", MAX_TITLE)
    for other in list_entries() if title else ():
        taken = {other.title.casefold(), other.plain_title.casefold()}
        if other.path.resolve() != path.resolve() and title.casefold() in taken:
            raise InputError(f"Another entry of the library is called “{title}” already: choose another title.")
    return title


def rename(entry: Entry, title: str) -> Entry:
    """Gives an entry a title of its own, which "" takes away again; gives the entry as it then is.

    The folder stays where it is: its name says which run it is, and others may hold its path.
    Raises InputError as `check_title` does.
    """
    _check_own(entry)
    title = check_title(title, entry.path)
    settings = {**read_settings(entry.path), "title": title}
    folders.write_into(entry.path, lambda folder: folders.write_settings(settings, folder))
    return open_entry(entry.path)


def export(entry: Entry, folder: str | os.PathLike[str]) -> Path:
    """Copies an entry's files into `folder`, each whole or not at all.

    Raises InputError if that can't be written, and for a finished model, which `exchange` exports.
    """
    _check_own(entry)
    return folders.write_into(folder, lambda temporary: _copy(entry, temporary))


def bring_in(folder: str | os.PathLike[str]) -> Entry:
    """Keeps a copy of what lies in `folder`, as `export` or a run without room left it, and gives its entry.

    A whole entry of that name stays; what is no finished run in one go is never found in place of one.
    Raises InputError if the folder is damaged or the library can't be written.
    """
    found = open_entry(folder)
    _check_own(found)
    record, origin = found.record, found.origin
    whole = isinstance(origin, Trained) and origin.stopped is None and origin.in_one_go
    identity = record.key if whole and record.key else record.weights.sha256
    name = folders.folder_name(found.target, "domain", identity, found.made_by)

    def write(temporary: Path) -> str:
        _copy(found, temporary)
        return name

    return open_entry(folders.keep(runs_folder(), write, lambda path: _whole(path) is not None))


def _copy(entry: Entry, folder: Path) -> None:
    for name in entry.files:
        shutil.copyfile(entry.path / name, folder / name)


_NOT_PICKED = ("weights", "earlier", "training", "title")


def pick(entry: Entry, step: int) -> Entry:
    """Makes an earlier step of a run an entry of its own, which can be used as any other; gives that.

    Raises InputError if that step wasn't kept or the library can't be written.
    """
    _check_own(entry)
    weights, prompts = catalog.changed_weights(entry.path, step), tensors_of(entry.path, entry.record, PROMPTS)
    rows = [row for row in entry.history() if row["stage"] != "generator" or row["step"] <= step]

    def write(folder: Path) -> str:
        settings = {
            **{name: value for name, value in entry.settings.items() if name not in _NOT_PICKED},
            **KIND.circumstances(),
            "steps": {"prompts": entry.run.prompt_steps, "generator": step},
            "stopped": "picked",
            "seconds": rows[-1]["seconds"],
            "diversity": entry.record.earlier[step].diversity,
        }
        shutil.copyfile(entry.source_picture, folder / SOURCE_PICTURE)
        shutil.copyfile(entry.path / step_picture(step), folder / SAMPLES_PICTURE)
        _write_entry(folder, settings, weights, prompts, rows)
        return f"{entry.name}-step-{step}"

    path = folders.keep(runs_folder(), write, lambda path: _whole(path) is not None)
    return open_entry(path)


def keep_imported(
    domain: Domain,
    origin: Imported,
    weights: Mapping[str, torch.Tensor],
    before: torch.Tensor,
    after: torch.Tensor,
) -> Entry:
    """Keeps an adapted generator that came from a file, and gives its entry; see `exchange`.

    weights: the changed tensors. before, after: pictures of the preview seeds by the model and by the generator.
    Raises InputError if the library can't be written.
    """
    return _keep_made(domain, origin, origin.sha256, weights, before, after)


def keep_mixed(
    domain: Domain,
    parts: Sequence[tuple[Entry, float]],
    weights: Mapping[str, torch.Tensor],
    before: torch.Tensor,
    after: torch.Tensor,
) -> Entry:
    """Keeps a mix of entries and gives its entry; see `mixing.Mixer.keep`, and `keep_imported` for the rest.

    parts: what it is a mix of, with the share of each. The same mix is kept once.
    """
    origin = Mixed(tuple(Part(entry.name, share, entry.settings["config"]) for entry, share in parts))
    return _keep_made(domain, origin, _recipe(parts), weights, before, after)


def mixed_path(domain: Domain, parts: Sequence[tuple[Entry, float]]) -> Path:
    """The folder in which `keep_mixed` keeps that mix. Raises InputError if the model or the critic can't be found."""
    return runs_folder() / _made_name(domain, Mixed.made, _made_key(_recipe(parts), _digests(domain)))


def _recipe(parts: Sequence[tuple[Entry, float]]) -> str:
    return json.dumps([(entry.record.weights.sha256, share) for entry, share in parts])


def _made_key(identity: str, digests: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{identity} {digests['model_sha256']}".encode()).hexdigest()


def _made_name(domain: Domain, how: str, key: str) -> str:
    return folders.folder_name(domain.target, "domain", key, how)


def _keep_made(
    domain: Domain,
    origin: Imported | Mixed,
    identity: str,
    weights: Mapping[str, torch.Tensor],
    before: torch.Tensor,
    after: torch.Tensor,
) -> Entry:
    """Keeps an entry that no training made."""
    digests = _digests(domain)
    key = _made_key(identity, digests)

    def write(folder: Path) -> str:
        settings = {
            **KIND.circumstances(),
            "config": domain.written(),
            "critic": _critic(domain),
            **digests,
            "key": key,
            origin.made: origin.written(),
            # which earlier versions read of any entry
            "steps": {"prompts": 0, "generator": 0},
            "stopped": None,
            "seconds": 0.0,
            "diversity": None,
        }
        note = {name: settings[name] for name in ("config", "versions")}
        save_png(grid(before), folder / SOURCE_PICTURE, {"generator": domain.model, **note})
        save_png(grid(after), folder / SAMPLES_PICTURE, {"generator": origin.made, **note})
        _write_entry(folder, settings, weights, {}, [])
        return _made_name(domain, origin.made, key)

    return open_entry(folders.keep(runs_folder(), write, lambda path: _whole(path) is not None))


def _write_entry(
    folder: Path,
    settings: dict[str, Any],
    weights: Mapping[str, torch.Tensor],
    prompts: Mapping[str, torch.Tensor],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Writes what every entry has but its pictures; adds what is needed to check the weights to the settings."""
    tensors = {GENERATOR + name: tensor for name, tensor in weights.items()}
    tensors.update({PROMPTS + name: tensor for name, tensor in prompts.items()})
    settings["weights"] = KIND.write_tensors(tensors, folder / ADAPTED, settings)
    (folder / HISTORY).write_text(step_history.history_text(rows), encoding="utf-8")
    folders.write_settings(settings, folder)


# ----------------------------------------------------------------------------------------------------------------------
# Keeping a run


class Run:
    """What a run has yielded so far, ready to be kept: make it first, give it all that the run yields, then save.

    run = Run(config)
    for update in adapt(config):
        run.add(update)
    entry = run.save()

    goes_on: the entry that the run goes on from, see `continuation`.
    """

    def __init__(self, config: AdaptConfig, goes_on: Entry | None = None) -> None:
        self.config = config
        self.rows: list[dict[str, Any]] = goes_on.history() if goes_on else []
        self.last: AdaptResult | None = None
        self._goes_on = goes_on
        self._seconds = goes_on.run.seconds if goes_on else 0.0
        # Now, not when it is saved: by then other files may lie where the run's models were.
        self._name = _folder_name(config)
        self._identity = {"critic": _critic(config), **_digests(config), "key": run_key(config), "revision": REVISION}
        self._earlier: dict[int, dict[str, Any]] = {}
        self._workplace: durable.Workplace | None = None  # of the earlier steps, which would fill the memory
        self._left_out = False  # whether the disk had no room for one of them
        self._lean = False  # whether it has none for anything but the result

    def add(self, update: Step | AdaptResult) -> None:
        """Takes note of a step, or of the result. Raises InputError if an earlier step can't be kept."""
        if isinstance(update, AdaptResult):
            self.last = update
            diversity = update.pictures.diversity
            if diversity is not None and self.rows and self.rows[-1]["stage"] == "generator":
                self.rows[-1]["diversity"] = diversity  # of the result, whenever pictures were renewed last
            return
        row = step_history.history_row(update)
        self.rows.append({**row, "seconds": self._seconds + row["seconds"]})
        if update.weights is not None:
            self._keep_step(update)

    def _keep_step(self, step: Step) -> None:
        if self._left_out:
            return
        try:
            if self._workplace is None:
                self._workplace = folders.scratch(runs_folder())
                weakref.finalize(self, self._workplace.close)
            folder = self._workplace.new
            facts = self._write_step(folder, step.step, step.weights)
            note = {"step": step.step, "config": self.config.to_dict(), **self._identity}
            save_png(grid(step.pictures.after), folder / step_picture(step.step), note)
        except InputError as error:
            if not folders.is_full(error):
                raise
            log.warning("Earlier steps from %d on aren't kept, and the run goes on: %s", step.step, error)
            self._left_out = True  # what is left belongs to the result
            return
        self._earlier[step.step] = {**facts, "diversity": step.pictures.diversity}

    def _write_step(self, folder: Path, step: int, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        tensors = {GENERATOR + name: tensor for name, tensor in weights.items()}
        settings = {"config": self.config.to_dict(), **self._identity, "step": step}
        # In half the space: pictures hardly change by it.
        return KIND.write_tensors(tensors, folder / step_file(step), settings, torch.float16)

    def save(self, *out: str | os.PathLike[str] | None) -> Entry:
        """Keeps the run in the library, whole or not at all, and gives its entry.

        A finished run is what `find` gives from now on; a stopped one is kept beside it under a name of its own, and
        so is one that went on without the state of its training, whose weights are not those of a run in one go.
        out: folders for it where the library's disk is full; then come the system's temporary folder, and the library
        again without earlier steps and the state of training (see `Entry.left_out`).
        Raises `space.KeptElsewhere` where it lies in one of these folders, InputError if it could be written nowhere,
        ValueError if the run has not yielded its result.
        """
        if self.last is None:
            raise ValueError("The run has no result yet: add all that it yields first.")
        try:
            return open_entry(folders.keep(runs_folder(), self._write, self._stays))
        except folders.Full as error:
            return self._save_elsewhere(error, out)

    def _save_elsewhere(self, full: folders.Full, out: Sequence[str | os.PathLike[str] | None]) -> Entry:
        """Keeps all of the run where there is room; else the result alone, in the library or where there is room."""
        log.warning("%s", full)
        space.keep_elsewhere("run", out, lambda place: folders.keep(place, self._write), full)
        self._lean = True
        if self._workplace is not None:  # the earlier steps take the room that the result needs
            self._workplace.close()
        try:
            return open_entry(folders.keep(runs_folder(), self._write, self._stays))
        except folders.Full:
            space.keep_elsewhere("run", out, lambda place: folders.keep(place, self._write), full)
            raise full from None

    def _write(self, folder: Path) -> str:
        last = self.last
        settings: dict[str, Any] = {
            **KIND.circumstances(),
            "config": self.config.to_dict(),
            **self._identity,
            "steps": {stage: sum(row["stage"] == stage for row in self.rows) for stage in ("prompts", "generator")},
            "stopped": last.stopped,
            "seconds": round(self._seconds + last.seconds, 3),
            "diversity": last.pictures.diversity,
        }
        if last.pictures.readings is not None:
            settings["readings"] = {str(seed): words for seed, words in last.pictures.readings.items()}
        name = self._name
        if self._goes_on is not None:
            resumed = _resumed(self._goes_on)
            settings["resumed"] = resumed.written()
            if not resumed.as_one_run:
                name += f"-resumed-{self._goes_on.record.weights.sha256[:8]}"
        there = _whole(runs_folder() / name) if last.stopped is None and not self._lean else None
        if self._left_out or self._lean:
            settings["left out"] = True
        settings["earlier"] = {} if self._lean else self._write_earlier(folder, there)
        if last.training is not None and not self._lean:
            settings["training"] = KIND.write_tensors(last.training, folder / TRAINING, settings)
        if there is not None:  # the same run, of which more is kept now: nothing that was kept of it is lost
            settings["title"] = there.record.title
            if last.training is None and there.resumes_exactly:
                shutil.copyfile(there.path / TRAINING, folder / TRAINING)
                settings["training"] = asdict(there.record.training)
        note = {name: settings[name] for name in ("config", "versions")}
        save_png(grid(last.pictures.before), folder / SOURCE_PICTURE, {"generator": self.config.model, **note})
        save_png(grid(last.pictures.after), folder / SAMPLES_PICTURE, {"generator": "adapted", **note})
        _write_entry(folder, settings, last.weights, last.prompts, self.rows)
        return name if last.stopped is None else f"{name}-stopped-{settings['weights']['sha256'][:8]}"

    def _write_earlier(self, folder: Path, there: Entry | None) -> dict[str, Any]:
        """Puts the earlier steps into `folder` and gives what is known of them.

        Those of this run, of the one that it goes on from, whose last is one of them, and of `there`, the same run as
        it was kept before.
        """
        known = {}
        for entry in (self._goes_on, there):
            for step, facts in entry.record.earlier.items() if entry else ():
                for name in (step_file(step), step_picture(step)):
                    shutil.copyfile(entry.path / name, folder / name)
                known[str(step)] = asdict(facts)
        for step, facts in self._earlier.items():
            for name in (step_file(step), step_picture(step)):
                (folder / name).unlink(missing_ok=True)
                durable.link(self._workplace.new / name, folder / name)
            known[str(step)] = facts
        origin = self._goes_on
        step = origin.run.generator_steps if origin and self.config.keep_every else 0
        if 0 < step < self.last.step and str(step) not in known:  # what was the last is now one on the way
            facts = self._write_step(folder, step, catalog.changed_weights(origin.path))
            shutil.copyfile(origin.samples_picture, folder / step_picture(step))
            known[str(step)] = {**facts, "diversity": origin.record.diversity}
        return known

    def _stays(self, path: Path) -> bool:
        """Whether the entry that is there already stays: it is the same run, unless more is kept of this one."""
        there = _whole(path)
        if there is None:
            return False
        if self._lean:
            return True
        return set(self._earlier) <= set(there.steps()) and (self.last.training is None or there.resumes_exactly)


def check_room(config: AdaptConfig, out: str | os.PathLike[str] | None = None) -> None:
    """Raises `folders.Full` unless there is room for what a run will keep, and for its copy in the folder `out`.

    An upper bound but for the learnt prompts, which are small: training may change fewer layers. Raises InputError if
    the model can't be found.
    """
    weights = synthesis_bytes(config.model)
    earlier = (config.steps - 1) // config.keep_every if config.keep_every else 0
    needed = space.SPARE + weights + earlier * weights // 2 + (3 * weights if config.keep_state else 0)
    places = [runs_folder(), *([] if out is None else [Path(out)])]
    space.check([(place, needed) for place in places], "The run")


def synthesis_bytes(model: str) -> int:
    """What the weights that training may change take as float32, for a generator's name or path.

    Of files that aren't safetensors, their size, which is no less. Raises InputError if the model can't be found.
    """
    path = catalog.find_generator(model)
    if is_adapted(path):
        return synthesis_bytes(read_domain(path).domain.model)
    try:
        shapes = read_shapes(path)
    except InputError:
        return path.stat().st_size
    return 4 * sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("synthesis."))


def learned_prompts(entry: Entry) -> dict[str, torch.Tensor]:
    """What stage 1 of an entry's run taught its prompts, float32 by name, on the CPU; {} where nothing was learnt."""
    return tensors_of(entry.path, entry.record, PROMPTS) if entry.config.learns else {}


def continuation(entry: Entry, steps: int) -> tuple[AdaptConfig, Start]:
    """What `adapt` needs to go on from an entry for `steps` more steps of stage 2.

    With the state of its training it goes on exactly; without it, from the weights with a fresh optimiser. Prompts
    that were learnt are kept in either case. `Run` notes which it was as `Resumed.exactly`.
    Raises InputError for an entry with nothing to go on from.
    """
    _check_own(entry)
    if not entry.from_run:
        raise InputError(
            f"“{entry.title}” was {entry.made_by}, so there is no run to go on with: adapt from it as the model."
        )
    done = entry.run.generator_steps
    if not done:
        raise InputError(f"“{entry.title}” was stopped before its generator had changed: adapt again.")
    steps = whole(steps, "Steps to go on for", 1, MAX_MORE_STEPS)
    config = replace(entry.config, steps=done + steps)
    training = None
    if _resumed(entry).exactly:
        KIND.check_whole(entry.path / TRAINING, entry.record.training.sha256)
        training, _ = load_tensors(entry.path / TRAINING)
    weights, prompts = catalog.changed_weights(entry.path), learned_prompts(entry)
    return config, Start(done, weights, prompts, training)


def _resumed(entry: Entry) -> Resumed:
    """How a run goes on from an entry: exactly, if the state of its training is kept and the method is as it was."""
    run = entry.run
    exactly = entry.resumes_exactly and run.revision == REVISION
    return Resumed(entry.name, run.generator_steps, exactly, exactly and run.in_one_go)
