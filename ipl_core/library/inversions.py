"""Inverted pictures on disk: keeps them, and finds, loads, lists and deletes them.

Each has a folder of its own, which is whole or absent. The module knows nothing about how a latent is found; it is
handed what an inversion yields.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import lpips
from ..drawing.people_by_seed import SeedPerson
from ..drawing.sampling import draw_latents
from ..errors import InputError
from ..generators.portrait import decide
from ..generators.stylegan2.network import Generator
from ..methods.config import InvertConfig
from ..models import catalog
from ..pictures.faces import Crop
from ..pictures.media import grid, save_png, to_float, to_uint8
from ..running import step_history
from ..running.steps import InvertResult, Step
from ..storage import apart, digests, durable, folders, space, stored, words
from ..storage.files import readable_file
from ..storage.folders import HISTORY, SETTINGS, home
from ..storage.paths import as_path, is_folder
from ..storage.tensors import MAX_HEADER, load_tensors
from ..storage.words import quoted, read_json
from . import store
from .domain_folder import apply_weights
from .latent_settings import taken_over
from .person_records import MAX_NAME, Found, PersonRecord, read_person

log = logging.getLogger(__name__)

INVERTED = "inverted.safetensors"
ALIGNED_PICTURE = "aligned.png"
INVERTED_PICTURE = "inverted.png"
FILES = (INVERTED, ALIGNED_PICTURE, INVERTED_PICTURE, SETTINGS, HISTORY)

#: Part of an inversion's identity: raised with every change that gives another latent for the same settings.
REVISION = 2
#: The same for portraits of photos.
PORTRAIT_REVISION = 1
_KIND = folders.Kind("ipl-studio-person", 1, "inverted picture", "an inversion", "delete the folder and invert again")


class Person:
    """What the settings of a person say, as types. settings: what settings.json holds, for files that repeat it."""

    settings: dict[str, Any]

    @cached_property
    def record(self) -> PersonRecord:
        """What is known of the person."""
        return read_person(stored.finite(self.settings))

    @property
    def name(self) -> str:
        """What the person is called, as it may be shown."""
        return self.record.name

    @property
    def model(self) -> str:
        """The generator whose latent it is, by name or path."""
        return self.record.model

    @property
    def title(self) -> str:
        """A line that tells it from others."""
        return self.record.title

    @property
    def config(self) -> InvertConfig:
        """The configuration that the latent was found with. Raises InputError for a person who was drawn by seed."""
        if not isinstance(self.record.origin, Found):
            raise InputError(f"“{self.name}” was drawn by seed, so there is no inversion behind it.")
        return self.record.origin.config


@dataclass(frozen=True)
class Kept(Person):
    """A kept picture as a list shows it: its folder and what settings.json there holds; `load` reads the rest."""

    path: Path
    settings: dict[str, Any]


@dataclass(frozen=True)
class Inverted(Person):
    """A picture and the latent that stands for it.

    w_plus: (1, rows, w_dim). noise: a map (1, 1, h, w) for each synthesis layer, or () for the generator's own.
    tuned: tensors of the generator that pivotal tuning changed, by state-dict name; {} without tuning.
    aligned, picture: what was inverted and what stands for it, uint8 (1, R, R, 3).
    settings: what settings.json holds. history: the run's rows as CSV. path: its folder, None before it is kept.
    """

    w_plus: Tensor
    noise: tuple[Tensor, ...]
    tuned: dict[str, Tensor]
    aligned: Tensor
    picture: Tensor
    settings: dict[str, Any]
    history: str = ""
    path: Path | None = field(default=None, compare=False)

    def check_model(self) -> None:
        """Raises InputError if the model's weights aren't those that the latent belongs to."""
        if catalog.generator_digest(self.model) != self.record.model_sha256:
            raise InputError(
                f"“{self.name}” was inverted with other weights of the model “{self.model}” than those here: "
                "invert the picture again, or restore the model's file."
            )

    def fits(self, generator: Generator) -> bool:
        """Whether every tensor has the shape and type that the generator asks for, and no number is NaN or infinite."""
        side = generator.config.resolution
        expected = {"w_plus": (1, generator.num_layers, generator.config.w_dim)}
        own = generator.state_dict()
        maps = [tuple(noise.shape) for noise in generator.synthesis.noise.buffers()] if self.noise else []
        latents = {"w_plus": self.w_plus, **self.tuned}
        expected.update({name: tuple(own[name].shape) for name in self.tuned if name in own})
        return (
            {name: tuple(tensor.shape) for name, tensor in latents.items()} == expected
            and [tuple(noise.shape) for noise in self.noise] == maps
            and all(t.dtype == torch.float32 and t.isfinite().all() for t in (*latents.values(), *self.noise))
            and all(t.dtype == torch.uint8 and t.shape == (1, side, side, 3) for t in (self.aligned, self.picture))
        )

    def noise_for(self, generator: Generator) -> list[Tensor] | str:
        """What `Generator.synthesis` takes as its noise, on the generator's device."""
        return [noise.to(generator.device) for noise in self.noise] if self.noise else "const"

    def generator(self, source: Generator) -> Generator:
        """A copy of the source generator with the tuned weights; the source itself where there are none."""
        if not self.tuned:
            return source
        tuned = copy.deepcopy(source)
        apply_weights(tuned, self.tuned)
        return tuned


