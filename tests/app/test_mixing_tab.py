"""The work behind the Library tab's mixes, on tiny models and without a server."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest
from fakes.kept_domains import entry_of

from ipl_core import InputError
from ipl_core.library import store
from tabs.base import Page
from tabs.library import LibraryTab
from tabs.requests.mixing import domains_mixed
from tabs.service.service import Service

pytestmark = pytest.mark.usefixtures("studio")


@pytest.fixture
def entries() -> list[store.Entry]:
    return [entry_of("zombie", 0.3), entry_of("mosaic", -0.2)]


@pytest.fixture
def tab() -> LibraryTab:
    """The tab without a page."""
    with gr.Blocks():
        return LibraryTab(Page(Service()))


def form(entries: list[store.Entry], *parts: float, strength: float = 1.0) -> list[Any]:
    """Values of the form: domain and parts, four times, and the strength."""
    chosen = [(entry.path.name, part) for entry, part in zip(entries, parts)]
    return [value for pair in [*chosen, *[("", 50)] * (4 - len(chosen))] for value in pair] + [strength]


def test_parts_are_relative_and_the_strength_is_of_the_whole(entries: list[store.Entry]) -> None:
    names = [entry.path.name for entry in entries]
    mix = domains_mixed([*names, ""], [50, 150, 50], 0.8)
    assert [entry.path.name for entry, _ in mix] == names
    assert [share for _, share in mix] == pytest.approx([0.2, 0.6])


def test_a_mix_is_drawn_and_kept(tab: LibraryTab, entries: list[store.Entry]) -> None:
    drawn = tab._show_mix("3, 4", *form(entries, 50, 50))
    assert 'alt="seed 4, 50 % zombie, NADA and 50 % mosaic, NADA"' in drawn[tab._mixed]
    kept = tab._keep_mixed("Dead tiles", *form(entries, 50, 50))
    entry = store.list_entries()[0]
    assert (entry.title, entry.made_by) == ("Dead tiles", "mixed")
    assert kept[tab.entry] == entry.path.name
    assert "50 % zombie, 50 % mosaic" in kept[tab._facts]
    assert "Dead tiles" in kept[tab.cards]
    assert entry.path.name in [name for _, name in tab.domain_choices("")[0].constructor_args["choices"]]


def test_one_domain_alone_has_a_strength(tab: LibraryTab, entries: list[store.Entry]) -> None:
    at = {s: tab._show_mix("3", *form(entries[:1], 50, strength=s))[tab._mixed] for s in (0.0, 0.5, 1.0)}
    assert len({html.split("base64,")[2] for html in at.values()}) == 3
    before, after = (part.split('"')[0] for part in at[0.0].split("base64,")[1:])
    assert before == after


@pytest.mark.parametrize(
    ("parts", "strength", "seeds", "words"),
    [
        ((), 1.0, "3", "at least one domain"),
        ((0, 0), 1.0, "3", "All parts of the mix are 0"),
        ((50, -1), 1.0, "3", "a number from 0"),
        ((50, None), 1.0, "3", "a number from 0"),
        ((50, 50), 3.0, "3", "The strength"),
        ((50, 50), 1.0, "one", "Seeds are whole numbers"),
    ],
)
def test_what_cannot_be_meant_is_said(
    tab: LibraryTab, entries: list[store.Entry], parts: tuple, strength: float, seeds: str, words: str
) -> None:
    assert words in tab._show_mix(seeds, *form(entries, *parts, strength=strength))[tab._status]


def test_a_domain_can_be_chosen_once(entries: list[store.Entry]) -> None:
    name = entries[0].path.name
    with pytest.raises(InputError, match="chosen twice"):
        domains_mixed([name, name], [1, 1], 1.0)
    with pytest.raises(InputError, match="no entry"):
        domains_mixed(["../.."], [1], 1.0)
