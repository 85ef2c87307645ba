"""What is known of a kept person, as types: a picture whose latent a search found, or somebody drawn by seed.

settings.json holds it as JSON, whose fields only ever grow; see records.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..drawing.people_by_seed import SeedPerson
from ..fields import earlier_values
from ..methods.config import InvertConfig
from ..storage import stored, words
from .latent_settings import check_notes
from .records import FileFacts

MAX_NAME = 120  # characters of a name that are shown
_MAX_STEPS = 1_000_000  # that a record may speak of


@dataclass(frozen=True)
class Found:
    """A search found the latent of a picture, as `config` says.

    stopped: why it ended before its last step ("asked", "not finite"), None if it did not. start: where it began,
    "encoder", "random" or "mean", "" where that wasn't noted. portrait: whether it is the studio portrait of whom a
    photo shows, and didn't follow its pixels; why: a sentence on that, "" of older ones.
    """

    config: InvertConfig
    latent_steps: int
    tuning_steps: int
    seconds: float
    stopped: str | None
    start: str
    portrait: bool = False
    why: str = ""

    def __str__(self) -> str:
        tuned = " with tuning" if self.tuning_steps else ""
        stopped = "" if self.stopped is None else ", stopped"
        if self.portrait:
            return f"a portrait of a photo{stopped}"
        return f"{self.config.preset}, {self.config.space}{tuned}, seed {self.config.seed}{stopped}"


@dataclass(frozen=True)
class Drawn:
    """A generator draws the person by seed, so there was nothing to search for."""

    person: SeedPerson

    def __str__(self) -> str:
        return "drawn by seed"


@dataclass(frozen=True)
class PersonRecord:
    """What settings.json of a kept person says.

    name: as it may be shown. model: the generator whose latent it is, by name or path. created: time in ISO 8601.
    pixel, perceptual: how far the picture is from the one that was inverted. view: which perceptual distance that is.
    identity: likeness in the eyes of the model's judge, None where it has none. latent: the file of tensors, None
    before it is kept. key: what the inversion is found by, "" where it wasn't noted.
    """

    name: str
    model: str
    model_sha256: str
    key: str
    created: str
    origin: Found | Drawn
    pixel: float
    perceptual: float
    view: str
    identity: float | None
    latent: FileFacts | None

    @property
    def title(self) -> str:
        """A line that tells the person from others."""
        return f"{self.name} ({words.model_words(self.model)}, {self.origin})"

    @property
    def distances(self) -> dict[str, float]:
        """How far the picture is from the one that was inverted, by name."""
        return {"pixel": self.pixel, "perceptual": self.perceptual}

    @property
    def finished(self) -> bool:
        """Whether the search came to its last step, if there was one."""
        return isinstance(self.origin, Drawn) or self.origin.stopped is None


def read_person(settings: Mapping[str, Any]) -> PersonRecord:
    """The record that the settings of a person hold, checked; what came later may be missing.

    Raises KeyError, ValueError, TypeError or InputError for damage.
    """
    config = InvertConfig.from_dict({**earlier_values(InvertConfig), **stored.mapping(settings["config"], "config")})
    check_notes(settings)
    name, digest = (stored.text(settings[field], field, 10_000) for field in ("name", "model_sha256"))
    distances = stored.mapping(settings["distances"], "distances")
    for what, distance in distances.items():
        stored.number(distance, f"distance {words.quoted(what)}", 0, 1e6)
    identity = settings.get("identity")
    if identity is not None:
        stored.number(identity, "identity", -2, 2)
    stored.time(settings["created"], "created")
    return PersonRecord(
        name=words.shown(name, MAX_NAME),
        model=config.model,
        model_sha256=digest,
        key=stored.text(settings.get("key", ""), "key", 200),
        created=settings["created"],
        origin=_origin(settings, config),
        pixel=distances["pixel"],
        perceptual=distances["perceptual"],
        view=config.view,
        identity=identity,
        latent=_latent(settings["latent"]) if "latent" in settings else None,
    )


def _origin(settings: Mapping[str, Any], config: InvertConfig) -> Found | Drawn:
    stopped, steps = settings["stopped"], stored.mapping(settings["steps"], "steps")
    if stopped is not None and not stored.text(stopped, "stopped", 40).isprintable():
        raise ValueError("stopped can't be shown")
    latent = stored.whole(steps.get("latent", 0), "steps of latent", _MAX_STEPS)
    tuning = stored.whole(steps["tuning"], "steps of tuning", _MAX_STEPS)
    seconds = stored.number(settings.get("seconds", 0), "seconds", 0, 1e9)
    if "drawn" in settings:
        return Drawn(SeedPerson.parse(settings["drawn"]))
    start, why = (str(settings.get(name) or "") for name in ("start", "why"))
    return Found(config, latent, tuning, seconds, stopped, start, settings.get("aim") == "portrait", why)


def _latent(value: Any) -> FileFacts:
    stored.file_facts(value, "latent")
    return FileFacts(value["bytes"], value["sha256"])
