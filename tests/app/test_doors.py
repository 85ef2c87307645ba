"""What gets in to the app by HTTP, and what doesn't: forged names and origins, needless routes, uploads, cookies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client
from visitor import SHARED_TOKEN

from tabs.access import private
from tabs.access.doors import Doors, is_known
from tabs.access.policy import MEGABYTE, Policy
from tabs.access.visitors import COOKIE

CALL = {"data": [], "session_hash": "of-this-test"}


@pytest.fixture
def http(app_url: str) -> Iterator[httpx.Client]:
    """Asks the app of one's own machine."""
    with httpx.Client(base_url=app_url) as client:
        yield client


# --- names and origins ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:7860", "192.168.7.7", "machine"])
def test_the_app_is_served_under_its_addresses(http: httpx.Client, host: str) -> None:
    name = socket.gethostname() if host == "machine" else host
    assert http.get("/", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.nip.io", ""]
)
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x"])
def test_a_foreign_name_leads_nowhere(http: httpx.Client, host: str, path: str) -> None:
    answer = http.get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert "isn’t served as" in answer.text
    assert "IPL_HOSTS" in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example", "http://[", "x"])
@pytest.mark.parametrize("path", ["run/stop", "call/library", "queue/join", "upload"])
def test_a_foreign_page_gets_no_answer(http: httpx.Client, origin: str, path: str) -> None:
    answer = http.post(f"/gradio_api/{path}", json=CALL, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "can’t use this app" in answer.text
    answer = http.get("/gradio_api/queue/data?session_hash=of-this-test", headers={"Origin": origin})
    assert answer.status_code == 403


def test_another_port_of_this_machine_is_a_foreign_page(http: httpx.Client) -> None:
    for origin, status in (("http://localhost:1", 403), (f"http://127.0.0.1:{http.base_url.port}", 200)):
        assert http.post("/gradio_api/run/stop", json=CALL, headers={"Origin": origin}).status_code == status


def test_a_proxy_on_this_machine_tells_what_was_asked_for(http: httpx.Client) -> None:
    told = {"Origin": "https://studio.example", "X-Forwarded-Host": "studio.example"}
    assert http.post("/gradio_api/run/stop", json=CALL, headers=told).status_code == 200
    other = {**told, "X-Forwarded-Host": "other.example"}
    assert http.post("/gradio_api/run/stop", json=CALL, headers=other).status_code == 403
    elsewhere = {**told, "Host": "192.168.7.7:7860"}  # where Gradio would let a foreign page send such a header
    assert http.post("/gradio_api/run/stop", json=CALL, headers=elsewhere).status_code == 403


@pytest.mark.parametrize(
    ("policy", "environment", "request_", "served_as", "status"),
    [
        (Policy(), {}, {"host": "studio.example"}, (), 403),
        (Policy(), {"IPL_HOSTS": "a.example, Studio.example:443"}, {"host": "studio.example"}, (), None),
        (Policy(), {}, {"host": "studio.example"}, ("studio.example",), None),
        (Policy(), {}, {"host": "x.gradio.live"}, ("127.0.0.1", "https://x.gradio.live"), None),
        (Policy(), {"SPACE_HOST": "me-studio.hf.space"}, {"host": "me-studio.hf.space"}, (), 403),
        (Policy(space=True), {}, {"host": "anything"}, (), None),
        (Policy(space=True), {}, {"host": "anything", "origin": "https://evil.example"}, (), 403),
        (
            Policy(space=True),
            {"SPACE_HOST": "me-studio.hf.space"},
            {"host": "10.0.0.1:7860", "origin": "https://me-studio.hf.space"},
            (),
            None,
        ),
        (
            Policy(space=True),
            {},
            {"host": "localhost", "origin": "https://evil.example", "x-forwarded-host": "evil.example"},
            (),
            403,
        ),
    ],
)
def test_names_may_be_listed(
    policy: Policy, environment: dict[str, str], request_: dict[str, str], served_as: Any, status: int | None
) -> None:
    doors = Doors(SimpleNamespace(policy=policy), environment)
    headers = [(name.encode(), value.encode()) for name, value in request_.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    with ThreadPoolExecutor(1) as thread:  # the browser tests leave a loop running in this one
        answer = thread.submit(anyio.run, doors.refusal, scope, served_as).result()
    assert (None if answer is None else answer.status_code) == status


# --- routes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("/monitoring", "/monitoring/summary", "/login", "/logout", "/gradio_api/dev/reload", "/gradio_api/runs"),
        *("/gradio_api/deep_link?session_hash=x", "/gradio_api/proxy=https://x.hf.space/", "/gradio_api/vibe-code"),
        *("/gradio_api/file=https://example.com/x.png", "/gradio_api/file=HTTPS://example.com", "/gradio_api/token"),
        *("/gradio_api/stream/a/b/1/playlist.m3u8", "/gradio_api/mcp", "/docs", "/openapi.json"),
        *(
            "/gradio_api/custom_component/a/client/b/c",
            "/gradio_api/run-history/buckets",
            "/gradio_api/file/etc/passwd",
        ),
    ],
)
def test_what_the_app_needs_not_is_closed(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


@pytest.mark.parametrize("path", ["component_server", "process_recording", "vibe-edit", "stream/x", "stream/x/close"])
def test_what_the_app_needs_not_takes_nothing(http: httpx.Client, path: str) -> None:
    assert http.post(f"/gradio_api/{path}", json={}).status_code == 404


def test_what_gradio_asks_for_is_open(http: httpx.Client) -> None:
    for path in ("/", "/config", "/theme.css", "/robots.txt", "/gradio_api/info", "/gradio_api/app_id"):
        answer = http.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert is_known("/gradio_api/queue/join/")
    assert not is_known("/gradio_api/")


def test_no_file_outside_the_uploads_is_given(http: httpx.Client) -> None:
    person = private.shelf("people") / "somebody.txt"
    person.touch()
    for path in ("/etc/passwd", "app.py", f"{Path(__file__)}", f"{person}"):
        assert http.get(f"/gradio_api/file={path}").status_code == 403


# --- uploads ----------------------------------------------------------------------------------------------------------


def upload(client: httpx.Client, megabytes: float, chunked: bool = False) -> httpx.Response:
    """Uploads that much; chunked: without saying how much it will be."""
    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.pt"\r\n\r\n'
    parts = [start, *[bytes(MEGABYTE // 10)] * round(10 * megabytes), b"\r\n--x--\r\n"]
    content = iter(parts) if chunked else b"".join(parts)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return client.post("/gradio_api/upload", content=content, headers=headers)


def test_uploads_have_a_limit_by_who_sends_them(shared_url: str) -> None:
    gradio = Path(get_upload_folder())
    before = set(gradio.iterdir())
    with httpx.Client(base_url=shared_url) as http:
        for chunked in (False, True):
            assert upload(http, 0.9, chunked).status_code == 200
            answer = upload(http, 2.5, chunked)
            assert (answer.status_code, "maximum allowed size" in answer.text) == (413, True)
    new = [path for path in gradio.iterdir() if path not in before]
    assert [path.is_dir() for path in new] == [True], "of what was refused something is left"

    admin = Client(shared_url, verbose=False)
    admin.predict(SHARED_TOKEN, api_name="/admin")
    with httpx.Client(base_url=shared_url, cookies=admin.cookies) as http:
        assert upload(http, 2.5, chunked=True).status_code == 200
        assert upload(http, 5.5, chunked=True).status_code == 413
    admin.close()


def test_a_call_is_no_way_to_send_files(http: httpx.Client) -> None:
    assert http.post("/gradio_api/run/stop", content=b" " * 9 * MEGABYTE).status_code == 413


# --- cookies ----------------------------------------------------------------------------------------------------------


def test_a_browser_of_a_shared_app_gets_one_cookie(shared_url: str) -> None:
    with httpx.Client(base_url=shared_url) as http:
        given = http.get("/").headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(given.split("; "))
        assert len(http.cookies[COOKIE]) == 43
        assert "Set-Cookie" not in http.get("/").headers
    made_up = {"Cookie": f"{COOKIE}=chosen-by-somebody"}
    assert COOKIE in httpx.get(shared_url, headers=made_up).headers["Set-Cookie"]


def test_in_the_frame_of_a_space_the_cookie_is_partitioned() -> None:
    doors = Doors(SimpleNamespace(policy=Policy(shared=True, space=True)), {})
    given = doors.cookie({"type": "http", "method": "GET", "path": "/", "headers": []})
    assert {"HttpOnly", "SameSite=None", "Secure", "Partitioned"} <= set(given.split("; "))


def test_on_ones_own_machine_there_is_none(http: httpx.Client) -> None:
    assert "Set-Cookie" not in http.get("/").headers
