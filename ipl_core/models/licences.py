"""The licences of the installed packages that this program needs.

Each package's own statement is repeated; a remark is added for bundled code under other licences. This module doesn't
cover models: the catalog has their licences.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..errors import InputError

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
#: Remarks on what wheels contain besides the code under their stated licence.
_CARRIED = {"opencv-python-headless": "its wheels carry FFmpeg's libraries under LGPL-2.1"}
_NVIDIA = "NVIDIA's own terms: free to use and to pass on with an application, not open source"
_FREE_OF_NVIDIA = "; PyTorch's CPU build needs none of it"
_NOT_SAID = "not said"


@dataclass(frozen=True)
class Licence:
    """A package, its version, its stated licence (“not said” if it states none), and a remark or ""."""

    package: str
    version: str
    licence: str
    remark: str = ""


def installed(requirements: Path = REQUIREMENTS) -> list[Licence]:
    """The licences of all packages in `requirements` and of their dependencies, sorted by name.

    Raises InputError if the file can't be read or one of the packages it lists isn't installed.
    """
    found = (_described(distribution) for distribution in _needed(requirements).values())
    return sorted(found, key=lambda licence: licence.package.casefold())


def ffmpeg() -> Licence | None:
    """The licence of the ffmpeg program bundled with imageio-ffmpeg; None if none is bundled."""
    try:
        import imageio_ffmpeg

        said = subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-version"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"ffmpeg version (\S+)", said)
    licence = "GPL" if "--enable-gpl" in said else "LGPL"
    licence += "-3.0-or-later" if "--enable-version3" in said else "-2.0-or-later"
    remark = "a program of its own, run to write MP4; whoever passes it on owes its source"
    return Licence("ffmpeg (in imageio-ffmpeg)", version[1] if version else "unknown", licence, remark)


def _needed(requirements: Path) -> dict[str, metadata.Distribution]:
    from packaging.requirements import Requirement

    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{requirements} can't be read: {error.strerror or error}. Run from the checkout.") from error
    asked = [Requirement(line) for line in lines if line.strip() and not line.startswith(("#", "-"))]
    for requirement in asked:
        if _distribution(requirement.name) is None:
            raise InputError(f"The package {requirement.name} isn't installed: pip install -r {requirements.name}.")
    found: dict[str, metadata.Distribution] = {}
    while asked:
        requirement = asked.pop()
        distribution, name = _distribution(requirement.name), _canonical(requirement.name)
        if name in found or distribution is None:  # dependencies of other platforms or of extras aren't installed
            continue
        found[name] = distribution
        needs = (Requirement(text) for text in distribution.requires or ())
        asked += [need for need in needs if need.marker is None or _applies(need, requirement.extras)]
    return found


def _applies(need: object, extras: set[str]) -> bool:
    return any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _described(distribution: metadata.Distribution) -> Licence:
    name, licence = distribution.metadata["Name"], _said(distribution)
    return Licence(name, distribution.version, licence, _remark(_canonical(name), licence))


def _said(distribution: metadata.Distribution) -> str:
    """A package's stated licence: its licence expression, its classifiers, or its licence field."""
    about = distribution.metadata
    classifiers = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier", []) if text.startswith("License")]
    named = about.get("License-Expression") or " or ".join(classifiers) or about.get("License") or ""
    first = next((line.strip() for line in named.splitlines() if line.strip()), _NOT_SAID)
    return first if len(first) <= 100 else f"{first[:99]}…"


def _remark(name: str, licence: str) -> str:
    own_terms = licence == _NOT_SAID or "proprietary" in licence.lower()  # some of NVIDIA's packages are open source
    if own_terms and name.startswith(("nvidia-", "cuda-")):
        return _NVIDIA + _FREE_OF_NVIDIA
    return _CARRIED.get(name, "")


def rows() -> Iterator[Licence]:
    """The licences of everything that is installed for this program: its packages, then the ffmpeg program."""
    yield from installed()
    program = ffmpeg()
    if program is not None:
        yield program
