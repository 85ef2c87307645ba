"""Who may do what: changes, imports and limits by the policy of the app, and whose inverted people are whose.

On a person's own machine everything is allowed. Shared, a visitor changes what came from the same browser and sees no
inverted people but their own, and whoever gives the admin's token may do everything as long as their page is open.
This module knows no component.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ipl_core import AdaptConfig, AdaptResult, InputError, InvertConfig, InvertResult, Step, invert
from ipl_core.library import find_or_run, inversions, store
from ipl_core.pictures.faces import Crop
from ipl_core.storage.lru import LRU
from ipl_core.storage.values import flag
from ipl_core.storage.words import quoted

from . import private, visitors
from .limiter import Limiter
from .owners import ENTRY, PERSON, Owners
from .policy import MEGABYTE, Policy
from .visitors import Visitor

MIN_TOKEN = 12
MAX_ADMINS = 100  # pages of admins that are open at once
GUEST_HOURS = 24.0  # a program may leave without a word; its people that aren't kept then go after this
_RANDOM_TOKEN = secrets.token_urlsafe(12)


def admin_token() -> str:
    """What whoever runs the app or a study has to give: `IPL_ADMIN`, else `IPL_STUDY_ADMIN`, else random text of this
    start of the app.

    Raises InputError for one that is easily guessed.
    """
    for name in ("IPL_ADMIN", "IPL_STUDY_ADMIN"):
        token = os.environ.get(name, "").strip()
        if token and len(token) < MIN_TOKEN:
            raise InputError(f"{name} has {len(token)} characters: give at least {MIN_TOKEN}.")
        if token:
            return token
    return _RANDOM_TOKEN


@dataclass
class _Guest:
    """An inverted person that isn't kept. seen: when somebody last asked for them, by the monotonic clock."""

    owner: str
    session: str
    seen: float


