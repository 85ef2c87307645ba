"""Models of the hub in the app: what the list says, and how a model gets here when it is chosen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipl_core import AdaptConfig, InputError
from ipl_core.models import catalog
from ipl_core.models.hub import Stopped
from tabs.requests import models
from tabs.service import running

DOGS = AdaptConfig("wolf", model="afhq-dog-512")


def allowed(config: AdaptConfig) -> None:
    """Who asks may run anything."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Nothing is here, and fetching is what the test says."""
    fetches: dict[str, Any] = {"names": [], "steps": [(10_000_000, 124_000_000), (124_000_000, 124_000_000)]}

    def fetch(name: str, progress: Callable[[int, int], None]) -> Path:
        fetches["names"].append(name)
        for step in fetches["steps"]:
            threading.Event().wait(0.05)
            progress(*step)
        return Path(name)

    monkeypatch.setattr(catalog, "is_here", lambda entry: entry.offer is None)
    monkeypatch.setattr(catalog, "find_generator", fetch)
    monkeypatch.setattr(catalog, "fetch_critic", fetch)
    monkeypatch.setattr(running, "SECONDS_BETWEEN_YIELDS", 0.01)
    return fetches


def test_the_list_says_what_fetching_costs_and_what_is_allowed(hub: dict[str, Any]) -> None:
    known = catalog.generators()
    assert models.label(known["afhq-dog-512"]).startswith("AFHQ dogs 512 (124 MB to fetch): non-commercial use only")
    assert models.can_be_used(known["studio"])
    assert not models.can_be_used(known["ffhq-256"])  # no repository of the hub has it
    assert "studio" not in models.open_critics()
    assert "ViT-B-32" in models.open_critics()


def test_model_and_critic_are_fetched_with_progress_and_licence(hub: dict[str, Any]) -> None:
    said = list(running.fetched(DOGS, threading.Event(), allowed))
    assert hub["names"] == ["afhq-dog-512", "ViT-B-32"]
    assert "Fetching AFHQ dogs 512, once: 10 MB of 124 MB. Licence: non-commercial" in " ".join(said)
    assert any("OpenAI ViT-B/32" in words for words in said)
    assert not list(running.fetched(AdaptConfig("wolf"), threading.Event(), allowed))  # embedded


def test_stop_ends_a_transfer(hub: dict[str, Any]) -> None:
    stop = threading.Event()
    hub["steps"] = [(step, 124_000_000) for step in range(1000)]
    for words in running.fetched(DOGS, stop, allowed):
        if "0 kB" in words:
            stop.set()
    assert hub["names"] == ["afhq-dog-512"]


def test_a_visitor_who_leaves_ends_it_too(hub: dict[str, Any]) -> None:
    hub["steps"] = [(step, 124_000_000) for step in range(1000)]
    said = running.fetched(DOGS, threading.Event(), allowed)
    next(said)
    said.close()  # would wait for all thousand steps
    assert hub["names"] == ["afhq-dog-512"]


def test_what_cannot_be_had_is_said(hub: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, progress: Any) -> None:
        raise InputError("no place has it")

    monkeypatch.setattr(catalog, "find_generator", fails)
    with pytest.raises(InputError, match="no place has it"):
        list(running.fetched(DOGS, threading.Event(), allowed))


def test_nothing_is_fetched_for_a_run_that_is_not_allowed(hub: dict[str, Any]) -> None:
    def too_much(config: AdaptConfig) -> None:
        raise InputError(f"{config.model} is too large")

    with pytest.raises(InputError, match="afhq-dog-512 is too large"):
        list(running.fetched(DOGS, threading.Event(), too_much))
    assert hub["names"] == []


def test_stopped_passes_through_the_hub() -> None:
    from ipl_core.models.hub import _reasons

    with pytest.raises(Stopped), _reasons():
        raise Stopped
