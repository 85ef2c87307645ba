"""Finished models in the app: something to see in every tab before any run, and nothing that a visitor could break."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from fakes.kept_domains import entry_of, finished_model
from gradio_client import Client
from gradio_client.exceptions import AppError
from visitor import SHARED_TOKEN

from ipl_core import InputError
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.library import inversions, store
from ipl_core.models.catalog import load_generator
from tabs import show
from tabs.base import Page
from tabs.compare import CompareTab
from tabs.interpolate import InterpolateTab
from tabs.library import LibraryTab
from tabs.requests import models
from tabs.requests.library import finished_models
from tabs.requests.mixing import weighted
from tabs.requests.models import find_entry
from tabs.requests.people import collages, fitting_entries
from tabs.sample import SampleTab
from tabs.service.service import Service


@pytest.fixture
def finished(studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a zombie by three methods and a mosaic by one; the library itself is empty."""
    folder = tmp_path / "finished"
    monkeypatch.setenv("IPL_SHIPPED", str(folder))
    for target, method in (("zombie", "nada"), ("zombie", "shared"), ("zombie", "ipl"), ("mosaic", "ipl")):
        finished_model(target, folder, method)
    return folder


@pytest.fixture
def service(finished: Path) -> Service:
    return Service()


def build(tab: type, service: Service) -> Any:
    """A tab that nobody opens."""
    with gr.Blocks():
        return tab(Page(service))


# --- every tab --------------------------------------------------------------------------------------------------


def test_lists_offer_them_after_what_was_made_here(service: Service) -> None:
    own = entry_of("neon", 0.3)
    offered = models.choices()
    assert [value for _, value in offered[:5]] == [own.name, "mosaic-ipl", "zombie-nada", "zombie-shared", "zombie-ipl"]
    assert offered[1][0] == "mosaic · IPL · comes with the app"
    assert build(SampleTab, service).choices().constructor_args["value"] == own.name
    store.delete(own)
    assert build(SampleTab, service).choices().constructor_args["value"] == "mosaic-ipl"
    assert build(InterpolateTab, service).choices()[0].constructor_args["value"] == "mosaic-ipl"


def test_a_person_goes_through_them(service: Service) -> None:
    person = inversions.keep(inversions.drawn_person(SeedPerson("studio", 3), load_generator("studio")))
    entries = fitting_entries(person)
    assert len(entries) == 4
    *_, collage = collages(service.restylers.get(person.path.name), weighted(entries, 1.0))
    assert collage.labels[2:] == ("mosaic, IPL", "zombie, NADA", "zombie, Shared prompt", "zombie, IPL")
    drawn = torch.cat(collage.pictures).flatten(1).unique(dim=0)
    assert len(drawn) == 4, "the person, and each method; these models change by method and not by domain"


def test_the_library_shows_them_apart(service: Service) -> None:
    tab = build(LibraryTab, service)
    html = tab.contents()
    assert "Nothing is kept yet" in html
    assert re.findall('class="card" data-name="(.*?)"', html) == [
        "mosaic-ipl",
        "zombie-nada",
        "zombie-shared",
        "zombie-ipl",
    ]
    assert html.count("comes with the app") == 4
    assert html.count("<img") == 4
    own = entry_of("neon", 0.3)
    html = tab.contents()
    assert html.index("1 kept") < html.index(own.name) < html.index("Finished models") < html.index("mosaic-ipl")


def test_the_library_shows_no_heading_over_nothing(studio: Path) -> None:
    html = build(LibraryTab, Service()).contents()
    assert "Nothing is kept yet" in html
    assert "Finished models" not in html


def test_one_that_is_managed_can_be_exported_and_not_changed(service: Service) -> None:
    tab = build(LibraryTab, service)
    shown = tab._shown(find_entry("zombie-ipl"))
    assert "It comes with the app" in shown[tab._whose].constructor_args["value"]
    assert shown[tab._whose].constructor_args["visible"]
    for component in (tab._title, tab._rename, tab._delete):
        assert shown[component].constructor_args["interactive"] is False
    assert all(shown[button].constructor_args["interactive"] for button in tab._export.values())
    assert shown[tab._preview].count("<img") == 2
    assert "Comes</b> with the app" in shown[tab._facts]
    for change in (tab._give_title("zombie-ipl", "Mine"), tab._delete_entry("zombie-ipl")):
        assert "comes with the app" in change[tab._status]
    assert (store.open_entry(find_entry("zombie-ipl").path)).title == "photo → zombie (ipl, seed 0)"
    with pytest.raises(InputError, match="nobody can change it"):
        service.roles.check_change(find_entry("zombie-ipl"))