class Roles:
    """What one app allows to whom. edge: gives the pixels a side of a model of the catalog, by name."""

    def __init__(self, policy: Policy, edge: Callable[[str], int]) -> None:
        admin_token()  # an unusable one is told at the start
        self.policy, self._edge = policy, edge
        self._owners = Owners()
        self._admins: LRU[str, str] = LRU(MAX_ADMINS)  # owners by session
        self._guests: dict[str, _Guest] = {}  # by folder on their shelf
        self._guesses = Limiter(policy.guesses, policy.guesses)
        self._guesses_of_all = Limiter(policy.guesses_of_all, policy.guesses_of_all)
        self._lock = threading.Lock()

    def visitor(self) -> Visitor:
        """Who asks for what this thread does."""
        return visitors.current(behind_proxy=self.policy.space)

    # --- whoever runs the app -----------------------------------------------------------------------------------

    def check_token(self, token: Any) -> None:
        """Raises InputError for a wrong token, and for any after too many wrong ones."""
        address = self.visitor().address
        wait = self._guesses_of_all.wait("")
        if address:  # unknown only where no request came over the network
            wait = max(wait, self._guesses.wait(address))
        if wait:
            raise InputError(f"Too many wrong tokens were given: try again in {math.ceil(wait)} seconds.")
        if not secrets.compare_digest(str(token).strip().encode(errors="replace"), admin_token().encode()):
            self._guesses_of_all.take("")
            if address:
                self._guesses.take(address)
            raise InputError(
                "That is not the token: give the one that was printed when the app started, or that IPL_ADMIN says."
            )

    def let_in(self, token: Any) -> None:
        """Allows everything to the page, or the program's session, that gives the token. Raises InputError."""
        self.check_token(token)
        visitor = self.visitor()
        if not visitor.session:
            raise InputError("Give a session_hash with the token: what is allowed is allowed to that session.")
        with self._lock:
            self._admins[visitor.session] = visitor.owner

    def is_admin(self) -> bool:
        """Whether who asks has given the token."""
        session = self.visitor().session
        with self._lock:
            return bool(session) and session in self._admins

    def may_everything(self) -> bool:
        """Whether nothing is forbidden to who asks."""
        return not self.policy.shared or self.is_admin()

    def may_upload(self, owner: str) -> int:
        """Bytes of a file that a browser, or a session, may upload; see `visitors.owner_of`."""
        with self._lock:
            everything = not self.policy.shared or (bool(owner) and owner in self._admins.values())
        return self.policy.generator_bytes if everything else self.policy.picture_bytes

    def leave(self, session: str) -> None:
        """Forgets what a session was allowed, and removes its people that aren't kept."""
        with self._lock:
            self._admins.pop(session, None)
            gone = [name for name, guest in self._guests.items() if guest.session == session]
        self._remove_guests(gone)

    # --- limits -------------------------------------------------------------------------------------------------

    def check_import(self, path: str | None = None) -> None:
        """Raises InputError if who asks may import no generators, or none as large as the file at `path`."""
        if not self.may_everything():
            raise InputError(
                "On this shared app only whoever runs it imports generators: give the token first, in the tab Library "
                "under “For whoever runs this app”, or by /admin."
            )
        _check_size(path, self.policy.generator_bytes, "The file with the generator")

    def check_picture(self, path: str | None) -> None:
        """Raises InputError for a file too large for a picture."""
        _check_size(path, self.policy.picture_bytes, "The picture’s file")

    def check_latent(self, path: str | None) -> None:
        """Raises InputError for a latent too large for who asks; one with a tuned large generator is for admins."""
        limit = self.policy.generator_bytes if self.may_everything() else self.policy.picture_bytes
        _check_size(path, limit, "The file with the latent")

    def check_run(self, config: AdaptConfig | InvertConfig) -> None:
        """Raises InputError for more work than this app does for who asks, and where no room is left to keep it."""
        if self.is_admin():
            return
        if isinstance(config, AdaptConfig):
            steps = max(config.steps, config.mapper_steps if config.learns else 0)
        else:
            steps = max(config.steps, config.tune_steps if config.tune else 0)
        if steps > self.policy.steps:
            raise InputError(f"This app runs at most {self.policy.steps} steps of a stage, not {steps}: ask for fewer.")
        edge = self._edge(config.model)
        if edge > self.policy.resolution:
            raise InputError(
                f"This app trains generators of at most {self.policy.resolution} pixels a side, and “{config.model}” "
                f"draws {edge}: choose a smaller model."
            )
        self.check_room()

    def check_room(self) -> None:
        """Raises InputError if the library is full, or who asks has kept as much as one browser may."""
        if self.is_admin():
            return
        if self.policy.library_bytes < math.inf:
            taken = sum(_bytes_in(folder) for folder in (store.runs_folder(), inversions.people_folder()))
            if taken >= self.policy.library_bytes:
                raise InputError(
                    f"The library is full ({taken / 1000 / MEGABYTE:.3g} of "
                    f"{self.policy.library_bytes / 1000 / MEGABYTE:.3g} GB): delete what you made and don’t need, or "
                    "ask whoever runs this app to make room."
                )
        if self.policy.entries_each < math.inf:
            count = self._count_of(self.visitor().owner)
            if count >= self.policy.entries_each:
                raise InputError(
                    f"You have kept {count} models and people, as many as one browser may on this app: delete one of "
                    "them first."
                )

    def _count_of(self, owner: str) -> int:
        kept = ((ENTRY, store.runs_folder()), (PERSON, inversions.people_folder()))
        return sum((shelf / folder).is_dir() for kind, shelf in kept for folder in self._owners.belongings(owner, kind))

    # --- library entries ----------------------------------------------------------------------------------------

    def may_change(self, entry: store.Entry) -> bool:
        """Whether who asks may rename and delete an entry, and keep its steps as models."""
        if entry.shipped:
            return False
        return self.may_everything() or self._owners.owns(self.visitor().owner, ENTRY, entry.name, entry.settings)

    def check_change(self, entry: store.Entry) -> store.Entry:
        """The entry, if who asks may change it; else raises InputError."""
        if entry.shipped:
            raise InputError(
                f"{quoted(entry.title)} comes with the app: look at it and draw from it, but nobody can change it."
            )
        if not self.may_change(entry):
            raise InputError(
                f"{quoted(entry.title)} was made in another browser: look at it and draw from it, but only who made "
                "it, or whoever runs this app, can change it."
            )
        return entry

    def claimed(self, entry: store.Entry) -> store.Entry:
        """The entry, noted as made by who asks."""
        if self.policy.shared:
            self._owners.claim(ENTRY, entry.name, entry.settings, self.visitor().owner)
        return entry

    def pick(self, entry: store.Entry, step: int) -> store.Entry:
        """An earlier step of an entry that who asks may change, as an entry of its own. Raises InputError."""
        self.check_change(entry)
        self.check_room()
        return self.claimed(store.pick(entry, step))

    def delete(self, entry: store.Entry) -> None:
        """Deletes an entry that who asks may change. Raises InputError."""
        store.delete(self.check_change(entry))
        self._owners.forget(ENTRY, entry.name)

    def runs(
        self, config: AdaptConfig, updates: Iterator[Step | AdaptResult | store.Entry]
    ) -> Iterator[Step | AdaptResult | store.Entry]:
        """The updates of a run that who asks may start, whose entry is noted as theirs.

        Raises InputError before the first step otherwise.
        """
        with closing(updates):
            self.check_run(config)
            for update in updates:
                yield self.claimed(update) if isinstance(update, store.Entry) else update

    # --- inverted people ----------------------------------------------------------------------------------------

    def inversion(
        self,
        config: InvertConfig,
        aligned: Tensor,
        name: str,
        crop: Crop,
        stop: threading.Event,
        keep: Any = None,
        search: Callable[..., Iterator[Step | InvertResult]] = invert,
    ) -> Iterator[Step | InvertResult | inversions.Inverted]:
        """`find_or_run.inversion` for who asks. keep: whether the person stays on the server; None: as the policy says.

        One that isn't kept lies in the private folder of this process until the session ends. Raises InputError.
        """
        keep = self.policy.keeps_people if keep is None else flag(keep, "Whether the person is kept")
        self.check_run(config)
        visitor = self.visitor()
        folder, whose = self._place(visitor, keep)
        made = find_or_run.inversion(config, aligned, name, crop, stop, folder=folder, whose=whose, search=search)
        with closing(made) as updates:
            for update in updates:
                if isinstance(update, inversions.Inverted):
                    self._note(update, visitor, keep)
                yield update

    def keep_person(self, inverted: inversions.Inverted) -> inversions.Inverted:
        """Keeps a person that who asks has brought along or chosen, as the policy says. Raises InputError."""
        self.check_room()
        visitor, keep = self.visitor(), self.policy.keeps_people
        folder, whose = self._place(visitor, keep)
        if whose:  # somebody else may have kept the same one
            key = hashlib.sha256(f"{inverted.record.key} {whose}".encode()).hexdigest()
            inverted = replace(inverted, settings={**inverted.settings, "key": key})
        kept = inversions.keep(inverted, folder=folder)
        self._note(kept, visitor, keep)
        return kept

    def list_people(self) -> list[inversions.Kept]:
        """The inverted people that who asks may see, newest first. Raises InputError as `inversions.list_people`."""
        self._remove_forgotten_guests()
        visitor = self.visitor()
        kept = inversions.list_people()
        if not self.may_everything():
            mine = self._owners.belongings(visitor.owner, PERSON)
            kept = [one for one in kept if mine.get(one.path.name) == one.record.created]
        with self._lock:
            names = {name for name, guest in self._guests.items() if guest.owner == visitor.owner}
        guests = [one for one in inversions.list_people(_guests_folder()) if one.path.name in names] if names else []
        return sorted([*guests, *kept], key=lambda one: one.record.created, reverse=True)

    def open_person(self, name: str) -> inversions.Inverted:
        """The person in the folder called `name`. Raises InputError if there is none whom who asks may see."""
        visitor, everything = self.visitor(), self.may_everything()
        if self._is_guest_of(name, visitor):
            return inversions.open_person(name, _guests_folder())
        if everything or name in self._owners.belongings(visitor.owner, PERSON):
            inverted = inversions.open_person(name)
            if everything or self._owners.owns(visitor.owner, PERSON, name, inverted.settings):
                return inverted
        raise InputError(f"There is no inverted picture {quoted(name)} here: choose one that is listed.")

    def is_kept(self, inverted: inversions.Inverted) -> bool:
        """Whether a person stays when the session ends."""
        return inverted.path.parent != _guests_folder()

    def delete_person(self, inverted: inversions.Inverted) -> None:
        """Deletes a person whom `open_person` gave. Raises InputError."""
        name = inverted.path.name
        if inverted.path.parent == _guests_folder():
            self._remove_guests([name])
            return
        inversions.delete(inverted)
        self._owners.forget(PERSON, name)

    def _place(self, visitor: Visitor, keep: bool) -> tuple[Path, str]:
        """Where a person of a visitor goes, and what sets them apart from the same picture of another."""
        if keep:
            return inversions.people_folder(), visitor.owner if self.policy.shared else ""
        return _guests_folder(), f"{visitor.owner} {visitor.session}"

    def _note(self, inverted: inversions.Inverted, visitor: Visitor, keep: bool) -> None:
        name = inverted.path.name
        if not keep:
            with self._lock:
                self._guests[name] = _Guest(visitor.owner, visitor.session, time.monotonic())
        elif self.policy.shared:
            self._owners.claim(PERSON, name, inverted.settings, visitor.owner)

    def _is_guest_of(self, name: str, visitor: Visitor) -> bool:
        """Whether the visitor has such a person, who is then known to be asked for still."""
        with self._lock:
            guest = self._guests.get(name)
            if guest is None or guest.owner != visitor.owner:
                return False
            guest.seen = time.monotonic()
            return True

    def _remove_forgotten_guests(self) -> None:
        old = time.monotonic() - 3600 * GUEST_HOURS
        with self._lock:
            forgotten = [name for name, guest in self._guests.items() if guest.seen < old]
        self._remove_guests(forgotten)

    def _remove_guests(self, names: list[str]) -> None:
        for name in names:
            with self._lock:
                known = self._guests.pop(name, None)
            if known is not None:  # else another thread removes it
                inversions.delete(inversions.Kept(_guests_folder() / name, {}), _guests_folder())


def _guests_folder() -> Path:
    """Where people lie that aren't kept."""
    return private.shelf("people")


def _bytes_in(folder: Path) -> int:
    """What the files below a folder take; what disappears meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _check_size(path: str | None, limit: int, what: str) -> None:
    size = Path(path).stat().st_size if path and Path(path).is_file() else 0
    if size > limit:
        raise InputError(
            f"{what} has {math.ceil(size / MEGABYTE)} MB, and at most {limit // MEGABYTE} MB are possible: "
            "choose a smaller one."
        )
