"""What the environment says of proxies, certificates and Gradio: what can't be used is left out, and said.

To be called before Gradio is imported, which reads the environment then and asks itself for its page when it starts.
This module imports neither Gradio nor anything of the project that brings PyTorch.
"""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

import httpx

from . import addresses

log = logging.getLogger(__name__)

#: Names under which a machine reaches itself.
OURSELVES = ("localhost", addresses.OURSELF, "::1")
_KINDS = ("http", "https", "all")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
#: Gradio's variables that it takes for whole numbers, with the least that makes sense.
_NUMBERS = {
    "GRADIO_NUM_PORTS": 1,
    "GRADIO_NODE_NUM_PORTS": 1,
    "GRADIO_NUM_WORKERS": 0,
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": 1,
    "GRADIO_ANALYTICS_MAX_EVENTS": 0,
}


def settle() -> str:
    """Makes what the environment says usable: changes its variables, for this process and its children.

    What can't be used is taken out, which is logged in a sentence that names no password. Returns the address to
    listen on, as Gradio takes it.
    """
    _settle_certificates()
    _settle_proxies()
    _settle_gradio()
    return _host()


def _host() -> str:
    """The address that GRADIO_SERVER_NAME names, else this machine's own.

    The variable is taken out: where it holds an IPv6 address, Gradio finds no port free on any address.
    """
    named = os.environ.pop("GRADIO_SERVER_NAME", "").strip()
    if named:
        try:
            return addresses.address(named)
        except addresses.Unusable as error:
            log.warning("GRADIO_SERVER_NAME is left out. %s", error)
    return addresses.OURSELF


def _settle_gradio() -> None:
    """Takes out numbers and addresses that would end Gradio with a traceback."""
    for name, least in _NUMBERS.items():
        value = os.environ.get(name)
        if value is not None and not (value.strip().isdecimal() and len(value) < 10 and int(value) >= least):
            _leave_out(name, f"is no whole number from {least} on")
    if "GRADIO_SERVER_PORT" in os.environ:
        try:
            if not addresses.port(os.environ["GRADIO_SERVER_PORT"]):
                _leave_out("GRADIO_SERVER_PORT", "is no port to begin at")
        except addresses.Unusable:
            _leave_out("GRADIO_SERVER_PORT", f"is no port from 1 to {addresses.MAX_PORT}")
    root = os.environ.get("GRADIO_ROOT_PATH")
    if root and not _is_root(root):
        _leave_out("GRADIO_ROOT_PATH", "is neither a path that begins with / nor an address")


def _is_root(root: str) -> bool:
    """Whether Gradio can put `root` in front of its addresses."""
    try:
        url, host = httpx.URL(root), urlsplit(root).hostname
    except (httpx.InvalidURL, ValueError):
        return False
    if root.startswith("/"):
        return not root.startswith("//")  # which would name another machine
    return url.scheme in ("http", "https") and bool(host)


def _leave_out(name: str, why: str) -> None:
    log.warning("%s is left out: %s %s.", name, ascii(os.environ.pop(name)[:40]), why)


def _settle_certificates() -> None:
    """Takes out files of certificates that aren't there or hold none: no request could be made."""
    for name in _CERTIFICATES:
        if os.environ.get(name) and not _usable({name: os.environ[name]}, f"The certificates in {name}", True):
            os.environ.pop(name)


def _settle_proxies() -> None:
    """Takes out proxies of a kind that can't be used, and adds exceptions for this machine."""
    named = {name: os.environ[name] for name in _variables() if os.environ.get(name)}
    told = dict.fromkeys(part.strip() for name in _EXCEPTIONS for part in os.environ.get(name, "").split(","))
    for name in (*named, *_EXCEPTIONS):
        os.environ.pop(name, None)
    if "*" in told:  # no proxy for anybody, this machine included
        kept = ["*"]
    else:
        kept = [part for part in (*told, *OURSELVES) if part and _usable({"no_proxy": part}, f"The exception {part}")]
    for name in _EXCEPTIONS:
        os.environ[name] = ",".join(dict.fromkeys(kept))
    for name, value in named.items():
        # A scheme says what kind it is; the rest may hold a password.
        scheme = value.partition("://")[0] if "://" in value else "http"
        if _usable({name: value}, f"The proxy in {name}, of the kind “{ascii(scheme[:20])[1:-1]}”,"):
            os.environ[name] = value


def _variables() -> list[str]:
    names = [f"{kind}_proxy" for kind in _KINDS]
    return [*names, *(name.upper() for name in names)]


def _usable(variables: dict[str, str], what: str, verify: bool = False) -> bool:
    """Whether httpx, through which Gradio and the hub are asked, can be made with these variables and no others."""
    names = (*_variables(), *_EXCEPTIONS, *_CERTIFICATES)
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update(variables)
    try:
        httpx.Client(verify=verify).close()
        return True
    except Exception as error:  # of values that can't be meant, and of packages that some kinds need
        log.warning("%s can't be used (%s): it is left out.", what, type(error).__name__)
        return False
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)
