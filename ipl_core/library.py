"""Adapted domains on disk: keep a run, find it again, load it, list, copy out, delete.

One folder a run, whole or absent: it is written under a temporary name and renamed. The room knows nothing about
training; it is handed the Snapshots that a run yields.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import catalog
from .config import REVISION, SHORTEST_MOVE, AdaptConfig
from .errors import InputError
from .media import grid, save_png

if TYPE_CHECKING:
    from .snapshot import Snapshot
    from .stylegan2 import Generator

log = logging.getLogger(__name__)

ADAPTED = catalog.ADAPTED
SETTINGS = "settings.json"
HISTORY = "history.csv"
SOURCE_PICTURE = "source.png"
SAMPLES_PICTURE = "samples.png"
FILES = (ADAPTED, SETTINGS, HISTORY, SOURCE_PICTURE, SAMPLES_PICTURE)

_FORMAT = "ipl-studio-run"
_VERSION = 1
_GENERATOR, _PROMPTS = "generator.", "prompts."  # prefixes of tensor names in ADAPTED
_UNFINISHED = ".writing-"
_ABANDONED_AFTER = 24 * 3600.0  # seconds; what a killed process left behind is then swept away

# Settings that change what is shown, or how fast, but not the method's weights.
_NOT_IN_KEY = ("preset", "device", "model", "critic", "preview_seeds", "preview_psi", "memory")
# Settings that came later, with what was done before, which is what runs kept from then mean; it is no part of a key.
_LATER = {"shortest_move": SHORTEST_MOVE, "precision": "float32"}
#: Settings that NADA, which has no stage 1, never reads.
STAGE_1_ONLY = (
    *("context", "around_context", "mapper_steps", "mapper_batch", "mapper_lr"),
    *("lambda_domain", "contrastive", "residual"),
)


def home() -> Path:
    """The folder for everything that is kept: `IPL_HOME` if that is set, else the user's cache directory."""
    if os.environ.get("IPL_HOME"):
        return Path(os.environ["IPL_HOME"]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ipl-studio"


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
    words = re.sub(r"[^a-z0-9]+", "-", config.target.casefold()).strip("-")[:40] or "domain"
    return f"{words}-{config.method}-{run_key(config)[:12]}"


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

        Raises InputError if the file is missing or damaged.
        """
        try:
            with open(self.path / HISTORY, newline="", encoding="utf-8") as file:
                return [_row(row) for row in csv.DictReader(file)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(self.path, f"{HISTORY}: {error}") from error


def _row(row: dict[str, str]) -> dict[str, Any]:
    numbers = {name: float(text) for name, text in row.items() if name not in ("stage", "step") and text}
    return {"stage": row["stage"], "step": int(row["step"]), **numbers}


def open_entry(path: str | os.PathLike[str]) -> Entry:
    """The entry in the folder `path`, checked for completeness but not read through.

    Raises InputError naming the folder if it isn't one or is damaged.
    """
    path = Path(path).expanduser()
    settings = read_settings(path)
    for name in FILES:
        if not (path / name).is_file():
            raise _damaged(path, f"{name} is missing")
    if (path / ADAPTED).stat().st_size != settings["weights"]["bytes"]:
        raise _damaged(path, f"{ADAPTED} doesn't have the size it was written with")
    return Entry(path, settings)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What settings.json of an adapted domain says; `path` is its folder or the weights file in it.

    Raises InputError if it is missing or damaged.
    """
    path = Path(path).expanduser()
    folder = path if path.is_dir() else path.parent
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"The adapted domain in {folder} can't be read: {SETTINGS} is missing ({error.strerror or error}). "
            "Give the folder that an adaptation wrote."
        ) from error
    except ValueError as error:
        raise _damaged(folder, f"{SETTINGS}: {error}") from error
    if not isinstance(settings, Mapping) or settings.get("format") != _FORMAT:
        raise _damaged(folder, f"{SETTINGS} isn't one of an adaptation")
    if settings.get("version", 0) > _VERSION:
        raise InputError(f"The adapted domain in {folder} was written by a newer version: update this one to read it.")
    try:
        AdaptConfig.from_dict(settings["config"])
        complete = {name: settings[name] for name in ("critic", "model_sha256", "critic_sha256", "stopped")}
        complete.update(generator=settings["steps"]["generator"], bytes=settings["weights"]["bytes"])
    except (InputError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{SETTINGS}: {error}") from error
    return dict(settings)


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
    for path in _entry_folders():
        try:
            entries.append(open_entry(path))
        except InputError as error:
            log.warning("%s", error)
            problems.append(str(error))
    return sorted(entries, key=lambda entry: str(entry.settings.get("created")), reverse=True), problems


def _entry_folders() -> Iterator[Path]:
    try:
        yield from sorted(path for path in runs_folder().iterdir() if path.is_dir() and path.name[0] != ".")
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(
            f"The library {runs_folder()} can't be read: {error.strerror}. Set IPL_HOME to another folder."
        ) from error


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
        raise _damaged(folder, str(error)) from error
    return generator


def changed_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of the generator that an adaptation changed, by state-dict name, on the CPU.

    Raises InputError as `load_adapted` does.
    """
    from .checkpoints import load_tensors

    settings = read_settings(folder)
    model = settings["config"]["model"]
    if catalog.file_digest(folder / ADAPTED) != settings["weights"].get("sha256"):
        raise _damaged(folder, f"{ADAPTED} isn't as it was written")
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
    folder = entry.path.resolve()
    if folder.parent != runs_folder().resolve() or folder.name.startswith("."):
        raise InputError(f"{entry.path} isn't in the library {runs_folder()}, so it isn't deleted.")
    try:
        doomed = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=runs_folder()))
        os.replace(folder, doomed / folder.name)  # gone at once, even if clearing it away is interrupted
        shutil.rmtree(doomed, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{entry.path} can't be deleted: {error.strerror or error}.") from error


def export(entry: Entry, folder: str | os.PathLike[str]) -> Path:
    """Copies an entry's files into `folder`, each whole or not at all. Raises InputError if that can't be written."""
    folder = Path(folder).expanduser()
    check_writable(folder)
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
        for name in FILES:
            shutil.copyfile(entry.path / name, temporary / name)
        for name in FILES:
            os.replace(temporary / name, folder / name)
    except OSError as error:
        raise InputError(f"The result can't be written to {folder}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Makes `folder` if it isn't there and tries it. Raises InputError if nothing can be written to it."""
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"Nothing can be written to the folder {folder}: {error.strerror or error}. Choose another one."
        ) from error


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
        else:
            row = {"stage": snapshot.phase, "step": snapshot.step, **snapshot.losses, "seconds": snapshot.seconds}
            self.rows.append(row)

    def save(self) -> Entry:
        """Keeps the run in the library, whole or not at all, and gives its entry.

        A finished run is what `find` gives from now on; a stopped one is kept beside it under a name of its own.
        Raises InputError if the library can't be written, ValueError if the run has not yielded its last Snapshot.
        """
        if self.last is None or self.last.weights is None:
            raise ValueError("The run has no result yet: add its last Snapshot first.")
        check_writable(runs_folder())
        _sweep()
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=runs_folder()))
        try:
            settings = self._write(temporary)
            name = self._name
            if self.last.stopped is not None:
                name += f"-stopped-{settings['weights']['sha256'][:8]}"
            return _put(temporary, runs_folder() / name)
        except OSError as error:
            raise InputError(
                f"The run can't be kept in {runs_folder()}: {error.strerror or error}. Set IPL_HOME to another folder."
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _write(self, folder: Path) -> dict[str, Any]:
        from .checkpoints import save_tensors

        last = self.last
        settings: dict[str, Any] = {
            "format": _FORMAT,
            "version": _VERSION,
            "config": self.config.to_dict(),
            **self._identity,
            "steps": {stage: sum(row["stage"] == stage for row in self.rows) for stage in ("prompts", "generator")},
            "stopped": last.stopped,
            "seconds": round(last.seconds, 3),
            "diversity": last.diversity,
            "created": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "versions": versions(),
            "threads": torch.get_num_threads(),  # sums are split among them, which shows in the last bits
        }
        tensors = {_GENERATOR + name: tensor for name, tensor in last.weights.items()}
        tensors.update({_PROMPTS + name: tensor for name, tensor in (last.prompts or {}).items()})
        # Settings inside the weights too, so that the file alone still says what it is.
        save_tensors(tensors, folder / ADAPTED, {"format": _FORMAT, "settings": json.dumps(settings)})
        weights = folder / ADAPTED
        settings["weights"] = {"bytes": weights.stat().st_size, "sha256": catalog.file_digest(weights)}
        note = {name: settings[name] for name in ("config", "versions")}
        save_png(grid(last.before), folder / SOURCE_PICTURE, {"generator": self.config.model, **note})
        save_png(grid(last.after), folder / SAMPLES_PICTURE, {"generator": "adapted", **note})
        self._write_history(folder / HISTORY)
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")
        return settings

    def _write_history(self, path: Path) -> None:
        terms = dict.fromkeys(name for row in self.rows for name in row if name not in ("stage", "step", "seconds"))
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["stage", "step", *terms, "seconds"], restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows({**row, "seconds": f"{row['seconds']:.3f}"} for row in self.rows)


def versions() -> dict[str, str]:
    """Versions of everything that a run's numbers may depend on."""
    from . import __version__

    found = {"ipl_core": __version__, "python": platform.python_version()}
    for package in ("torch", "open_clip_torch", "safetensors", "numpy", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    found["torch"] = str(torch.__version__)
    return found


def _put(temporary: Path, path: Path) -> Entry:
    """Renames a folder written in full to its own name; a whole entry already there is the same run and stays."""
    if path.is_dir():
        try:
            return open_entry(path)
        except InputError as error:
            log.warning("%s It is replaced.", error)
            shutil.rmtree(path)
    os.replace(temporary, path)
    return open_entry(path)


def _sweep() -> None:
    for path in runs_folder().glob(f"{_UNFINISHED}*"):
        if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
            shutil.rmtree(path, ignore_errors=True)


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"The adapted domain in {path} is damaged ({what}): delete the folder and adapt again.")
