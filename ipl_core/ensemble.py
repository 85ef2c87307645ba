"""Several critics written as one: `A+B@0.5` is A with weight 1 and B with weight 0.5. Loads none of them."""

from __future__ import annotations

import math
import os

from .errors import InputError

MAX_WEIGHT = 1000.0


def members(critic: str) -> list[tuple[str, float]]:
    """Name and weight of each critic in `critic`, in the order given; a single critic has weight 1.

    A folder that exists stands for itself, whatever its name contains. Raises InputError for a name that is missing or
    comes twice, for a weight that isn't a number above 0, and for a weight where there is nothing to weigh against.
    """
    if _is_folder(critic):
        return [(critic, 1.0)]
    parts = [_member(part.strip(), critic) for part in critic.split("+")]
    names = [name for name, _ in parts]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"The critic “{twice[0]}” comes twice in “{critic}”: name it once, with the weight it is to have "
            f"({twice[0]}@2, say)."
        )
    if len(parts) == 1 and critic.strip() != names[0]:
        raise InputError(
            f"“{critic}” gives a weight to a single critic, which has nothing to be weighed against: "
            f"leave the weight out, or add another critic ({critic}+ViT-B-16, say)."
        )
    return parts


def _member(part: str, critic: str) -> tuple[str, float]:
    if _is_folder(part) or "@" not in part:
        name, weight = part, 1.0
    else:
        name, _, text = part.rpartition("@")
        name = name.strip()
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not 0 < weight <= MAX_WEIGHT:  # NaN fails every comparison
            raise InputError(
                f"The weight “{text.strip()}” of the critic “{name}” in “{critic}” must be a number above 0, at most "
                f"{MAX_WEIGHT:g}: write {name or 'ViT-B-32'}@0.5, say."
            )
    if not name:
        raise InputError(f"A name is missing in “{critic}”: write critics as ViT-B-32+ViT-B-16@0.5.")
    return name, weight


def _is_folder(text: str) -> bool:
    return os.path.isdir(os.path.expanduser(text))
