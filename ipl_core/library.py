"""Adapted domains on disk: keep a run, find it again, load it, list, copy out, delete.

One folder a run, whole or absent: it is written under a temporary name and renamed. The room knows nothing about
training; it is handed the Snapshots that a run yields.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import catalog, keeping
from .config import REVISION, AdaptConfig
from .errors import InputError
from .keeping import HISTORY, SETTINGS, home
from .keeping import check_writable as check_writable
from .media import grid, save_png

if TYPE_CHECKING:
    from .snapshot import Snapshot
    from .stylegan2 import Generator

log = logging.getLogger(__name__)

ADAPTED = catalog.ADAPTED
SOURCE_PICTURE = "source.png"
SAMPLES_PICTURE = "samples.png"
FILES = (ADAPTED, SETTINGS, HISTORY, SOURCE_PICTURE, SAMPLES_PICTURE)

_KIND = keeping.Kind("ipl-studio-run", 1, "adapted domain", "an adaptation", "adapt again")
_GENERATOR, _PROMPTS = "generator.", "prompts."  # prefixes of tensor names in ADAPTED

# Settings that change what is shown, or how fast, but not the method's weights.
_NOT_IN_KEY = ("preset", "device", "model", "critic", "preview_seeds", "preview_psi")
_STAGE_1_ONLY = (
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
        decisive = {name: value for name, value in decisive.items() if name not in _STAGE_1_ONLY}
    if config.method == "shared":
        del decisive["contrastive"]  # with one prompt for all images both forms are the same
        del decisive["around_context"]  # and that prompt always starts at the context
    if config.layers != "adaptive":
        del decisive["layer_interval"]
    for name in ("source", "target", "context"):  # CLIP reads lower case
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
        return AdaptConfig.from_dict(self.settings["config"])

    @property
    def finished(self) -> bool:
        """Whether the run came to its last step."""
        return self.settings["stopped"] is None

    @property
    def title(self) -> str:
        """A line that tells it from others: source, target, method, seed, and how far it came if it was stopped."""
        config = self.settings["config"]
        title = f"{config['source']} → {config['target']} ({config['method']}, seed {config['seed']})"
        if not self.finished:
            title += f", stopped at step {self.settings['steps']['generator']} of {config['steps']}"
        return title

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


def open_entry(path: str | os.PathLike[str]) -> Entry:
    """The entry in the folder `path`, checked for completeness but not read through.

    Raises InputError naming the folder if it isn't one or is damaged.
    """
    path = Path(path).expanduser()
    settings = read_settings(path)
    for name in FILES:
        if not (path / name).is_file():
            raise _KIND.damaged(path, f"{name} is missing")
    if (path / ADAPTED).stat().st_size != settings["weights"]["bytes"]:
        raise _KIND.damaged(path, f"{ADAPTED} doesn't have the size it was written with")
    return Entry(path, settings)


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


def find(config: AdaptConfig) -> Entry | None:
    """The finished run with the weights that `config` would give, or None.

    A run that was stopped is never given. One that is damaged counts as absent, which is logged, so that asking
    again makes it anew. Raises InputError if the model or the critic can't be found.
    """
    path = runs_folder() / _folder_name(config)
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


def load_adapted(path: str | os.PathLike[str], device: str = "cpu") -> Generator:
    """The adapted generator of a folder that an adaptation wrote, in evaluation mode with frozen weights.

    Raises InputError if the folder is damaged, or if the source model isn't the one it was adapted from.
    """
    path = Path(path).expanduser()
    folder = path if path.is_dir() else path.parent
    changed = changed_weights(folder)
    generator = catalog.load_generator(read_settings(folder)["config"]["model"], device)
    try:
        apply_weights(generator, changed)
    except ValueError as error:
        raise _KIND.damaged(folder, str(error)) from error
    return generator


def changed_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of the generator that an adaptation changed, by state-dict name, on the CPU.

    Raises InputError as `load_adapted` does.
    """
    from .checkpoints import load_tensors

    settings = read_settings(folder)
    model = settings["config"]["model"]
    _KIND.check_whole(folder / ADAPTED, settings["weights"])
    if catalog.generator_digest(model) != settings["model_sha256"]:
        raise InputError(
            f"The adapted domain in {folder} was made from other weights of the model “{model}” than those here: "
            "adapt again, or restore the model's file."
        )
    tensors, _ = load_tensors(folder / ADAPTED)
    return {name[len(_GENERATOR) :]: tensor for name, tensor in tensors.items() if name.startswith(_GENERATOR)}


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