def test_a_damaged_one_is_told_in_the_library(service: Service, finished: Path) -> None:
    file = finished / "zombie-ipl.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    html = build(LibraryTab, service).contents()
    assert "zombie-ipl.safetensors" in html
    assert 'data-name="zombie-ipl"' not in html
    assert 'data-name="mosaic-ipl"' in html


# --- Compare ----------------------------------------------------------------------------------------------------


def test_compare_opens_with_the_domain_of_most_methods(service: Service) -> None:
    tab = build(CompareTab, service)
    opening = tab.open(False)
    opened = next(opening)  # the files are there until it goes on
    html = opened[tab.pictures]
    for who in ("photo", "zombie, NADA", "zombie, Shared prompt", "zombie, IPL"):
        assert len(re.findall(f'alt="seed [0-5], {who}"', html)) == 6
    for method in ("nada", "shared", "ipl"):
        assert opened[tab.entries[method]] == f"zombie-{method}"
        settings = json.loads(Path(opened[tab._kept[method][1]].constructor_args["value"]).read_text())
        assert settings["config"]["method"] == method
    assert opened[tab.outlined] is True
    assert set(opened) <= set(tab.opening)
    assert list(tab.open(True)) == [{tab.pictures: gr.skip(), tab.outlined: True}], "it is shown once"


def test_what_is_said_of_collapse_is_what_was_measured(service: Service) -> None:
    tab = build(CompareTab, service)
    (opened,) = tab.open(False)
    shares = {
        method: find_entry(f"zombie-{method}").settings["shipped"]["figures"]["diversity"]
        for method in ("nada", "shared", "ipl")
    }
    nada, shared, ipl = (f"{100 * share:.0f} %" for share in shares.values())
    assert f"NADA keeps {nada}, Shared prompt {shared} and IPL {ipl}, as the judge" in opened[tab.pictures]
    assert all(f"<td>{share:.3f}</td>" in opened[tab._table] for share in shares.values())
    assert "in 4 samples of each" in opened[tab.pictures]
    assert "Measured on 4 fresh samples" in opened[tab._table]
    left, right = min(shares, key=shares.get), max(shares, key=shares.get)
    assert (opened[tab._left].constructor_args["value"], opened[tab._right].constructor_args["value"]) == (left, right)


@pytest.mark.parametrize("share", [0.2, 0.86, 1.4])
def test_the_words_on_collapse_hold_for_whatever_was_measured(share: float) -> None:
    words = show.kept_diversity({"NADA": share, "Shared prompt": 0.5, "IPL": 1 - share / 2}, 200)
    assert f"NADA keeps {100 * share:.0f} %, Shared prompt 50 % and IPL {100 - 50 * share:.0f} %, as the judge" in words


def test_compare_opens_with_its_ideas_where_no_two_are_of_one_domain(service: Service, finished: Path) -> None:
    for method in ("nada", "shared"):
        (finished / f"zombie-{method}.safetensors").unlink()
    assert finished_models() == {}
    tab = build(CompareTab, service)
    (opened,) = tab.open(False)
    assert "a direction for each person" in opened[tab.pictures]
    assert tab._table not in opened


# --- a shared app -----------------------------------------------------------------------------------------------


@pytest.fixture
def visitor(shared_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("IPL_SHIPPED", str(tmp_path))
    finished_model("zombie", tmp_path)
    client = Client(shared_url, verbose=False)
    yield client
    client.close()


def test_everybody_draws_from_them_and_nobody_changes_them(visitor: Client, tmp_path: Path) -> None:
    (row,) = [row for row in visitor.predict(api_name="/library") if row["shipped"]]
    assert row["name"] == "zombie-nada"
    assert visitor.predict("zombie-nada", "0-3", api_name="/sample")
    assert Path(visitor.predict("zombie-nada", api_name="/export")).stat().st_size
    before = (tmp_path / "zombie-nada.safetensors").read_bytes()

    def refused() -> None:
        for endpoint, request in (
            ("/rename", ("zombie-nada", "Mine")),
            ("/pick", ("zombie-nada", 2)),
            ("/delete", ("zombie-nada",)),
        ):
            with pytest.raises(AppError, match="comes with the app"):
                visitor.predict(*request, api_name=endpoint)

    refused()
    assert visitor.predict(SHARED_TOKEN, api_name="/admin") is True
    refused()
    with pytest.raises(AppError, match="comes with the app"):
        visitor.predict("zombie-nada", 5, api_name="/resume")
    assert (tmp_path / "zombie-nada.safetensors").read_bytes() == before
    mixed = visitor.predict("zombie-nada", "1", 0.5, api_name="/mix")
    assert mixed["shipped"] is False
    visitor.predict(mixed["name"], api_name="/delete")
