"""Strings and values of requests where they are checked: names of files, paths of uploads, sizes, words of errors."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ipl_core import InputError
from ipl_core.library import inversions, store
from ipl_core.storage import folders
from ipl_core.storage.space import KeptElsewhere
from tabs.access import gate
from tabs.access.files import MAX_FILE_NAME, inside, uploaded
from tabs.access.gate import Bodies, Gate, Refusal, refusal
from tabs.access.telling import MAX_TOLD, UNEXPECTED, told
from tabs.forms.crop import picture_field
from tabs.requests.pictures import called

PIECES = st.sampled_from(
    ["..", "/", "\\", ".", " ", "\0", "\u202e", "\ud83d", "CON", "nul.txt", "ä", "👩‍🎨", "a" * 300, ".webp"]
)
NAMES = st.text() | st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)


# --- names of files ---------------------------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
@example(name="/../../../etc/precious.webp")
@example(name="")
def test_whatever_a_file_is_called_it_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    path = inside(tmp_path, name)
    assert path.parent == tmp_path
    assert path.resolve().parent == tmp_path.resolve()
    assert 0 < len(path.name.encode()) <= MAX_FILE_NAME + 1
    assert not path.name.startswith(".")
    assert path.name == path.name.strip(". ")
    assert not set(path.name) & set('/\\:*?"<>|\0\u202e')
    assert path.stem.split(".")[0].casefold() not in ("con", "nul", "prn", "aux")
    path.write_bytes(b"")
    path.unlink()


def test_plain_names_stay_and_endings_survive() -> None:
    folder = Path(tempfile.gettempdir())
    assert inside(folder, "zombie-nada-1234-step-20.safetensors").name == "zombie-nada-1234-step-20.safetensors"
    assert inside(folder, "z" * 400 + ".safetensors").name.endswith("z.safetensors")
    assert inside(folder, "animation-a/../b.webp").name == "animation-a-..-b.webp"


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return tmp_path / "uploads"


def test_only_uploads_are_read(uploads: Path, tmp_path: Path) -> None:
    own = uploads / ("0f" * 32) / "me.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"picture")
    assert uploaded(str(own)) == own
    (secret := tmp_path / "studies.sqlite3").write_bytes(b"votes")
    (own.parent / "link.png").symlink_to(secret)
    (uploads / "loose.png").write_bytes(b"x")
    strangers = [
        "/etc/passwd",
        str(secret),
        "me.png",
        "",
        "\0",
        "https://example.org/me.png",
        str(own.parent),
        "a" * 9999,
    ]
    strangers += [f"{own.parent}/../../studies.sqlite3", str(own.parent / "link.png"), str(uploads / "loose.png")]
    for path in [*strangers, str(own.parent / "gone.png"), "\ud83d"]:
        with pytest.raises(InputError, match="upload it again"):
            uploaded(path)


def test_a_picture_field_takes_no_path_of_the_server(uploads: Path, tmp_path: Path) -> None:
    field = picture_field()
    Path(tmp_path, "private.png").write_bytes(b"x")
    for meta in ({}, {"_type": "gradio.FileData"}):
        with pytest.raises(InputError, match="upload it again"):
            field.preprocess(field.data_model(path=str(tmp_path / "private.png"), meta=meta))
    assert field.preprocess(field.data_model(path=None, url="https://example.org")) is None


@settings(deadline=None)  # a busy machine is no fault
@given(name=st.none() | st.text(max_size=80), file=NAMES)
def test_a_person_has_a_name_that_can_be_kept(name: str | None, file: str) -> None:
    try:
        found = called(name, file.replace("\0", ""))
    except InputError:
        return
    assert 0 < len(found) <= 60
    assert found == " ".join(found.split())
    found.encode()


# --- words of errors --------------------------------------------------------------------------------------------


def test_folders_of_the_server_are_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "my home"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / "gradio"))
    entry, person = store.runs_folder() / "zombie-nada-12", inversions.people_folder() / "ada-34"
    checkout, folder = Path(__file__).parents[2], Path(tempfile.gettempdir())
    for error, words in (
        (f"The adapted domain in {entry} is damaged (x): delete it.", "domain in “zombie-nada-12” in the library is"),
        (f"Nothing can be kept in {store.runs_folder()}: full.", "Nothing can be kept in the library: full."),
        (f"There is no picture “x” in {person.parent}: choose one.", "in the library of people: choose one."),
        (f"There is nothing in {person}.", "nothing in “ada-34” in the library of people."),
        (f"{folders.home()}/studies.sqlite3 can't be used.", "The server’s library can't be used."),
        (f"{folder}/gradio/{'0f' * 32}/words.pt is a web page.", "“words.pt” is a web page."),
        (f"It is in {folder}/gradio-x7/word.pt.", "It is in a temporary folder."),
        (f"The list {checkout}/pretrained/registry.json is gone.", "The list the folder of models is gone."),
        (f"The file {checkout}/app.py, say.", "The file the program’s folder, say."),
        ("The model “/srv/private/me.safetensors” isn't here.", "The model “a file on the server” isn't here."),
        (r"The model C:\Users\me\x.pt isn't here.", "The model a file on the server isn't here."),
        ("See https://example.org/a/b and/or “3/4”.", "See https://example.org/a/b and/or “3/4”."),
    ):
        assert words.casefold() in told(InputError(error)).casefold()
    assert told(InputError("x " * 5000 + "/root/secret/a.txt")).endswith("x….")


@settings(deadline=None)  # a busy machine is no fault
@given(text=st.text(max_size=3000))
def test_what_is_told_is_short_and_can_be_sent(text: str) -> None:
    words = told(text)
    assert len(words) <= MAX_TOLD
    assert len(words.splitlines()) <= 1
    words.encode()
    assert told(words) == words or len(words) > MAX_TOLD - 30


def test_a_result_that_lies_elsewhere_is_said_to_be_kept(tmp_path: Path) -> None:
    words = told(KeptElsewhere(f"The disk of {tmp_path} is full. It lies in {tmp_path / 'kept'}.", tmp_path / "kept"))
    assert "nothing is lost" in words
    assert str(tmp_path) not in words


def test_what_nobody_foresaw_says_nothing_of_its_cause() -> None:
    for error in (KeyError("/root/x"), RuntimeError("Traceback …"), OSError(2, "No such file", "/etc/passwd")):
        assert told(error) == UNEXPECTED
    assert str(refusal(InputError("<b>")).message) == "&lt;b&gt;"


# --- values -----------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
)


@settings(deadline=None)  # a busy machine is no fault
@given(value=JSON)
def test_any_value_passes_or_is_refused_in_a_sentence(value: Any) -> None:
    for kind in (gr.Textbox, gr.Number, gr.Checkbox, gr.Dropdown, gr.Radio, gr.CheckboxGroup, gr.File, gr.Image):
        words = "."
        try:
            gate._check_size(value, "“It”")
            gate._check_kind(kind(render=False), value, "“It”")
        except InputError as error:
            words = str(error)
        assert words.endswith(".")
        assert len(words) < 200


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x" * 20_001, "at most 20000"),
        ("half \ud83d", "half a character"),
        ({"\ud83d": 1}, "half a character"),
        (2**64, "too large"),
        (10**400, "too large"),
        (float("nan"), "finite number, not nan"),
        ([[float("-inf")]], "finite number, not -inf"),
        (nested(17), "nested more than 16 deep"),
        (list(range(10_000)), "more than 10000 values"),
        ([[0] * 200] * 200, "more than 10000 values"),
        ([{"path": "/etc/passwd"}], "upload it again"),
    ],
    ids=range(11),
)
def test_values_beyond_any_use_are_refused(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        gate._check_size(value, "“It”")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("component", "value", "words"),
    [
        (gr.Textbox(render=False), 7, "must be text, not 7"),
        (gr.Number(render=False), "7", "must be a number, not “7”"),
        (gr.Number(render=False), True, "must be a number, not True"),
        (gr.Number(precision=0, render=False), 3.5, "must be a whole number, not 3.5"),
        (gr.Slider(render=False), [1], "must be a number, not a list of 1"),
        (gr.Checkbox(render=False), "yes", "must be true or false"),
        (gr.Radio(["a"], render=False), "b", "has no choice “b”"),
        (gr.Radio(["a"], render=False), ["a"], "must be one of its choices"),
        (gr.Dropdown(["a"], multiselect=True, render=False), "a", "must be a list"),
        (gr.Dropdown(["a"], multiselect=True, render=False), [{}], "must be one of its choices"),
        (gr.CheckboxGroup(["a"], render=False), ["b"], "has no choice “b”"),
        (gr.File(render=False), "/etc/passwd", "must be an uploaded file"),
        (gr.Dataset(components=["textbox"], samples=[["a"]], render=False), 1, "must be a whole number from 0 to 0"),
    ],
    ids=range(13),
)
def test_a_value_of_another_kind_is_refused(component: Any, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"^“It” {words}"):
        gate._check_kind(component, value, "“It”")


def test_what_fits_passes() -> None:
    for component, value in (
        (gr.Number(precision=0, render=False), 3.0),
        (gr.Dropdown(["a"], allow_custom_value=True, multiselect=True, render=False), ["a", "b"]),
        (gr.Radio([("one", 1)], render=False), 1),
        (gr.Dropdown([("one", "a")], render=False), "a"),
        (gr.CheckboxGroup(["a", "b"], render=False), ["b"]),
        (gr.Slider(0, 1, render=False), 0.5),
        (gr.Checkbox(render=False), False),
        (gr.Textbox(render=False), None),
        (gr.HTML(render=False), {"a": 1}),
    ):
        gate._check_kind(component, value, "“It”")


# --- bodies -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bodies() -> TestClient:
    """A server of one route behind `Bodies`: it says back what came, or breaks."""

    async def answer(request: Request) -> JSONResponse:
        asked = await request.json()
        if asked.get("break"):
            raise RuntimeError("/root/secret")
        return JSONResponse({"came": asked})

    with Gate() as blocks:
        gr.api(lambda: None, api_name="known")
    paths = ("/gradio_api/queue/join", "/gradio_api/run/{name}", "/gradio_api/call/v2/{name}")
    routes = [Route(path, answer, methods=["POST"]) for path in paths]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Bodies, blocks=blocks)]))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("queue/join", b'{"data": [' + b"9" * 5000 + b"]}", 400),
        ("queue/join", b'{"data": ["\xff\xfe"]}', 400),
        ("queue/join", b"[" * 100_000, 400),
        ("queue/join", b'{"data": ' + b"[" * 40 + b"]" * 40 + b"}", 400),
        ("queue/join", b"{", 400),
        ("queue/join", b'{"data": ["' + b"x" * 1_000_000 + b'"]}', 413),
        ("queue/join", b'{"data": [], "fn_index": 999}', 404),
        ("queue/join", b'{"data": [], "fn_index": "0"}', 404),
        ("queue/join", b'{"data": [], "fn_index": true}', 404),
        ("run/unknown", b'{"data": []}', 404),
        ("call/v2/unknown", b'{"fn_index": 0}', 404),
        ("call/v2/unknown", b"{}", 404),
        ("queue/join", json.dumps({"data": [], "session_hash": "x" * 201}).encode(), 400),
        ("queue/join", json.dumps({"data": [], "session_hash": "\ud83d"}).encode(), 400),
        ("run/known", b'{"break": true}', 500),
    ],
    ids=range(15),
)
def test_calls_that_cannot_be_read_are_answered(bodies: TestClient, path: str, body: bytes, status: int) -> None:
    answer = bodies.post(f"/gradio_api/{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"].endswith(".")
    assert len(answer.content) < 400
    assert b"secret" not in answer.content


def test_other_bodies_come_as_they_were_sent(bodies: TestClient) -> None:
    for path, asked in (("queue/join", {"data": ["ä"], "fn_index": 0}), ("run/known", {"data": [nested(16)]})):
        assert bodies.post(f"/gradio_api/{path}", json=asked).json() == {"came": asked}
    assert issubclass(Refusal, gr.Error)
