"""A hub on 127.0.0.1: answers for files of repositories as the real one does, and misbehaves on request."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What the server holds and how it behaves.

    files: "owner/name/file" → bytes. status: answers that take their place, by the same names. wrong: bytes that are
    sent instead of those that were announced. broken: how many bytes a transfer brings before it breaks off, always.
    requests: (method, file, Range or "") as they came.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.wrong: dict[str, bytes] = {}
        self.broken: int | None = None
        self.requests: list[tuple[str, str, str]] = []
        self.address = ""

    def transfers(self, file: str) -> list[str]:
        """The ranges that were asked for of a file, "" for the whole."""
        return [span for method, name, span in self.requests if (method, name) == ("GET", file)]


class _Answers(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        owner, name, _, _, file = self.path.lstrip("/").split("/", 4)
        key = f"{owner}/{name}/{file}"
        self.hub.requests.append((self.command, key, self.headers.get("Range", "")))
        status = self.hub.status.get(key, 200 if key in self.hub.files else 404)
        if status >= 400:
            known = any(other.startswith(f"{owner}/{name}/") for other in self.hub.files)
            self.send_response(status)
            self.send_header("X-Error-Code", {404: "EntryNotFound" if known else "RepoNotFound"}.get(status, ""))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        announced = self.hub.files[key]
        content = self.hub.wrong.get(key, announced)
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("ETag", f'"{hashlib.sha256(announced).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(announced)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - first))
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not body:
            return
        rest = content[first:]
        if self.hub.broken is not None and len(rest) > self.hub.broken:
            self.wfile.write(rest[: self.hub.broken])
            self.hub.broken = 0  # and from now on nothing comes
            self.close_connection = True
            return
        self.wfile.write(rest)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers while the block lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
