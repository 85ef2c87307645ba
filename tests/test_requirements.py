"""What is installed where: the requirements, what was tested, and what a Hugging Face Space is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def listed(file: str) -> dict[str, Requirement]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]
    return {re.sub(r"[-_.]+", "-", one.name).lower(): one for one in found}


def head() -> dict[str, object]:
    return yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_what_was_tested_is_allowed(file: str) -> None:
    tested = listed("constraints.txt")
    for name, requirement in listed(file).items():
        (pin,) = tested[name].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), name


def test_what_was_tested_is_pinned_for_every_index() -> None:
    for requirement in listed("constraints.txt").values():
        assert requirement.url is None
        assert "+" not in str(requirement.specifier)


def test_a_space_takes_a_pytorch_that_zerogpu_runs_and_the_app_does() -> None:
    taken, needed = listed("pre-requirements.txt")["torch"].specifier, listed("requirements.txt")["torch"].specifier
    for version in ("2.8.0", "2.11.0"):
        assert taken.contains(version)
        assert needed.contains(version)
    assert not taken.contains("2.12.0")


def test_the_lender_of_gpus_is_no_requirement() -> None:
    for file in ("requirements.txt", "requirements-dev.txt", "pre-requirements.txt", "constraints.txt"):
        assert "spaces" not in listed(file)


def test_the_head_of_the_readme_describes_the_space() -> None:
    space = head()
    assert space["sdk"] == "gradio"
    assert listed("requirements.txt")["gradio"].specifier.contains(str(space["sdk_version"]))
    assert (ROOT / str(space["app_file"])).is_file()
    assert space["python_version"] in ("3.10", "3.12")  # both of which ZeroGPU has
    assert len(str(space["short_description"])) <= 60
    (supported,) = re.findall(r'requires-python = ">=(\S+),<(\S+)"', (ROOT / "pyproject.toml").read_text())
    low, high = map(Version, supported)
    assert low <= Version(str(space["python_version"])) < high
