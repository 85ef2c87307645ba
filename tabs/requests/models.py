"""The models that a list offers: those of the library, and those that they were adapted from, as they are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ipl_core import AdaptConfig, InputError
from ipl_core.clip.ensemble import members
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.library import store
from ipl_core.models import catalog
from ipl_core.storage.words import quoted

from .. import show

OWN_CRITIC = "own"
MAX_CRITICS = 8
_LARGE = 128  # pixels; a picture above takes a CPU seconds
_SOURCE = "source "  # before a model's name in a list; entries are named by folders, which hold no blank


@dataclass(frozen=True)
class Model:
    """One of them. source: name in the catalog. entry: what it was adapted to; None for the source as it is."""

    source: str
    entry: store.Entry | None = None

    @property
    def value(self) -> str:
        """What `chosen` takes."""
        return _SOURCE + self.source if self.entry is None else self.entry.name

    @property
    def name(self) -> str:
        """For files."""
        return self.source if self.entry is None else self.entry.name

    @property
    def title(self) -> str:
        """In a line."""
        if self.entry is None:
            return f"{catalog.generators()[self.source].title} as it is"
        return show.entry_title(self.entry)

    @property
    def source_domain(self) -> str:
        """What its source draws, in words."""
        return catalog.generators()[self.source].source if self.entry is None else self.entry.source

    @property
    def domain(self) -> str:
        """What it draws, in words."""
        if self.entry is None:
            return self.source_domain
        return f"{self.entry.target} ({show.entry_method(self.entry)})"


def choices() -> list[tuple[str, str]]:
    """All that can be drawn here for a `gr.Dropdown`: what the library holds, the newest first, then the sources."""
    offered = [Model(entry.model, entry) for entry in store.list_entries()]
    offered += [Model(name) for name, entry in catalog.generators().items() if catalog.is_here(entry)]
    return [(model.title, model.value) for model in offered]


def chosen(value: str | None) -> Model:
    """The model that a list's value stands for. Raises InputError for what is none."""
    if isinstance(value, str) and value.startswith(_SOURCE):
        name = value[len(_SOURCE) :]
        known = catalog.generators().get(name)
        if known is None or not catalog.is_here(known):
            raise InputError(f"There is no model {quoted(name)} here: choose one of the list.")
        return Model(name)
    entry = find_entry(value or "")
    return Model(entry.model, entry)


def can_be_used(entry: catalog.GeneratorEntry | catalog.CriticEntry) -> bool:
    """Whether a visitor may choose a model: it is here, or can be fetched and read."""
    needs = getattr(entry, "needs", "")
    return (catalog.is_here(entry) or bool(entry.sources)) and (not needs or find_spec(needs) is not None)


def open_critics() -> dict[str, catalog.CriticEntry]:
    """The CLIP models of the hub that a visitor may choose, by name: they know any words."""
    return {name: entry for name, entry in catalog.critics().items() if entry.offer is not None and can_be_used(entry)}


def label(entry: catalog.GeneratorEntry | catalog.CriticEntry) -> str:
    """A model in the list: its name in full, where it is or how large, and the licence of what would be fetched.

    An embedded model's licence stands below the page, where there is room for it.
    """
    where = f"{entry.title} ({catalog.where(entry)})"
    return where if entry.offer is None else f"{where}: {entry.licence}"


def known_model(name: Any) -> str:
    """The name of a source model that a visitor may use. Raises InputError for any other value."""
    models = catalog.generators()
    if not isinstance(name, str) or name not in models:
        raise InputError(f"There is no model {quoted(name)} here: use one of {', '.join(models)}.")
    return name


def source_choices() -> list[tuple[str, str]]:
    """The source models that a visitor may choose, for a `gr.Dropdown`."""
    return [(label(entry), name) for name, entry in catalog.generators().items() if can_be_used(entry)]


def open_critic_choices() -> list[tuple[str, str]]:
    """The CLIP models of the hub that a visitor may choose, likewise."""
    return [(label(entry), name) for name, entry in open_critics().items()]


def is_slow(generator: Generator, device: str) -> bool:
    """Whether each of its pictures takes seconds."""
    return generator.config.resolution > _LARGE and device == "cpu"


def is_here(config: AdaptConfig) -> bool:
    """Whether all weights that a run needs are on this machine."""
    critics = [catalog.critics().get(name) for name, _ in members(config.critic or catalog.critic_of(config.model))]
    return all(entry is None or catalog.is_here(entry) for entry in (catalog.generators()[config.model], *critics))


def find_entry(name: str) -> store.Entry:
    """The library entry in the folder called `name`; a path is no name, so nothing outside the library is read.

    Raises InputError if there is none.
    """
    for entry in store.list_entries():
        if entry.name == name:
            return entry
    if not name:
        raise InputError("Choose an adapted model first; the list fills as soon as a run has ended in the tab Adapt.")
    raise InputError(f"The library has no entry {quoted(name)}: it was deleted, or is damaged. Choose another one.")
