"""Adapted domains on disk: keep a run, find it again, load it, list, name, pick an earlier step, copy out, delete.

One folder a run, whole or absent. The room knows nothing about training; it is handed the Snapshots that a run yields.
Finished models that come with the app (shipped.py) are listed with the runs, and can be drawn but not changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from . import catalog, durable, keeping, shipped, space, stored, words
from .config import LEARNED, METHODS, REVISION, SHORTEST_MOVE, AdaptConfig
from .errors import InputError
from .keeping import HISTORY, SETTINGS, home
from .keeping import check_writable as check_writable
from .keeping import check_writable_file as check_writable_file
from .media import grid, save_png
from .paths import as_path, is_folder
from .snapshot import Start
from .values import whole
from .words import clean_line

if TYPE_CHECKING:
    from .snapshot import Snapshot
    from .stylegan2 import Generator

log = logging.getLogger(__name__)

ADAPTED = catalog.ADAPTED
SOURCE_PICTURE = "source.png"
SAMPLES_PICTURE = "samples.png"
FILES = (ADAPTED, SETTINGS, HISTORY, SOURCE_PICTURE, SAMPLES_PICTURE)
TRAINING = "training.safetensors"  # where asked for: what the run needs to go on exactly

#: What is measured of a finished model, see `metrics.side_by_side`.
FIGURES = ("judge", "diversity", "attributes", "identity", "distance")

MAX_TITLE = 80  # characters
MAX_MORE_STEPS = 5000  # that a run goes on for at once

_MAX_STEPS = 1_000_000  # that an entry's settings may speak of
_MAX_READING = 1000  # characters of what a prompt says of a person

_KIND = keeping.Kind("ipl-studio-run", 1, "adapted domain", "an adaptation", "delete the folder and adapt again")
_SHIPPED = replace(_KIND, what="finished model", again="restore the file, or make it anew by ipl_core.studio ship")
_GENERATOR, _PROMPTS = "generator.", "prompts."  # prefixes of tensor names in ADAPTED

# Settings that change what is shown, or how fast, but not the method's weights.
_NOT_IN_KEY = (
    *("preset", "device", "model", "critic", "preview_seeds", "preview_psi", "memory"),
    *("keep_every", "keep_state"),
)
# Settings that came later, with what was done before, which is what runs kept from then mean; it is no part of a key.
_LATER = {
    **{"shortest_move": SHORTEST_MOVE, "precision": "float32", "avoid": ""},
    **{"prompts": "vectors", "vocabulary": "auto"},
}
# Settings that stage 1 alone reads.
_STAGE_1_ONLY = (
    *("around_context", "mapper_steps", "mapper_batch", "mapper_lr"),
    *("lambda_domain", "contrastive", "residual", "prompts"),
)


def unread(config: AdaptConfig) -> tuple[str, ...]:
    """Settings that a run of this method never reads."""
    vocabulary = () if config.templates == "descriptions" else ("vocabulary",)
    if config.method == "nada":
        return (*_STAGE_1_ONLY, *vocabulary, *(("context",) if vocabulary else ()))
    if config.method == "described":
        return _STAGE_1_ONLY
    if config.method == "shared":  # with one prompt for all, which starts at the context, both forms are the same
        return ("contrastive", "around_context", "prompts", *vocabulary)
    return vocabulary if config.prompts == "vectors" else ("around_context",)


def runs_folder() -> Path:
    """Where the runs are kept."""
    return home() / "runs"


# ----------------------------------------------------------------------------------------------------------------------
# What a run is called


def run_key(config: AdaptConfig) -> str:
    """Hash of everything that decides the weights: model and critic files, settings the method uses, the method itself.

    Raises InputError if the model or the critic can't be found.
    """
    passed_over = (*_NOT_IN_KEY, *unread(config))
    decisive = {name: value for name, value in config.to_dict().items() if name not in passed_over}
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
    """A kept run. `settings` is what settings.json holds, checked by `open_entry`; the files lie in `path`.

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
        config = self.config
        domains = f"{config.source} → {config.target}"
        if self.imported:
            return f"{domains} (imported from {words.shown(self.settings['imported']['file'])})"
        if self.mixed:
            return f"{domains} (mixed)"
        title = f"{domains} ({config.method}, seed {config.seed})"
        if not self.finished:
            how = "" if self.settings["stopped"] == "picked" else "stopped at "
            title += f", {how}step {self.settings['steps']['generator']} of {config.steps}"
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
        return sum(self.sizes.get(name, 0) for name in self.files)

    @property
    def resumes_exactly(self) -> bool:
        """Whether the state of its training was kept, so that the run may go on as if it had not ended."""
        return self.settings.get("training") is not None

    @property
    def left_out(self) -> str:
        """A sentence about what the run was to keep and didn't for want of space; "" for nothing."""
        return "There was no room for earlier steps or the state of training." if "left out" in self.settings else ""

    def steps(self) -> list[int]:
        """The earlier steps of stage 2 whose weights were kept, in ascending order."""
        return sorted(int(step) for step in self.settings.get("earlier", {}))

    @property
    def readings(self) -> dict[int, str]:
        """What the prompts of its preview seeds say in words, by seed; {} where they say nothing."""
        kept = self.settings.get("readings", {})
        return {int(seed): words.shown(said, _MAX_READING) for seed, said in kept.items()}

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
            return keeping.read_history(self.path / HISTORY)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _KIND.damaged(self.path, f"{HISTORY}: {error}") from error


