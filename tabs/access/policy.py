"""Who may do what with the app, and how much of it: decided once, when it starts, by how it is run.

On a person's own machine everything is allowed. Shared (`--shared`, `IPL_SHARED=1`, and by itself on a Hugging Face
Space) a visitor changes only what came from the same browser, brings in no generators without the admin's token, and
works within limits. This module knows no component and no request.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from ipl_core import InputError
from ipl_core.storage.words import quoted

MEGABYTE = 1_000_000
MAX_BODY = MEGABYTE  # of a call; files are uploaded by themselves


@dataclass(frozen=True)
class Policy:
    """What one app allows.

    shared: whether people who don't know each other use it.
    job_seconds: how long one job may compute; it then ends as if stopped, and what has been reached is kept.
    gpu_seconds: how long a GPU is lent for one job at most, where one is lent (see `zero`).
    places_each: jobs from one network address that wait or run.
    steps: of one stage of a run. resolution: pixels a side of a generator that visitors may train.
    library_bytes: what all kept entries and people together may take. entries_each: entries and people of one browser.
    picture_bytes, generator_bytes: of one uploaded file.
    space: whether Hugging Face runs it, in a frame of its own page and behind its proxy.
    guesses, guesses_of_all: wrong tokens a minute of one address, and of all together.
    voters_at_once, voters_a_minute: new voters of a study from one address, behind which a class may sit.
    """

    shared: bool = False
    job_seconds: float = math.inf
    gpu_seconds: float = 60
    places_each: float = math.inf
    steps: int = 100_000
    resolution: int = 2048
    library_bytes: float = math.inf
    entries_each: float = math.inf
    picture_bytes: int = 30 * MEGABYTE
    generator_bytes: int = 600 * MEGABYTE
    space: bool = False
    guesses: int = 5
    guesses_of_all: int = 60
    voters_at_once: int = 10
    voters_a_minute: int = 30

    @property
    def words(self) -> str:
        """How a shared app is run, for its visitors; "" for one of one's own."""
        if not self.shared:
            return ""
        return (
            "Shared app: everybody sees the library, you can change what you made in this browser, inverted people are "
            f"shown to nobody else, and a run has at most {self.steps} steps a stage."
        )

    @property
    def keeps_people(self) -> bool:
        """Whether inverted people are kept unless a visitor says otherwise."""
        return not self.shared

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, shared: bool = False) -> Policy:
        """The policy that the environment asks for; shared: whether the command line does.

        `IPL_SHARED` (0 or 1) decides, else a Space is shared and a local app is not. `IPL_JOB_SECONDS`,
        `IPL_GPU_SECONDS`, `IPL_PLACES_EACH`, `IPL_MAX_STEPS`, `IPL_MAX_RESOLUTION`, `IPL_LIBRARY_GB` and
        `IPL_ENTRIES_EACH` set a limit for either. Raises InputError for a value that is no number above 0.
        """
        asked = environment.get("IPL_SHARED", "")
        if asked not in ("", "0", "1"):
            raise InputError(f"IPL_SHARED is 0 or 1, not {quoted(asked)}.")
        shared = shared or asked == "1" or (asked == "" and bool(environment.get("SPACE_ID")))

        def limit(name: str, alone: float, in_company: float) -> float:
            text = environment.get(name, "")
            if not text:
                return in_company if shared else alone
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            if not number > 0:
                raise InputError(f"{name} must be a number above 0, not {quoted(text)}.")
            return number

        return cls(
            shared=shared,
            space=bool(environment.get("SPACE_ID")),
            job_seconds=limit("IPL_JOB_SECONDS", math.inf, 900),
            gpu_seconds=limit("IPL_GPU_SECONDS", 60, 60),
            places_each=limit("IPL_PLACES_EACH", math.inf, 10),
            steps=int(min(limit("IPL_MAX_STEPS", 100_000, 1000), 100_000)),
            resolution=int(min(limit("IPL_MAX_RESOLUTION", 2048, 256), 2048)),
            library_bytes=1000 * MEGABYTE * limit("IPL_LIBRARY_GB", math.inf, 5),
            entries_each=limit("IPL_ENTRIES_EACH", math.inf, 30),
        )
