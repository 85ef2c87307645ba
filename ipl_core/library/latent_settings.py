"""What is taken over from the settings in a lone latent's file, which may come from anywhere.

Known fields alone, each of its own kind and within bounds; the rest stays behind. What the file says about its own
identity and time never counts. This module reads no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from ..drawing.people_by_seed import SeedPerson
from ..fields import earlier_values
from ..methods.config import STARTS, InvertConfig
from ..pictures.faces import Crop
from ..storage.words import clean_line

MAX_NAME = 60  # characters of a name that came with a file
_MAX_LINE = 300  # of a critic's or an encoder's name, which may be a path or an ensemble, and of a crop's note
_MAX_COUNT = 1_000_000
_MOST_TRAITS = 100
#: What settings say of how a picture was taken.
NOTES = ("aim", "why", "residual", "sitter")
_MAX_NUMBER = 1e9


def taken_over(settings: Mapping[str, Any], circumstances: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a loaded latent gets: those of its file that are known and sound.

    circumstances: format, version, time and versions of now, see `folders.Kind.circumstances`.
    Raises InputError for a configuration or a name that can't be, and KeyError, TypeError or ValueError for anything
    else that no inversion writes.
    """
    datetime.fromisoformat(settings["created"])
    steps, distances = settings["steps"], settings["distances"]
    taken = {
        **circumstances,
        "kind": "stylegan2",
        "name": clean_line(settings["name"][: 10 * MAX_NAME], "The name in the file", 10 * MAX_NAME)[:MAX_NAME].strip()
        or "picture",
        "config": _config(settings["config"]).to_dict(),
        "critic": _line(settings["critic"]),
        "model_sha256": _line(settings["model_sha256"]),
        "critic_sha256": _line(settings["critic_sha256"]),
        "start": _one_of(settings.get("start"), (None, *STARTS)),
        "encoder": _optional(_line, settings.get("encoder")),
        "encoder_sha256": _optional(_line, settings.get("encoder_sha256")),
        "revision": _count(settings.get("revision", 0)),
        "crop": _optional(_crop, settings.get("crop")),
        "steps": {stage: _count(steps[stage]) for stage in ("latent", "tuning")},
        "stopped": _one_of(settings["stopped"], (None, "asked", "not finite")),
        "seconds": _number(settings["seconds"]),
        "distances": {kind: _number(distances[kind]) for kind in ("pixel", "perceptual")},
        "identity": _optional(_number, settings.get("identity")),
    }
    check_notes(settings)
    taken.update({name: settings[name] for name in NOTES if name in settings})
    if "drawn" in settings:
        taken["drawn"] = str(SeedPerson.parse(settings["drawn"]))
    return taken


def _config(settings: Any) -> InvertConfig:
    if not isinstance(settings, Mapping):
        raise TypeError("settings that are no object")
    known = {field.name for field in fields(InvertConfig)}
    return InvertConfig.from_dict(
        {**earlier_values(InvertConfig), **{name: value for name, value in settings.items() if name in known}}
    )


def check_notes(settings: Mapping[str, Any]) -> None:
    """Raises TypeError, KeyError or ValueError unless what settings say of how a picture was taken is sound: see
    `portrait.notes_of`. Older ones say nothing of it."""
    _one_of(settings.get("aim"), (None, "portrait", "pixels"))
    _optional(_line, settings.get("why"))
    _optional(_number, settings.get("residual"))
    sitter = settings.get("sitter")
    if sitter is None:
        return
    if not isinstance(sitter, Mapping) or len(sitter) > _MOST_TRAITS:
        raise ValueError("a sitter who isn't one")
    for name, trait in sitter.items():
        _line(name), _line(trait["word"]), _number(trait["sure"])
        if not isinstance(trait["said"], bool) or set(trait) != {"word", "sure", "said"}:
            raise ValueError("a trait that isn't one")


def _crop(crop: Any) -> dict[str, Any]:
    quad = tuple((_number(x), _number(y)) for x, y in crop["quad"])
    if len(quad) != 4:
        raise ValueError("a crop without four corners")
    confidence = _optional(_number, crop.get("confidence"))
    face, faces = _count(crop.get("face", 0)), _count(crop.get("faces", 0))
    return asdict(Crop(quad, _line(crop["method"]), _line(crop["note"]), confidence, face, faces))


def _optional(check: Any, value: Any) -> Any:
    return None if value is None else check(value)


def _one_of(value: Any, choices: tuple[str | None, ...]) -> str | None:
    if (value is not None and not isinstance(value, str)) or value not in choices:
        raise ValueError("a choice that isn't one")
    return value


def _line(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("what should be text")
    return clean_line(value[: 2 * _MAX_LINE], "A text in the file", _MAX_LINE)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        raise ValueError("what should be a number of things")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= _MAX_NUMBER:  # NaN too
        raise ValueError("what should be a number")
    return value
