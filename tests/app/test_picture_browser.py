"""A picture of one's own in a real browser: example to collage, moving the crop, Stop, files that can't be used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from PIL import Image
from playwright.sync_api import expect
from test_browser import SIZES, UNREADABLE
from visitor import PATIENCE, Visitor

from ipl_core.library import inversions
from ipl_core.pictures.media import read_settings
from tabs.requests.pictures import EXAMPLES

expect.set_options(timeout=1000 * PATIENCE)
Visit = Callable[..., Visitor]
PHOTO = EXAMPLES / "grace-hopper.jpg"


class Guest:
    """A visitor at the tab Your picture."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.page = visitor, visitor.page
        visitor.open_tab("Your picture")
        self.start.wait_for()

    @property
    def start(self) -> Any:
        return self.page.get_by_role("button", name=re.compile("^Invert"))

    @property
    def collage(self) -> Any:
        return self.page.locator(".collage figure")

    def take(self, file: Path) -> None:
        """Uploads a picture."""
        self.page.locator("input[type=file][accept*='image']").first.set_input_files(file)

    def load_latent(self, file: Any) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Load a latent").click()
        chooser.value.set_files(file)

    def take_example(self, number: int) -> None:
        self.page.locator("button.gallery-item").filter(visible=True).nth(number).click()

    def limit(self, steps: int, seed: int) -> None:
        """Few steps of the latent and no tuning."""
        self.page.get_by_label("Fast").check()
        self.page.get_by_role("button", name="Advanced settings").click()
        field = self.page.get_by_label("Steps of the latent")
        expect(field).to_have_value("70")  # the preset has filled in its own
        field.fill(str(steps))
        self.page.get_by_label("Seed", exact=True).filter(visible=True).fill(str(seed))

    def frame(self) -> dict[str, float]:
        return self.page.locator(".crop .frame").bounding_box()


@pytest.fixture(scope="module", autouse=True)
def domain(client: Client) -> str:
    """A domain in the library."""
    return client.predict("pencil sketch", method="nada", steps=3, batch=2, api_name="/adapt")["entry"]


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_from_an_example_to_every_domain(visit: Visit, tmp_path: Path, width: int, height: int, scheme: str) -> None:
    guest = Guest(visit(width, height, scheme))
    page, shot = guest.page, f"picture-{width}-{scheme}"
    guest.take_example(0)
    guest.visitor.sees("The whole picture is taken as it is")
    expect(page.get_by_label("Name", exact=True)).to_have_value("portrait-1")
    guest.visitor.photograph(f"{shot}-1-taken")
    guest.limit(4, seed=width + len(scheme))
    guest.start.click()
    guest.visitor.sees("Done: portrait-1")
    guest.visitor.sees("by the judge, a classifier")
    guest.collage.nth(2).wait_for()
    expect(page.locator(".collage img[alt='portrait-1: pencil sketch, NADA']").first).to_be_visible()
    guest.visitor.sees("as inverted. Right: 100 % pencil sketch, NADA")
    expect(guest.start).to_have_text("Invert")
    guest.visitor.photograph(f"{shot}-2-done")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than its window"
    )
    page.mouse.move(0, 0)
    assert [words for words in page.evaluate(UNREADABLE) if not words.startswith("◢")] == []  # but the slider's arrows
    assert not guest.visitor.errors
    if (width, scheme) != SIZES[0][::2]:
        return

    with page.expect_download() as coming:
        page.get_by_role("button", name="Download latent").click()
    latent = tmp_path / "me.safetensors"
    coming.value.save_as(latent)
    assert inversions.read_latent(latent).name == "portrait-1"
    for button, key in (("Download the collage", "domains"), ("Download this picture", "inverted by")):
        with page.expect_download() as coming:
            page.get_by_role("button", name=button).click()
        coming.value.save_as(tmp_path / "picture.png")
        assert read_settings(tmp_path / "picture.png")[key]

    page.get_by_role("button", name="Use in Sample").click()
    page.locator(".people.beside img[alt='portrait-1, pencil sketch, NADA']").wait_for()
    page.get_by_role("tab", name="Your picture").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    guest.visitor.sees("for good, the picture too")
    page.get_by_role("button", name="Delete for good").click()
    guest.visitor.sees("Deleted: portrait-1")
    guest.load_latent(latent)
    guest.visitor.sees("Loaded: portrait-1")
    guest.load_latent(
        {"name": "other.safetensors", "mimeType": "application/octet-stream", "buffer": b"nothing of the kind"}
    )
    guest.visitor.sees("“other.safetensors” can't be read")


