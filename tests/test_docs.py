"""The documentation: generated pages are up to date, links lead somewhere, commands in examples exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from ipl_core.commands.main import COMMANDS
from ipl_core.studio.commands.main import COMMANDS as STUDIO_COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *ROOT.glob("pretrained/**/*.md"),
    ROOT / "examples/README.md",
]


@pytest.mark.parametrize("page", ["command-line.md", "metrics.md"])
def test_generated_pages_are_up_to_date(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPL_SHIPPED", "IPL_PRETRAINED"):  # folders that are shown as defaults
        monkeypatch.delenv(name, raising=False)
    written = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"][page]()
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == written, "run docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"python -m ipl_core ([a-z][a-z-]*)", text)) <= set(COMMANDS)
    assert set(re.findall(r"python -m ipl_core\.studio ([a-z][a-z-]*)", text)) <= set(STUDIO_COMMANDS)


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
