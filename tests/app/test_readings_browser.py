"""What prompts say, in a real browser: under each person in Adapt and Compare, on a phone and in the dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect
from test_browser import SIZES, UNNAMED, UNREADABLE
from visitor import Visitor

Visit = Callable[..., Visitor]
#: Captions that are wider than their picture by more than the dots at their end, or not cut to a few lines.
TOO_LARGE = """() => [...document.querySelectorAll('.reads')].filter((said) => said.offsetParent && (
  said.scrollWidth > said.closest('figure').clientWidth + 10
  || said.clientHeight > 5.5 * parseFloat(getComputedStyle(said).lineHeight))).length"""


def choose_described(visitor: Visitor) -> None:
    visitor.page.get_by_role("radio", name=re.compile("described")).check()


def whole(captions: Any) -> list[str]:
    """What captions say to those who listen to the page, however few of the words are seen."""
    return captions.evaluate_all("captions => captions.map((caption) => caption.textContent)")


def fits(page: Any) -> None:
    page.mouse.move(0, 0)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "wider than its window"
    assert page.evaluate(TOO_LARGE) == 0
    assert [words for words in page.evaluate(UNREADABLE) if words[0] != "◢"] == []  # but the slider's arrows
    assert page.evaluate(UNNAMED) == []


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_what_is_read_of_each_person_stands_under_it(visit: Visit, width: int, height: int, scheme: str) -> None:
    visitor = visit(width, height, scheme)
    page, seed = visitor.page, 900 + width + len(scheme)
    choose_described(visitor)
    visitor.ask("zombie", stage_2=40, seed=seed, papers=False)
    captions = page.locator(".people figcaption .reads").filter(visible=True)
    captions.nth(7).wait_for()
    expect(page.get_by_text("Done: zombie")).to_have_count(0)  # it is said while the run goes on
    said = whole(captions)
    assert all(re.fullmatch(r"reads as: \S.*", words) for words in said)
    assert len(set(said)) > 1, "everybody reads alike"
    visitor.sees("Done: zombie by IPL, described")
    assert whole(captions) == said
    titles = captions.evaluate_all("captions => captions.map((caption) => caption.title)")
    assert [f"reads as: {title}" for title in titles] == said
    expect(visitor.start).to_have_text("Adapt")
    fits(page)
    visitor.photograph(f"{width}-{scheme}-reads-adapt")

    visitor.open_tab("Compare")
    page.get_by_label("Compare methods on").fill("zombie")
    for method in ("Shared prompt", "IPL"):
        page.get_by_role("checkbox", name=method, exact=True).uncheck()
    page.get_by_role("checkbox", name=re.compile("described")).check()
    for label, value in (("Steps of stage 2", 40), ("Seed", seed)):
        visitor.field(label, "Settings of all runs").fill(str(value))
    page.get_by_role("button", name="Compare", exact=True).click()
    visitor.sees("Done: zombie, 2 of 2 methods are complete")
    compared = page.locator(".matrix figcaption .reads")
    assert whole(compared) == said[:6], "the same people read otherwise here"
    assert page.locator(".matrix figure img[alt$='zombie, IPL, described']").count() == 6
    assert page.locator(".matrix figure img[alt$='zombie, NADA']").count() == 0
    fits(page)
    visitor.photograph(f"{width}-{scheme}-reads-compare")
    assert not visitor.errors


def test_prompts_are_made_of_words_of_ones_own(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    visitor.field("Steps of stage 1").fill("9")
    expect(page.get_by_label("Words of your own")).to_be_hidden()
    expect(page.get_by_role("radio", name="IPL, described")).to_be_checked()  # which suits the embedded CLIP
    expect(page.get_by_role("radio", name="Words, from what CLIP reads")).to_be_checked()
    expect(visitor.field("Domain weight λ")).to_have_value("0.3")
    page.get_by_role("radio", name="Words", exact=True).check()
    expect(visitor.field("Domain weight λ")).to_have_value("0.3")
    expect(visitor.field("Steps of stage 1")).to_have_value("150")
    page.get_by_role("radio", name="Shared prompt").check()
    expect(visitor.field("Domain weight λ")).to_have_value("3")
    page.get_by_role("radio", name="IPL", exact=True).check()
    expect(visitor.field("Domain weight λ")).to_have_value("0.3")

    visitor.field("Vocabulary").click()
    page.get_by_role("option", name="My own list").click()
    own = page.get_by_label("Words of your own")
    own.wait_for()
    own.fill("quixotic, bald")
    visitor.ask("zombie", seed=931, papers=False)
    visitor.sees("never taught “quixotic”")
    own.fill("bald, short haired\nsmiling, frowning")
    visitor.start.click()
    visitor.sees("Done: zombie by IPL with prompts of words")
    said = whole(page.locator(".people .reads"))
    assert len(said) == 8
    words = {word for line in said for word in line.removeprefix("reads as: ").split(", ")}
    assert words <= {"bald", "short", "short haired", "haired", "smiling", "frowning"}
    assert not visitor.errors
