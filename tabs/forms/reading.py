"""Whom the reader sees in a visitor's photo, as a row of small menus: what is wrong is corrected, the portrait follows.

The row knows the reader's words and the portrait; where a picture is cut is the business of the tab that it stands in.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ipl_core import InputError, InvertConfig
from ipl_core.fields import settings
from ipl_core.generators.portrait import PortraitSearch, decide, portrait_of
from ipl_core.methods.config import AIMS
from ipl_core.models import catalog
from ipl_core.pictures.media import to_float, to_uint8
from ipl_core.storage.values import choice
from ipl_core.studio.sitter_words import menus, written

from .. import show
from ..requests.pictures import align
from ..service.jobs import LOOK
from ..service.service import Service
from .settings import setting_field

MENUS = 13  # traits that are shown, at most


class ReadingRow:
    """Components and listeners of the row; build it inside `gr.Blocks`.

    aim, sitter: components with what the picture is taken as, and what the visitor says of whom it shows, as
    `InvertConfig` takes them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.aim = setting_field(
            settings(InvertConfig)["aim"],
            gr.Radio,
            label="What should it become?",
            info="A photo becomes the studio portrait of whom the model sees in it; its own pictures are followed.",
        )
        self.sitter = gr.State("")
        self._read = gr.State({})  # the reader's own words, by attribute
        self._note = gr.HTML()
        with gr.Row() as self._row:
            self._menus = [
                gr.Dropdown([], visible=False, min_width=120, interactive=True, filterable=False) for _ in range(MENUS)
            ]
        self._portrait = gr.HTML()

    def listen(self, picture: Any, model: Any, where: list[Any]) -> None:
        """Read `picture` whenever it, the model or the crop is another, and draw whenever a menu is."""
        inputs = [picture, model, self.aim, *where]
        outputs = [self._note, *self._menus, self._portrait, self._read, self.sitter]
        gr.on(
            [picture.change, self.aim.input, *(field.input for field in (model, *where))],
            self._look,
            inputs,
            outputs,
            trigger_mode="always_last",
            **LOOK,
        )
        gr.on(
            [menu.input for menu in self._menus],
            self._correct,
            [self._read, *self._menus, *inputs],
            outputs,
            trigger_mode="always_last",
            **LOOK,
        )

    def _look(self, path: str | None, model: str, aim: str, *where: Any) -> dict[Any, Any]:
        """A new picture or another crop: what the reader says of it."""
        if path is None:
            return self._nothing("")
        try:
            config = InvertConfig(model=model, aim=choice(aim, "What it should become", AIMS))
            if catalog.reader_of(model) is None and aim == "auto":
                return self._nothing("")
            picture = to_float(align(self._service, path, model, *where)[0])
            decision = decide(config, picture)
            if decision.aim == "pixels":
                return self._nothing(decision.why if aim == "auto" else "")
            return self._shown(portrait_of(config, picture), decision.why, None)
        except InputError as error:
            return self._nothing("") | {self._note: show.trouble(error)}

    def _correct(self, read: dict[str, str], *values: Any) -> dict[Any, Any]:
        """A visitor says it better than the reader: what they chose stays, the rest is the reader's."""
        chosen, (path, model, _, *where) = values[:MENUS], values[MENUS:]
        if path is None or not read:
            return self._nothing("")
        try:
            said = {name: word for name, word in zip(read, chosen) if word is not None and word != read[name]}
            config = InvertConfig(model=model, aim="portrait", sitter=written(said))
            picture = to_float(align(self._service, path, model, *where)[0])
            return self._shown(portrait_of(config, picture), "", read)
        except InputError as error:
            return {self._note: show.trouble(error)}

    def _shown(self, search: PortraitSearch, why: str, read: dict[str, str] | None) -> dict[Any, Any]:
        """The menus and the portrait of a search that has ended; read: the reader's words, None to take these."""
        seen, words = search.sitter(), menus(search.subject)
        names = list(seen)[:MENUS]
        changes = {
            menu: gr.Dropdown(
                list(words[name]),
                value=seen[name]["word"],
                label=name.replace("_", " ").capitalize(),
                info="as you say" if seen[name]["said"] else f"{seen[name]['sure']:.0%} sure",
                visible=True,
            )
            for menu, name in zip(self._menus, names)
        }
        changes.update({menu: gr.Dropdown(visible=False) for menu in self._menus[len(names) :]})
        picture = to_uint8(search.draw(self._service.generators.get(search.model)))
        asked = "Is something wrong? Choose what is right, and the portrait follows. "
        return {
            self._note: show.note(f"{why} {asked}".strip()),
            **changes,
            self._portrait: show.collage((picture,), ["the portrait"], "the portrait", layout="pair"),
            self._read: read or {name: seen[name]["word"] for name in names},
            self.sitter: written(search.said),
        }

    def _nothing(self, words: str) -> dict[Any, Any]:
        return {
            self._note: show.note(words) if words else "",
            **{menu: gr.Dropdown(visible=False) for menu in self._menus},
            self._portrait: "",
            self._read: {},
            self.sitter: "",
        }
