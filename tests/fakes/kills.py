"""Children that keep, name, replace, pick, export and delete, and are killed at it; and what is then on the disk.

The parent knows which operation a child was at: what is there afterwards has to be what was there before it, or after.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fakes.kept_domains import entry_of
from ipl_core import AdaptConfig, AdaptResult, InputError, Step
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.library import inversions, store
from ipl_core.models import catalog
from ipl_core.running.steps import Pictures
from ipl_core.storage import durable, folders

State = dict[str, Any]
Operation = tuple[str, int]
KINDS = ("keep", "replace", "rename", "pick", "delete", "export", "person", "no person")


@dataclass
class Report:
    """What kills did. lost: states that were neither before nor after. halves: what showed and wasn't whole.

    left: things that nobody swept. moved: operations that had happened although their child was killed.
    """

    kills: int = 0
    lost: int = 0
    halves: int = 0
    left: int = 0
    moved: int = 0
    notes: list[str] = field(default_factory=list)


class Stage:
    """A library and people that children work on: one entry with an earlier step, one that comes and goes, a person."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.report = Report()
        self._runs = {state: self._run("comer", state) for state in (False, True)}
        self._entry = self._with_an_earlier_step()
        self._person = inversions.drawn_person(SeedPerson("studio", 1), catalog.load_generator("studio"))
        entry_of("bystander", 0.1)

    def _run(self, target: str, keep_state: bool) -> store.Run:
        config = AdaptConfig(target, method="nada", steps=1, keep_state=keep_state)
        return self._filled(store.Run(config), config.steps, {"state": torch.ones(3)} if keep_state else None)

    def _with_an_earlier_step(self) -> store.Entry:
        run = store.Run(AdaptConfig("stayer", method="nada", steps=2, keep_every=1))
        weights = self._weights()
        pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
        run.add(Step(1, 2, "generator", {"adaptation": 1.0}, Pictures(pictures, pictures), weights))
        return self._filled(run, 2, None).save()

    def _filled(self, run: store.Run, steps: int, training: dict[str, Any] | None) -> store.Run:
        pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
        run.add(Step(steps, steps, "generator", {"adaptation": 1.0}))
        run.add(AdaptResult(steps, steps, Pictures(pictures, pictures), self._weights(), training=training))
        return run

    def _weights(self) -> dict[str, torch.Tensor]:
        generator = catalog.load_generator("studio")
        return {name: generator.get_parameter(name) + 0.5 for name in generator.layer_parameters(2)}

    # --- operations -----------------------------------------------------------------------------------------------

    def do(self, operation: Operation) -> None:
        """Does it, really. Operations that find nothing to do do nothing."""
        kind, number = operation
        if kind in ("keep", "replace"):
            self._runs[kind == "replace"].save()
        elif kind == "rename":
            store.rename(self._entry, f"title {number}")
        elif kind == "pick":
            store.pick(self._entry, 1)
        elif kind == "export":
            store.export(store.open_entry(self._entry.path), self.out)
        elif kind == "delete":
            for entry in store.list_entries():
                if entry.settings["stopped"] == "picked" or entry.config.target == "comer":
                    return store.delete(entry)
        elif kind == "person":
            inversions.keep(replace(self._person, settings={**self._person.settings, "seconds": number}))
        elif kind == "no person":
            for person in inversions.list_people():
                inversions.delete(person)

    def after(self, operation: Operation, before: State) -> State:
        """The state that an operation leads to."""
        kind, number = operation
        after = dict(before)
        if kind == "keep":
            after.setdefault("comer", "plain")
        elif kind == "replace":
            after["comer"] = "with state"
        elif kind == "rename":
            after["stayer"] = f"title {number}"
        elif kind == "pick":
            after.setdefault("picked", before["stayer"])
            after["picked"] = before.get("picked", "picked")
        elif kind == "export":
            after["out"] = before["stayer"]
        elif kind == "delete":
            for name in before["order"]:
                if name in after:
                    del after[name]
                    break
        elif kind == "person":
            after["person"] = number
        elif kind == "no person":
            after.pop("person", None)
        return after

    def seen(self) -> State:
        """What is on the disk, all of it loaded; what isn't whole is counted."""
        entries, problems = store.scan()
        persons, others = inversions.scan()
        self.report.halves += len(problems) + len(others)
        state: State = {"order": []}
        for entry in entries:
            self._whole(lambda entry=entry: catalog.changed_weights(entry.path))
            name = "picked" if entry.settings["stopped"] == "picked" else entry.config.target
            state["order"] += [name] if name in ("picked", "comer") else []
            state[name] = {
                "picked": "picked",
                "comer": "with state" if entry.resumes_exactly else "plain",
            }.get(name, entry.title)
        for person in persons:
            self._whole(lambda person=person: inversions.load(person.path))
            state["person"] = person.settings["seconds"]
        if self.out.exists():
            durable.settle(self.out)
        if (self.out / folders.SETTINGS).exists():
            self._whole(lambda: catalog.changed_weights(self.out))
            state["out"] = store.open_entry(self.out).title
        return state

    def _whole(self, load: Callable[[], Any]) -> None:
        try:
            load()
        except InputError:
            self.report.halves += 1

    # --- kills ----------------------------------------------------------------------------------------------------

    def judge(self, before: State, operation: Operation | None) -> State:
        """Looks at what a kill has left, and gives what there is now. operation: what the child was at."""
        now = self.seen()
        wanted = [before] if operation is None else [before, self.after(operation, before)]
        plain = [{name: value for name, value in state.items() if name != "order"} for state in (now, *wanted)]
        self.report.kills += 1
        if plain[0] not in plain[1:]:
            self.report.lost += 1
            self.report.notes.append(f"killed at {operation}: {before} became {now}")
        self.report.moved += operation is not None and plain[0] != plain[1]
        left = [path for path in self._workplaces() if not {inner.name for inner in path.iterdir()} <= {"taking"}]
        if left:
            self.report.left += len(left)
            self.report.notes.append(f"killed at {operation}: {left} was left")
        return now

    def _workplaces(self) -> list[Path]:
        shelves = [store.runs_folder(), inversions.people_folder(), self.out, *store.runs_folder().iterdir()]
        return [path for shelf in shelves if shelf.is_dir() for path in shelf.glob(f"{durable.PREFIX}*")]

    def a_day_later(self) -> Report:
        """What there is when workplaces whose owners were killed before they had a lock are a day old."""
        for path in self._workplaces():
            os.utime(path, (0, 0))
        self.seen()
        self.report.left += len(self._workplaces())
        return self.report


