"""Turns: no way around the queue, one job at a time, nobody starves, and whatever waits or runs can be ended."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError, ValidationError
from test_client import FEW, MANY
from visitor import PATIENCE

from ipl_core import InputError
from tabs import api
from tabs.access.policy import Policy
from tabs.access.visitors import came_from
from tabs.forms.controls import Controls
from tabs.requests import pictures
from tabs.service import stops, turns
from tabs.service.service import Service
from tabs.service.stops import Stop
from tabs.service.turns import FairQueue

API = "/gradio_api"
ASKED = ["pencil sketch", *[None] * 17]  # as /adapt takes it


class Jobs:
    """Stands in for /adapt: notes who runs, and how many at once. A step, in which none is closed, takes `seconds`."""

    def __init__(self) -> None:
        self.seconds, self.steps = 0.05, 6
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def run(self, service: Service, settings: Any, session: str) -> Iterator[dict[str, Any]]:
        stop = service.stops.running(session)
        with self._lock:
            self.begun.append(session)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            for step in range(self.steps):
                time.sleep(self.seconds)
                yield {"stage": "generator", "step": step}
                if stop.is_set():
                    break
            yield {"stage": "done", "entry": None, "stopped": stop.why or None}
        finally:
            with self._lock:
                self._now -= 1
                self.ended.append(session)


@pytest.fixture
def jobs(app_url: str, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    stand_ins = Jobs()
    monkeypatch.setattr(api, "_adapt", stand_ins.run)
    return stand_ins


@pytest.fixture
def queue(app_module: ModuleType, app_url: str) -> Iterator[FairQueue]:
    """The queue of the running app, which is empty before and after."""
    idle(app_module.demo._queue)
    yield app_module.demo._queue
    idle(app_module.demo._queue)


def idle(queue: FairQueue) -> None:
    until(lambda: not len(queue) and not any(queue.active_jobs), "the queue doesn't get empty", 30)
    until(lambda: not len(queue._stops), "a job that has ended is remembered", 3)


def until(happens: Callable[[], Any], words: str, seconds: float = 10) -> Any:
    """Waits for a condition, and fails with `words` where it doesn't come."""
    end = time.monotonic() + seconds
    while not (what := happens()):
        assert time.monotonic() < end, words
        time.sleep(0.02)
    return what


def number_of(queue: FairQueue, name: str) -> int:
    return next(number for number, fn in queue.blocks.fns.items() if name in (fn.api_name, fn.name))


@pytest.fixture
def http(app_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app_url.rstrip("/"), timeout=30) as client:
        yield client


def join(http: httpx.Client, number: int, session: str, data: list[Any] | None = None) -> httpx.Response:
    body = {"data": ASKED if data is None else data, "fn_index": number, "session_hash": session}
    return http.post(f"{API}/queue/join", json=body)


def invented() -> str:
    return uuid.uuid4().hex


