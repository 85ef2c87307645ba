"""Films the demo in a browser while it adapts a model for real, as the animation of the README.

python examples/film.py --target "pencil sketch" --out examples/demo.webp

Needs what the browser tests need: requirements-dev.txt and a Chromium on the PATH. The run is made anew in a library of
its own, so what is seen is what a visitor sees.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MAX_BYTES = 1_500_000
WINDOW = {"width": 1180, "height": 760}
WIDTH = 820  # pixels of the animation
FRAME = 400  # milliseconds
LINGER = 2400  # at the beginning and at the end
_QUALITIES = (80, 70, 60, 50, 40, 30)


def film(page: Any, target: str, seconds: float) -> list[Image.Image]:
    """Pictures of the window from typing to the finished run, then more people; raises TimeoutError for a long run."""
    page.locator(".people img").first.wait_for()
    page.get_by_text("takes about").wait_for()
    frames = [picture(page)]
    field = page.get_by_label("What should the people become?")
    for count in range(3, len(target) + 3, 3):
        field.fill(target[:count])
        frames.append(picture(page))
    page.get_by_role("button", name="Adapt", exact=True).click()
    done = page.get_by_text(f"Done: {target}").filter(visible=True).first
    deadline = time.monotonic() + seconds
    while not done.is_visible():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The run took longer than {seconds:g} seconds: give it more by --patience.")
        page.wait_for_timeout(FRAME)
        frames.append(picture(page))
    page.get_by_role("button", name="Draw more people").click()
    page.locator(".people.beside img").nth(23).wait_for()
    return [*frames, picture(page)]


def picture(page: Any) -> Image.Image:
    """What the window shows, in the size of the animation."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shot.resize((WIDTH, round(shot.height * WIDTH / shot.width)), Image.Resampling.LANCZOS)


def shortened(frames: list[Image.Image], count: int) -> list[Image.Image]:
    """At most `count` of the frames, evenly, with the first and the last among them."""
    if len(frames) <= count:
        return frames
    return [frames[round(number * (len(frames) - 1) / (count - 1))] for number in range(count)]


def save(frames: list[Image.Image], path: Path) -> int:
    """Writes the animation as good as fits into MAX_BYTES and gives its quality. Raises ValueError if none fits."""
    durations = [LINGER, *[FRAME] * (len(frames) - 2), LINGER]
    first, *rest = frames
    for quality in _QUALITIES:
        first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, quality=quality, method=4)
        if path.stat().st_size <= MAX_BYTES:
            return quality
    path.unlink()
    raise ValueError(f"{len(frames)} frames don't fit into {MAX_BYTES} bytes: give fewer by --frames.")


def main() -> int:
    """Runs the app, films it, writes the animation; gives the exit status."""
    parser = argparse.ArgumentParser(description="Film the demo for the README.")
    parser.add_argument("--target", default="pencil sketch", help="domain to adapt to (%(default)s)")
    parser.add_argument("--frames", type=int, default=48, help="at most so many (%(default)s)")
    parser.add_argument("--patience", type=float, default=600, help="seconds that the run may take (%(default)s)")
    parser.add_argument("--scheme", default="light", choices=("light", "dark"), help="colours (%(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "examples" / "demo.webp", help="(%(default)s)")
    options = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        parser.exit(2, f"There is no browser on the PATH; looked for {', '.join(BROWSERS)}.\n")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ.update(IPL_HOME=folder, GRADIO_TEMP_DIR=f"{folder}/gradio", GRADIO_ANALYTICS_ENABLED="False")
        sys.path.insert(0, str(ROOT))
        import app

        _, url, _ = app.demo.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
        chromium = playwright.chromium.launch(
            executable_path=browser, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        page = chromium.new_page(viewport=WINDOW, color_scheme=options.scheme)
        page.set_default_timeout(1000 * options.patience)
        page.goto(url)
        frames = shortened(film(page, options.target, options.patience), options.frames)
        chromium.close()
        app.demo.close()
    quality = save(frames, options.out)
    size = options.out.stat().st_size / 1e6
    sys.stdout.write(f"{options.out}: {len(frames)} frames, {size:.2f} MB at quality {quality}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