def test_stop_in_the_middle_keeps_the_person(visit: Visit) -> None:
    guest = Guest(visit())
    guest.take(PHOTO)
    guest.visitor.sees("were found by OpenCV's cascades")
    guest.page.get_by_label("As near as the pixels go").check()  # a portrait is there before one could stop
    guest.limit(20_000, seed=3)
    guest.start.click()
    guest.visitor.sees("inverted so far")
    guest.page.get_by_role("button", name="Stop", exact=True).click()
    guest.visitor.sees("Stopped after")
    guest.visitor.sees("grace-hopper in other domains")


def test_closing_the_tab_frees_the_job(visit: Visit, client: Client) -> None:
    guest = Guest(visit())
    guest.take_example(1)
    guest.visitor.sees("The whole picture is taken as it is")
    guest.limit(20_000, seed=4)
    guest.start.click()
    guest.visitor.sees("inverted so far")
    guest.page.close()
    assert client.predict("pencil sketch", method="nada", steps=3, batch=2, seed=4, api_name="/adapt")["entry"]


def test_the_crop_can_be_dragged_and_scaled(visit: Visit, tmp_path: Path) -> None:
    guest = Guest(visit(390, 844))
    page = guest.page
    sideways = Image.effect_noise((800, 600), 30).convert("RGB")
    exif = sideways.getexif()
    exif[0x0112] = 6  # a phone held upright
    sideways.save(tmp_path / "phone.jpg", exif=exif)
    guest.take(tmp_path / "phone.jpg")
    guest.visitor.sees("No face was found in this picture")
    expect(page.locator(".crop svg")).to_have_attribute("viewBox", "0 0 600 800")
    before = guest.frame()
    page.locator(".crop .frame").scroll_into_view_if_needed()
    before = guest.frame()
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 20, steps=3)
    page.mouse.up()
    page.get_by_role("button", name="Adjust the crop").click()
    down = page.get_by_role("spinbutton", name=re.compile("Up or down"))
    expect(down).not_to_have_value("0")
    assert float(down.input_value()) == pytest.approx(-20 / before["height"], abs=0.01)
    zoom = page.get_by_role("spinbutton", name=re.compile("Zoom"))
    zoom.fill("2")
    zoom.press("Tab")
    expect(page.locator(".crop .frame")).not_to_have_attribute("points", "")
    page.wait_for_function(
        "width => document.querySelector('.crop .frame').getBoundingClientRect().width < 0.6 * width",
        arg=before["width"],
    )
    assert not guest.visitor.errors


def test_files_that_cannot_be_used_are_told_at_the_field(visit: Visit, tmp_path: Path) -> None:
    guest = Guest(visit())
    guest.start.click()
    guest.visitor.sees("There is no picture yet")
    broken = tmp_path / "holiday.png"
    broken.write_bytes(PHOTO.read_bytes()[:2000])
    guest.take(broken)
    guest.visitor.sees("“holiday.png” can't be read as a picture")
    guest.visitor.photograph("picture-broken")
    guest.start.click()
    expect(guest.start).to_have_text("Invert")
    guest.page.get_by_label("Remove Image").click()
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "party.webp", save_all=True, append_images=frames[1:])
    guest.take(tmp_path / "party.webp")
    guest.visitor.sees("“party.webp” is animated (2 frames)")
