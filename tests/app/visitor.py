"""A person at the app, for the browser tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SCREENSHOTS = Path(__file__).resolve().parents[2] / ".ci" / "screenshots"
SHARED_TOKEN = "the token of these tests"  # of whoever runs the shared app
PATIENCE = 120  # seconds to wait for what a free machine shows in a few
LOOK = 500  # milliseconds that a person takes to find a field among those that have just come up


class Visitor:
    """A person at the app: does what a person does, and waits for what a person would wait for."""

    def __init__(self, context: Any, url: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.locator(".people img").first.wait_for()

    @property
    def start(self) -> Any:
        """The button Adapt, whatever it says now."""
        return self.page.get_by_role("button", name=re.compile("^Adapt"))

    @property
    def halt(self) -> Any:
        """The button Stop, whatever it says now."""
        return self.page.get_by_role("button", name=re.compile("^Stop"))

    @property
    def target(self) -> Any:
        return self.page.get_by_label("What should the people become?")

    def field(self, label: str, folded: str = "Advanced settings") -> Any:
        """A field of the settings of the tab that is open; they are opened if need be. folded: their title."""
        field = self.page.get_by_label(re.compile(rf"^\s*{re.escape(label)}"))  # hints and complaints follow
        field = field.filter(visible=True)  # other tabs have settings of the same name
        if not field.count():
            self.page.get_by_role("button", name=folded).click()
            field.wait_for()
            self.page.wait_for_timeout(LOOK)
        return field

    def open_tab(self, name: str) -> None:
        """Opens a tab, from the menu where the window is too narrow to show it."""
        tab = self.page.get_by_role("tab", name=name, exact=True)
        if not tab.count():
            self.page.get_by_role("button", name="More tabs").click()
            tab = self.page.locator(".overflow-dropdown").get_by_role("button", name=name, exact=True)
        tab.click()

    def ask(self, target: str, stage_1: int = 4, stage_2: int = 6, seed: int = 0, papers: bool = True) -> None:
        """Fills in a request and presses Adapt.

        papers: by the paper's IPL, which has two stages to be watched; else by what is chosen on the page.
        """
        if papers:
            self.field("Steps of stage 1")
            self.page.get_by_role("radio", name="IPL", exact=True).check()
            self.page.get_by_role("radio", name="Free vectors").check()
            self.page.wait_for_timeout(LOOK)  # stage 1 is filled in as suits the prompts
        self.field("Steps of stage 1").fill(str(stage_1))
        self.field("Steps of stage 2").fill(str(stage_2))
        self.field("Seed").fill(str(seed))
        self.target.fill(target)
        self.start.click()

    def sees(self, words: str, seconds: float = PATIENCE) -> None:
        """Waits until `words` can be read on the page."""
        self.page.get_by_text(words).filter(visible=True).first.wait_for(timeout=1000 * seconds)

    def reads(self) -> str:
        """All that can be read on the page now."""
        return self.page.locator("body").inner_text(timeout=5000)

    def photograph(self, name: str) -> None:
        """Keeps a picture of the whole page for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