# ----------------------------------------------------------------------------------------------------------------------
# Making one


class Inversion:
    """What an inversion has yielded so far: make it first, give it all that is yielded, then take the result.

    aligned: the picture that is inverted, uint8 (1, R, R, 3). name: what to call it. crop: how it was cut out.
    whose: see `inversion_key`.
    """

    def __init__(
        self,
        config: InvertConfig,
        aligned: Tensor,
        name: str = "picture",
        crop: Crop | None = None,
        whose: str = "",
    ) -> None:
        # Some file names are no text, and a name that can't be written would lose the result at the end.
        self.config, self.aligned, self.name, self.crop = config, aligned, words.shown(name, MAX_NAME), crop
        self._rows: list[dict[str, Any]] = []
        self._last: InvertResult | None = None
        critic = config.critic or catalog.critic_of(config.model)
        # Now, not at the end: by then other files may lie where the models were.
        self._identity = {
            "critic": critic,
            "model_sha256": catalog.generator_digest(config.model),
            "critic_sha256": catalog.critic_digest(critic),
            **start_of(config),
            "key": inversion_key(config, aligned, whose),
            "revision": REVISION,
        }

    def add(self, update: Step | InvertResult) -> None:
        """Takes note of a step, or of the result."""
        if isinstance(update, InvertResult):
            self._last = update
        else:
            self._rows.append(step_history.history_row(update))

    def result(self, identity: float | None = None) -> Inverted:
        """The inverted picture, not kept yet. identity: likeness as a judge measured it, where there is one.

        Raises ValueError if the inversion has not yielded its result.
        """
        last = self._last
        if last is None:
            raise ValueError("The inversion has no result yet: add all that it yields first.")
        settings = {
            **_KIND.circumstances(),
            "kind": "stylegan2",
            "name": self.name,
            "config": self.config.to_dict(),
            **self._identity,
            "crop": None if self.crop is None else asdict(self.crop),
            "steps": {stage: sum(row["stage"] == stage for row in self._rows) for stage in ("latent", "tuning")},
            "stopped": last.stopped,
            "seconds": round(last.seconds, 3),
            "distances": last.distances,
            "identity": identity,
            **last.notes,
        }
        latent = dict(last.latent)
        w_plus = latent.pop("w_plus")
        noise = tuple(latent[f"noise.{k}"] for k in range(len(latent)))
        history = step_history.history_text(self._rows)
        return Inverted(w_plus, noise, dict(last.weights), self.aligned, last.pictures.after, settings, history)


def drawn_person(person: SeedPerson, generator: Generator) -> Inverted:
    """A person by seed as if it were an inverted picture whose latent was found exactly; not kept yet.

    generator: that of `person.model`. Raises InputError as `SeedPerson.w_plus` does, and if the model can't be found.
    """
    # Earlier versions read a configuration, steps and distances of any person; the usual ones stand for them.
    config = InvertConfig(model=person.model, aim="pixels", tune=False)
    critic = catalog.critic_of(config.model)
    w_plus = person.w_plus(generator)
    picture = to_uint8(draw_latents(generator, w_plus))
    digest = catalog.generator_digest(config.model)
    settings = {
        **_KIND.circumstances(),
        "kind": "stylegan2",
        "name": person.name,
        "config": config.to_dict(),
        "critic": critic,
        "model_sha256": digest,
        "critic_sha256": catalog.critic_digest(critic),
        "key": hashlib.sha256(f"{person} {digest}".encode()).hexdigest(),
        "revision": REVISION,
        "drawn": str(person),
        "crop": None,
        "steps": {"latent": 0, "tuning": 0},
        "stopped": None,
        "seconds": 0.0,
        "distances": {"pixel": 0.0, "perceptual": 0.0},
        "identity": None,
    }
    return Inverted(w_plus, (), {}, picture, picture, settings, step_history.history_text([]))