class Shipped(Entry):
    """A finished model that comes with the app: `path` is its one file, see shipped.py, whose weights are quantised.

    settings: those of the run, with what was measured when it was made as "shipped".
    """

    shipped = True

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
        return _read_shipped(self.path, shipped.read_picture, shipped.SOURCE_PICTURE)

    @property
    def samples_picture(self) -> bytes:
        """Grid of the same seeds, in the same layout, by the adapted generator, WebP; raises as the other does."""
        return _read_shipped(self.path, shipped.read_picture, shipped.SAMPLES_PICTURE)

    def history(self) -> list[dict[str, Any]]:
        """The run's rows, as of any entry."""
        return _read_shipped(self.path, lambda path: keeping.parsed_history(shipped.read_history(path)))


def _read_shipped(path: Path, read: Callable[..., Any], *more: Any) -> Any:
    """What `read` gives of a finished model's file; damage is an InputError."""
    try:
        return read(path, *more)
    except KeyError as error:
        raise _SHIPPED.damaged(path, f"{error} is missing") from error
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise _SHIPPED.damaged(path, str(error)) from error


def step_file(step: int) -> str:
    """What the weights of an earlier step are called; its path stands for a generator wherever an entry's does."""
    return f"step-{step:05}.safetensors"


def step_picture(step: int) -> str:
    """What the preview of an earlier step is called."""
    return f"step-{step:05}.png"


def open_entry(path: str | os.PathLike[str]) -> Entry:
    """The entry in the folder `path`, checked for completeness but not read through, or the finished model in a file.

    Raises InputError naming it if it isn't one or is damaged.
    """
    path = as_path(path)
    if shipped.is_one(path):
        return _open_shipped(path)
    if not is_folder(path):
        read_settings(path)  # says what is wrong with it
    sizes = _KIND.sizes(path)
    settings = read_settings(path)
    entry = Entry(path, settings, sizes)
    _KIND.check_files(path, sizes, entry.files)
    written = {ADAPTED: settings["weights"], TRAINING: settings.get("training")}
    written.update({step_file(int(step)): facts for step, facts in settings.get("earlier", {}).items()})
    for name, facts in written.items():
        if facts is not None and sizes[name] != facts["bytes"]:
            raise _KIND.damaged(path, f"{name} doesn't have the size it was written with")
    return entry


def _open_shipped(path: Path) -> Shipped:
    settings = _shipped_settings(path)
    model = settings["config"]["model"]
    if catalog.generator_digest(model) != settings["model_sha256"]:
        raise _OtherSource(
            f"The finished model “{path.stem}” was made from other weights of the model “{model}” than those here: "
            f"restore the model's file, or make it anew by ipl_core.studio ship."
        )
    _read_shipped(path, shipped.check_whole)
    facts = {"bytes": path.stat().st_size, "sha256": catalog.file_digest(path)}
    return Shipped(path, {**settings, "weights": facts}, {path.name: facts["bytes"]})


