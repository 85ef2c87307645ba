"""The Compare tab in a real browser: one click, three methods, what can be done with them, Stop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from visitor import Visitor

from ipl_core.pictures.media import read_settings

Visit = Callable[..., Visitor]
SIZES = [(1440, 900, "light"), (1440, 900, "dark"), (390, 844, "light"), (390, 844, "dark")]


def compare(visitor: Visitor, target: str, stage_2: int, seed: int = 0) -> Any:
    """Fills in a request and presses Compare."""
    page = visitor.page
    visitor.open_tab("Compare")
    page.get_by_label("Compare methods on").fill(target)
    for label, value in (("Steps of stage 1", 2), ("Steps of stage 2", stage_2), ("Seed", seed)):
        visitor.field(label, "Settings of all runs").fill(str(value))
    page.get_by_role("button", name="Compare", exact=True).click()
    return page


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_three_methods_with_one_click(visit: Visit, tmp_path: Path, width: int, height: int, scheme: str) -> None:
    visitor = visit(width, height, scheme)
    page = compare(visitor, "zombie", stage_2=4)
    visitor.sees("Done: zombie, 3 of 3 methods are complete")
    for method in ("NADA", "Shared prompt", "IPL"):
        assert page.locator(f".matrix img[alt$='zombie, {method}']").count() == 6
    columns = page.locator(".figures thead th").all_inner_texts()
    assert columns[1:5] == ["Source", "NADA", "Shared prompt", "IPL"]
    rows = page.locator(".figures tbody tr").all_inner_texts()
    assert any(re.search(r"Domain score ↑(\t\d+ %){4}", row) for row in rows)
    assert any(re.search(r"Spread of ΔI ↑\t–(\t\d\.\d{3}){3}", row) for row in rows)
    visitor.sees("Seed 0: Shared prompt on the left, IPL on the right")
    page.get_by_role("combobox", name="On the left", exact=True).click()
    page.get_by_role("option", name="Source").click()
    visitor.sees("Seed 0: Source on the left, IPL on the right")
    page.locator(".slider img").nth(1).wait_for()
    visitor.photograph(f"{width}-{scheme}-compare")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than its window"
    )
    for button in ("Settings of IPL", "Download all as one picture", "Download the figures as CSV"):
        with page.expect_download() as coming:
            page.get_by_role("button", name=button).click()
        coming.value.save_as(tmp_path / coming.value.suggested_filename)
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["config"]["method"] == "ipl"
    assert read_settings(next(tmp_path.glob("*.png")))["rows"] == ["source", "nada", "shared", "ipl"]
    page.get_by_role("button", name="Draw more by NADA").click()
    page.locator(".people.beside img[alt='seed 0, zombie, NADA']").wait_for()
    assert not visitor.errors


def test_stop_ends_the_whole_comparison(visit: Visit) -> None:
    visitor = visit()
    page = compare(visitor, "zombie", stage_2=500, seed=3)
    visitor.sees("Method 1 of 3: NADA")
    visitor.halt.click()
    visitor.sees("Stopped: 0 of 3 methods are complete")
    page.get_by_role("button", name="Compare", exact=True).and_(page.locator(":enabled")).wait_for()
    assert not page.get_by_role("button", name="Draw more by NADA").is_visible()
    assert not visitor.errors


def test_what_is_wrong_is_told_at_its_field(visit: Visit) -> None:
    visitor = visit()
    page = compare(visitor, "quixotic sketch", stage_2=4)
    visitor.sees("never taught")
    page.get_by_label("Compare methods on").fill("zombie")
    for method in ("NADA", "Shared prompt", "IPL"):
        page.get_by_role("checkbox", name=method, exact=True).uncheck()
    page.get_by_role("button", name="Compare", exact=True).click()
    visitor.sees("Choose at least one method")
