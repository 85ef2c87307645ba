"""The models that a list offers: those of the library, and those that they were adapted from, as they are."""

from __future__ import annotations

from dataclasses import dataclass

from ipl_core import InputError
from ipl_core.library import store as library
from ipl_core.models import catalog
from ipl_core.storage.words import quoted

from .. import show
from ..service.session import find_entry

_SOURCE = "source "  # before a model's name in a list; entries are named by folders, which hold no blank


@dataclass(frozen=True)
class Model:
    """One of them. source: name in the catalog. entry: what it was adapted to; None for the source as it is."""

    source: str
    entry: library.Entry | None = None

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
        return catalog.generators()[self.source].source if self.entry is None else self.entry.config.source

    @property
    def domain(self) -> str:
        """What it draws, in words."""
        if self.entry is None:
            return self.source_domain
        return f"{self.entry.config.target} ({show.entry_method(self.entry)})"


def choices() -> list[tuple[str, str]]:
    """All that can be drawn here for a `gr.Dropdown`: what the library holds, the newest first, then the sources."""
    offered = [Model(entry.config.model, entry) for entry in library.list_entries()]
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
    return Model(entry.config.model, entry)