class _OtherSource(InputError):
    """A finished model belongs to other weights of its source than those that are here."""


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What settings.json of an adapted domain says; `path` is its folder, the weights file in it, or a finished model.

    Raises InputError if it is missing or damaged.
    """
    path = _place(as_path(path))
    if is_folder(path):
        return _KIND.read_settings(path, _check)
    return _shipped_settings(path)


def _shipped_settings(path: Path) -> dict[str, Any]:
    return _SHIPPED.checked(_read_shipped(path, shipped.read_settings), path, _check_shipped)


def _place(path: Path) -> Path:
    """The folder of an adapted domain that is named by that or by weights in it; of a finished model, its file."""
    return path if is_folder(path) or shipped.is_one(path) else path.parent


def _check(settings: Mapping[str, Any]) -> None:
    """Raises what `Kind.read_settings` takes for damage unless every property of an Entry can be had.

    Also of runs kept by earlier versions: what came later may be missing.
    """
    _check_config(settings["config"])
    for name in ("critic", "model_sha256", "critic_sha256"):
        stored.text(settings[name], name, 2000)
    _check_end(settings)
    steps = stored.mapping(settings["steps"], "steps")
    for stage in ("generator", "prompts"):
        stored.whole(steps.get(stage, 0) if stage == "prompts" else steps[stage], f"steps of {stage}", _MAX_STEPS)
    stored.file_facts(settings["weights"], "weights")
    if settings.get("training") is not None:
        stored.file_facts(settings["training"], "training")
    for step, facts in stored.mapping(settings.get("earlier", {}), "earlier").items():
        if not re.fullmatch(r"[1-9][0-9]{0,4}", step):
            raise ValueError(f"{words.quoted(step)} is no earlier step")
        stored.file_facts(facts, f"step {step}")
        _check_diversity(facts.get("diversity"))
    for seed, said in stored.mapping(settings.get("readings", {}), "readings").items():
        if not re.fullmatch(r"0|[1-9][0-9]{0,9}", seed):
            raise ValueError(f"{words.quoted(seed)} in readings is no seed")
        stored.text(said, f"what is read of {seed}", _MAX_READING)
    title = stored.text(settings.get("title", ""), "title", MAX_TITLE)
    if not title.isprintable():
        raise ValueError("its title can't be shown")
    if "resumed" in settings:
        origin = stored.mapping(settings["resumed"], "resumed")
        stored.whole(origin["step"], "step resumed at", _MAX_STEPS)
        _ = stored.flag(origin["exactly"], "exactly"), stored.flag(origin["as one run"], "as one run")
    if "imported" in settings:
        facts = stored.mapping(settings["imported"], "imported")
        stored.text(facts["file"], "file imported from", 2000)
        stored.flag(facts["changes mapping"], "changes mapping")
    if "mixed" in settings:
        parts = settings["mixed"]
        if not isinstance(parts, list) or not parts:
            raise ValueError(f"mixed is {words.quoted(parts)} instead of its parts")
        for part in parts:
            stored.number(stored.mapping(part, "a part of the mix")["share"], "share", 0, 1000)
            _check_config(part["config"])


def _check_shipped(settings: Mapping[str, Any]) -> None:
    """As `_check`, with what a finished model has beside it."""
    _check(settings)
    measured = stored.mapping(settings["shipped"], "shipped")
    stored.whole(measured["samples"], "samples", _MAX_STEPS)
    for name in ("source", "figures"):
        figures = stored.mapping(measured[name], name)
        for figure in FIGURES:
            stored.number(figures[figure], figure, -1, 1e6)


def _check_config(config: Any) -> None:
    AdaptConfig.from_dict({**_LATER, **stored.mapping(config, "config")})


def _check_end(settings: Mapping[str, Any]) -> None:
    if settings["stopped"] is not None and not stored.text(settings["stopped"], "stopped", 40).isprintable():
        raise ValueError("stopped can't be shown")
    stored.number(settings["seconds"], "seconds", 0, 1e9)
    _check_diversity(settings["diversity"])
    stored.time(settings["created"], "created")


def _check_diversity(value: Any) -> None:
    if value is not None:
        stored.number(value, "diversity", 0, 1e6)


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
    entries, problems = keeping.opened(runs_folder(), _KIND.what, _open_folder)
    entries.sort(key=lambda entry: str(entry.settings.get("created")), reverse=True)
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
    found.sort(key=lambda entry: (entry.config.target, METHODS.index(entry.config.method)))
    return found, problems


def _open_folder(path: Path) -> Entry:
    if not os.path.isdir(path):
        raise ValueError("it is no folder")
    return open_entry(path)


def is_adapted(path: Path) -> bool:
    """Whether `path` is of an adapted domain: its folder, its weights, those of a step before, or a finished model."""
    if path.is_dir() or path.name == ADAPTED or shipped.is_one(path):
        return True
    return _step_of(path) is not None and (path.parent / ADAPTED).is_file()


def _step_of(path: Path) -> int | None:
    found = re.fullmatch(r"step-(\d{5})\.safetensors", path.name)
    return int(found[1]) if found else None


def load_adapted(path: str | os.PathLike[str], device: str = "cpu", step: int | None = None) -> Generator:
    """The adapted generator of a folder that an adaptation wrote, in evaluation mode with frozen weights.

    path: the folder, or the weights in it, of an earlier step too; or the file of a finished model. step: which earlier
        step; None takes what `path` is.
    Raises InputError if the folder is damaged, if that step wasn't kept, or if the source model isn't the one it was
    adapted from.
    """
    path = as_path(path)
    folder = _place(path)
    changed = changed_weights(folder, _step_of(path) if step is None else step)
    generator = catalog.load_generator(read_settings(folder)["config"]["model"], device)
    try:
        apply_weights(generator, changed)
    except ValueError as error:
        raise _KIND.damaged(folder, str(error)) from error
    return generator


def changed_weights(folder: Path, step: int | None = None) -> dict[str, torch.Tensor]:
    """The tensors of the generator that an adaptation changed, float32 by state-dict name, on the CPU.

    folder: that of an adaptation, or the file of a finished model, whose tensors are as near as its bits allow.
    step: which earlier step; None is the last. Raises InputError as `load_adapted` does.
    """
    settings = read_settings(folder)
    model = settings["config"]["model"]
    if catalog.generator_digest(model) != settings["model_sha256"]:
        raise InputError(
            f"The adapted domain in {folder} was made from other weights of the model “{model}” than those here: "
            "adapt again, or restore the model's file."
        )
    if not shipped.is_one(folder):
        return _tensors(folder, settings, _GENERATOR, step)
    if step is not None:
        raise InputError(f"The finished model “{folder.stem}” has no earlier steps, so there is no step {step}.")
    source = catalog.load_generator(model).state_dict()
    changes = _read_shipped(folder, shipped.read_changes, source)
    return {name: source[name] + change for name, change in changes.items()}


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
    keeping.delete(entry.path, runs_folder(), "the library")


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
    keeping.write_into(entry.path, lambda folder: keeping.write_settings(settings, folder))
    return open_entry(entry.path)


def export(entry: Entry, folder: str | os.PathLike[str]) -> Path:
    """Copies an entry's files into `folder`, each whole or not at all.

    Raises InputError if that can't be written, and for a finished model, which `exchange` exports.
    """
    _check_own(entry)
    return keeping.write_into(folder, lambda temporary: _copy(entry, temporary))


def bring_in(folder: str | os.PathLike[str]) -> Entry:
    """Keeps a copy of what lies in `folder`, as `export` or a run without room left it, and gives its entry.

    A whole entry of that name stays; what is no finished run in one go is never found in place of one.
    Raises InputError if the folder is damaged or the library can't be written.
    """
    found = open_entry(folder)
    _check_own(found)
    name = keeping.folder_name(found.config.target, "domain", found.settings["weights"]["sha256"], _made_by(found))
    in_one_go = found.settings.get("resumed", {"as one run": True})["as one run"]
    if isinstance(found.settings.get("key"), str) and found.from_run and found.finished and in_one_go:
        name = keeping.folder_name(found.config.target, "domain", found.settings["key"], found.config.method)

    def write(temporary: Path) -> str:
        _copy(found, temporary)
        return name

    return open_entry(keeping.keep(runs_folder(), write, lambda path: _whole(path) is not None))


def _made_by(entry: Entry) -> str:
    return entry.config.method if entry.from_run else "imported" if entry.imported else "mixed"


def _copy(entry: Entry, folder: Path) -> None:
    for name in entry.files:
        shutil.copyfile(entry.path / name, folder / name)


_NOT_PICKED = ("weights", "earlier", "training", "title")


def pick(entry: Entry, step: int) -> Entry:
    """Makes an earlier step of a run an entry of its own, which can be used as any other; gives that.

    Raises InputError if that step wasn't kept or the library can't be written.
    """
    _check_own(entry)
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
            "diversity": earlier.get("diversity"),
        }
        shutil.copyfile(entry.source_picture, folder / SOURCE_PICTURE)
        shutil.copyfile(entry.path / step_picture(step), folder / SAMPLES_PICTURE)
        _write_entry(folder, settings, weights, prompts, rows)
        return f"{entry.name}-step-{step}"

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
    facts = [{"entry": entry.name, "share": share, "config": entry.settings["config"]} for entry, share in parts]
    return _keep_made(config, "mixed", facts, _recipe(parts), weights, before, after)


def mixed_path(config: AdaptConfig, parts: Sequence[tuple[Entry, float]]) -> Path:
    """The folder in which `keep_mixed` keeps that mix. Raises InputError if the model or the critic can't be found."""
    return runs_folder() / _made_name(config, "mixed", _made_key(_recipe(parts), _digests(config)))


