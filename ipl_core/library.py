"""Adapted domains on disk: keep a run, find it again, load it, list, name, pick an earlier step, copy out, delete.

One folder a run, whole or absent. The room knows nothing about training; it is handed the Snapshots that a run yields.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import catalog, keeping
from .config import REVISION, SHORTEST_MOVE, AdaptConfig
from .errors import InputError
from .keeping import HISTORY, SETTINGS, home
from .keeping import check_writable as check_writable
from .media import grid, save_png
from .snapshot import Start

if TYPE_CHECKING:
    from .snapshot import Snapshot
    from .stylegan2 import Generator

log = logging.getLogger(__name__)

ADAPTED = catalog.ADAPTED
SOURCE_PICTURE = "source.png"
SAMPLES_PICTURE = "samples.png"
FILES = (ADAPTED, SETTINGS, HISTORY, SOURCE_PICTURE, SAMPLES_PICTURE)
TRAINING = "training.safetensors"  # where asked for: what the run needs to go on exactly

MAX_TITLE = 80  # characters

_KIND = keeping.Kind("ipl-studio-run", 1, "adapted domain", "an adaptation", "adapt again")
_GENERATOR, _PROMPTS = "generator.", "prompts."  # prefixes of tensor names in ADAPTED

# Settings that change what is shown, or how fast, but not the method's weights.
_NOT_IN_KEY = (
    *("preset", "device", "model", "critic", "preview_seeds", "preview_psi", "memory"),
    *("keep_every", "keep_state"),
)
# Settings that came later, with what was done before, which is what runs kept from then mean; it is no part of a key.
_LATER = {"shortest_move": SHORTEST_MOVE, "precision": "float32", "avoid": ""}
#: Settings that NADA, which has no stage 1, never reads.
STAGE_1_ONLY = (
    *("context", "around_context", "mapper_steps", "mapper_batch", "mapper_lr"),
    *("lambda_domain", "contrastive", "residual"),
)


def runs_folder() -> Path:
    """Where the runs are kept."""
    return home() / "runs"


# ----------------------------------------------------------------------------------------------------------------------
# What a run is called


def run_key(config: AdaptConfig) -> str:
    """Hash of everything that decides the weights: model and critic files, settings the method uses, the method itself.

    Raises InputError if the model or the critic can't be found.
    """
    decisive = {name: value for name, value in config.to_dict().items() if name not in _NOT_IN_KEY}
    if config.method == "nada":
        decisive = {name: value for name, value in decisive.items() if name not in STAGE_1_ONLY}
    if config.method == "shared":
        del decisive["contrastive"]  # with one prompt for all images both forms are the same
        del decisive["around_context"]  # and that prompt always starts at the context
    decisive = {name: value for name, value in decisive.items() if name not in _LATER or value != _LATER[name]}
    if not config.layers.startswith("adaptive"):
        del decisive["layer_interval"]
    for name in ("source", "target", "context", "avoid"):  # CLIP reads lower case
        if name in decisive:
            decisive[name] = decisive[name].casefold()
    decisive.update(_digests(config), revision=REVISION)
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _digests(config: AdaptConfig) -> dict[str, str]:
    return {
        "model_sha256": catalog.generator_digest(config.model),
        "critic_sha256": catalog.critic_digest(_critic(config)),
    }


def _critic(config: AdaptConfig) -> str:
    return config.critic or catalog.critic_of(config.model)


def _folder_name(config: AdaptConfig) -> str:
    return keeping.folder_name(config.target, "domain", run_key(config), config.method)


# ----------------------------------------------------------------------------------------------------------------------
# Entries


@dataclass(frozen=True)
class Entry:
    """A kept run. `settings` is what settings.json holds; the files lie in `path`."""

    path: Path
    settings: dict[str, Any]

    @property
    def config(self) -> AdaptConfig:
        """The configuration that the run was made with."""
        return AdaptConfig.from_dict({**_LATER, **self.settings["config"]})

    @property
    def finished(self) -> bool:
        """Whether the run came to its last step."""
        return self.settings["stopped"] is None

    @property
    def imported(self) -> bool:
        """Whether it came from a file and not from a run; of `config`, only model, source and target then count."""
        return "imported" in self.settings

    @property
    def mixed(self) -> bool:
        """Whether it is a mix of others; as for an imported one, only a few of `config` then count."""
        return "mixed" in self.settings

    @property
    def from_run(self) -> bool:
        """Whether training made it, as all of `config` says."""
        return not (self.imported or self.mixed)

    @property
    def title(self) -> str:
        """The name that a person gave it, else `plain_title`."""
        return self.settings.get("title") or self.plain_title

    @property
    def plain_title(self) -> str:
        """A line that tells it from others: source, target, method, seed, and how far it came if it was stopped."""
        config = self.settings["config"]
        if self.imported:
            return f"{config['source']} → {config['target']} (imported from {self.settings['imported']['file']})"
        if self.mixed:
            return f"{config['source']} → {config['target']} (mixed)"
        title = f"{config['source']} → {config['target']} ({config['method']}, seed {config['seed']})"
        if not self.finished:
            how = "" if self.settings["stopped"] == "picked" else "stopped at "
            title += f", {how}step {self.settings['steps']['generator']} of {config['steps']}"
        if not self.settings.get("resumed", {"as one run": True})["as one run"]:
            title += f", resumed at step {self.settings['resumed']['step']}"
        return title

    @property
    def files(self) -> list[str]:
        """Names of its files."""
        earlier = [name for step in self.steps() for name in (step_file(step), step_picture(step))]
        return [*FILES, *earlier, *([TRAINING] if self.resumes_exactly else [])]

    @property
    def bytes(self) -> int:
        """What it takes on the disk."""
        return sum((self.path / name).stat().st_size for name in self.files)

    @property
    def resumes_exactly(self) -> bool:
        """Whether the state of its training was kept, so that the run may go on as if it had not ended."""
        return self.settings.get("training") is not None

    def steps(self) -> list[int]:
        """The earlier steps of stage 2 whose weights were kept, in ascending order."""
        return sorted(int(step) for step in self.settings.get("earlier", {}))

    @property
    def source_picture(self) -> Path:
        """Grid of the preview seeds by the source generator."""
        return self.path / SOURCE_PICTURE

    @property
    def samples_picture(self) -> Path:
        """Grid of the same seeds, in the same layout, by the adapted generator."""
        return self.path / SAMPLES_PICTURE

    def history(self) -> list[dict[str, Any]]:
        """The run's rows: stage (text), step (int), every loss term of that stage and seconds (float).

        Rows of stage 2 have "diversity" too, where pictures were renewed, and after the last step.
        Raises InputError if the file is missing or damaged.
        """
        try:
            return keeping.read_history(self.path / HISTORY)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _KIND.damaged(self.path, f"{HISTORY}: {error}") from error


def step_file(step: int) -> str:
    """What the weights of an earlier step are called; its path stands for a generator wherever an entry's does."""
    return f"step-{step:05}.safetensors"