@contextmanager
def listening(http: httpx.Client, session: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The messages for a session, as they come."""
    with http.stream("GET", f"{API}/queue/data", params={"session_hash": session}) as response:
        yield (json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: "))


def hear_out(http: httpx.Client, session: str) -> list[dict[str, Any]]:
    with listening(http, session) as messages:
        return list(messages)


# --- no way around ------------------------------------------------------------------------------------------------


def test_what_is_queued_cannot_be_had_by_a_direct_request(queue: FairQueue, http: httpx.Client, jobs: Jobs) -> None:
    queued = {number: fn for number, fn in queue.blocks.fns.items() if fn.queue}
    assert number_of(queue, "adapt") in queued
    for number, fn in queued.items():
        answers = [http.post(f"{API}/run/predict", json={"data": [], "fn_index": number, "event_id": "x"})]
        if fn.api_name:
            answers += [
                http.post(f"{API}/{way}/{fn.api_name}{end}", json={"data": ["elf"], "session_hash": invented()})
                for way in ("run", "api")
                for end in ("", "/")
            ]
        assert {answer.status_code for answer in answers} == {404}, fn.name
    assert not jobs.begun


def test_never_do_two_jobs_run_together(queue: FairQueue, http: httpx.Client, jobs: Jobs) -> None:
    number, sessions = number_of(queue, "adapt"), [invented() for _ in range(3)]
    jobs.seconds = 0.3  # in which a job that was cancelled still computes

    def cancelled(session: str) -> None:
        event = join(http, number, session).json()["event_id"]
        until(lambda: session in jobs.begun, "its turn doesn't come")
        http.post(f"{API}/cancel", json={"session_hash": session, "fn_index": number, "event_id": event})

    def called(way: str, body: dict[str, Any]) -> None:
        event = http.post(f"{API}/{way}/adapt", json=body).json()["event_id"]
        http.get(f"{API}/{way}/adapt/{event}")

    def heard(session: str) -> None:
        join(http, number, session)
        hear_out(http, session)

    with ThreadPoolExecutor(6) as pool:
        ways = [pool.submit(cancelled, session) for session in sessions[:2]]
        ways += [pool.submit(heard, sessions[2]), pool.submit(heard, invented())]
        ways += [pool.submit(called, "call", {"data": ASKED}), pool.submit(called, "call/v2", {"target": "elf"})]
        for way in ways:
            way.result()
    assert len(jobs.begun) == 6
    assert jobs.most == 1


def test_only_two_look_at_something_together(
    queue: FairQueue, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, most = [], []

    def look_at(path: Any) -> None:
        now.append(path)
        most.append(len(now))
        time.sleep(0.1)
        now.pop()
        raise InputError("Nothing to see.")

    monkeypatch.setattr(pictures, "look_at", look_at)
    sessions = [invented() for _ in range(6)]
    file = {"path": http.post(f"{API}/upload", files={"files": ("a.png", b"no picture")}).json()[0]}
    for session in sessions:
        data = [{**file, "meta": {"_type": "gradio.FileData"}}, "studio", "auto"]
        assert join(http, number_of(queue, "_take"), session, data).status_code == 200
    for session in sessions:
        hear_out(http, session)
    assert (len(most), max(most)) == (6, 2)


# --- a place in the queue -----------------------------------------------------------------------------------------


def test_a_session_waits_with_one_job_only(queue: FairQueue, http: httpx.Client, jobs: Jobs) -> None:
    number, first, second = number_of(queue, "adapt"), invented(), invented()
    jobs.steps = 20
    join(http, number, first)
    until(lambda: first in jobs.begun, "its turn doesn't come")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: join(http, number, second), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422, 422, 422]
    refused = next(answer for answer in answers if answer.status_code == 422).json()["detail"][0]["message"]
    assert "A job of yours waits for its turn already" in refused
    for session in (first, second):
        queue._stops.stop(session)
        hear_out(http, session)


def test_who_asks_twice_reads_why_not(jobs: Jobs, connect: Callable[[], Client], queue: FairQueue) -> None:
    one, other = connect(), connect()
    jobs.steps = 60
    long = one.submit("elf", api_name="/adapt")
    next(iter(long))
    waiting = other.submit("elf", api_name="/adapt")
    until(lambda: len(queue._stops) == 2, "it doesn't wait")
    with pytest.raises(ValidationError, match="wait for it, or stop it first"):
        other.predict("elf", api_name="/adapt")
    for client, job in ((other, waiting), (one, long)):
        assert client.predict(api_name="/stop") is True
        assert job.result(timeout=PATIENCE)["stopped"] == "asked"


def test_an_address_has_so_many_places_and_all_together_have_so_many(
    queue: FairQueue, http: httpx.Client, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_policy", Policy(shared=True, places_each=3))
    number, jobs.steps = number_of(queue, "adapt"), 40
    sessions = [invented() for _ in range(5)]
    answers = [join(http, number, session) for session in sessions]
    assert [answer.status_code for answer in answers] == [200] * 3 + [422] * 2
    assert "jobs from your address" in answers[-1].text
    http.headers["X-Forwarded-For"] = "198.51.100.7"  # by a proxy on this machine
    assert join(http, number, sessions[3]).status_code == 200
    monkeypatch.setattr(turns, "MAX_WAITING", 3)
    full = join(http, number, sessions[4])
    assert full.status_code == 422
    assert "Try again in a few minutes" in full.text
    for session in sessions[:4]:
        queue._stops.stop(session)
        hear_out(http, session)


def test_a_space_knows_its_visitors_by_what_its_proxies_note() -> None:
    noted = {"x-forwarded-for": "1.2.3.4, 8.8.4.4, 10.1.1.1"}
    request = SimpleNamespace(client=SimpleNamespace(host="10.0.0.2"), headers=noted)
    assert came_from(request, behind_proxy=False) == "10.0.0.2"
    assert came_from(request, behind_proxy=True) == "8.8.4.4", "a visitor can write the first ones themselves"
    neighbours = [SimpleNamespace(client=SimpleNamespace(host=host), headers={}) for host in ("2a00:1::1", "2a00:1::2")]
    assert len({came_from(one, behind_proxy=False) for one in neighbours}) == 1, "one customer has all of a network"


def test_turns_go_round(queue: FairQueue, http: httpx.Client, jobs: Jobs) -> None:
    number, jobs.steps, jobs.seconds = number_of(queue, "adapt"), 2, 0.02
    names = [f"visitor-{index:02d}-{invented()}" for index in range(20)]

    def visit(name: str) -> None:
        with listening(http, name) as messages:
            for message in messages:
                if message["msg"] == "process_completed":
                    return

    for name in names:
        assert join(http, number, name).status_code == 200
    assert join(http, number, names[0]).status_code in (200, 422)  # it may run already, and then waits once more
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(visit, names))
    assert jobs.begun[:20] == names


def test_lists_and_stops_wait_for_no_job(jobs: Jobs, connect: Callable[[], Client], queue: FairQueue) -> None:
    one, other = connect(), connect()
    jobs.steps = 100
    long = one.submit("elf", api_name="/adapt")
    next(iter(long))
    began = time.monotonic()
    asked = [other.submit(api_name=name) for name in ("/library", "/people", "/stop") * 3]
    for job in asked:
        job.result(timeout=PATIENCE)
    with pytest.raises(AppError, match="no entry"):
        other.predict("nothing-here", "title", api_name="/rename")
    assert time.monotonic() - began < 3
    assert not long.done()
    one.predict(api_name="/stop")
    long.result(timeout=PATIENCE)


# --- whatever waits or runs can be ended --------------------------------------------------------------------------


def test_who_stops_while_waiting_is_out_of_the_queue_at_once(jobs: Jobs, connect: Callable[[], Client]) -> None:
    one, other = connect(), connect()
    jobs.steps = 100
    long = one.submit("elf", api_name="/adapt")
    next(iter(long))
    for endpoint, asked, end in (
        ("/adapt", ("elf",), {"stage": "done", "entry": None, "stopped": "asked"}),
        ("/resume", ("any",), {"stage": "done", "entry": None, "stopped": "asked"}),
        ("/nearest", ("any", 1), []),
    ):
        waiting = other.submit(*asked, api_name=endpoint)
        time.sleep(0.3)
        began = time.monotonic()
        assert other.predict(api_name="/stop") is True
        assert waiting.result(timeout=PATIENCE) == end
        assert time.monotonic() - began < 1
    waiting = other.submit("source studio", api_name="/sample")
    time.sleep(0.3)
    assert other.predict(api_name="/stop") is True
    with pytest.raises(AppError, match="Stopped before its turn came"):
        waiting.result(timeout=PATIENCE)
    assert not long.done()
    assert other.predict(api_name="/stop") is False
    one.predict(api_name="/stop")
    assert long.result(timeout=PATIENCE)["stopped"] == "asked"
    assert len(jobs.begun) == 1, "what was stopped before its turn ran all the same"


def test_a_job_ends_when_its_time_is_up_and_keeps_what_it_reached(
    queue: FairQueue, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = client.submit("pencil sketch", **{**MANY, "mapper_steps": 1}, seed=71, api_name="/adapt")
    next(step for step in job if step["stage"] == "generator")
    monkeypatch.setattr(queue, "_policy", Policy(job_seconds=0.1))
    last = job.result(timeout=PATIENCE)
    assert last["stopped"] == "time"
    row = next(row for row in client.predict(api_name="/library") if row["name"] == last["entry"])
    assert row["stopped"] == "asked"
    monkeypatch.setattr(queue, "_policy", Policy())
    assert client.predict("pencil sketch", **FEW, seed=72, api_name="/adapt")["stopped"] is None


def test_the_page_says_that_the_time_was_up() -> None:
    service = Service(Policy(job_seconds=900))
    with gr.Blocks():
        controls = Controls(service, "", "Go", "Going …")
        controls.build_lines("Nothing yet.")

    def job(stop: Stop) -> Iterator[dict[Any, Any]]:
        yield controls.say("<p>Step 1</p>")
        stop.end("time", stops.time_words(900))
        yield controls.say("<p>Stopped at step 1, kept</p>")

    *_, last = controls._run(job, "me", ())
    assert last[controls.status].startswith("<p>Stopped at step 1, kept</p>")
    assert "Ended after 15 minutes, the most that this app allows one job" in last[controls.status]


def test_a_page_that_waits_in_one_tab_reads_why_it_cannot_start_in_another() -> None:
    service, visitor = Service(), SimpleNamespace(session_hash="me")
    with gr.Blocks():
        controls = Controls(service, "animation", "Go", "Going …")
        controls.build_lines("Nothing yet.")
    service.stops.join("a job", "me", "", lambda: None)
    with pytest.raises(gr.Error, match="wait for it, or stop it first"):
        controls._prepare(visitor)
    service.stops.start("a job")
    assert "Waiting for 1 other run" in controls._prepare(visitor)[controls.status]


def test_what_nobody_listens_to_ends(
    queue: FairQueue, http: httpx.Client, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SECONDS_TO_COME", 1.0)
    number, jobs.steps = number_of(queue, "adapt"), 10_000
    silent, waiting, gone, left = (invented() for _ in range(4))
    join(http, number, silent)
    join(http, number, waiting)
    until(lambda: jobs.ended == [silent], "who never listens keeps the queue")
    idle(queue)
    assert jobs.begun == [silent], "who never listens gets a turn after a long time"

    join(http, number, left)
    with listening(http, left) as messages:
        until(lambda: next(messages)["msg"] == "process_generating", "it doesn't run")
        join(http, number, gone)
        with listening(http, gone) as others:
            next(others)
    until(lambda: left in jobs.ended, "who left keeps the queue")
    idle(queue)
    assert gone not in jobs.begun


def test_a_job_without_results_on_the_way_is_asked_to_stop_when_its_client_has_left(
    queue: FairQueue, http: httpx.Client, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SECONDS_TO_COME", 1.0)
    monkeypatch.setattr(turns, "SECONDS_TO_CLOSE", 0.5)
    asked = []

    def nearest(service: Any, model: str, *rest: Any) -> Iterator[Any]:
        asked.append(rest[-1].wait(20))
        return iter(())

    monkeypatch.setattr(api, "nearest", nearest)
    join(http, number_of(queue, "nearest"), invented(), ["source studio", 1, 24, 4, 0.7])
    assert until(lambda: asked, "it runs on") == [True]


# --- nothing grows ------------------------------------------------------------------------------------------------


def test_invented_sessions_leave_nothing_behind(
    queue: FairQueue, http: httpx.Client, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SECONDS_TO_COME", 0.5)
    monkeypatch.setattr(turns, "SECONDS_OF_SILENCE", 0.5)
    fns = queue.blocks.fns
    prepare = next(number for number, fn in fns.items() if fn.name == "_prepare" and fn.validator is None)
    stop, before = number_of(queue, "_ask_to_stop"), set(queue.pending_event_ids_session)
    for _ in range(30):
        session = invented()
        assert join(http, prepare, session, [None] * len(fns[prepare].inputs)).status_code == 200
        http.post(f"{API}/run/predict", json={"data": [], "fn_index": stop, "session_hash": session})
        http.post(f"{API}/run/stop", json={"data": [], "session_hash": session})
        assert len(queue._stops) == 0, "an invented session is waited for"
    for _ in range(30):
        join(http, number_of(queue, "adapt"), invented())
    assert 0 < len(queue._stops) <= 30
    until(lambda: len(queue._stops) == 0, "jobs are kept", 20)
    until(lambda: set(queue.pending_event_ids_session) <= before, "sessions are kept", 20)
    assert not queue.event_ids_to_events
    assert not any(queue._joining.values())
    assert len(queue._stops._asked) <= stops._MAX_ASKED
    assert join(http, prepare, "x" * 10_000, []).status_code == 400
    kept = queue.blocks.state_holder.session_data.values()
    assert not any(session.config_values for session in kept), "each session has a copy of the page"


# --- in the page --------------------------------------------------------------------------------------------------


def test_a_visitor_who_waits_sees_how_many_are_before_and_can_go(
    queue: FairQueue, jobs: Jobs, http: httpx.Client, visit: Callable[..., Any]
) -> None:
    visitor = visit()
    jobs.steps = 10_000
    sessions = [invented() for _ in range(2)]
    number = number_of(queue, "adapt")
    with listening_to_all(http, number, sessions):
        visitor.ask("pencil sketch")
        visitor.sees("Waiting for 2 other runs")
        visitor.open_tab("Sample")  # which draws by itself, after its turn has come
        visitor.open_tab("Adapt")
        visitor.halt.click()
        visitor.sees("Stopped before its turn came", 5)
        visitor.start.wait_for()
        assert len(queue._stops) <= 3
        for session in sessions:
            queue._stops.stop(session)
    visitor.ask("pencil sketch", seed=81)
    visitor.sees("Done: pencil sketch")
    assert not visitor.errors


@contextmanager
def listening_to_all(http: httpx.Client, number: int, sessions: list[str]) -> Iterator[None]:
    with ThreadPoolExecutor(len(sessions)) as pool:
        for session in sessions:
            join(http, number, session)
            pool.submit(hear_out, http, session)
        yield