def export(entry: Entry, folder: str | os.PathLike[str]) -> Path:
    """Copies an entry's files into `folder`, each whole or not at all. Raises InputError if that can't be written."""

    def copy(temporary: Path) -> None:
        for name in FILES:
            shutil.copyfile(entry.path / name, temporary / name)

    return keeping.write_into(folder, copy)


# ----------------------------------------------------------------------------------------------------------------------
# Keeping a run


class Run:
    """What a run has yielded so far, ready to be kept: make it first, give it every Snapshot, then save.

    run = Run(config)
    for snapshot in adapt(config):
        run.add(snapshot)
    entry = run.save()
    """

    def __init__(self, config: AdaptConfig) -> None:
        self.config = config
        self.rows: list[dict[str, Any]] = []
        self.last: Snapshot | None = None
        # Now, not when it is saved: by then other files may lie where the run's models were.
        self._name = _folder_name(config)
        self._identity = {"critic": _critic(config), **_digests(config), "key": run_key(config), "revision": REVISION}

    def add(self, snapshot: Snapshot) -> None:
        """Takes note of a step, or of the result."""
        if snapshot.phase == "done":
            self.last = snapshot
            if snapshot.diversity is not None and self.rows and self.rows[-1]["stage"] == "generator":
                self.rows[-1]["diversity"] = snapshot.diversity  # of the result, whenever pictures were renewed last
        else:
            self.rows.append(keeping.history_row(snapshot))

    def save(self) -> Entry:
        """Keeps the run in the library, whole or not at all, and gives its entry.

        A finished run is what `find` gives from now on; a stopped one is kept beside it under a name of its own.
        Raises InputError if the library can't be written, ValueError if the run has not yielded its last Snapshot.
        """
        if self.last is None or self.last.weights is None:
            raise ValueError("The run has no result yet: add its last Snapshot first.")
        return open_entry(keeping.keep(runs_folder(), self._write, _is_whole))

    def _write(self, folder: Path) -> str:
        last = self.last
        settings: dict[str, Any] = {
            **_KIND.circumstances(),
            "config": self.config.to_dict(),
            **self._identity,
            "steps": {stage: sum(row["stage"] == stage for row in self.rows) for stage in ("prompts", "generator")},
            "stopped": last.stopped,
            "seconds": round(last.seconds, 3),
            "diversity": last.diversity,
        }
        tensors = {_GENERATOR + name: tensor for name, tensor in last.weights.items()}
        tensors.update({_PROMPTS + name: tensor for name, tensor in (last.prompts or {}).items()})
        settings["weights"] = _KIND.write_tensors(tensors, folder / ADAPTED, settings)
        note = {name: settings[name] for name in ("config", "versions")}
        save_png(grid(last.before), folder / SOURCE_PICTURE, {"generator": self.config.model, **note})
        save_png(grid(last.after), folder / SAMPLES_PICTURE, {"generator": "adapted", **note})
        (folder / HISTORY).write_text(keeping.history_text(self.rows), encoding="utf-8")
        keeping.write_settings(settings, folder)
        if last.stopped is None:
            return self._name
        return f"{self._name}-stopped-{settings['weights']['sha256'][:8]}"


def _is_whole(path: Path) -> bool:
    """Whether an entry is there already: it is the same run, and stays."""
    try:
        open_entry(path)
    except InputError as error:
        log.warning("%s It is replaced.", error)
        return False
    return True