def step_picture(step: int) -> str:
    """What the preview of an earlier step is called."""
    return f"step-{step:05}.png"


def open_entry(path: str | os.PathLike[str]) -> Entry:
    """The entry in the folder `path`, checked for completeness but not read through.

    Raises InputError naming the folder if it isn't one or is damaged.
    """
    path = Path(path).expanduser()
    settings = read_settings(path)
    entry = Entry(path, settings)
    for name in entry.files:
        if not (path / name).is_file():
            raise _KIND.damaged(path, f"{name} is missing")
    sizes = {ADAPTED: settings["weights"], TRAINING: settings.get("training")}
    sizes.update({step_file(int(step)): facts for step, facts in settings.get("earlier", {}).items()})
    for name, facts in sizes.items():
        if facts is not None and (path / name).stat().st_size != facts["bytes"]:
            raise _KIND.damaged(path, f"{name} doesn't have the size it was written with")
    return entry


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What settings.json of an adapted domain says; `path` is its folder or the weights file in it.

    Raises InputError if it is missing or damaged.
    """
    path = Path(path).expanduser()
    folder = path if path.is_dir() else path.parent
    return _KIND.read_settings(folder, _check)


def _check(settings: Mapping[str, Any]) -> None:
    AdaptConfig.from_dict(settings["config"])
    _ = [settings[name] for name in ("critic", "model_sha256", "critic_sha256", "stopped")]
    _ = settings["steps"]["generator"], settings["weights"]["bytes"]
    _ = [(int(step), facts["bytes"], facts["sha256"]) for step, facts in settings.get("earlier", {}).items()]


def find(config: AdaptConfig) -> Entry | None:
    """The finished run with the weights that `config` would give, or None.

    A run that was stopped is never given, nor one without the earlier steps or the state that `config` wants kept.
    One that is damaged counts as absent, which is logged, so that asking again makes it anew.
    Raises InputError if the model or the critic can't be found.
    """
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
    """Every whole entry, the newest first, and a sentence about each damaged one."""
    entries, problems = [], []
    for path in keeping.folders(runs_folder()):
        try:
            entries.append(open_entry(path))
        except InputError as error:
            log.warning("%s", error)
            problems.append(str(error))
    return sorted(entries, key=lambda entry: str(entry.settings.get("created")), reverse=True), problems


def is_adapted(path: Path) -> bool:
    """Whether `path` is of an adapted domain: its folder, its weights, or those of an earlier step beside them."""
    if path.is_dir() or path.name == ADAPTED:
        return True
    return _step_of(path) is not None and (path.parent / ADAPTED).is_file()


def _step_of(path: Path) -> int | None:
    found = re.fullmatch(r"step-(\d{5})\.safetensors", path.name)
    return int(found[1]) if found else None


def load_adapted(path: str | os.PathLike[str], device: str = "cpu", step: int | None = None) -> Generator:
    """The adapted generator of a folder that an adaptation wrote, in evaluation mode with frozen weights.

    path: the folder, or the weights in it, of an earlier step too. step: which earlier step; None takes what `path` is.
    Raises InputError if the folder is damaged, if that step wasn't kept, or if the source model isn't the one it was
    adapted from.
    """
    path = Path(path).expanduser()
    folder = path if path.is_dir() else path.parent
    changed = changed_weights(folder, _step_of(path) if step is None else step)
    generator = catalog.load_generator(read_settings(folder)["config"]["model"], device)
    try:
        apply_weights(generator, changed)
    except ValueError as error:
        raise _KIND.damaged(folder, str(error)) from error
    return generator


def changed_weights(folder: Path, step: int | None = None) -> dict[str, torch.Tensor]:
    """The tensors of the generator that an adaptation changed, float32 by state-dict name, on the CPU.

    step: which earlier step; None is the last. Raises InputError as `load_adapted` does.
    """
    settings = read_settings(folder)
    model = settings["config"]["model"]
    if catalog.generator_digest(model) != settings["model_sha256"]:
        raise InputError(
            f"The adapted domain in {folder} was made from other weights of the model “{model}” than those here: "
            "adapt again, or restore the model's file."
        )
    return _tensors(folder, settings, _GENERATOR, step)


def _tensors(
    folder: Path, settings: Mapping[str, Any], prefix: str, step: int | None = None
) -> dict[str, torch.Tensor]:
    from .checkpoints import load_tensors

    name, facts = ADAPTED, settings["weights"]
    if step is not None:
        name, facts = step_file(step), settings.get("earlier", {}).get(str(step))
        if facts is None:
            kept = ", ".join(settings.get("earlier", {})) or "none"
            raise InputError(f"Step {step} of the adapted domain in {folder} wasn't kept; earlier steps kept: {kept}.")
    _KIND.check_whole(folder / name, facts)
    tensors, _ = load_tensors(folder / name)
    return {name: tensor.float() for name, tensor in _called(tensors, prefix).items()}


def _called(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def apply_weights(generator: Generator, weights: Mapping[str, torch.Tensor]) -> None:
    """Writes the changed tensors of a Snapshot or an entry over those of the source generator.

    Raises ValueError if a name or a shape doesn't fit, before anything is written.
    """
    own = generator.state_dict()
    for name, tensor in weights.items():
        if name not in own or own[name].shape != tensor.shape:
            raise ValueError(f"the tensor {name} of shape {tuple(tensor.shape)} doesn't fit the source model")
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)


def delete(entry: Entry) -> None:
    """Removes a kept run for good. Raises InputError if it isn't in the library or can't be removed."""
    keeping.delete(entry.path, runs_folder(), "the library")


def rename(entry: Entry, title: str) -> Entry:
    """Gives an entry a title of its own, which "" takes away again; gives the entry as it then is.

    The folder stays where it is: its name says which run it is, and others may hold its path.
    Raises InputError for a title that another entry has, or that can't be shown.
    """
    title = " ".join(title.split())
    if len(title) > MAX_TITLE or not title.isprintable():
        raise InputError(f"A title is one line of at most {MAX_TITLE} characters, not {title[:100]!r}.")
    for other in list_entries() if title else ():
        taken = {other.title.casefold(), other.plain_title.casefold()}
        if other.path.resolve() != entry.path.resolve() and title.casefold() in taken:
            raise InputError(f"Another entry of the library is called “{title}” already: choose another title.")
    settings = {**read_settings(entry.path), "title": title}
    try:
        keeping.write_settings(settings, entry.path)
    except OSError as error:
        raise InputError(f"{entry.path} can't be renamed: {error.strerror or error}.") from error
    return Entry(entry.path, settings)


def export(entry: Entry, folder: str | os.PathLike[str]) -> Path:
    """Copies an entry's files into `folder`, each whole or not at all. Raises InputError if that can't be written."""

    def copy(temporary: Path) -> None:
        for name in entry.files:
            shutil.copyfile(entry.path / name, temporary / name)

    return keeping.write_into(folder, copy)


_NOT_PICKED = ("weights", "earlier", "training", "title")


def pick(entry: Entry, step: int) -> Entry:
    """Makes an earlier step of a run an entry of its own, which can be used as any other; gives that.

    Raises InputError if that step wasn't kept or the library can't be written.
    """
    weights, prompts = changed_weights(entry.path, step), _tensors(entry.path, entry.settings, _PROMPTS)
    earlier = entry.settings["earlier"][str(step)]
    rows = [row for row in entry.history() if row["stage"] != "generator" or row["step"] <= step]

    def write(folder: Path) -> str:
        settings = {
            **{name: value for name, value in entry.settings.items() if name not in _NOT_PICKED},
            **_KIND.circumstances(),
            "steps": {**entry.settings["steps"], "generator": step},
            "stopped": "picked",
            "seconds": rows[-1]["seconds"],
            "diversity": earlier["diversity"],
        }
        shutil.copyfile(entry.source_picture, folder / SOURCE_PICTURE)
        shutil.copyfile(entry.path / step_picture(step), folder / SAMPLES_PICTURE)
        _write_entry(folder, settings, weights, prompts, rows)
        return f"{entry.path.name}-step-{step}"

    path = keeping.keep(runs_folder(), write, lambda path: _whole(path) is not None)
    return open_entry(path)


def generator_tensors(
    tensors: Mapping[str, torch.Tensor], description: Mapping[str, Any]
) -> dict[str, torch.Tensor] | None:
    """The changed tensors in a lone weights file of an entry, by state-dict name; None for a file of another kind."""
    return _called(tensors, _GENERATOR) if description.get("format") == _KIND.format else None


def keep_imported(
    config: AdaptConfig,
    facts: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    before: torch.Tensor,
    after: torch.Tensor,
) -> Entry:
    """Keeps an adapted generator that came from a file, and gives its entry; see `exchange`.

    config: only model, critic, source, target and previews count. facts: "file" and "sha256" of where it came from.
    weights: the changed tensors. before, after: pictures of the preview seeds by the model and by the generator.
    Raises InputError if the library can't be written.
    """
    return _keep_made(config, "imported", facts, facts["sha256"], weights, before, after)


def keep_mixed(
    config: AdaptConfig,
    parts: Sequence[tuple[Entry, float]],
    weights: Mapping[str, torch.Tensor],
    before: torch.Tensor,
    after: torch.Tensor,
) -> Entry:
    """Keeps a mix of entries and gives its entry; see `mixing.Mixer.keep`, and `keep_imported` for the rest.

    parts: what it is a mix of, with the share of each. The same mix is kept once.
    """
    facts = [{"entry": entry.path.name, "share": share, "config": entry.settings["config"]} for entry, share in parts]
    recipe = json.dumps([(entry.settings["weights"]["sha256"], share) for entry, share in parts])
    return _keep_made(config, "mixed", facts, recipe, weights, before, after)


def _keep_made(
    config: AdaptConfig,
    how: str,
    facts: Any,
    identity: str,
    weights: Mapping[str, torch.Tensor],
    before: torch.Tensor,
    after: torch.Tensor,
) -> Entry:
    """Keeps an entry that no training made. how: the setting which holds the `facts` of what did, "imported" say."""
    digests = _digests(config)
    key = hashlib.sha256(f"{identity} {digests['model_sha256']}".encode()).hexdigest()

    def write(folder: Path) -> str:
        settings = {
            **_KIND.circumstances(),
            "config": config.to_dict(),
            "critic": _critic(config),
            **digests,
            "key": key,
            how: facts,
            "steps": {"prompts": 0, "generator": 0},
            "stopped": None,
            "seconds": 0.0,
            "diversity": None,
        }
        note = {name: settings[name] for name in ("config", "versions")}
        save_png(grid(before), folder / SOURCE_PICTURE, {"generator": config.model, **note})
        save_png(grid(after), folder / SAMPLES_PICTURE, {"generator": how, **note})
        _write_entry(folder, settings, weights, {}, [])
        return keeping.folder_name(config.target, "domain", key, how)

    return open_entry(keeping.keep(runs_folder(), write, lambda path: _whole(path) is not None))


def _write_entry(
    folder: Path,
    settings: dict[str, Any],
    weights: Mapping[str, torch.Tensor],
    prompts: Mapping[str, torch.Tensor],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Writes what every entry has but its pictures; adds what is needed to check the weights to the settings."""
    tensors = {_GENERATOR + name: tensor for name, tensor in weights.items()}
    tensors.update({_PROMPTS + name: tensor for name, tensor in prompts.items()})
    settings["weights"] = _KIND.write_tensors(tensors, folder / ADAPTED, settings)
    (folder / HISTORY).write_text(keeping.history_text(rows), encoding="utf-8")
    keeping.write_settings(settings, folder)


