"""The Interpolate tab in a real browser: people and domains that turn into each other, Stop, bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.kept_domains import entry_of
from PIL import Image
from visitor import Visitor

from ipl_core import InvertConfig
from ipl_core.drawing.sampling import draw
from ipl_core.library import inversions
from ipl_core.library.find_or_run import finished_inversion
from ipl_core.models import catalog
from ipl_core.pictures.media import read_settings, to_uint8

Visit = Callable[..., Visitor]


@pytest.fixture
def zombie(app_url: str) -> str:
    """The title that begins the line of a kept domain."""
    entry_of("zombie", 0.1)
    return "zombie"


def open_tab(visitor: Visitor) -> Any:
    page = visitor.page
    visitor.open_tab("Interpolate")
    page.get_by_role("button", name="Animate").wait_for()
    return page


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option).first.click()


def set_number(page: Any, label: str, value: int) -> None:
    field = page.get_by_label(f"number input for {label}", exact=True)
    field.fill(str(value))
    field.press("Tab")


def download(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as coming:
        page.get_by_role("button", name=button).and_(page.locator(":enabled")).click()
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


SIZES = [(1440, 900, "light"), (1440, 900, "dark"), (390, 844, "light"), (390, 844, "dark")]


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_people_turn_into_each_other(
    visit: Visit, zombie: str, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    visitor = visit(width, height, scheme)
    page = open_tab(visitor)
    visitor.photograph(f"{width}-{scheme}-interpolate-1-start")
    choose(page, "Model", zombie)
    page.get_by_label("People, by seed").fill("3, 8")
    page.get_by_label("Beside the source").check()
    set_number(page, "Frames", 16)
    page.get_by_role("button", name="Animate").click()
    visitor.sees("Done: 16 frames")
    visitor.sees("seed 3 and seed 8 as zombie (NADA), beside the source")
    paths = [download(page, f"Download {name}", tmp_path) for name in ("WebP", "MP4", "GIF")]
    assert [path.suffix for path in paths] == [".webp", ".mp4", ".gif"]
    assert all(path.stat().st_size > 2000 for path in paths)
    for path in (paths[0], paths[2]):
        assert read_settings(path)["people"] == [3, 8]
        with Image.open(path) as animation:
            assert (animation.size, animation.n_frames) == ((512, 256), 16)
    assert page.locator(".animation img").get_attribute("src").endswith(".webp")
    visitor.photograph(f"{width}-{scheme}-interpolate-2-done")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than its window"
    )
    assert not visitor.errors


def test_a_person_becomes_a_domain(visit: Visit, zombie: str, tmp_path: Path) -> None:
    generator = catalog.load_generator("studio")
    config = InvertConfig(preset="fast", starts=2, steps=2)
    person = finished_inversion(config, to_uint8(draw(generator, [5])), "<b>Ada</b>")
    try:
        visitor = visit()
        page = open_tab(visitor)
        choose(page, "Model", "as it is")
        page.get_by_label("People, by seed").fill("")
        choose(page, "And these, from pictures", "Ada")
        page.keyboard.press("Escape")
        choose(page, "Become another model", zombie)
        set_number(page, "Frames", 8)
        page.get_by_role("button", name="Animate").click()
        visitor.sees("Done: 8 frames")
        visitor.sees("<b>Ada</b> from photo to zombie (NADA)")
        assert read_settings(download(page, "Download WebP", tmp_path))["people"] == ["<b>Ada</b>"]
        assert not visitor.errors
    finally:
        inversions.delete(person)


def test_stop_keeps_nothing_and_frees_the_tab(visit: Visit) -> None:
    visitor = visit()
    page = open_tab(visitor)
    set_number(page, "Frames", 240)
    page.get_by_role("button", name="Animate").click()
    visitor.sees("Frame 1 of 240")
    visitor.halt.click()
    visitor.sees("nothing is kept")
    assert not page.get_by_role("button", name="Download WebP").is_visible()
    set_number(page, "Frames", 8)
    page.get_by_role("button", name="Animate", exact=True).and_(page.locator(":enabled")).click()
    visitor.sees("Done: 8 frames")


def test_what_cannot_be_shown_is_said(visit: Visit) -> None:
    visitor = visit()
    page = open_tab(visitor)
    for seeds, words in (("", "2 to 64 points"), ("3", "1 is given"), ("one", "Seeds are whole numbers")):
        page.get_by_label("People, by seed").fill(seeds)
        page.get_by_role("button", name="Animate", exact=True).and_(page.locator(":enabled")).click()
        visitor.sees(words)
    assert not visitor.errors
