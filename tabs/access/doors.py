"""Checks HTTP requests before the app handles them: host name, origin, path and size. Also sets the browser's cookie.

A page of another site could make a browser send requests here, through a host name that resolves to this machine (DNS
rebinding) or with a foreign Origin; both are refused. Programs send no Origin. This module knows only HTTP, no
components and no models.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .policy import MAX_BODY, MEGABYTE
from .roles import Roles
from .visitors import COOKIE, new_cookie, owner_of

#: All that Gradio's page and clients ask for; the rest of what Gradio answers tells or does more than this app needs.
_PAGES = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon(/\d+)?|/(static|assets|svelte)/.+"
)
_ENDPOINTS = re.compile(
    r"/(info|openapi\.json|app_id|user|login_check|theme\.css|startup-events|queue/(join|data|status)|cancel|reset"
    r"|upload|upload_progress|heartbeat/[^/]+|(run|api)/[^/]+|call/(v2/)?[^/]+(/[^/]+)?|file=(?!https?:).+)",
    re.IGNORECASE,
)
_API, _UPLOAD = "/gradio_api", "/gradio_api/upload"
_WRAPPING = MEGABYTE  # what a form adds to the files in it
_YEAR = 365 * 24 * 3600
_LOOPBACK = ("localhost", "127.0.0.1")


class Doors:
    """The rules of one app, which `blocks.doors` holds and `DoorKeeper` applies.

    environment: where `IPL_HOSTS` names the app's public names, and a Space its own.
    """

    def __init__(self, roles: Roles, environment: Mapping[str, str] = os.environ) -> None:
        self._roles, self._policy = roles, roles.policy
        named = f"{environment.get('IPL_HOSTS', '')},{environment.get('SPACE_HOST', '') if self._policy.space else ''}"
        self._names = frozenset(filter(None, (host_of(part.strip()) for part in named.split(","))))

    @property
    def shared(self) -> bool:
        """Whether people who don't know each other use the app."""
        return self._policy.shared

    # --- who asks for what --------------------------------------------------------------------------------------

    async def refusal(self, scope: Scope, served_as: Iterable[str]) -> PlainTextResponse | None:
        """The answer to a request that doesn't get in; None for one that does.

        served_as: names that the app was started with, such as that of `--host` or of a share link.
        """
        headers = Headers(scope=scope)
        host, names = headers.get("host", ""), self._names | {host_of(name) for name in served_as}
        # A Space is public under whatever name its host gives it, so there is nothing to gain by another.
        if not self._policy.space and not await self._is_ours(host_of(host), names):
            return PlainTextResponse(
                f"This app isn’t served as “{_shown(host)}”: whoever runs it can add that name to IPL_HOSTS.", 403
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own_page(origin, host, headers.get("x-forwarded-host", ""), names):
            return PlainTextResponse(f"A page of “{_shown(origin)}” can’t use this app: open the app itself.", 403)
        if scope["type"] != "http" or not is_known(_route(scope)):
            return PlainTextResponse("This app has no such page.", 404)
        return None

    async def _is_ours(self, name: str, names: frozenset[str]) -> bool:
        if name == "localhost" or name in names or _is_address(name):
            return bool(name)
        return name in await anyio.to_thread.run_sync(_machine_names)

    def _is_own_page(self, origin: str, host: str, forwarded: str, names: frozenset[str]) -> bool:
        place = _place(origin)
        if place is None:
            return False
        if place == _place(f"{origin.partition(':')[0]}://{host}"):
            return True
        # A proxy on this machine that asks by the loopback address tells what the browser asked for. A foreign page
        # can't: it would need leave to send such a header, which Gradio gives to none where this is the address.
        proxied = host_of(forwarded) if host_of(host) in _LOOPBACK and not self._policy.space else ""
        return host_of(origin) in names | {proxied}

    # --- how much -----------------------------------------------------------------------------------------------

    def limit(self, scope: Scope) -> int:
        """Bytes that the body of a request may have."""
        if _route(scope) != _UPLOAD:
            return MAX_BODY
        connection = HTTPConnection(scope)
        owner = owner_of(connection.cookies, connection.query_params.get("session_hash"))
        return self._roles.may_upload(owner) + _WRAPPING

    # --- cookies ------------------------------------------------------------------------------------------------

    def cookie(self, scope: Scope) -> str | None:
        """The header that gives a browser its cookie, where that comes for the page and has none yet."""
        if not self._policy.shared or scope["method"] != "GET" or _route(scope) not in ("/", "/config"):
            return None
        if owner_of(HTTPConnection(scope).cookies):
            return None
        # A Space shows the app in a frame of another site, which gets a cookie of its own only if it is partitioned.
        within = "SameSite=None; Secure; Partitioned" if self._policy.space else "SameSite=Lax"
        return f"{COOKIE}={new_cookie()}; Path=/; Max-Age={_YEAR}; HttpOnly; {within}"


class DoorKeeper:
    """ASGI middleware that applies the rules of the app's `Doors` to every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        blocks = scope["app"].get_blocks()
        doors: Doors = blocks.doors
        served_as = (getattr(blocks, "server_name", None) or "", getattr(blocks, "share_url", None) or "")
        refused = await doors.refusal(scope, served_as)
        limit, cookie = 0, None
        if refused is None:
            limit, cookie = doors.limit(scope), doors.cookie(scope)
            if _length(scope) > limit:
                refused = PlainTextResponse(_too_large(limit), 413)
        if refused is not None:
            await refused(scope, receive, send)
            return
        await self._watched(scope, receive, send, limit, cookie)

    async def _watched(self, scope: Scope, receive: Receive, send: Send, limit: int, cookie: str | None) -> None:
        had, answered = 0, False

        async def counted() -> Message:
            nonlocal had
            message = await receive()
            had += len(message.get("body", b""))
            if had > limit:
                raise _TooLarge(_too_large(limit))
            return message

        async def answer(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        try:
            await self._app(scope, counted, answer)
        except _TooLarge as error:
            if answered:
                raise
            await PlainTextResponse(str(error), 413)(scope, receive, send)


class _TooLarge(MultiPartException):
    """More came than was announced or is allowed. Of this kind, so that Gradio removes what it has written of a file,
    and answers with the words."""

    def __str__(self) -> str:
        return self.message


def _too_large(limit: int) -> str:
    # Gradio tells this by its middle from other faults of a form.
    return f"This is above the maximum allowed size of {limit // MEGABYTE} MB: choose a smaller file."


def is_known(path: str) -> bool:
    """Whether the app answers at this path."""
    short = path.rstrip("/") or "/"
    if short.startswith(f"{_API}/"):
        return _ENDPOINTS.fullmatch(short[len(_API) :]) is not None
    return _PAGES.fullmatch(short) is not None


def host_of(text: str) -> str:
    """The name or address in a Host header, an Origin or a URL, without its port, in lower case; "" for none."""
    try:
        found = urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""
    return found.rstrip(".")


def _place(origin: str) -> tuple[str, int] | None:
    """Name and port of an origin; None for what is none, such as "null"."""
    try:
        parts = urlsplit(origin)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname.rstrip("."), port) if parts.hostname else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@functools.cache
def _machine_names() -> frozenset[str]:
    """What this machine is called; asking for the full name may take seconds."""
    short = socket.gethostname().lower()
    return frozenset({short, f"{short}.local", socket.getfqdn().lower()} - {""})


def _route(scope: Scope) -> str:
    """The path below the one that a proxy may put before all."""
    path, root = scope["path"], scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _length(scope: Scope) -> int:
    """How long a request says that it is; 0 where it doesn't say."""
    said = Headers(scope=scope).get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else 0


def _shown(value: Any) -> str:
    return re.sub(r"[^!-~]", "", str(value))[:80]
