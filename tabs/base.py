"""What a tab is: built on the page, told when the page loads and when it is opened, and given what other tabs offer.

A tab knows no other tab. What one offers to another it puts on the `Page`, where the other finds it once all are built.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import gradio as gr

import tabs

from .forms.favourites import Favourites
from .service.service import Service

#: What a listener is added by, such as a button's `click`.
Event = Callable[..., Any]


@dataclass(frozen=True)
class Press:
    """A press that asks for pictures in the tab Sample.

    value: what holds the library entry to draw by, or the inverted person to draw; None where the event itself says
    the entry, as `name`. is_person: which of the two.
    """

    event: Event
    value: Any = None
    is_person: bool = False


@dataclass(frozen=True)
class Ended:
    """The end of a run. then: adds a listener to it. entry: holds the library entry that came of it, "" for none."""

    then: Event
    entry: Any


class Page:
    """What the tabs of a page share while it is built, inside `gr.Blocks`.

    tabs: the component that shows one tab at a time. presses, ended: what tabs offer to others.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.favourites = Favourites()
        self.tabs: gr.Tabs | None = None
        self.presses: list[Press] = []
        self.ended: list[Ended] = []


class Tab:
    """Components and listeners of one tab; made inside `gr.Blocks`.

    key: in addresses of the page. title: what a visitor presses. A tab may also define the methods after `build`, each
    of which does nothing by itself.
    """

    key: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, page: Page) -> None:
        self._page, self._service, self._favourites = page, page.service, page.favourites
        self.build()

    def build(self) -> None:
        """Adds the components and what they do by themselves, and puts on the page what is offered to other tabs."""
        raise NotImplementedError

    def loads(self, event: Event) -> None:
        """Listens to `event`, which fires when the page loads."""

    def opens(self, event: Event) -> None:
        """Listens to `event`, which fires when the tab is opened."""

    def receives(self) -> None:
        """Listens to what other tabs have put on the page; all of them are built now."""


def tab_classes() -> Iterator[type[Tab]]:
    """The classes that `tabs.TABS` names."""
    return map(pkgutil.resolve_name, tabs.TABS)


def build_tabs(page: Page, load: Event) -> None:
    """Adds all tabs to the page. load: fires when the page loads."""
    classes = list(tab_classes())
    with gr.Tabs(selected=classes[0].key) as page.tabs:
        built = []
        for make in classes:
            with gr.Tab(make.title, id=make.key) as place:
                built.append((place, make(page)))
    for place, tab in built:
        tab.loads(load)
        tab.opens(place.select)
        tab.receives()
