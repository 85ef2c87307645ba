"""Real kills: whatever was whole before is whole, listed and loads; nothing half shows; nothing stays behind.

The suite kills a few dozen times. IPL_KILLS=200 asks for so many at random moments, at every single rename, and of the
real command line and the real app; see benchmarks/kills.py.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.kept_domains import entry_of
from fakes.kills import Report, killed_at_every_rename, killed_at_random

from ipl_core import InputError
from ipl_core.library import inversions, store
from ipl_core.models import catalog
from ipl_core.storage import durable

pytestmark = [
    pytest.mark.usefixtures("studio"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked"),
]
log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("IPL_KILLS", "0"))
IN_FULL = pytest.mark.skipif(not KILLS, reason="IPL_KILLS=200 asks for it: it takes minutes")
PATIENCE = 180.0


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
def test_at_every_rename(tmp_path: Path, exchanges: bool) -> None:
    report = killed_at_every_rename(tmp_path, exchanges, every=bool(KILLS))
    log.info("at every rename: %s", report)
    assert report.kills >= 12
    assert report.lost == report.halves == report.left == 0, report


def test_at_random_moments(tmp_path: Path) -> None:
    report = killed_at_random(tmp_path, KILLS or 10, random.Random(0))
    log.info("at random moments: %s", report)
    assert report.lost == report.halves == report.left == 0, report


def wait_for(there: Any, process: subprocess.Popen[bytes]) -> bool:
    """Waits until `there` gives True; False if the process has ended before."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "nothing has happened"
        time.sleep(0.005)
    return True


def left_by_the_dead(*folders: Path) -> list[Path]:
    """Workplaces that are still there although whoever looks settles them."""
    for folder in folders:
        durable.settle(folder)
    return [path for folder in folders for path in folder.glob(f"{durable.PREFIX}*") if any(path.iterdir())]


@IN_FULL
def test_the_command_line(tmp_path: Path) -> None:
    whole = entry_of("bystander", 0.1)
    runs, out, chance = store.runs_folder(), tmp_path / "out", random.Random(0)
    request = ["adapt", "werewolf", "--method", "nada", "--steps", "12", "--batch", "1", "--keep-every", "1"]
    report = Report()

    def started(*more: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "ipl_core", *request, "--keep-state", "--out", str(out), *more]
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)

    for number in range(10):
        process = started("--seed", str(number))
        # Half of them while they run and keep their steps, half while the result is moved and copied.
        busy = [*runs.glob(f"{durable.PREFIX}*")] if number % 2 else None
        watch = (
            (lambda: any(runs.glob("werewolf-*"))) if busy is not None else (lambda: any(runs.glob(".writing-*/new/*")))
        )
        if not wait_for(watch, process):
            process.wait()
        time.sleep(chance.uniform(0, 0.02 if number % 2 else 0.3))
        process.kill()
        process.wait()
        report.kills += 1
        entries, problems = store.scan()
        report.halves += len(problems)
        report.lost += whole not in entries
        for entry in entries:
            catalog.changed_weights(entry.path)
        if (out / "settings.json").exists():
            catalog.changed_weights(store.open_entry(out).path)
        elif out.exists():
            with pytest.raises(InputError):
                store.open_entry(out)
        report.left += len(left_by_the_dead(runs, *([out] if out.exists() else [])))
        for entry in entries:
            if entry != whole:
                store.delete(entry)
    log.info("the command line: %s", report)
    assert report.lost == report.halves == report.left == 0, report
    assert started().wait(PATIENCE) == 0
    assert store.open_entry(out).steps() == list(range(1, 12))


@IN_FULL
def test_the_app(tmp_path: Path, studio: Path) -> None:
    from gradio_client import Client

    whole = entry_of("bystander", 0.1)
    report, chance = Report(), random.Random(0)
    for _ in range(3):
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "gradio"), "GRADIO_ANALYTICS_ENABLED": "False"},
            stdout=subprocess.DEVNULL,
        )
        try:
            assert wait_for(lambda: answers(port), process)  # noqa: B023
            client = Client(f"http://127.0.0.1:{port}/", verbose=False)
            names = {row["name"] for row in client.predict(api_name="/library")}
            assert names == {entry.path.name for entry in store.list_entries()}
            if report.kills < 2:
                asked = {"method": "nada", "steps": 8, "batch": 1, "keep_every": 1, "seed": report.kills}
                client.submit("werewolf", **asked, api_name="/adapt")
                # Once while the run keeps its steps, once while its result is moved.
                pattern = "werewolf-*" if report.kills else f"{durable.PREFIX}*/new/*"
                assert wait_for(lambda: any(store.runs_folder().glob(pattern)), process)  # noqa: B023
                time.sleep(chance.uniform(0, 0.01))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        report.kills += 1
        entries, problems = store.scan()
        report.lost += whole not in entries
        report.halves += len(problems) + len(inversions.scan()[1])
        report.left += len(left_by_the_dead(store.runs_folder(), inversions.people_folder()))
    log.info("the app: %s", report)
    assert report.lost == report.halves == report.left == 0, report


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with closing(socket.socket()) as door:
        return door.connect_ex(("127.0.0.1", port)) == 0
