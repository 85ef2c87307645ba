"""The list of licences: what is needed, in turn too, what each names, and what is told beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipl_core import InputError
from ipl_core.commands.main import main
from ipl_core.models.licences import Licence, ffmpeg, installed


def package(site: Path, name: str, *lines: str) -> None:
    folder = site / f"{name.replace('-', '_')}-1.0.dist-info"
    folder.mkdir()
    text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines, ""])
    (folder / "METADATA").write_text(text, encoding="utf-8")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A requirements file, and the packages that it asks for, which need others in turn."""
    site = tmp_path / "site"
    site.mkdir()
    package(
        site,
        "ipl-test-network",
        "License-Expression: BSD-3-Clause",
        'Requires-Dist: nvidia-ipl-test-cu13; platform_system != "Nowhere"',
        "Requires-Dist: cuda-ipl-test-open",
        "Requires-Dist: cuda-ipl-test-silent",
        'Requires-Dist: ipl-test-missing; platform_system == "Nowhere"',
        'Requires-Dist: ipl-test-extra; extra == "more"',
    )
    package(site, "nvidia-ipl-test-cu13", "License: NVIDIA Proprietary Software")
    package(site, "cuda-ipl-test-open", "License-Expression: Apache-2.0")
    package(site, "cuda-ipl-test-silent")
    package(site, "ipl-test-extra", "Classifier: License :: OSI Approved :: MIT License")
    package(site, "ipl-test-silent", "Requires-Dist: Ipl_Test.Network")  # a circle, and another way to write the name
    monkeypatch.syspath_prepend(site)
    file = tmp_path / "requirements.txt"
    file.write_text("# what is asked\nipl-test-network>=1\n\nipl-test-silent\n", encoding="utf-8")
    return file


def test_everything_needed_is_listed_once(asked: Path) -> None:
    found = {licence.package: licence for licence in installed(asked)}
    network, silent = "ipl-test-network", "ipl-test-silent"
    assert list(found) == ["cuda-ipl-test-open", "cuda-ipl-test-silent", network, silent, "nvidia-ipl-test-cu13"]
    assert found["ipl-test-network"] == Licence("ipl-test-network", "1.0", "BSD-3-Clause")
    assert found["ipl-test-silent"].licence == "not said"


def test_of_nvidias_packages_only_those_that_are_not_open_source_are_remarked_on(asked: Path) -> None:
    remarks = {licence.package: licence.remark for licence in installed(asked)}
    assert "not open source" in remarks["nvidia-ipl-test-cu13"]
    assert "not open source" in remarks["cuda-ipl-test-silent"]
    assert not remarks["cuda-ipl-test-open"]


def test_an_extra_counts_where_it_is_asked_for(asked: Path) -> None:
    asked.write_text("ipl-test-network[more]\n", encoding="utf-8")
    assert {"ipl-test-extra": "MIT License"}.items() <= {one.package: one.licence for one in installed(asked)}.items()


def test_a_package_that_is_not_here_is_named(asked: Path) -> None:
    asked.write_text("ipl-test-nobody>=2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"ipl-test-nobody isn't installed: pip install -r requirements\.txt"):
        installed(asked)
    with pytest.raises(InputError, match="can't be read"):
        installed(asked.with_name("absent.txt"))


def test_the_ffmpeg_that_writes_mp4_says_its_own_licence() -> None:
    program = ffmpeg()
    assert program is not None, "imageio-ffmpeg brings an ffmpeg on every platform with wheels"
    assert program.licence.startswith(("GPL-", "LGPL-"))


def test_the_command_lists_packages_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["licences"]) == 0
    said = capsys.readouterr().out
    assert "torch" in said
    assert "studio: MIT" in said
    assert "NVIDIA Source Code License-NC" in said