def inversion_key(config: InvertConfig, aligned: Tensor, whose: str = "") -> str:
    """Hash of everything that decides the latent: picture, model and critic files, settings that are used.

    whose: any text that sets one person's inversions apart from those that others make of the same picture.
    Raises InputError if the model or the critic can't be found.
    """
    if decide(config, to_float(aligned)).aim == "portrait":
        return _portrait_key(config, aligned, whose)
    decisive = config.decisive()
    decisive.update(
        picture=hashlib.sha256(aligned.contiguous().numpy().tobytes()).hexdigest(),
        model=catalog.generator_digest(config.model),
        critic=catalog.critic_digest(config.critic or catalog.critic_of(config.model)),
        start={fact: value for fact, value in start_of(config).items() if fact != "encoder"},
        view=config.view if config.view == "critic" else lpips.digest(config.view),
        revision=REVISION,
    )
    if whose:
        decisive["whose"] = whose
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _portrait_key(config: InvertConfig, aligned: Tensor, whose: str) -> str:
    decisive = {
        "aim": "portrait",
        "sitter": config.sitter,
        "picture": hashlib.sha256(aligned.contiguous().numpy().tobytes()).hexdigest(),
        "model": catalog.generator_digest(config.model),
        "reader": catalog.reader_digest(catalog.reader_of(config.model)),
        "revision": PORTRAIT_REVISION,
        **({"whose": whose} if whose else {}),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def start_of(config: InvertConfig) -> dict[str, Any]:
    """Where the search begins: "start" is encoder, random or mean, "encoder" which one, if any, with its sha256.

    Raises InputError, or fetches, as `catalog.find_encoder` does where the start is an encoder's.
    """
    encoder = catalog.starting_encoder(config.model, config.start, config.encoder)
    if encoder is None:
        return {"start": "random" if config.start == "auto" else config.start, "encoder": None, "encoder_sha256": None}
    return {"start": "encoder", "encoder": encoder, "encoder_sha256": catalog.encoder_digest(encoder)}


def start_words(config: InvertConfig) -> str:
    """Where the search begins, as a sentence; raises as `start_of` does."""
    start = start_of(config)
    if start["start"] == "encoder":
        return f"It starts from the guess of the encoder “{start['encoder']}”."
    if start["start"] == "mean" or not config.starts:
        return "It starts from the mean latent."
    return f"It starts from the best of {config.starts} random latents and the mean latent."


# ----------------------------------------------------------------------------------------------------------------------
# Files


def save(inverted: Inverted, folder: str | os.PathLike[str]) -> Inverted:
    """Writes the files of an inverted picture into `folder`, each whole or not at all, and gives it with its path.

    Raises InputError if the folder can't be written.
    """
    written: dict[str, Any] = {}
    path = folders.write_into(folder, lambda temporary: written.update(_write(inverted, temporary)))
    return replace(inverted, settings=written, path=path)


def load(folder: str | os.PathLike[str]) -> Inverted:
    """The inverted picture in `folder`, or whose `inverted.safetensors` it is.

    Raises InputError naming the folder if it holds none or is damaged.
    """
    folder = as_path(folder)
    folder = folder if is_folder(folder) else folder.parent
    settings = read_settings(folder)
    _KIND.check_whole(folder / INVERTED, read_person(settings).latent.sha256)
    tensors, _ = load_tensors(folder / INVERTED)
    try:
        history = (folder / HISTORY).read_text(encoding="utf-8")
        return _from_tensors(tensors, settings, history, folder)
    except (KeyError, OSError, ValueError) as error:
        raise _KIND.damaged(folder, str(error)) from error


def read_latent(path: str | os.PathLike[str], called: str = "", stop: threading.Event | None = None) -> Inverted:
    """The inverted picture in a lone `inverted.safetensors`, which may come from anywhere; it isn't kept by this.

    called: what errors call the file, its name by default. Kept, it gets a folder of its own and is never found in
    place of an inversion made here; of its settings only those are taken over that are known and sound. The file is
    read in a process of its own, which `stop` ends. Raises InputError for a file that isn't one of an inversion, is
    damaged, or belongs to a model that isn't here, is called by a path, or has other weights or another shape.
    """
    path = readable_file(path)
    called = quoted(called or path.name)[1:-1]
    try:
        tensors, description = apart.read(load_tensors, path, stop)
    except InputError as error:  # of a file that a visitor sent the folder is nobody's business
        raise type(error)(str(error).replace(str(path), f"“{called}”")) from error
    foreign = InputError(
        f"“{called}” isn't the latent of an inverted picture: give an {INVERTED} as an inversion writes it."
    )
    try:
        if description.get("format") != _KIND.format:
            raise foreign
        settings = read_json(description["settings"], f"What “{called}” says of itself", MAX_HEADER)
        if settings["format"] != _KIND.format:
            raise foreign
        if settings["version"] > _KIND.version:
            raise InputError(f"“{called}” was written by a newer version: update this one.")
        inverted = _from_tensors(tensors, taken_over(settings, _KIND.circumstances()))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise foreign from None
    known = catalog.generators().get(inverted.model)
    if known is None or not catalog.is_here(known):
        raise InputError(
            f"“{called}” belongs to the model “{inverted.model[:80]}”, which isn't here: get that model first."
        )
    inverted.check_model()
    if not inverted.fits(catalog.load_generator(inverted.model)):
        raise foreign
    # An identity of its own: what a file says about itself must not stand in for a picture inverted here.
    return replace(inverted, settings={**inverted.settings, "key": digests.file_digest(path)})


def _from_tensors(
    tensors: Mapping[str, Tensor], settings: dict[str, Any], history: str = "", path: Path | None = None
) -> Inverted:
    """Raises KeyError for a tensor that is missing."""
    noise = tuple(tensors[f"noise.{k}"] for k in range(sum(name.startswith("noise.") for name in tensors)))
    tuned = {name[len("tuned.") :]: tensor for name, tensor in tensors.items() if name.startswith("tuned.")}
    return Inverted(tensors["w_plus"], noise, tuned, tensors["aligned"], tensors["picture"], settings, history, path)


def read_settings(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What settings.json of an inverted picture says. Raises InputError if it is missing or damaged."""
    return _KIND.read_settings(as_path(folder), _check)


def _check(settings: Mapping[str, Any]) -> None:
    """Raises what `Kind.read_settings` takes for damage unless the settings are those of a kept person."""
    if read_person(settings).latent is None:
        raise KeyError("latent")


def _write(inverted: Inverted, folder: Path) -> dict[str, Any]:
    settings = {name: value for name, value in inverted.settings.items() if name != "latent"}
    tensors = {"w_plus": inverted.w_plus, "aligned": inverted.aligned, "picture": inverted.picture}
    tensors.update({f"noise.{k}": noise for k, noise in enumerate(inverted.noise)})
    tensors.update({f"tuned.{name}": tensor for name, tensor in inverted.tuned.items()})
    settings["latent"] = _KIND.write_tensors(tensors, folder / INVERTED, settings)
    note = {name: settings[name] for name in ("name", "config", "versions")}
    save_png(grid(inverted.aligned), folder / ALIGNED_PICTURE, note)
    save_png(grid(inverted.picture), folder / INVERTED_PICTURE, note)
    (folder / HISTORY).write_text(inverted.history, encoding="utf-8")
    folders.write_settings(settings, folder)
    return settings


# ----------------------------------------------------------------------------------------------------------------------
# The folder of people


def people_folder() -> Path:
    """Where inverted pictures are kept."""
    return home() / "people"


def keep(inverted: Inverted, *out: str | os.PathLike[str] | None, folder: Path | None = None) -> Inverted:
    """Keeps an inverted picture, whole or not at all, and gives it with its path.

    folder: where, if not in the folder of people; the other functions of this section take it, too.
    A stopped inversion is kept under a name of its own and never found in place of a finished one.
    out: folders for it where the disk of the people is full; then comes the system's temporary folder.
    Raises `space.KeptElsewhere` where it lies in one of these, InputError if it could be written nowhere.
    """
    written: dict[str, Any] = {}

    def write(new: Path) -> str:
        written.update(_write(inverted, new))
        return _folder_name(inverted)

    try:
        path = folders.keep(folder or people_folder(), write)
    except folders.Full as full:
        if folder in (None, people_folder()):  # else somebody wants it there or nowhere
            space.keep_elsewhere("inversion", out, lambda place: folders.keep(place, write), full)
        raise
    return replace(inverted, settings=written, path=path)


def check_room(config: InvertConfig, out: str | os.PathLike[str] | None = None, folder: Path | None = None) -> None:
    """Raises `folders.Full` unless there is room for what an inversion will keep, and for its copy in `out`.

    Raises InputError if the model can't be found.
    """
    needed = space.SPARE + (store.synthesis_bytes(config.model) if config.tune else 0)
    places = [folder or people_folder(), *([] if out is None else [Path(out)])]
    space.check([(place, needed) for place in places], "The inversion")


def bring_in(folder: str | os.PathLike[str]) -> Inverted:
    """Keeps a copy of what lies in `folder`, as an inversion wrote it, and gives it with its path.

    Raises InputError if the folder is damaged or that of the people can't be written.
    """
    return keep(load(folder))


def find(config: InvertConfig, aligned: Tensor, folder: Path | None = None, whose: str = "") -> Inverted | None:
    """The finished inversion that `config` would give of the picture `aligned`, uint8 (1, R, R, 3), or None.

    whose: see `inversion_key`. One that is damaged counts as absent, which is logged. Raises InputError for models that
    can't be found.
    """
    key, shelf = inversion_key(config, aligned, whose), folder or people_folder()
    durable.settle(shelf)
    for path in sorted(shelf.glob(f"*-{key[:12]}")):
        try:
            found = load(path)
        except InputError as error:
            log.warning("%s", error)
            continue
        if found.record.finished and found.record.key == key:
            return found
    return None


def list_people(folder: Path | None = None) -> list[Kept]:
    """Every whole inverted picture, the newest first; damaged ones are logged and left out, see `scan`."""
    return scan(folder)[0]


def scan(folder: Path | None = None) -> tuple[list[Kept], list[str]]:
    """Every whole inverted picture, the newest first, and a sentence about each damaged one.

    Only settings are read and sizes compared; a change within the tensors shows when one is loaded.
    """
    kept, problems = folders.opened(folder or people_folder(), _KIND.what, _listed)
    return sorted(kept, key=lambda one: one.record.created, reverse=True), problems


def _listed(path: Path) -> Kept:
    if not os.path.isdir(path):
        raise ValueError("it is no folder")
    sizes = _KIND.sizes(path)
    settings = read_settings(path)
    _KIND.check_files(path, sizes, FILES)
    kept = Kept(path, settings)
    if sizes[INVERTED] != kept.record.latent.bytes:
        raise _KIND.damaged(path, f"{INVERTED} doesn't have the size it was written with")
    return kept


def open_person(name: str, folder: Path | None = None) -> Inverted:
    """The kept picture in the folder called `name`; a path is no name, so nothing outside is read.

    Raises InputError if there is none.
    """
    shelf = folder or people_folder()
    for path in folders.contents(shelf):  # which ends what a killed process has begun
        if path.name == name:
            return load(path)
    raise InputError(f"There is no inverted picture {quoted(name)} in {shelf}: choose one that is listed.")


def delete(inverted: Inverted | Kept, folder: Path | None = None) -> None:
    """Removes a kept picture for good. Raises InputError if it isn't in the folder of people or can't be removed."""
    if inverted.path is None:
        raise InputError(f"“{inverted.name}” isn't kept, so it isn't deleted.")
    folders.delete(inverted.path, folder or people_folder(), "the folder of people")


def _folder_name(inverted: Inverted) -> str:
    name = folders.folder_name(inverted.name, "picture", inverted.record.key)
    if inverted.record.finished:
        return name
    latent = hashlib.sha256(inverted.w_plus.numpy().tobytes()).hexdigest()
    return f"{name}-stopped-{latent[:8]}"
