"""People by seed, or an inverted person, by a model and by its source: drawn, looked through for likeness, saved."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ipl_core import InputError
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.drawing.people_by_seed import draw_people as draw
from ipl_core.latents import MAX_SEED
from ipl_core.pictures.media import grid, pairs, save_png, to_pictures, to_uint8
from ipl_core.storage.values import truncation, whole
from ipl_core.storage.words import json_text

from .. import show
from ..access.files import inside
from ..service.service import Service
from .models import Model

MAX_FAVOURITES = 60
MAX_COUNT = 64
MAX_CROWD = 1024  # seeds that are looked through for the nearest


@dataclass(frozen=True)
class Drawing:
    """People of one request: bytes (N, H, W, 3) by the source and, where the model is adapted from one, by the model.

    sitters: who they are. person: name of an inverted person, drawn in place of them; "" for none. remarks: a few
    words for each, such as how near to another they are, or none at all.
    """

    model: Model
    sitters: Sequence[SeedPerson]
    before: Tensor
    after: Tensor | None
    person: str = ""
    remarks: Sequence[str] = ()

    def people(self, favourites: Sequence[SeedPerson]) -> str:
        """The people as HTML, with a star for each that can be a favourite."""
        who = [self.person] if self.person else [sitter.name for sitter in self.sitters]
        stars = [(str(sitter), sitter in favourites) for sitter in self.sitters]
        entry = self.model.entry
        adapted = "" if entry is None else f"{entry.target}, {show.entry_method(entry)}"
        return show.people(
            who, self.before, self.model.source_domain, self.after, adapted, "beside", stars, self.remarks
        )

    @property
    def sides(self) -> dict[str, Tensor]:
        """The pictures by what drew them."""
        return {"source": self.before} if self.after is None else {"source": self.before, "adapted": self.after}

    @property
    def settings(self) -> dict[str, Any]:
        """What the pictures were drawn with."""
        who = {"person": self.person} if self.person else _described(self.sitters)
        entry = self.model.entry
        return who | ({"model": self.model.source} if entry is None else {"adapted by": entry.settings["config"]})

    @property
    def name(self) -> str:
        """For files: which domain and which seeds."""
        if self.person:
            return f"{self.model.name}-person"
        first, last = self.sitters[0].seed, self.sitters[-1].seed
        return f"{self.model.name}-seeds-{first}" + (f"-{last}" if len(self.sitters) > 1 else "")


def _described(sitters: Sequence[SeedPerson]) -> dict[str, Any]:
    """People by seed in plain values; what is the same for all of them is said once."""
    same = {sitter.psi for sitter in sitters}
    facts: dict[str, Any] = {"seeds": [sitter.seed for sitter in sitters]}
    if len(same) == 1:
        facts["psi"] = same.pop()
    if any(sitter.fine is not None for sitter in sitters) or len(facts) == 1:
        facts["people"] = [str(sitter) for sitter in sitters]
    return facts


def count_seeds(first: Any, count: Any) -> list[int]:
    """Successive seeds. Raises InputError for a first seed or a count that can't be meant."""
    start = whole(first, "The first seed", 0, MAX_SEED - MAX_COUNT)
    return list(range(start, start + whole(count, "How many people", 1, MAX_COUNT)))


def draw_seeds(
    service: Service,
    model: Model,
    seeds: Sequence[int],
    psi: Any,
    fine: Any = None,
    crossover: Any = 1,
    remarks: Sequence[str] = (),
    between: Callable[[], None] = lambda: None,
) -> Drawing:
    """Draws `seeds` by `model` and, if that is adapted, by its source. Raises InputError.

    fine: a seed whose layers all of them get from `crossover` on; None for none. between: called before each few
    pictures; what it raises ends the drawing.
    """
    psi = truncation(psi)
    styles: dict[str, int] = {}
    if fine is not None:
        layers = service.generators.get(model.source).num_layers
        styles["fine"] = whole(fine, "The seed of the fine layers", 0, MAX_SEED)
        styles["crossover"] = whole(crossover, "The layer from which on they are taken", 1, layers - 1)
    sitters = [SeedPerson(model.source, seed, psi, **styles) for seed in seeds]
    return draw_sitters(service, model, sitters, remarks, between)


