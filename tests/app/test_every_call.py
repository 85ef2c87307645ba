"""Every function of the real app, public and private, with values that nobody means: each call ends in a sentence.

The app is one of its own, with a library, uploads and temporary files in folders that are watched: whatever is sent,
nothing outside the library and Gradio's cache changes.
"""

from __future__ import annotations

import asyncio
import html
import io
import json
import logging
import os
import re
import resource
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr
import httpx
import pytest
from fakes.kept_domains import entry_of
from gradio.state_holder import SessionState
from gradio.utils import safe_aclose_iterator
from PIL import Image
from starlette.requests import Request

from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.library import inversions, store
from ipl_core.models import catalog
from ipl_core.storage.folders import SETTINGS
from tabs.access.telling import UNEXPECTED

CHECKOUT = Path(__file__).parents[2]
FILE = {"_type": "gradio.FileData"}
#: Texts that mean something to a file system; CANARY stands for a file outside every folder that the app may write to.
PATHS = [
    "/../../../../../../..CANARY.webp",
    "../../CANARY",
    "CANARY.webp",
    "..\\..\\x.webp",
    "a\0.webp",
    "CON.webp",
    "~/x",
]
ODD = [
    *(None, True, "", " ", "x" * 400, "x" * 30_000, "half \ud83d", "turned \u202e\x00", "9" * 5000, "<b>bold</b>"),
    *(-1, 3.5, 10**30, 2.0**62, float("nan"), float("-inf")),
    *([], ["a", 1], {}, {"path": "/etc/passwd"}, {"path": "/etc/passwd", "meta": FILE}),
    *({"path": "https://example.org/a.png", "meta": FILE}, [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]], [0] * 20_000),
    *PATHS,
]
FEW = [True, "half \ud83d", "9" * 5000, -1, float("nan"), ["a", 1], {"path": "/etc/passwd", "meta": FILE}, PATHS[0]]


class App:
    """The running app as whoever speaks HTTP sees it. folder: around all that it may touch."""

    def __init__(self, demo: gr.Blocks, url: str, folder: Path) -> None:
        self.folder, self._http = folder, httpx.Client(base_url=f"{url}gradio_api/", timeout=120)
        # A loop in a thread of its own: the browser tests leave one running in this thread.
        self._demo, self._loop = demo, asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._state = SessionState(demo)
        config = httpx.get(f"{url}config").json()
        self.functions = [function for function in config["dependencies"] if function["backend_fn"]]
        self.components = {component["id"]: component for component in config["components"]}
        self.public = {function["api_name"]: function for function in self.functions if self._is_public(function)}

    @staticmethod
    def _is_public(function: dict[str, Any]) -> bool:
        return function["api_visibility"] == "public"

    def post(self, path: str, body: bytes, kind: str = "application/json") -> httpx.Response:
        return self._http.post(path, content=body, headers={"content-type": kind})

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """A file as a request names it."""
        (path,) = self._http.post("upload", files={"files": (name, data)}).json()
        return {"path": path, "meta": FILE}

    def call(self, function: dict[str, Any], values: list[Any], event: Any = None) -> str | None:
        """Calls as a page does. Gives what the error says, None for a result."""
        session = uuid.uuid4().hex
        body = {"fn_index": function["id"], "data": values, "event_data": event, "session_hash": session}
        joins = function["queue"] is not False
        answer = self.post("queue/join" if joins else "run/predict", json.dumps(body).encode())
        if answer.status_code != 200 or not joins:
            said = answer.json()
            return None if answer.status_code == 200 else str(said.get("error", said.get("detail")))
        with self._http.stream("GET", "queue/data", params={"session_hash": session}) as messages:
            for line in messages.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return None if message["success"] else str(message["output"]["error"])
        raise AssertionError("the call never ended")

    def call_inside(self, function: dict[str, Any], values: list[Any], event: Any = None) -> str | None:
        """The same without the way over HTTP and through the queue; of what is yielded, the first alone."""
        first = self._first(self._demo.fns[function["id"]], values, event)
        return asyncio.run_coroutine_threadsafe(first, self._loop).result()

    async def _first(self, function: Any, values: list[Any], event: Any) -> str | None:
        asked = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [],
            "query_string": b"",
            "client": ("::1", 1),
        }
        request = gr.Request(Request(asked), session_hash="inside")
        try:
            result = await self._demo.process_api(
                function, values, self._state, request, event_data=gr.EventData(None, event), session_hash="inside"
            )
        except gr.Error as error:
            return error.message
        if result.get("iterator") is not None:
            await safe_aclose_iterator(result["iterator"])
        return None

    def is_well(self) -> bool:
        """Whether it still answers as it should."""
        return self.call(self.public["library"], []) is None


