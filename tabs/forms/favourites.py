"""People by seed that a visitor has marked: they are remembered by the browser alone, and other tabs can take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ipl_core import InputError
from ipl_core.drawing.people_by_seed import SeedPerson

from ..access.gate import detail
from ..requests.drawing import MAX_FAVOURITES, known
from ..service.jobs import AT_ONCE

#: A star says itself, at once, that it was pressed; what the browser remembers follows.
STARS = """
element.addEventListener('click', (event) => {
  const star = event.target.closest('button.star');
  if (!star) return;
  star.setAttribute('aria-pressed', String(star.getAttribute('aria-pressed') !== 'true'));
  trigger('select', { person: star.dataset.person });
});
"""
_AGREE = """
(chosen) => {
  for (const star of document.querySelectorAll('button.star')) {
    star.setAttribute('aria-pressed', String((chosen ?? []).includes(star.dataset.person)));
  }
}
"""


class Favourites:
    """What a browser remembers, and the list in which it can be seen and shortened; build it inside `gr.Blocks`.

    remembered: the state; its value comes from a browser, so read it by `known`. listed: the dropdown, made by
    `build_list` where it belongs.
    """

    def __init__(self) -> None:
        self.remembered = gr.BrowserState([], storage_key="ipl-studio-favourites", secret="ipl-studio")

    def build_list(self) -> None:
        """The list, hidden while it is empty."""
        self.listed = gr.Dropdown(
            [], multiselect=True, label="Favourites", info="Other tabs can take them; × forgets one.", visible=False
        )

    def listen(self, people: gr.HTML) -> None:
        """Follows the stars in `people`, which was made with `js_on_load=STARS`, and the list."""
        people.select(self._toggle, self.remembered, [self.remembered, self.listed], **AT_ONCE)
        self.listed.input(self._shorten, self.listed, [self.remembered, self.listed], **AT_ONCE)
        self.listed.change(None, self.listed, None, js=_AGREE)

    def show(self, remembered: Any) -> Any:
        """An update of the list: what is remembered."""
        people = known(remembered)
        value = [str(person) for person in people]
        return gr.Dropdown(choices(people), value=value, multiselect=True, visible=bool(people))

    def _toggle(self, event: gr.EventData, remembered: Any) -> tuple[list[str], Any]:
        people = [str(person) for person in known(remembered)]
        try:
            marked = str(SeedPerson.parse(detail(event, "person")))
        except InputError:
            return people, self.show(people)
        people = [person for person in people if person != marked] if marked in people else [*people, marked]
        people = people[-MAX_FAVOURITES:]
        return people, self.show(people)

    def _shorten(self, chosen: Any) -> tuple[list[str], Any]:
        people = [str(person) for person in known(chosen)]
        return people, self.show(people)


def choices(people: Sequence[SeedPerson]) -> list[tuple[str, str]]:
    """People as a dropdown takes them."""
    return [(person.name, str(person)) for person in people]