# ----------------------------------------------------------------------------------------------------------------------
# Keeping a run


class Run:
    """What a run has yielded so far, ready to be kept: make it first, give it every Snapshot, then save.

    run = Run(config)
    for snapshot in adapt(config):
        run.add(snapshot)
    entry = run.save()

    goes_on: the entry that the run goes on from, see `continuation`.
    """

    def __init__(self, config: AdaptConfig, goes_on: Entry | None = None) -> None:
        self.config = config
        self.rows: list[dict[str, Any]] = goes_on.history() if goes_on else []
        self.last: Snapshot | None = None
        self._goes_on = goes_on
        self._seconds = goes_on.settings["seconds"] if goes_on else 0.0
        # Now, not when it is saved: by then other files may lie where the run's models were.
        self._name = _folder_name(config)
        self._identity = {"critic": _critic(config), **_digests(config), "key": run_key(config), "revision": REVISION}
        self._earlier: dict[int, dict[str, Any]] = {}
        self._folder: Path | None = None  # of the earlier steps, which would fill the memory

    def add(self, snapshot: Snapshot) -> None:
        """Takes note of a step, or of the result. Raises InputError if an earlier step can't be kept."""
        if snapshot.phase == "done":
            self.last = snapshot
            if snapshot.diversity is not None and self.rows and self.rows[-1]["stage"] == "generator":
                self.rows[-1]["diversity"] = snapshot.diversity  # of the result, whenever pictures were renewed last
            return
        row = keeping.history_row(snapshot)
        self.rows.append({**row, "seconds": self._seconds + row["seconds"]})
        if snapshot.weights is not None:
            self._keep_step(snapshot)

    def _keep_step(self, snapshot: Snapshot) -> None:
        if self._folder is None:
            self._folder = keeping.scratch(runs_folder())
            weakref.finalize(self, shutil.rmtree, self._folder, True)
        facts = self._write_step(self._folder, snapshot.step, snapshot.weights)
        note = {"step": snapshot.step, "config": self.config.to_dict(), **self._identity}
        save_png(grid(snapshot.after), self._folder / step_picture(snapshot.step), note)
        self._earlier[snapshot.step] = {**facts, "diversity": snapshot.diversity}

    def _write_step(self, folder: Path, step: int, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        tensors = {_GENERATOR + name: tensor for name, tensor in weights.items()}
        settings = {"config": self.config.to_dict(), **self._identity, "step": step}
        # In half the space: of the embedded generator's pictures, 2 % of the bytes differ then, by 1.
        return _KIND.write_tensors(tensors, folder / step_file(step), settings, torch.float16)

    def save(self) -> Entry:
        """Keeps the run in the library, whole or not at all, and gives its entry.

        A finished run is what `find` gives from now on; a stopped one is kept beside it under a name of its own, and
        so is one that went on without the state of its training, whose weights are not those of a run in one go.
        Raises InputError if the library can't be written, ValueError if the run has not yielded its last Snapshot.
        """
        if self.last is None or self.last.weights is None:
            raise ValueError("The run has no result yet: add its last Snapshot first.")
        return open_entry(keeping.keep(runs_folder(), self._write, self._stays))

    def _write(self, folder: Path) -> str:
        last = self.last
        settings: dict[str, Any] = {
            **_KIND.circumstances(),
            "config": self.config.to_dict(),
            **self._identity,
            "steps": {stage: sum(row["stage"] == stage for row in self.rows) for stage in ("prompts", "generator")},
            "stopped": last.stopped,
            "seconds": round(self._seconds + last.seconds, 3),
            "diversity": last.diversity,
        }
        name = self._name
        if self._goes_on is not None:
            settings["resumed"] = _origin(self._goes_on)
            if not settings["resumed"]["as one run"]:
                name += f"-resumed-{self._goes_on.settings['weights']['sha256'][:8]}"
        there = _whole(runs_folder() / name) if last.stopped is None else None
        settings["earlier"] = self._write_earlier(folder, there)
        if last.training is not None:
            settings["training"] = _KIND.write_tensors(last.training, folder / TRAINING, settings)
        if there is not None:  # the same run, of which more is kept now: nothing that was kept of it is lost
            settings["title"] = there.settings.get("title", "")
            if last.training is None and there.resumes_exactly:
                shutil.copyfile(there.path / TRAINING, folder / TRAINING)
                settings["training"] = there.settings["training"]
        note = {name: settings[name] for name in ("config", "versions")}
        save_png(grid(last.before), folder / SOURCE_PICTURE, {"generator": self.config.model, **note})
        save_png(grid(last.after), folder / SAMPLES_PICTURE, {"generator": "adapted", **note})
        _write_entry(folder, settings, last.weights, last.prompts or {}, self.rows)
        return name if last.stopped is None else f"{name}-stopped-{settings['weights']['sha256'][:8]}"

    def _write_earlier(self, folder: Path, there: Entry | None) -> dict[str, Any]:
        """Puts the earlier steps into `folder` and gives what is known of them.

        Those of this run, of the one that it goes on from, whose last is one of them, and of `there`, the same run as
        it was kept before.
        """
        sources = [(entry.path, entry.settings.get("earlier", {})) for entry in (self._goes_on, there) if entry]
        known = {}
        for place, earlier in (*sources, (self._folder, {str(step): facts for step, facts in self._earlier.items()})):
            for step, facts in earlier.items():
                for name in (step_file(int(step)), step_picture(int(step))):
                    shutil.copyfile(place / name, folder / name)
                known[step] = facts
        origin = self._goes_on
        step = origin.settings["steps"]["generator"] if origin and self.config.keep_every else 0
        if 0 < step < self.last.step and str(step) not in known:  # what was the last is now one on the way
            facts = self._write_step(folder, step, changed_weights(origin.path))
            shutil.copyfile(origin.samples_picture, folder / step_picture(step))
            known[str(step)] = {**facts, "diversity": origin.settings["diversity"]}
        return known

    def _stays(self, path: Path) -> bool:
        """Whether the entry that is there already stays: it is the same run, unless more is kept of this one."""
        there = _whole(path)
        if there is None:
            return False
        return set(self._earlier) <= set(there.steps()) and (self.last.training is None or there.resumes_exactly)


def continuation(entry: Entry, steps: int) -> tuple[AdaptConfig, Start]:
    """What `adapt` needs to go on from an entry for `steps` more steps of stage 2.

    With the state of its training it goes on exactly; without it, from the weights with a fresh optimiser. Prompts
    that were learnt are kept in either case. `Run` notes which it was as settings["resumed"]["exactly"].
    Raises InputError for an entry with nothing to go on from.
    """
    if not entry.from_run:
        how = "imported" if entry.imported else "mixed"
        raise InputError(f"“{entry.title}” was {how}, so there is no run to go on with: adapt from it as the model.")
    done = entry.settings["steps"]["generator"]
    if not done:
        raise InputError(f"“{entry.title}” was stopped before its generator had changed: adapt again.")
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"Steps to go on for must be a whole number of at least 1, not {steps}.")
    config = replace(entry.config, steps=done + steps)
    training = None
    if _origin(entry)["exactly"]:
        from .checkpoints import load_tensors

        _KIND.check_whole(entry.path / TRAINING, entry.settings["training"])
        training, _ = load_tensors(entry.path / TRAINING)
    weights, prompts = changed_weights(entry.path), _tensors(entry.path, entry.settings, _PROMPTS)
    return config, Start(done, weights, prompts, training)


def _origin(entry: Entry) -> dict[str, Any]:
    """Where a run goes on from; whether exactly, with the state of its training and the method as it is now; and
    whether the whole is then as one run, since none that it goes on from, in turn, went on otherwise."""
    exactly = entry.resumes_exactly and entry.settings.get("revision") == REVISION
    before = entry.settings.get("resumed", {"as one run": True})
    step = entry.settings["steps"]["generator"]
    return {
        "entry": entry.path.name,
        "step": step,
        "exactly": exactly,
        "as one run": exactly and before["as one run"],
    }