def draw_sitters(
    service: Service,
    model: Model,
    sitters: Sequence[SeedPerson],
    remarks: Sequence[str] = (),
    between: Callable[[], None] = lambda: None,
) -> Drawing:
    """Draws those of `sitters` who are people of its source by `model` and, if that is adapted, by its source.

    between: see `draw_seeds`. Raises InputError for none, and for what can't be drawn.
    """
    fitting = [sitter for sitter in sitters if sitter.model == model.source]
    if not fitting:
        raise InputError(f"None of these people was drawn by the model “{model.source}”: mark some of its own.")
    before, after = to_uint8(draw(service.generators.get(model.source), fitting, between)), None
    if model.entry is not None:
        after = to_uint8(draw(service.generators.get(str(model.entry.path)), fitting, between))
    return Drawing(model, fitting, before, after, remarks=remarks)


def draw_person(service: Service, model: Model, person: str) -> Drawing:
    """Draws the inverted person in the folder `person`, and again by `model` if that is adapted. Raises InputError."""
    restyler = service.restylers.get(person)
    if model.entry is None and model.source != restyler.inverted.model:
        raise InputError(
            f"“{restyler.inverted.name}” is a person of the model “{restyler.inverted.model}”, whom “{model.source}” "
            "can't draw: choose a model of theirs."
        )
    after = None if model.entry is None else to_uint8(restyler.draw([(model.entry, 1.0)]))
    return Drawing(model, (), to_uint8(restyler.draw()), after, person=restyler.inverted.name)


def nearest(
    service: Service, model: str, seed: Any, crowd: Any, psi: Any, count: Any, stop: threading.Event
) -> Iterator[tuple[int, int, list[tuple[int, float]]]]:
    """Looks for those of the seeds from 0 who are most like `seed`: yields how many are seen, of how many, and, the
    last time, who they are, the nearest first, with a likeness from −1 to 1 each.

    Nobody comes if `stop` was set. Raises InputError for what can't be meant, before the first person is looked at.
    """
    seed = whole(seed, "The seed", 0, MAX_SEED)
    among = range(whole(crowd, "How many seeds to look through", 2, MAX_CROWD))
    count = whole(count, "How many people", 1, MAX_COUNT)
    psi = truncation(psi)

    def look() -> Iterator[tuple[int, int, list[tuple[int, float]]]]:
        likenesses, seeds = service.crowds.get(model, psi), list(dict.fromkeys((seed, *among)))
        seen = 0
        for seen in likenesses.see(seeds, stop):
            yield seen, len(seeds), []
        found = [] if stop.is_set() else likenesses.nearest(seed, among, count)
        yield seen if stop.is_set() else len(seeds), len(seeds), found

    return look()


def save_sheet(drawing: Drawing, folder: Path) -> Path:
    """One PNG of all people, eight pictures in a row, with what they were drawn with inside."""
    pictures = drawing.before if drawing.after is None else pairs(drawing.before, drawing.after)
    return save_png(grid(pictures, columns=8), inside(folder, f"{drawing.name}.png"), drawing.settings)


def save_zip(drawing: Drawing, folder: Path) -> Path:
    """A zip of single PNGs, one a person and side, and of what they were drawn with as JSON."""
    path = inside(folder, f"{drawing.name}.zip")
    whose = [("person", {})] if drawing.person else [(_file_name(one), _described([one])) for one in drawing.sitters]
    with zipfile.ZipFile(path, "w") as archive:  # PNGs don't get smaller
        archive.writestr("settings.json", json_text(drawing.settings, indent=2))
        for side, pictures in drawing.sides.items():
            for (name, who), picture in zip(whose, to_pictures(pictures)):
                file = inside(folder, f"{name}-{side}.png")
                save_png(picture, file, {**drawing.settings, **who, "side": side})
                archive.write(file, file.name)
    return path


def _file_name(sitter: SeedPerson) -> str:
    mixed = "" if sitter.fine is None else f"-fine-{sitter.fine:04d}-from-{sitter.crossover}"
    return f"seed-{sitter.seed:04d}{mixed}"


def known(remembered: Any) -> list[SeedPerson]:
    """The people in what a browser says that it remembers; what can't be meant is left out."""
    people: dict[str, SeedPerson] = {}
    for text in remembered if isinstance(remembered, list) else ():
        try:
            person = SeedPerson.parse(str(text))
        except InputError:
            continue
        people[str(person)] = person
    return list(people.values())[:MAX_FAVOURITES]
