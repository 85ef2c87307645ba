"""Fetching weights from the hub: mirrors are tried in turn, and each file's hash is remembered.

The hashes are stored in `hub.json` in the library's folder. Once a file has been fetched and checked, a changed file
under the same name is refused. This module knows files and hashes, not what the files contain.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..storage.files import atomic_path
from ..storage.folders import home
from ..storage.words import read_json, reason
from . import hub
from .hub import HubFile, NotFetched, Progress

log = logging.getLogger(__name__)

STATE = "hub.json"
_MAX_STATE = 2**20  # characters; a file of the hub takes about 200


@dataclass(frozen=True)
class Offer:
    """Weights that can be fetched under one name from one or more mirrors.

    name: for messages. sources: the mirrors, in the order to try. page: a web page to get the file from by hand.
    flag: how to name the user's own copy on the command line.
    """

    name: str
    sources: tuple[HubFile, ...]
    page: str
    flag: str


def here(offer: Offer) -> tuple[HubFile, Path] | None:
    """The first mirror whose file is in the cache, and that file; doesn't use the network or check the hash."""
    for source in offer.sources:
        path = hub.cached(source)
        if path is not None:
            return source, path
    return None


def obtain(offer: Offer, progress: Progress | None = None) -> Path:
    """The file of `offer`, fetched if necessary and checked against the first hash seen.

    Raises InputError if no mirror could deliver it; the message gives the reason for each mirror, the web page, and
    how to use a copy.
    """
    found = here(offer)
    if found is not None:
        verify(offer, *found, trust_unchanged=True)
        return found[1]
    reasons = []
    for source in offer.sources:
        try:
            path = hub.fetch(source, _seen().get(str(source), {}).get("sha256"), progress)
        except NotFetched as error:
            log.info("%s: %s", source, error)
            reasons.append(f"{source}: {error}")
            continue
        _remember(source, path, hub.digest(path))
        return path
    why = "; ".join(reasons) or "no repository of the hub is known to have them"
    raise InputError(
        f"The weights of “{offer.name}” could not be had ({why}). "
        f"Get them with a browser from {offer.page} and name your copy: {offer.flag}."
    )


def verify(offer: Offer, source: HubFile, path: Path, trust_unchanged: bool = False) -> str:
    """Sha256 of a cached file, compared with the first hash seen and with the hub's.

    trust_unchanged: don't read the file again if its size and time haven't changed since the last check.
    Raises InputError if the hash has changed.
    """
    known = _seen().get(str(source), {})
    facts = path.stat()
    if trust_unchanged and (known.get("size"), known.get("modified")) == (facts.st_size, facts.st_mtime_ns):
        return known["sha256"]
    found = hub.digest(path)
    promised = path.resolve().name  # the cache names large files by their hash
    expected = known.get("sha256") or (promised if len(promised) == len(found) else found)
    if found != expected:
        raise InputError(
            f"The weights of “{offer.name}” in {path} aren't the ones that were fetched (sha256 {found[:12]}…, "
            f"expected {expected[:12]}…): they are damaged or were changed. Remove them and fetch them anew: "
            f"python -m ipl_core models remove {offer.name}"
        )
    _remember(source, path, found)
    return found


def digest(offer: Offer) -> str | None:
    """Sha256 of the cached file, without reading it again if it is unchanged; None if there is no cached file."""
    found = here(offer)
    return None if found is None else verify(offer, *found, trust_unchanged=True)


def remove(offer: Offer) -> int:
    """Delete the files of all mirrors from the cache and forget their hashes; returns the number of bytes freed."""
    freed = sum(hub.forget(source) for source in offer.sources)
    seen = _seen()
    if any(seen.pop(str(source), None) for source in offer.sources):
        _write(seen)
    return freed


def sources_from(facts: Sequence[Any]) -> tuple[HubFile, ...]:
    """The mirrors in a model list: [{"repository": …, "file": …}, …]. Raises KeyError or TypeError if malformed."""
    return tuple(HubFile(str(place["repository"]), str(place["file"])) for place in facts)


# ----------------------------------------------------------------------------------------------------------------------


def _state_file() -> Path:
    return home() / STATE


def _seen() -> dict[str, dict[str, Any]]:
    try:
        seen = read_json(_state_file().read_text(encoding="utf-8"), STATE, _MAX_STATE)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s can't be read (%s): what was fetched before is checked anew.", _state_file(), reason(error))
        return {}
    facts = seen.items() if isinstance(seen, dict) else ()
    return {name: known for name, known in facts if isinstance(known, dict) and isinstance(known.get("sha256"), str)}


def _remember(source: HubFile, path: Path, sha256: str) -> None:
    facts = path.stat()
    seen = _seen()
    first = seen.get(str(source), {}).get("first_seen") or time.strftime("%Y-%m-%d", time.gmtime())
    seen[str(source)] = {
        "sha256": sha256,
        "size": facts.st_size,
        "modified": facts.st_mtime_ns,
        "first_seen": first,
    }
    _write(seen)


def _write(seen: dict[str, Any]) -> None:
    try:
        with atomic_path(_state_file()) as temporary:
            temporary.write_text(json.dumps(seen, indent=1, sort_keys=True), encoding="utf-8")
    except (
        InputError,
        OSError,
    ) as error:  # the model works even if its hash can't be stored
        log.warning("What was fetched can't be remembered: %s", error)
