"""Sample, favourites and mixes in a real browser, on domains kept without training: stars, styles, likeness, Stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fakes.kept_domains import entry_of
from playwright.sync_api import expect
from test_browser import SIZES, UNREADABLE
from visitor import PATIENCE, Visitor

from ipl_core.library import inversions, store
from ipl_core.pictures.media import read_settings

expect.set_options(timeout=1000 * PATIENCE)
Visit = Callable[..., Visitor]


@pytest.fixture
def domains(app_url: str) -> list[store.Entry]:
    """Two domains in the app's library."""
    return [entry_of("zombie", 0.1), entry_of("mosaic", -0.1)]


def open_sample(visitor: Visitor) -> Any:
    page = visitor.page
    visitor.open_tab("Sample")
    page.locator(".people.beside img").nth(23).wait_for()
    return page


@pytest.mark.usefixtures("domains")
@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_favourites_are_marked_kept_and_taken_by_other_tabs(visit: Visit, width: int, height: int, scheme: str) -> None:
    visitor = visit(width, height, scheme)
    page = open_sample(visitor)
    star = page.get_by_role("button", name="Favourite: seed 3", exact=True)
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Draw the favourites").wait_for()
    page.get_by_role("button", name="Mix styles").click()
    page.get_by_label("Fine layers of seed").fill("8")
    page.get_by_role("button", name="Draw", exact=True).click()
    mixed = page.get_by_role("button", name="Favourite: seed 5 with fine layers of 8")
    mixed.focus()
    page.keyboard.press("Enter")
    expect(mixed).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Draw the favourites").click()
    expect(page.locator(".people.beside figure")).to_have_count(2)
    visitor.photograph(f"favourites-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.mouse.move(0, 0)
    assert page.evaluate(UNREADABLE) == []

    page.reload()
    page.locator(".people img").first.wait_for()
    page = open_sample(visitor)
    expect(page.get_by_role("button", name="Favourite: seed 3", exact=True)).to_have_attribute("aria-pressed", "true")
    visitor.open_tab("Compare")
    page.get_by_role("button", name="Take my favourites").click()
    expect(page.get_by_label("The same people")).to_have_value("3")
    visitor.open_tab("Interpolate")
    page.get_by_role("combobox", name="And these favourites").click()
    page.get_by_role("option", name="seed 5 with fine layers of 8").click()
    page.keyboard.press("Escape")
    page.get_by_label("People, by seed").fill("4")  # only now is the tab sure to listen
    page.get_by_label("number input for Frames", exact=True).fill("6")
    page.get_by_role("button", name="Animate").click()
    visitor.sees("seed 4 and seed 5 with fine layers of 8 as")
    visitor.open_tab("Your picture")
    page.get_by_role("button", name="Keep as a person").click()
    visitor.sees("Kept: seed 5 with fine layers of 8")
    page.locator(".collage figure").nth(2).wait_for()
    assert not visitor.errors
    for person in inversions.list_people():
        inversions.delete(person)


@pytest.mark.usefixtures("domains")
def test_two_visitors_have_favourites_of_their_own(visit: Visit) -> None:
    one, other = visit(), visit()
    open_sample(one).get_by_role("button", name="Favourite: seed 3", exact=True).click()
    one.page.get_by_role("button", name="Draw the favourites").wait_for()
    page = open_sample(other)
    expect(page.get_by_role("button", name="Favourite: seed 3", exact=True)).to_have_attribute("aria-pressed", "false")
    assert not page.get_by_role("button", name="Draw the favourites").is_visible()


@pytest.mark.usefixtures("domains")
def test_the_nearest_are_found_stopped_and_refused(visit: Visit, tmp_path: Any) -> None:
    visitor = visit()
    page = open_sample(visitor)
    page.get_by_role("button", name="Who looks like whom").click()
    find = page.get_by_role("button", name=re.compile("^Find the nearest"))
    page.get_by_label("number input for Looked for among so many seeds").fill("1024")
    page.get_by_label("Nearest to seed").fill("7")
    find.click()
    visitor.sees("people seen")
    visitor.halt.click()
    visitor.sees("they are remembered")
    expect(find).to_be_enabled()
    page.get_by_label("number input for Looked for among so many seeds").fill("32")
    find.click()
    visitor.sees("The nearest to seed 7 among 32")
    assert page.locator(".people.beside figcaption", has_text="likeness").count() == 11
    visitor.photograph("nearest")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download as one picture").click()
    coming.value.save_as(tmp_path / "nearest.png")
    assert read_settings(tmp_path / "nearest.png")["seeds"][0] == 7
    page.get_by_label("Nearest to seed").fill("-3")
    expect(find).to_be_enabled()
    find.click()
    visitor.sees("The seed must be a whole number")
    assert not visitor.errors


@pytest.mark.usefixtures("domains")
def test_lucky_draws_others_and_bad_input_is_said(visit: Visit) -> None:
    visitor = visit()
    page = open_sample(visitor)
    page.get_by_role("button", name="I feel lucky").click()
    page.locator(".people.beside img[alt='seed 0, photo']").wait_for(state="detached")
    for label, value, words in (
        ("First seed", "-1", "The first seed must be"),
        ("Or these seeds", "one", "Seeds are whole numbers"),
        ("Or these seeds", "0-99", "more than 64 seeds"),
    ):
        page.get_by_label("Or these seeds").fill("")
        page.get_by_label(label).fill(value)
        page.get_by_role("button", name="Draw", exact=True).click()
        visitor.sees(words)
    assert not visitor.errors


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_domains_are_mixed_and_the_mix_is_kept(
    visit: Visit, domains: list[store.Entry], width: int, height: int, scheme: str
) -> None:
    visitor = visit(width, height, scheme)
    page = visitor.page
    visitor.open_tab("Library")
    page.get_by_role("button", name="Mix domains").click()
    page.get_by_role("button", name="Draw the mix").click()
    visitor.sees("Choose at least one domain to mix")
    for number, domain in enumerate(("zombie", "mosaic"), start=1):
        page.get_by_role("combobox", name=f"Domain {number}", exact=True).click()
        page.get_by_role("option", name=domain).first.click()
    page.get_by_role("button", name="Draw the mix").click()
    page.locator(".people img[alt='seed 7, 50 % zombie, NADA and 50 % mosaic, NADA']").wait_for()
    visitor.photograph(f"mix-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_label("Name of the mix").fill(f"Dead tiles {width} {scheme}")
    page.get_by_role("button", name="Keep the mix").click()
    page.locator(".chosen h2", has_text=f"Dead tiles {width} {scheme}").wait_for()
    visitor.sees("50 % zombie, 50 % mosaic")
    page.get_by_role("button", name="Draw people").click()
    page.locator(".people.beside img[alt$=', mixed']").first.wait_for()
    assert not visitor.errors
    kept = next(entry for entry in store.list_entries() if entry.made_by == "mixed")
    store.delete(kept)
