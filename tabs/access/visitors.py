"""Identifies visitors: browsers by cookie, programs without cookies by session, both with their network address.

Gradio gives every handler's thread its request; only this module reads it. Cookies leave this module only as hashes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradio.context import LocalContext

COOKIE = "ipl-browser"
MAX_SESSION = 100  # characters of what a page or a program calls its session
_COOKIE_BYTES = 32
_WRITTEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Visitor:
    """Somebody who asks. owner: what entries of theirs are marked with, "" for nobody known. session: of Gradio's, one
    page or client. address: "" where it isn't known."""

    owner: str = ""
    session: str = ""
    address: str = ""


def new_cookie() -> str:
    """A random value for a browser that has none."""
    return secrets.token_urlsafe(_COOKIE_BYTES)


def owner_of(cookies: Mapping[str, str], session: str | None = None) -> str:
    """What stands for a browser with these cookies, or else for a session; "" without both."""
    value = cookies.get(COOKIE) or ""
    if _WRITTEN.fullmatch(value):
        return _digest(f"browser {value}")
    return _digest(f"session {session}") if session else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]


def current(behind_proxy: bool = False) -> Visitor:
    """Who asked for what this thread does; nobody where no request did. behind_proxy: see `came_from`."""
    request: Any = LocalContext.request.get(None)
    if request is None:
        return Visitor()
    session = request.session_hash or ""
    cookies = {COOKIE: request.cookies.get(COOKIE) or ""}
    return Visitor(owner_of(cookies, session), session, came_from(request, behind_proxy))


def came_from(request: Any, behind_proxy: bool) -> str:
    """The address that a request came from, as `address_of` has it.

    behind_proxy: whether a proxy that can be trusted notes in X-Forwarded-For in front of whom it is, as on a Space.
    """
    forwarded = request.headers.get("x-forwarded-for") if behind_proxy else None
    return address_of(request.client.host if request.client else "", forwarded)


def address_of(host: str, forwarded: str | None = None) -> str:
    """The address that a request came from, of IPv6 the network that one customer has (/64); "" for no address.

    forwarded: the header X-Forwarded-For, where a proxy that can be trusted writes it: the last public address counts,
    since all before it may be invented.
    """
    named = [host] if forwarded is None else [*forwarded.split(","), host]
    found = [address for address in map(_parsed, named) if address is not None]
    if not found:
        return ""
    address = next((one for one in reversed(found) if one.is_global), found[-1])
    if address.version == 6:
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip().partition("%")[0].strip("[]"))
    except ValueError:
        return None
