"""The notation for ensembles of CLIP models: `A+B@0.5` is A with weight 1 and B with weight 0.5. Loads no model."""

from __future__ import annotations

import math
import os

from ..errors import InputError
from ..storage.paths import is_file, is_folder, path_text
from ..storage.words import quoted, readable

MAX_WEIGHT = 1000.0
MAX_PIECES = 64  # pieces between plus signs, including plus signs within paths


def members(critic: str) -> list[tuple[str, float]]:
    """Name and weight of each CLIP model in `critic`, in the order given; a single model has weight 1.

    The path of an existing folder is one name, even if it contains plus signs; so is “model:file” when the file of
    weights exists. Raises InputError for a missing or repeated name, for a weight that isn't a number above 0, for a
    weight on a single model, and for more than 64 pieces between plus signs.
    """
    if _is_there(critic):
        return [(critic, 1.0)]
    parts = [_member(part, critic) for part in _split(critic)]
    names = [name for name, _ in parts]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"The CLIP model “{twice[0]}” comes twice in “{critic}”: name it once, with the weight that you want "
            f"({twice[0]}@2, say)."
        )
    if len(parts) == 1 and critic.strip() != names[0]:
        raise InputError(
            f"“{critic}” gives a weight to a single CLIP model, with nothing to be weighed against: "
            f"leave the weight out, or add another CLIP model ({critic}+ViT-B-16, say)."
        )
    return parts


def stored(critic: str) -> str:
    """`critic` as settings store it: a path that isn't valid text becomes a file URI, see `paths.path_text`.

    Raises InputError as `members` does.
    """
    parts = members(critic)
    if readable(critic) == critic:
        return critic
    names = [_stored_member(name) for name, _ in parts]
    if len(parts) == 1:
        return names[0]
    return "+".join(f"{name}@{weight:g}" for name, (_, weight) in zip(names, parts))


def _stored_member(name: str) -> str:
    if _is_folder(name):
        return path_text(name)
    architecture, colon, weights = name.partition(":")
    return f"{readable(architecture)}{colon}{path_text(weights) if weights else ''}"


def _split(critic: str) -> list[str]:
    """The members as written, split at plus signs, except those inside the path of an existing file or folder."""
    pieces = critic.split("+")
    if len(pieces) > MAX_PIECES:
        raise InputError(
            f"{quoted(critic)} has {len(pieces)} pieces between plus signs; at most {MAX_PIECES} are read."
        )
    found, start = [], 0
    while start < len(pieces):
        end = start + _length(pieces[start:])
        found.append("+".join(pieces[start:end]).strip())
        start = end
    return found


def _length(pieces: list[str]) -> int:
    """How many pieces form the first member: the longest run that names an existing path, otherwise one.

    An empty piece after a folder's name comes from “++”, which never separates two CLIP models.
    """
    for count in range(len(pieces), 1, -1):
        part = "+".join(pieces[:count]).strip()
        name, _, weight = part.rpartition("@")
        if _is_there(part) or ("+" not in weight and _is_there(name)):
            return count
    doubled = len(pieces) > 2 and not pieces[1].strip() and _is_path(pieces[0])
    return 3 if doubled else 1


def _member(part: str, critic: str) -> tuple[str, float]:
    name, at, text = part.rpartition("@")
    if not at or _is_there(part) or (_is_path(text) and not _is_there(name)):
        name, weight = part, 1.0
    else:
        name = name.strip()
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not 0 < weight <= MAX_WEIGHT:  # NaN fails every comparison
            raise InputError(
                f"The weight “{text.strip()}” of the CLIP model “{name}” in “{critic}” must be a number above 0, "
                f"at most {MAX_WEIGHT:g}: write {name or 'ViT-B-32'}@0.5, say."
            )
    if not name:
        raise InputError(f"A name is missing in “{critic}”: write CLIP models as ViT-B-32+ViT-B-16@0.5.")
    return name, weight


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text


def _is_there(name: str) -> bool:
    """Whether a CLIP model's name is the path of an existing folder, or has the path of a file after its colon."""
    if _is_folder(name):
        return True
    architecture, _, weights = name.partition(":")
    return bool(weights) and not set("+@/") & set(architecture) and is_file(weights)


def _is_folder(text: str) -> bool:
    return bool(text) and is_folder(text)  # Path("") would be the current folder