def forked(child: Callable[[], None]) -> int:
    """A process that runs `child` and ends; gives its number."""
    number = os.fork()
    if number == 0:
        try:
            torch.set_num_threads(1)  # the parent's threads are not in this process
            child()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return number


def killed_at_every_rename(folder: Path, exchanges: bool, every: bool = False) -> Report:
    """Kills a child before each move of each operation.

    exchanges: whether the system can exchange names. every: after each move, too, and where single files are written.
    """
    stage = Stage(folder)
    number = 0
    for kind in KINDS:
        for after in (False, True)[: 1 + every]:  # before a move is nearly after the one before
            at = 0
            while True:
                at, number = at + 1, number + 1
                prepare(stage, kind, number)
                before = stage.seen()
                child = forked(partial(do_killed, stage, (kind, number), at, after, exchanges, every))
                _, status = os.waitpid(child, 0)
                if not os.WIFSIGNALED(status):
                    assert os.WEXITSTATUS(status) == 0, kind
                    break
                stage.judge(before, (kind, number))
    return stage.a_day_later()


def prepare(stage: Stage, kind: str, number: int) -> None:
    """Makes sure that an operation has something to do."""
    if kind in ("keep", "replace"):
        while {"comer", "picked"} & stage.seen().keys():
            stage.do(("delete", 0))
        if kind == "replace":
            stage.do(("keep", 0))
    elif kind == "pick":
        while {"comer", "picked"} & stage.seen().keys():
            stage.do(("delete", 0))
    elif kind == "delete":
        stage.do(("keep", 0))
    elif kind == "export":
        stage.do(("rename", number))
    elif kind in ("person", "no person"):
        stage.do(("person", 1_000_000 + number))


def do_killed(stage: Stage, operation: Operation, at: int, after: bool, exchanges: bool, every: bool) -> None:
    """Does an operation in this process, which kills itself before or after its move number `at`."""
    moves = 0

    def deadly(move: Callable[..., Any]) -> Callable[..., Any]:
        def moved(source: Any, target: Any) -> Any:
            nonlocal moves
            counts = every or not all(durable.PREFIX in str(path) for path in (source, target))
            moves += counts
            if counts and moves == at and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = move(source, target)
            if counts and moves == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return moved

    os.rename, os.replace = deadly(os.rename), deadly(os.replace)
    durable.exchange = deadly(durable.exchange) if exchanges else lambda one, other: False
    stage.do(operation)


def killed_at_random(folder: Path, kills: int, chance: random.Random) -> Report:
    """Kills children that do one operation after the other at random moments."""
    stage = Stage(folder)
    while stage.report.kills < kills:
        before = stage.seen()
        order = [(chance.choice(KINDS), chance.randrange(10**6)) for _ in range(200)]
        reader, writer = os.pipe()
        child = forked(partial(work, stage, order, writer))
        os.close(writer)
        select.select([reader], [], [], 60)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        begun, done = 0, 0
        for line in lines(reader):
            begun, done = (begun + 1, done) if line == "begun" else (begun, done + 1)
        for operation in order[:done]:
            before = ordered(stage.after(operation, before))
        stage.judge(before, order[done] if begun > done else None)
    return stage.a_day_later()


def ordered(state: State) -> State:
    """The state with the order in which `delete` takes what comes and goes: the library's own, the newest first."""
    known = [name for name in state["order"] if name in state]
    return {**state, "order": [name for name in ("picked", "comer") if name in state and name not in known] + known}


def work(stage: Stage, order: list[Operation], writer: int) -> None:
    """Does one operation after the other, and says so."""
    for operation in order:
        os.write(writer, b"begun\n")
        stage.do(operation)
        os.write(writer, b"done\n")


def lines(reader: int) -> Iterator[str]:
    """What a child had said before it was killed."""
    with os.fdopen(reader) as said:
        yield from said.read().split()
