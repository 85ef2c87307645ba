"""The blind study in a real browser: started with the token, two visitors at once, by keyboard and on a phone."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.kept_domains import entry_of
from visitor import Visitor

from ipl_core.library import store
from ipl_core.study import study
from tabs.access.roles import admin_token

Visit = Callable[..., Visitor]


@pytest.fixture
def runs(app_url: str) -> list[store.Entry]:
    """Two runs of one domain in the app's library, without the training."""
    return [entry_of("cartoon", shift, method) for method, shift in (("nada", 0.05), ("ipl", -0.05))]


def start_study(visitor: Visitor) -> Any:
    """Opens the desk with the token and starts a study of three pairs for each voter."""
    page = visitor.page
    visitor.open_tab("Blind study")
    page.get_by_role("button", name="For whoever runs the study").click()
    page.get_by_label("Token").fill("not this one")
    page.get_by_role("button", name="Open", exact=True).click()
    visitor.sees("That is not the token")
    page.get_by_label("Token").fill(admin_token())
    page.get_by_label("Token").press("Enter")
    visitor.sees("A new study")
    page.get_by_label("Title").fill("Cartoons")
    for method in ("NADA", "IPL"):
        page.get_by_label("Adapted models to compare").fill(f"cartoon · {method}")
        page.get_by_role("option").filter(has_text=f"cartoon · {method}").first.click()
    page.get_by_label("Pairs for each voter").fill("3")
    page.get_by_role("button", name="Start the study").click()
    visitor.sees("Started: “Cartoons”, 10 pairs")
    return page


@pytest.mark.usefixtures("runs")
def test_two_visitors_vote_at_once(visit: Visit, tmp_path: Path) -> None:
    host = visit()
    desk = start_study(host)
    host.photograph("study-desk")

    one, other = visit(1440, 900, "dark"), visit(390, 844)
    said = []
    for visitor in (one, other):
        visitor.page.on("response", lambda response: said.append(response))
        visitor.open_tab("Blind study")
        visitor.page.get_by_role("button", name="Begin").click()
    # One has no mouse, the other a thumb; they take turns.
    for number in range(1, 7):
        for visitor, name in ((one, "dark"), (other, "phone")):
            visitor.sees(f"{number} of 6")
            assert visitor.page.locator(".ballot img").count() == (2 if number % 2 else 3)
            if number < 3:
                visitor.photograph(f"study-{name}-{number}")
            visitor.page.wait_for_timeout(500)  # what is answered faster was not looked at
        if number == 1:
            one.page.keyboard.press("Tab")
        assert one.page.evaluate("document.activeElement.textContent").strip() == "The left one"
        one.page.keyboard.press("Enter")
        other.page.get_by_role("button", name="Skip" if number == 4 else "The right one").click()
    for visitor in (one, other):
        visitor.sees("Thank you: that was the last question")
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert not visitor.errors
    other.photograph("study-phone-thanks")

    answers = [response.json()["data"] for response in said if "predict" in response.url]
    # The first of each is the voter's random number, which may spell anything.
    asked = [re.sub(r'base64,[^\\"]*', "", json.dumps(data[1:])) for data in answers if 'class="pair' in str(data)]
    assert len(asked) == 2 * 6
    assert not [text for text in asked if re.search(r"nada|\bipl\b|70000\d", text, re.IGNORECASE)]

    votes = study.votes(study.current().id)
    assert len(votes) == 2 * 6
    assert sorted(vote["choice"] for vote in votes) == ["left"] * 6 + ["right"] * 5 + ["skip"]
    other.page.reload()
    other.open_tab("Blind study")
    other.sees("Thank you: that was the last question")

    desk.get_by_role("button", name="Count again").click()
    desk.locator(".tally td", has_text=re.compile("^6$")).first.wait_for()
    with desk.expect_download() as coming:
        desk.get_by_role("button", name="Download every vote").click()
    coming.value.save_as(tmp_path / "votes.csv")
    with (tmp_path / "votes.csv").open() as file:
        assert [row["choice"] for row in csv.DictReader(file)] == [vote["choice"] for vote in votes]
    assert not host.errors


def test_a_link_leads_to_the_study(browser: Any, app_url: str, runs: list[store.Entry]) -> None:
    drawing = study.start("By link", runs, [1])
    assert [done for done, _ in drawing] == [0, 1, 2, 3]
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{app_url}?study")
    page.get_by_role("heading", name="By link").wait_for()
    page.get_by_role("button", name="Begin").wait_for()
    context.close()
