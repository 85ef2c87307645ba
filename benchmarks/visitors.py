"""How the app bears many visitors: turns, memory, Stop and votes.

`python benchmarks/visitors.py` starts an app of its own on this machine, shared and with a library of its own, sends 50
visitors to it for 10 minutes, and prints a table; `--visitors 12 --minutes 2` is a short one. Each visitor does what
visitors do: short runs, samples, animations, lists, votes, runs that are stopped; now and then one leaves and comes
back as another. The last lines say whether the app kept its promises; the exit status is 1 if it did not. Memory is
read where there is /proc.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError, ValidationError
from gradio_client.utils import QueueError, Status

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ipl_core.storage.tables import write_csv

ROOT = Path(__file__).resolve().parent.parent
SHORT = {"mapper_steps": 2, "steps": 3, "batch": 2}
LONG = {"mapper_steps": 5, "steps": 400, "batch": 2}
SECONDS_TO_START = 120
SECONDS_BETWEEN_LOOKS = 0.1  # at whether a job has begun
WARM_UP = 60  # seconds after which memory has to stay as it is
PATIENCE = 600  # seconds for a job, whatever happens
BUSY = re.compile("Try again|try again|wait for it|too fast")  # what the app says to those whom it refuses for a time

#: What the app has to keep, see `verdicts`.
MOST_SECONDS_TO_STOP = 1.0
MOST_GROWTH = 0.1  # of the memory after the warm-up
MOST_UNFAIR = 3.0  # the visitor who waits longest, to the median


@dataclass
class Job:
    """One request of a visitor. waited: seconds until its turn came. ended: done, stopped, refused or failed.

    to_stop: seconds from Stop to its end.
    """

    visitor: int
    kind: str
    asked: float
    waited: float = math.nan
    took: float = math.nan
    ended: str = ""
    words: str = ""
    to_stop: float = math.nan


@dataclass
class Log:
    """What happened; visitors write to it from their threads."""

    jobs: list[Job] = field(default_factory=list)
    votes: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds since the start, MB
    lock: threading.Lock = field(default_factory=threading.Lock)


# --- the app ------------------------------------------------------------------------------------------------------


@contextmanager
def running_app(home: Path) -> Iterator[tuple[str, int]]:
    """Address and process id of an app with its library in `home`; it is ended afterwards, whatever happened."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "IPL_HOME": str(home / "library"),
        "IPL_SHARED": "1",
        "IPL_ENTRIES_EACH": "100000",
        "IPL_STUDY_ADMIN": secrets.token_urlsafe(24),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    url = f"http://127.0.0.1:{port}"
    with (home / "app.log").open("w") as log:
        app = subprocess.Popen(
            [sys.executable, "app.py", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _await(url, app, home / "app.log")
            yield url, app.pid
        finally:
            app.terminate()
            try:
                app.wait(20)
            except subprocess.TimeoutExpired:
                app.kill()
                app.wait()


def _await(url: str, app: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and app.poll() is None:
        try:
            if httpx.get(f"{url}/config", timeout=10).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise SystemExit(f"The app did not start:\n{log.read_text()[-2000:]}")


def resident(process: int) -> float:
    """Resident memory of a process in MB; NaN where that can't be read."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError):
        return math.nan
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch(process: int, log: Log, over: threading.Event) -> None:
    """Notes the memory of a process once a second."""
    began = time.monotonic()
    while not over.wait(1.0):
        log.memory.append((time.monotonic() - began, resident(process)))


# --- visitors -----------------------------------------------------------------------------------------------------


class Visitor:
    """One person: a session of their own at a network address of their own, as a proxy on this machine names it."""

    def __init__(self, number: int, url: str, entries: list[str], log: Log, deadline: float) -> None:
        self._number, self._url, self._entries, self._log, self._deadline = number, url, entries, log, deadline
        self._random = random.Random(number)
        self._headers = {"X-Forwarded-For": f"198.18.{number // 250}.{number % 250 + 1}"}  # kept for benchmarks
        self._voter = ""

    def live(self) -> None:
        """Comes, does one thing after the other, leaves, and comes again, until it is late."""
        time.sleep(self._random.uniform(0, 10))  # people don't come all at once
        while time.monotonic() < self._deadline:
            client = self._arrive()
            if client is None:
                continue
            try:
                for _ in range(self._random.randint(4, 12)):
                    if time.monotonic() >= self._deadline:
                        return
                    self._do_something(client)
                    time.sleep(self._random.uniform(0.5, 3))
            finally:
                client.close()

    def _arrive(self) -> Client | None:
        """A new session; None if the app didn't answer, which is noted as a failure."""
        note = Job(self._number, "arrival", time.monotonic(), waited=0.0)
        with self._log.lock:
            self._log.jobs.append(note)
        try:
            client = Client(self._url, verbose=False, headers=self._headers, httpx_kwargs={"timeout": 60})
        except Exception as error:
            note.ended, note.words = "failed", f"{type(error).__name__}: {error}"
            return None
        note.ended, note.took = "done", time.monotonic() - note.asked
        return client

    def _do_something(self, client: Client) -> None:
        do = self._random.choices(
            [self._adapt, self._sample, self._animate, self._list, self._vote, self._stop], [3, 4, 1, 3, 4, 2]
        )[0]
        do(client)

    def _adapt(self, client: Client) -> None:
        seed = self._random.randrange(10**6)
        self._finish(*self._submit(client, "adapt", "/adapt", "pencil sketch", **SHORT, seed=seed))

    def _sample(self, client: Client) -> None:
        entry = self._random.choice(self._entries)
        self._finish(*self._submit(client, "sample", "/sample", entry, seeds="0-3"))

    def _animate(self, client: Client) -> None:
        self._finish(*self._submit(client, "interpolate", "/interpolate", "source studio", seeds="0, 7", frames=4))

    def _list(self, client: Client) -> None:
        self._finish(*self._submit(client, "list", self._random.choice(["/library", "/people"])))

    def _stop(self, client: Client) -> None:
        seed = self._random.randrange(10**6)
        note, job = self._submit(client, "stopped run", "/adapt", "pencil sketch", **LONG, seed=seed)
        if job is None:
            return
        patience = time.monotonic() + self._random.uniform(0.5, 20)  # some wait for their turn, some don't
        while time.monotonic() < patience and not job.done():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        asked = time.monotonic()
        try:
            client.predict(api_name="/stop")
        finally:
            self._finish(note, job)
        if note.ended == "stopped":
            note.to_stop = note.asked + note.took - asked

    def _submit(self, client: Client, kind: str, endpoint: str, *values: Any, **more: Any) -> tuple[Job, Any]:
        note = Job(self._number, kind, time.monotonic())
        with self._log.lock:
            self._log.jobs.append(note)
        job = client.submit(*values, **more, api_name=endpoint)
        job.add_done_callback(lambda _: setattr(note, "took", time.monotonic() - note.asked))
        return note, job

    def _finish(self, note: Job, job: Any) -> None:
        """Waits for the end of a job, and notes when its turn came and how it ended."""
        end = time.monotonic() + PATIENCE
        while not job.done() and time.monotonic() < end:
            if math.isnan(note.waited) and job.status().code in (Status.PROCESSING, Status.ITERATING):
                note.waited = time.monotonic() - note.asked
            time.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            result = job.result(timeout=1)
            note.ended = "stopped" if isinstance(result, dict) and result.get("stopped") else "done"
        except (AppError, ValidationError, QueueError) as error:
            note.words = str(error)
            busy = isinstance(error, QueueError) or BUSY.search(note.words)
            note.ended = "refused" if busy else "failed"
        except Exception as error:
            note.ended, note.words = "failed", f"{type(error).__name__}: {error}"
        if math.isnan(note.waited) and note.ended in ("done", "stopped"):
            note.waited = note.took  # it was over between two looks, or never had a turn

    def _vote(self, client: Client) -> None:
        """Answers a few questions of the study, as the page does; a vote is one after which the next question came."""
        config = client.config["dependencies"]
        numbers = {one["api_name"]: one for one in config}
        enter, answers = numbers["_enter"], [numbers[name] for name in ("answer", "answer_1", "answer_2")]
        place = enter["outputs"].index(enter["inputs"][0])  # where the voter's name is among what comes back

        def press(button: dict[str, Any], *values: Any) -> tuple[list[Any], str]:
            body = {"data": values, "fn_index": button["id"], "session_hash": client.session_hash}
            answer = http.post("/gradio_api/run/predict", json=body)
            answer.raise_for_status()
            found = re.search(r"<span>(\d+ of \d+)</span>|Thank you", answer.text)
            return answer.json()["data"], found[0] if found else ""

        note = Job(self._number, "vote", time.monotonic(), waited=0.0)
        with self._log.lock:
            self._log.jobs.append(note)
        try:
            with httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as http:
                data, shown = press(enter, self._voter)
                if isinstance(data[place], str):
                    self._voter = data[place]
                for _ in range(self._random.randint(1, 4)):
                    if "of" not in shown:
                        break
                    time.sleep(self._random.uniform(0.5, 1.5))  # nobody answers at once
                    before = shown
                    _, shown = press(self._random.choice(answers), self._voter, None)
                    if shown and shown != before:
                        with self._log.lock:
                            self._log.votes += 1
            note.ended, note.took = "done", time.monotonic() - note.asked
        except Exception as error:
            note.ended, note.words = "failed", f"{type(error).__name__}: {error}"


# --- before and after ---------------------------------------------------------------------------------------------


def prepare(url: str, home: Path) -> tuple[list[str], str]:
    """Two entries of one domain, and a study of them; gives their names and the study's id."""
    client = Client(url, verbose=False)
    try:
        names = [
            client.predict("pencil sketch", method=method, **SHORT, api_name="/adapt")["entry"]
            for method in ("nada", "ipl")
        ]
    finally:
        client.close()
    folders = [str(folder) for name in names for folder in (home / "library").rglob(name)]
    command = ["-m", "ipl_core", "study", "new", *folders, "--title", "Which?", "--pairs-each", "20"]
    done = subprocess.run(
        [sys.executable, *command, "--seeds", "700000-700019"],
        cwd=ROOT,
        env={**os.environ, "IPL_HOME": str(home / "library")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"The study could not be started: {done.stderr}")
    return names, done.stdout.split(":")[0].strip()


def counted(study: str, home: Path) -> int:
    """How many votes the study's database holds."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "ipl_core", "study", "export", study, "--out", folder],
            cwd=ROOT,
            env={**os.environ, "IPL_HOME": str(home / "library")},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with Path(folder, "votes.csv").open(newline="", encoding="utf-8") as file:
            return sum(1 for _ in csv.DictReader(file))


def visit(visitors: int, minutes: float, home: Path) -> tuple[Log, int]:
    """Sends the visitors; gives what happened and how many votes were counted."""
    log, over = Log(), threading.Event()
    with running_app(home) as (url, process):
        entries, study = prepare(url, home)
        watcher = threading.Thread(target=watch, args=(process, log, over), daemon=True)
        watcher.start()
        deadline = time.monotonic() + 60 * minutes
        with ThreadPoolExecutor(visitors) as pool:
            people = [Visitor(number, url, entries, log, deadline) for number in range(visitors)]
            for living in [pool.submit(person.live) for person in people]:
                living.result()
        over.set()
        watcher.join()
    return log, counted(study, home)


# --- what came of it ----------------------------------------------------------------------------------------------


def waits(log: Log) -> dict[int, float]:
    """Mean seconds that each visitor waited for a turn."""
    turns = [job for job in log.jobs if job.kind in ("adapt", "sample", "interpolate") and job.ended == "done"]
    own = {number: [job.waited for job in turns if job.visitor == number] for number in {job.visitor for job in turns}}
    return {number: statistics.mean(seconds) for number, seconds in own.items()}


def growth(log: Log) -> tuple[float, float]:
    """MB after the warm-up, and how many more at the end: medians of ten seconds, as memory goes up and down."""
    after = [memory for seconds, memory in log.memory if seconds >= WARM_UP and not math.isnan(memory)]
    if len(after) < 20:
        return math.nan, math.nan
    first, last = statistics.median(after[:10]), statistics.median(after[-10:])
    return first, last - first


def table(log: Log, votes: int) -> Iterator[str]:
    yield "| jobs | asked for | done | stopped | refused | failed | wait, median s | wait, longest s |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for kind in sorted({job.kind for job in log.jobs}):
        jobs = [job for job in log.jobs if job.kind == kind]
        ends = Counter(job.ended for job in jobs)
        waited = [job.waited for job in jobs if not math.isnan(job.waited)] or [math.nan]
        numbers = " | ".join(str(ends[end]) for end in ("done", "stopped", "refused", "failed"))
        yield f"| {kind} | {len(jobs)} | {numbers} | {statistics.median(waited):.1f} | {max(waited):.1f} |"
    yield ""
    first, more = growth(log)
    peak = max((memory for _, memory in log.memory), default=math.nan)
    yield f"Memory: {first:.0f} MB after {WARM_UP} s, {more:+.0f} MB at the end, {peak:.0f} MB at most."
    own = waits(log)
    if own:
        middle, longest = statistics.median(own.values()), max(own.values())
        yield f"Mean wait of a visitor: {middle:.1f} s in the median, {longest:.1f} s at most."
    stops = [job.to_stop for job in log.jobs if not math.isnan(job.to_stop)]
    if stops:
        yield f"From Stop to the end: {statistics.median(stops):.2f} s in the median, {max(stops):.2f} s at most."
    yield f"Votes: {log.votes} cast, {votes} counted."


def verdicts(log: Log, votes: int) -> dict[str, bool]:
    """What the app promises, and whether it kept it; what could not be measured is left out."""
    own, (first, more) = waits(log), growth(log)
    stops = [job.to_stop for job in log.jobs if not math.isnan(job.to_stop)]
    kept = {"No job failed": not any(job.ended == "failed" for job in log.jobs), "All votes count": votes == log.votes}
    if own:
        kept["Turns are fair"] = max(own.values()) <= MOST_UNFAIR * max(1.0, statistics.median(own.values()))
    if not math.isnan(more):
        kept["Memory stays as it is"] = more <= MOST_GROWTH * first
    if stops:
        kept["Stop ends a job within a second"] = max(stops) <= MOST_SECONDS_TO_STOP
    return kept


def write(log: Log, folder: Path) -> None:
    """Every job and every second's memory as CSV."""
    jobs = []
    for job in log.jobs:
        seconds = {name: getattr(job, name) for name in ("waited", "took", "to_stop")}
        shown = {name: "" if math.isnan(one) else f"{one:.2f}" for name, one in seconds.items()}
        jobs.append({"visitor": job.visitor, "kind": job.kind, "ended": job.ended, **shown, "words": job.words})
    write_csv(jobs, ["visitor", "kind", "ended", "waited", "took", "to_stop", "words"], folder / "jobs.csv")
    memory = [{"seconds": f"{second:.0f}", "megabytes": f"{size:.1f}"} for second, size in log.memory]
    write_csv(memory, ["seconds", "megabytes"], folder / "memory.csv")


def main() -> int:
    parser = argparse.ArgumentParser(description="Many visitors at an app of its own on this machine.")
    parser.add_argument("--visitors", type=int, default=50, help="how many (%(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="for how long (%(default)g)")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="folder for jobs.csv and memory.csv")
    options = parser.parse_args()
    if not (1 <= options.visitors <= 200 and 0 < options.minutes <= 60):
        parser.error("from 1 to 200 visitors, for at most 60 minutes")
    with tempfile.TemporaryDirectory() as home:
        log, votes = visit(options.visitors, options.minutes, Path(home))
    if options.csv:
        write(log, options.csv)
    print("\n".join(table(log, votes)))
    kept = verdicts(log, votes)
    for promise, holds in kept.items():
        print(f"{promise}: {'yes' if holds else 'NO'}")
    for words, times in Counter(job.words for job in log.jobs if job.ended == "failed").most_common(5):
        print(f"Failed {times} times: {words[:300]}")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