def _recipe(parts: Sequence[tuple[Entry, float]]) -> str:
    return json.dumps([(entry.settings["weights"]["sha256"], share) for entry, share in parts])


def _made_key(identity: str, digests: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{identity} {digests['model_sha256']}".encode()).hexdigest()


def _made_name(config: AdaptConfig, how: str, key: str) -> str:
    return keeping.folder_name(config.target, "domain", key, how)


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
    key = _made_key(identity, digests)

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
        return _made_name(config, how, key)

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
        self._workplace: durable.Workplace | None = None  # of the earlier steps, which would fill the memory
        self._left_out = False  # whether the disk had no room for one of them
        self._lean = False  # whether it has none for anything but the result

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
        if self._left_out:
            return
        try:
            if self._workplace is None:
                self._workplace = keeping.scratch(runs_folder())
                weakref.finalize(self, self._workplace.close)
            folder = self._workplace.new
            facts = self._write_step(folder, snapshot.step, snapshot.weights)
            note = {"step": snapshot.step, "config": self.config.to_dict(), **self._identity}
            save_png(grid(snapshot.after), folder / step_picture(snapshot.step), note)
        except InputError as error:
            if not keeping.is_full(error):
                raise
            log.warning("Earlier steps from %d on aren't kept, and the run goes on: %s", snapshot.step, error)
            self._left_out = True  # what is left belongs to the result
            return
        self._earlier[snapshot.step] = {**facts, "diversity": snapshot.diversity}

    def _write_step(self, folder: Path, step: int, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        tensors = {_GENERATOR + name: tensor for name, tensor in weights.items()}
        settings = {"config": self.config.to_dict(), **self._identity, "step": step}
        # In half the space: of the embedded generator's pictures, 2 % of the bytes differ then, by 1.
        return _KIND.write_tensors(tensors, folder / step_file(step), settings, torch.float16)

    def save(self, *out: str | os.PathLike[str] | None) -> Entry:
        """Keeps the run in the library, whole or not at all, and gives its entry.

        A finished run is what `find` gives from now on; a stopped one is kept beside it under a name of its own, and
        so is one that went on without the state of its training, whose weights are not those of a run in one go.
        out: folders for it where the library's disk is full; then come the system's temporary folder, and the library
        again without earlier steps and the state of training (see `Entry.left_out`).
        Raises `space.KeptElsewhere` where it lies in one of these folders, InputError if it could be written nowhere,
        ValueError if the run has not yielded its last Snapshot.
        """
        if self.last is None or self.last.weights is None:
            raise ValueError("The run has no result yet: add its last Snapshot first.")
        try:
            return open_entry(keeping.keep(runs_folder(), self._write, self._stays))
        except keeping.Full as error:
            return self._save_elsewhere(error, out)

    def _save_elsewhere(self, full: keeping.Full, out: Sequence[str | os.PathLike[str] | None]) -> Entry:
        """Keeps all of the run where there is room; else the result alone, in the library or where there is room."""
        log.warning("%s", full)
        space.keep_elsewhere("run", out, lambda place: keeping.keep(place, self._write), full)
        self._lean = True
        if self._workplace is not None:  # the earlier steps take the room that the result needs
            self._workplace.close()
        try:
            return open_entry(keeping.keep(runs_folder(), self._write, self._stays))
        except keeping.Full:
            space.keep_elsewhere("run", out, lambda place: keeping.keep(place, self._write), full)
            raise full from None

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
        if last.readings is not None:
            settings["readings"] = {str(seed): words for seed, words in last.readings.items()}
        name = self._name
        if self._goes_on is not None:
            settings["resumed"] = _origin(self._goes_on)
            if not settings["resumed"]["as one run"]:
                name += f"-resumed-{self._goes_on.settings['weights']['sha256'][:8]}"
        there = _whole(runs_folder() / name) if last.stopped is None and not self._lean else None
        if self._left_out or self._lean:
            settings["left out"] = True
        settings["earlier"] = {} if self._lean else self._write_earlier(folder, there)
        if last.training is not None and not self._lean:
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
        for place, earlier in sources:
            for step, facts in earlier.items():
                for name in (step_file(int(step)), step_picture(int(step))):
                    shutil.copyfile(place / name, folder / name)
                known[step] = facts
        for step, facts in self._earlier.items():
            for name in (step_file(step), step_picture(step)):
                (folder / name).unlink(missing_ok=True)
                durable.link(self._workplace.new / name, folder / name)
            known[str(step)] = facts
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
        if self._lean:
            return True
        return set(self._earlier) <= set(there.steps()) and (self.last.training is None or there.resumes_exactly)


def check_room(config: AdaptConfig, out: str | os.PathLike[str] | None = None) -> None:
    """Raises `keeping.Full` unless there is room for what a run will keep, and for its copy in the folder `out`.

    An upper bound but for the learnt prompts, which are small: training may change fewer layers. Raises InputError if
    the model can't be found.
    """
    weights = space.synthesis_bytes(config.model)
    earlier = (config.steps - 1) // config.keep_every if config.keep_every else 0
    needed = space.SPARE + weights + earlier * weights // 2 + (3 * weights if config.keep_state else 0)
    folders = [runs_folder(), *([] if out is None else [Path(out)])]
    space.check([(folder, needed) for folder in folders], "The run")


def readings(entry: Entry, seeds: Sequence[int], psi: float | None = None) -> dict[int, str]:
    """What the prompts of a run say of these people, by seed: words of its vocabulary, the weightiest first.

    psi: truncation at which the people are looked at; None for that of the run's previews. Raises InputError for an
    entry that no run made, for one whose prompts say nothing in words, and of a finished model, which keeps no learned
    prompts, for other people than the run's own.
    """
    from .adapt import open_views, take_prompts
    from .adapt import readings as said_by

    if not entry.from_run:
        how = "imported" if entry.imported else "mixed"
        raise InputError(f"“{entry.title}” was {how}, so it has no prompts to read.")
    if entry.shipped and entry.config.method in LEARNED:
        return _kept_readings(entry, seeds, psi)
    source = catalog.load_generator(entry.config.model)
    views, _ = open_views(replace(entry.config, device="cpu"), source)
    take_prompts(views, _tensors(entry.path, entry.settings, _PROMPTS))
    said = said_by(views, source, seeds, entry.config.preview_psi if psi is None else psi)
    if said is None:
        raise InputError(_no_words(entry))
    return said


def _kept_readings(entry: Entry, seeds: Sequence[int], psi: float | None) -> dict[int, str]:
    """The readings that a run noted of its own people."""
    said = entry.readings
    if not said:
        raise InputError(_no_words(entry))
    if psi not in (None, entry.config.preview_psi) or any(seed not in said for seed in seeds):
        raise InputError(
            f"Of “{entry.name}”, which comes with the app, only what was read of the seeds "
            f"{', '.join(map(str, said))} at truncation {entry.config.preview_psi:g} is kept: ask for these."
        )
    return {seed: said[seed] for seed in seeds}


def _no_words(entry: Entry) -> str:
    return (
        f"The prompts of “{entry.title}” say nothing in words: adapt by IPL with --prompts words, or with "
        "--method described."
    )


def continuation(entry: Entry, steps: int) -> tuple[AdaptConfig, Start]:
    """What `adapt` needs to go on from an entry for `steps` more steps of stage 2.

    With the state of its training it goes on exactly; without it, from the weights with a fresh optimiser. Prompts
    that were learnt are kept in either case. `Run` notes which it was as settings["resumed"]["exactly"].
    Raises InputError for an entry with nothing to go on from.
    """
    _check_own(entry)
    if not entry.from_run:
        how = "imported" if entry.imported else "mixed"
        raise InputError(f"“{entry.title}” was {how}, so there is no run to go on with: adapt from it as the model.")
    done = entry.settings["steps"]["generator"]
    if not done:
        raise InputError(f"“{entry.title}” was stopped before its generator had changed: adapt again.")
    steps = whole(steps, "Steps to go on for", 1, MAX_MORE_STEPS)
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
        "entry": entry.name,
        "step": step,
        "exactly": exactly,
        "as one run": exactly and before["as one run"],
    }