@pytest.fixture(scope="module")
def app(app_module: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app of its own with an entry and a person in its library."""
    folder = tmp_path_factory.mktemp("odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPL_HOME", str(folder / "home"))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        (folder / "temporary").mkdir()
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        demo = app_module.build()
        entry_of("zombie", 0.3)
        inversions.keep(inversions.drawn_person(SeedPerson("studio", 3), catalog.load_generator("studio")))
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **app_module.LAUNCH)
        yield App(demo, url, folder)
        demo.close()


@pytest.fixture(scope="module")
def usual(app: App) -> dict[str, list[Any]]:
    """Values for every public function with which a call does as little as it can, in the order of its parameters."""
    (entry,), (person,) = store.list_entries(), inversions.list_people()
    name = entry.path.name
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(picture, "PNG")
    photo = app.upload("me.png", picture.getvalue())
    never_taught = "quixotic sketch"
    return {
        "adapt": [
            never_taught,
            "photo",
            "nada",
            "default",
            None,
            None,
            None,
            None,
            None,
            0,
            None,
            None,
            None,
            0,
            False,
            "",
            "vectors",
            "auto",
        ],
        "resume": ["nothing-here", 1],
        "stop": [],
        "library": [],
        "people": [],
        "sample": ["source studio", "0", 0.7, None, 4],
        "nearest": ["source studio", 0, 2, 1, 0.7],
        "mix": [name, "1", 3.0, ""],  # too strong
        "interpolate": ["source studio", "0, 1", "", 2, 24, True, False, "w", "smooth", 0.7, ".webp"],
        "invert": [
            photo,
            "me",
            "studio",
            "fast",
            "w",
            "none",
            1,
            0,
            0,
            1,
            0,
            0,
            1,
            0,
            "mean",
            "lpips-alex",  # not here
            None,
            "pixels",
            "",
        ],
        "restyle": [person.path.name, name, 1.0, ""],
        "rename": [name, "Zombies"],
        "pick": [name, 1],  # not kept
        "delete": ["nothing-here"],
        "export": [name, ".safetensors", 7],  # not kept
        "import": [None, "studio", "elf"],
        "admin": ["not the token"],
    }


def odd_values(app: App) -> list[Any]:
    canary = str(app.folder / "outside" / "precious")
    return [value.replace("CANARY", canary) if isinstance(value, str) else value for value in ODD]


def check_sentence(said: str | None, app: App, call: str) -> None:
    """Fails unless a call gave a result, or an error that is one plain sentence and tells nothing of the server."""
    if said is None:
        return
    words = html.unescape(said).strip().strip("'\"")
    assert 10 < len(words) <= 400, f"{call}: {words[:500]}"
    assert words[-1] in ".)”", f"{call}: {words}"
    assert len(words.splitlines()) == 1, f"{call}: {words}"
    own = (app.folder / name for name in ("home", "gradio", "temporary"))
    roots = (*own, CHECKOUT, Path.home(), Path(os.__file__).parent)
    assert words != UNEXPECTED, call
    for trace in ("Traceback", "object at 0x", "<class", "Error(", *map(str, roots)):
        assert trace not in words, f"{call}: {words}"


def tree(*folders: Path) -> dict[str, tuple[int, int]]:
    """Every file in the folders, with its size and when it was written; what tools keep beside them is left out."""
    found = {}
    for folder in folders:
        for parent, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if not name.startswith(".") and name != "__pycache__"]
            for path in (Path(parent, name) for name in names):
                found[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


@pytest.fixture
def untouched(app: App) -> Iterator[None]:
    """Watches that nothing changes outside the library and Gradio's cache."""
    precious = app.folder / "outside" / "precious.webp"
    precious.parent.mkdir(exist_ok=True)
    precious.write_bytes(b"precious")
    watched = (precious.parent, app.folder / "temporary", CHECKOUT)
    before = tree(*watched)
    yield
    assert tree(*watched) == before
    assert sorted(path.name for path in app.folder.iterdir()) == ["gradio", "home", "outside", "temporary"]
    databases = [f"{name}.sqlite3{more}" for name in ("studies", "owners") for more in ("", "-wal", "-shm")]
    assert {path.name for path in (app.folder / "home").iterdir()} <= {"runs", "people", *databases}


@pytest.mark.usefixtures("untouched")
def test_every_public_call_ends_in_a_result_or_a_sentence(app: App, usual: dict[str, list[Any]]) -> None:
    assert usual.keys() == app.public.keys()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for name, values in usual.items():
        function = app.public[name]
        assert len(values) == len(function["inputs"]), name
        check_sentence(app.call(function, values), app, name)
        for place in range(len(values)):
            for number, odd in enumerate(odd_values(app)):
                call = app.call if number % 10 == place % 10 else app.call_inside  # some all the way
                said = call(function, [*values[:place], odd, *values[place + 1 :]])
                check_sentence(said, app, f"{name}, value {place}: {odd!r:.80}")
                refused += said is not None
    assert refused > 1000
    assert app.is_well()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes
    assert len(store.list_entries()) <= 2
    assert [entry.path.name for entry in store.list_entries()].count(usual["mix"][0]) == 1


@pytest.mark.usefixtures("untouched")
def test_every_call_of_the_page_ends_in_a_result_or_a_sentence(app: App) -> None:
    for function in app.functions:
        count = len(function["inputs"])
        for start in range(len(FEW)):
            values = [FEW[(start + place) % len(FEW)] for place in range(count)]
            event = [None, {"name": "../..", "person": [1], "right": "x", "down": None}, "name", 7][start % 4]
            call = app.call if start == function["id"] % len(FEW) else app.call_inside
            said = call(function, values, event)
            check_sentence(said, app, f"{function['id']} {function['api_name']}: {values!r:.200}")
        check_sentence(app.call(function, []), app, f"{function['id']} without values")
        check_sentence(app.call(function, [1] * (count + 3)), app, f"{function['id']} with more values")
    assert app.is_well()


TRUE_SENTENCES: list[tuple[str, int, Any, str]] = [
    ("rename", 1, 7, "title must be text, not 7"),
    ("rename", 1, "half \ud83d", "half a character"),
    ("rename", 0, ["a"], "no entry a list of 1"),
    ("mix", 3, ["x"], "strength|title"),
    ("interpolate", 4, "fast", "“Frames a second” must be a number, not “fast”"),
    ("interpolate", 4, 1000, "Frames a second must be a number from 1 to 60, not 1000"),
    ("interpolate", 10, "/../../x.webp", "written as one of .webp, .mp4, .gif"),
    ("interpolate", 5, None, "Back to the start must be true or false, not None"),
    ("sample", 1, "9" * 5000, "Seeds go from 0 to 4294967295"),
    ("sample", 2, "0.7", "must be a number, not “0.7”"),
    ("restyle", 0, None, "no inverted picture None"),
    ("restyle", 0, "x" * 30_000, "at most 20000"),
    ("pick", 1, None, "whole number from 1 to 100000, not None"),
    ("pick", 1, 1.5, "whole number from 1 to 100000, not 1.5"),
    ("pick", 1, "1", "whole number from 1 to 100000, not “1”"),
    ("pick", 1, -1, "whole number from 1 to 100000, not -1"),
    ("pick", 1, 10**30, "too large"),
    ("export", 2, 2.5, "must be a whole number, not 2.5"),
    ("export", 2, None, "whole number from 0 to 100000, not None"),
    ("import", 0, None, "Choose a file"),
    ("import", 0, ["a"], "must be an uploaded file, not a list of 1"),
    ("import", 0, {}, "must be an uploaded file, not a dict of 0"),
    ("import", 0, "/etc/passwd", "must be an uploaded file"),
    ("import", 0, {"path": "/etc/passwd", "meta": FILE}, "wasn't uploaded"),
    ("invert", 0, {"path": "/etc/passwd"}, "wasn't uploaded"),
    ("invert", 0, {"path": "https://example.org/me.png", "meta": FILE}, "wasn't uploaded"),
    ("invert", 7, float("nan"), "finite number, not nan"),
    ("invert", 9, 1.5, "Which face is taken must be a whole number"),
    ("nearest", 1, True, "seed must be a whole number"),
    ("adapt", 4, True, "whole number from 1 to 5000, not True"),
    ("adapt", 5, "300", "not “300”"),
    ("adapt", 6, [1], "not a list of 1"),
    ("adapt", 9, {"a": 1}, "not a dict of 1"),
    ("adapt", 14, 1, r"Keep the optimiser \(keep_state\) must be true or false"),
    ("delete", 0, 7, "no entry 7"),
]


@pytest.mark.parametrize(("name", "place", "value", "words"), TRUE_SENTENCES, ids=range(len(TRUE_SENTENCES)))
def test_each_odd_value_has_a_sentence_of_its_own(
    app: App, usual: dict[str, list[Any]], name: str, place: int, value: Any, words: str
) -> None:
    said = app.call(app.public[name], [*usual[name][:place], value, *usual[name][place + 1 :]])
    assert said is not None
    assert re.search(words, html.unescape(said)), said


def test_a_mix_with_a_bad_title_is_not_kept(app: App, usual: dict[str, list[Any]]) -> None:
    kept = {entry.path for entry in store.list_entries()}
    for title in ("x" * 81, "half \ud83d", 7):
        assert app.call(app.public["mix"], [usual["mix"][0], "1", 0.5, title])
    assert {entry.path for entry in store.list_entries()} == kept


def test_no_file_of_the_server_is_read_or_served(app: App, usual: dict[str, list[Any]]) -> None:
    private = app.folder / "home" / "private.png"
    Image.new("RGB", (64, 64), "red").save(private)
    try:
        takes_files = [
            (function, place)
            for function in app.functions
            for place, component in enumerate(function["inputs"])
            if app.components[component]["type"] in ("file", "image", "uploadbutton")
        ]
        assert len(takes_files) >= 5
        for function, place in takes_files:
            for file in (
                {"path": str(private)},
                {"path": str(private), "meta": FILE},
                {"path": str(private), "meta": {}},
            ):
                values = [None] * len(function["inputs"])
                values[place] = file
                said = app.call(function, values)
                assert said is not None, f"{function['id']} {function['api_name']}"
                assert "wasn't uploaded" in html.unescape(said)
        for path in (private, "/etc/passwd", store.list_entries()[0].path / SETTINGS, CHECKOUT / "app.py"):
            assert app._http.get(f"file={path}").status_code in (403, 404)
    finally:
        private.unlink()


def test_calls_that_cannot_be_read_do_no_harm(app: App, caplog: pytest.LogCaptureFixture) -> None:
    start = '{"fn_index": 0, "session_hash": "a", "data": ['
    with caplog.at_level(logging.WARNING):
        for body in (
            (start + "9" * 5000 + "]}").encode(),
            start.encode() + b'"\xff\xfe"]}',
            (start + "[" * 50_000).encode(),
            (start + "[" * 300 + "]" * 300 + "]}").encode(),
            (start + '"' + "x" * 5_000_000 + '"]}').encode(),
            b"{}",
            b"[]",
            b'"x"',
            b"",
            b'{"data": "' + b"x" * 1000 + b'"}',
            b'{"data": [], "fn_index": 1e9, "session_hash": "a"}',
            b'{"data": [], "fn_index": -1, "session_hash": "a"}',
            b'{"data": [], "fn_index": 0, "session_hash": "\\ud83d"}',
            b'{"data": [], "fn_index": 0, "session_hash": "a", "trigger_id": "\\ud83d"}',
        ):
            for path in ("queue/join", "run/sample", "api/sample", "call/sample", "run/nothing", "call/v2/nothing"):
                answer = app.post(path, body)
                assert answer.status_code < 500, (path, body[:60])
                assert answer.status_code >= 400 or path == "call/sample"  # which reads nothing but the values
                assert len(answer.content) < 600
                assert b"Traceback" not in answer.content
            assert 400 <= app.post("queue/join", body, "text/plain").status_code < 500
    assert not [record for record in caplog.records if record.exc_info]
    assert app.is_well()
