"""The app in a real browser: from typing to the finished picture, Stop, bad input, a phone, two visitors."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import expect
from visitor import Visitor

from ipl_core.pictures.media import read_settings

Visit = Callable[..., Visitor]

SIZES = [(1440, 900, "light"), (1440, 900, "dark"), (390, 844, "light"), (390, 844, "dark")]
MANY = 5000


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_from_typing_to_more_people(visit: Visit, width: int, height: int, scheme: str) -> None:
    visitor = visit(width, height, scheme)
    page = visitor.page
    shot = f"{width}-{scheme}"
    visitor.photograph(f"{shot}-1-start")
    visitor.ask("pencil sketch", stage_1=150, stage_2=40, seed=width + len(scheme))  # long enough to be seen
    visitor.sees("Stage 1 of 2")
    page.locator(".people img[alt$='pencil sketch, IPL']").first.wait_for()
    assert not visitor.start.is_enabled()
    visitor.sees("Stage 2 of 2")
    visitor.sees("Diversity")
    visitor.photograph(f"{shot}-2-running")
    visitor.sees("Done: pencil sketch by IPL")
    visitor.start.and_(page.get_by_text("Adapt", exact=True)).wait_for()
    assert visitor.start.is_enabled()
    assert not visitor.halt.is_enabled()
    page.locator(".vega-embed path.mark, .vega-embed .mark-line path, .vega-embed canvas").first.wait_for()
    visitor.photograph(f"{shot}-3-done")

    page.get_by_role("button", name="Draw more people").click()
    page.locator(".people.beside img").nth(23).wait_for()
    visitor.photograph(f"{shot}-4-sample")
    visitor.open_tab("Library")
    page.locator("button.card").first.wait_for()
    visitor.photograph(f"{shot}-5-library")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than its window"
    )
    assert not visitor.errors


def test_what_was_made_can_be_downloaded(visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.ask("pencil sketch", seed=11)
    visitor.sees("Done: pencil sketch")

    def download(button: str) -> Path:
        with page.expect_download() as coming:
            page.get_by_role("button", name=button).click()
        path = tmp_path / coming.value.suggested_filename
        coming.value.save_as(path)
        return path

    assert download("Download weights").suffix == ".safetensors"
    assert read_settings(download("Download picture"))["target"] == "pencil sketch"
    visitor.open_tab("Library")
    page.locator("button.card", has_text="seed 11").click()
    page.locator(".people.beside img").nth(23).wait_for()
    assert page.get_by_role("tab", name="Sample").get_attribute("aria-selected") == "true"
    assert read_settings(download("Download as one picture"))["seeds"] == list(range(12))
    with zipfile.ZipFile(download("Download all, zipped")) as files:
        assert len(files.namelist()) == 25
    page.get_by_role("button", name="Next people").click()
    page.locator(".people.beside img[alt='seed 12, photo']").wait_for()


def test_an_entry_is_managed_from_its_card(visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.page
    visitor.field("Steps between kept weights").fill("2")
    visitor.ask("pencil sketch", stage_2=4, seed=41)
    visitor.sees("Done: pencil sketch")
    visitor.open_tab("Sample")
    page.locator(".people.beside img").nth(23).wait_for()  # the new run's, without a press of Draw
    visitor.sees("pencil sketch · IPL · seed 41")
    visitor.open_tab("Library")
    page.get_by_role("button", name="Manage pencil sketch · IPL · seed 41").click()
    page.locator(".chosen h2", has_text="seed 41").wait_for()
    page.wait_for_function("document.activeElement.matches('.chosen h2')")

    name = page.get_by_label("Name")
    name.fill("Sketches of a stranger")
    page.get_by_role("button", name="Rename").click()
    visitor.sees("Called: Sketches of a stranger")
    expect(page.locator("button.card", has_text="Sketches of a stranger")).to_have_count(1)
    page.get_by_label("Step", exact=True).click()
    page.get_by_role("option", name="2", exact=True).click()
    keep = page.get_by_role("button", name="Keep this step")
    expect(keep).to_be_enabled()
    keep.click()
    visitor.sees("step 2 of 4")
    page.locator(".chosen h2", has_text="step 2 of 4").wait_for()
    page.get_by_role("button", name="Export .safetensors").click()
    visitor.sees("Ready: pencil-sketch")
    with page.expect_download() as coming:
        page.locator(".chosen a[download]").click()
    file = tmp_path / coming.value.suggested_filename
    coming.value.save_as(file)
    expect(page.get_by_role("button", name="No .pt for this model")).to_be_disabled()
    visitor.photograph("library-managed")

    page.get_by_role("button", name="Delete …").click()
    page.wait_for_function("document.activeElement.innerText === 'Keep it'")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Delete for good")).to_have_count(0)
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete for good").click()
    visitor.sees("Deleted: pencil sketch")
    expect(page.locator(".chosen h2")).to_have_count(0)
    expect(page.locator("button.card", has_text="step 2 of 4")).to_have_count(0)

    page.get_by_role("button", name="Import an adapted generator").click()
    page.get_by_role("button", name="Import", exact=True).click()
    visitor.sees("Choose a file")
    page.locator(".upload input[type=file]").set_input_files(file)
    page.get_by_text(re.compile("safetensors$")).filter(visible=True).first.wait_for()
    page.get_by_label("What does it draw?").fill("charcoal")
    page.get_by_role("button", name="Import", exact=True).click()
    page.locator(".chosen h2", has_text="charcoal · imported").wait_for()
    page.get_by_role("button", name="Draw people").click()
    page.locator(".people.beside img[alt='seed 0, charcoal, imported']").wait_for()
    assert not visitor.errors


@pytest.mark.parametrize(("width", "height", "scheme"), SIZES)
def test_the_library_fits_and_is_readable(visit: Visit, width: int, height: int, scheme: str) -> None:
    visitor = visit(width, height, scheme)
    page = visitor.page
    visitor.ask("pencil sketch", seed=42)
    visitor.sees("in the library; it took")
    visitor.open_tab("Library")
    page.get_by_role("button", name="Manage pencil sketch · IPL · seed 42").click()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Keep it").wait_for()
    page.get_by_role("button", name="Import an adapted generator").click()
    page.get_by_role("button", name="Import", exact=True).wait_for()
    visitor.photograph(f"library-{width}-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.mouse.move(0, 0)
    assert page.evaluate(UNREADABLE) == []
    assert page.locator(".chosen img:not([alt]), .chosen img[alt='']").count() == 0
    assert page.evaluate(UNNAMED) == []


def test_stop_in_the_middle_keeps_a_model(visit: Visit) -> None:
    visitor = visit()
    visitor.ask("pencil sketch", stage_1=3, stage_2=MANY, seed=12)
    visitor.sees("Stage 2 of 2")
    visitor.halt.click()
    visitor.sees("Stopped at step")
    visitor.photograph("stopped")
    visitor.page.get_by_role("button", name="Draw more people").click()
    visitor.page.locator(".people.beside img").nth(23).wait_for()
    visitor.sees("stopped at step")


def test_stop_in_stage_1_says_that_there_is_nothing_to_keep(visit: Visit) -> None:
    visitor = visit()
    visitor.ask("pencil sketch", stage_1=MANY, stage_2=2, seed=13)
    visitor.sees("Stage 1 of 2")
    visitor.halt.click()
    visitor.sees("Nothing to keep")
    assert not visitor.page.get_by_role("button", name="Draw more people").is_visible()


def test_earlier_steps_are_looked_at_and_the_run_goes_on(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    visitor.field("Steps between kept weights").fill("2")
    visitor.ask("pencil sketch", stage_2=4, seed=43)
    visitor.sees("Done: pencil sketch")
    last = page.locator(".people img[alt$='pencil sketch, IPL']").first.get_attribute("src")
    page.get_by_role("radio", name="2", exact=True).check()
    visitor.sees("The people at step 2")
    assert page.locator(".people img[alt$='pencil sketch, IPL']").first.get_attribute("src") != last
    keep = page.get_by_role("button", name="Keep this step as a model")
    keep.click()
    visitor.sees("Kept in the library: pencil sketch")
    expect(keep).to_be_disabled()
    visitor.photograph("earlier-step")
    page.get_by_label("More steps").fill("3")
    page.get_by_role("button", name="Go on").click()
    visitor.sees("went on from step 4 with a fresh optimiser")
    for step in ("2", "4", "6", "7, the last"):
        expect(page.get_by_role("radio", name=step, exact=True)).to_have_count(1)
    page.get_by_label("More steps").fill("0")
    page.get_by_role("button", name="Go on").click()
    visitor.sees("from 1 to 5000, not 0")
    assert not visitor.errors


def test_what_is_in_use_and_how_long_it_takes_is_said(visit: Visit) -> None:
    visitor = visit()
    visitor.sees("A run with these settings takes about")
    words = visitor.page.locator(".about", has_text="Model").inner_text()
    assert all(name in words for name in ("Model studio", "CLIP model studio", "Device cpu, float32", "Licence MIT"))


def test_every_tab_shows_something_before_it_is_asked(visit: Visit) -> None:
    visitor = visit()
    visitor.open_tab("Compare")
    visitor.sees("a direction for each person")
    assert visitor.page.locator(".matrix img").count() == 6
    visitor.open_tab("Sample")
    visitor.page.locator(".people.beside img").first.wait_for()
    visitor.open_tab("Interpolate")
    visitor.sees("For example, seed")
    shown = visitor.page.locator(".animation img").filter(visible=True)
    shown.wait_for()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 256
    visitor.photograph("interpolate-before")
    assert not visitor.errors


def test_a_run_that_exists_is_shown_at_once(visit: Visit) -> None:
    visitor = visit()
    visitor.ask("pencil sketch", stage_1=3, stage_2=40, seed=14)
    visitor.sees("Done: pencil sketch")
    other = visit()
    other.ask("pencil sketch", stage_1=3, stage_2=40, seed=14)
    other.sees("made before with the same settings")
    assert other.page.locator(".people img[alt$='pencil sketch, IPL']").count() == 8


def test_bad_input_is_told_at_its_field_and_loses_nothing(visit: Visit) -> None:
    visitor = visit()
    visitor.ask("pencil sketch", seed=15)
    visitor.sees("Done: pencil sketch")
    for target, words in (
        ("", "The target is blank"),
        ("photo", "there is nothing to adapt"),
        ("quixotic sketch", "never taught"),
        ("<img src=x onerror=alert(1)>", "never taught"),
        ("a " * 140 + "sketch", "tokens"),
    ):
        visitor.target.fill(target)
        visitor.start.click()
        visitor.sees(words)
        assert visitor.target.input_value() == target
    visitor.photograph("bad-input")
    visitor.target.fill("pencil sketch")
    for label, value, words in (
        ("Steps of stage 1", "0", "Steps of stage 1 (mapper_steps) must be"),
        ("Steps of stage 2", "99999", "Steps of stage 2 (steps) must be"),
        ("Domain weight λ", "-2", "Domain weight λ (lambda_domain) must be"),
        ("Pictures a step", "1.5", "Pictures a step (batch) must be"),
        ("Learning rate", "7", "Learning rate (learning_rate) must be"),
        ("Seed", "-1", "Seed must be"),
        ("People to watch", "zero", "Seeds are whole numbers"),
        ("Source", "quixotic", "never taught"),
    ):
        field = visitor.field(label)
        good = field.input_value()
        field.fill(value)
        visitor.start.click()
        visitor.sees(words)
        field.fill(good)
    assert visitor.page.locator(".run strong").first.inner_text() == "Done: pencil sketch by IPL"
    visitor.start.click()
    visitor.sees("made before with the same settings")
    assert visitor.page.locator(".validation-error").count() == 0


def test_two_visitors_take_turns(visit: Visit) -> None:
    one, other = visit(), visit()
    one.ask("pencil sketch", stage_1=2, stage_2=MANY, seed=16)
    one.sees("Stage 2 of 2")
    other.ask("pencil sketch", seed=17)
    other.sees("Waiting for 1 other run to end")
    assert other.page.get_by_text("Stage 2 of 2").count() == 0, "one visitor sees the other's run"
    one.halt.click()
    one.sees("Stopped at step")
    other.sees("Done: pencil sketch")
    assert one.page.get_by_text("Done: pencil sketch").count() == 0


def test_closing_the_tab_frees_the_job(visit: Visit) -> None:
    one, other = visit(), visit()
    one.ask("pencil sketch", stage_1=2, stage_2=MANY, seed=18)
    one.sees("Stage 2 of 2")
    other.ask("pencil sketch", seed=19)
    other.sees("Waiting for 1 other run to end")
    one.page.close()
    other.sees("Done: pencil sketch")


def test_nothing_is_fetched_from_elsewhere(visit: Visit, app_url: str) -> None:
    visitor = visit()
    visitor.ask("pencil sketch", seed=20)
    visitor.sees("Done: pencil sketch")
    visitor.page.locator(".vega-embed").first.wait_for()
    for name in ("Compare", "Sample", "Interpolate", "Your picture", "Library", "Blind study"):
        visitor.open_tab(name)
        visitor.page.get_by_role("tabpanel").locator("button:visible").first.wait_for()
    hosts = {urlparse(url).netloc for url in visitor.requests if urlparse(url).scheme in ("http", "https", "ws", "wss")}
    assert hosts == {urlparse(app_url).netloc}


def test_it_can_be_used_without_eyes_or_mouse(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    assert page.evaluate("document.activeElement.tagName") in ("TEXTAREA", "INPUT"), "the first field has no focus"
    page.keyboard.type("pencil sketch")
    order = []
    for _ in range(40):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.innerText || document.activeElement.value"))
        if order[-1] == "Adapt":
            break
    words = [word.strip() for word in order]
    assert words.index("ipl") < words.index("Adapt"), f"the order of keys is not that of the task: {words}"
    assert "pencil sketch" in words, f"the example prompts can't be reached by keys: {words}"

    visitor.field("Steps of stage 1").fill("3")
    visitor.field("Steps of stage 2").fill("4")
    visitor.field("Seed").fill("21")
    visitor.target.press("Enter")
    visitor.sees("Done: pencil sketch")
    announced = page.locator("[role=status]").first.inner_text()
    assert announced.startswith("Done: pencil sketch")
    unnamed = "[...document.querySelectorAll('img')].filter(i => i.offsetParent && !i.alt && !i.closest('button'))"
    assert page.evaluate(f"{unnamed}.length") == 0, "a picture has no words"
    bars = page.locator("progress")
    assert bars.count() == 2
    assert all(bars.nth(i).get_attribute("aria-label") for i in range(2))
    for name in ("Compare", "Sample", "Interpolate", "Your picture", "Library", "Blind study"):
        visitor.open_tab(name)
        page.get_by_role("tabpanel").locator("button:visible").first.wait_for()
        assert page.evaluate(f"{unnamed}.length") == 0, f"a picture of {name} has no words"
        assert page.evaluate(UNNAMED) == [], f"something of {name} can't be told by ear"


def test_examples_and_presets_fill_the_form(visit: Visit) -> None:
    visitor = visit()
    visitor.page.get_by_role("button", name="pencil sketch", exact=True).click()
    expect(visitor.target).to_have_value("pencil sketch")
    assert visitor.page.get_by_role("button", name="photo", exact=True).count() == 0, "the source is no target"
    steps = visitor.field("Steps of stage 2")
    visitor.field("Preset").click()
    visitor.page.get_by_role("option", name="As released").click()
    expect(steps).to_have_value("300")
    expect(visitor.field("Pictures a step")).to_have_value("2")


# Buttons and fields that are seen but say nothing to those who listen.
UNNAMED = (
    "[...document.querySelectorAll('.tabitem button, .tabitem input')].filter(e => e.offsetParent && !e.innerText "
    "&& !e.ariaLabel && !(e.labels && e.labels.length) && !e.title && !e.getAttribute('aria-labelledby'))"
    ".map((e) => e.outerHTML.slice(0, 200))"
)
# For each element with words of its own: the contrast of its colour with what lies behind it, after WCAG 2.
UNREADABLE = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { rgb: [r, g, b], a: a / 255 };
  };
  const over = (top, below) => below.map((value, i) => value * (1 - top.a) + top.rgb[i] * top.a);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent.trim());
    const typed = element.matches('textarea, input:not([type=radio], [type=checkbox])') ? element.value : '';
    const words = own.join('') || typed;
    if (!words || !element.offsetParent || element.closest('[disabled]')) continue;
    const layers = [];
    for (let node = element; node; node = node.parentElement) {
      layers.push(parse(getComputedStyle(node).backgroundColor));
      if (layers.at(-1).a === 1) break;
    }
    const ground = layers.reduceRight((below, top) => over(top, below), [255, 255, 255]);
    const ink = over(parse(getComputedStyle(element).color), ground);
    const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) found.push(`${words.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_stand_out_from_their_background(visit: Visit, scheme: str) -> None:
    visitor = visit(scheme=scheme)
    visitor.field("Seed")
    visitor.start.click()
    visitor.sees("The target is blank")
    assert visitor.page.evaluate(UNREADABLE) == []
    visitor.ask("pencil sketch", seed=22)
    visitor.sees("Done: pencil sketch")
    expect(visitor.start).to_have_text("Adapt")
    visitor.page.mouse.move(0, 0)
    assert visitor.page.evaluate(UNREADABLE) == []
    for name in ("Compare", "Sample", "Interpolate", "Library"):
        visitor.page.get_by_role("tab", name=name).click()
        visitor.page.get_by_role("tabpanel").locator("button:visible").first.wait_for()
        assert visitor.page.evaluate(UNREADABLE) == []


def test_words_that_are_not_known_are_answered_with_buttons(visit: Visit) -> None:
    visitor = visit()
    visitor.ask("pencil scetch", stage_1=2, stage_2=2, seed=77)
    visitor.sees("Nearest that its CLIP model knows")
    visitor.sees("Any words: use OpenAI ViT-B/32")
    visitor.photograph("suggestions")
    visitor.page.locator(".suggestions").get_by_role("button", name="pencil sketch").click()
    visitor.page.wait_for_function(
        "document.querySelector('.suggestions') === null || !document.querySelector('.suggestions').checkVisibility()"
    )
    assert visitor.target.input_value() == "pencil sketch"
    visitor.start.click()
    visitor.sees("Done: pencil sketch")
    assert not visitor.errors
