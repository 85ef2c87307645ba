"""Where the app listens: whether this machine has an address, and whether a port is free, found out before Gradio asks.

Gradio tries a hundred ports for an address that no machine has, and says that no port was free. This module imports
neither Gradio nor anything of the project, whose package brings PyTorch.
"""

from __future__ import annotations

import errno
import socket

#: The largest number of a port.
MAX_PORT = 65535
#: Where the app listens if nobody says otherwise: this machine alone can reach it.
OURSELF = "127.0.0.1"
_HOSTS = f"{OURSELF} (this machine alone), 0.0.0.0 (other machines, too) or one of this machine's addresses"


class Unusable(ValueError):
    """Nothing can listen there; the sentence says why, and what can be given instead."""


def address(host: str) -> str:
    """`host` as Gradio takes it, an IPv6 address in brackets. Raises Unusable if this machine doesn't have it."""
    _bind(host, 0)
    bare = _bare(host)
    return f"[{bare}]" if ":" in bare else bare


def port(text: str) -> int:
    """The number of a port from 0, any free one, to MAX_PORT. Raises Unusable for anything else."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= MAX_PORT:
        raise Unusable(f"{text[:40]!a} is no port: give a number from 1 to {MAX_PORT}, or 0 for any free one.")
    return number


def asked_for(host: str | None, number: str | None, otherwise: str) -> tuple[str, int | None]:
    """Address and port as the command line names them; `otherwise` is the address, and the port None, if it doesn't.

    A port 0 becomes one that is free. Raises Unusable if nothing can listen there.
    """
    there = otherwise if host is None else address(host)
    return there, None if number is None else _bind(there, port(number))


def _bare(host: str) -> str:
    return host.strip().removeprefix("[").removesuffix("]")


def _bind(host: str, number: int) -> int:
    """The port that could be listened on at `host`; nothing listens there afterwards."""
    bare = _bare(host)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            bare, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):  # names that nobody knows, and names that no name can be
        raise Unusable(f"No machine is known as {bare[:80]!a}: give {_HOSTS}.") from None
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left can be taken
        try:
            trial.bind(place)
            trial.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Unusable(
                    f"Port {number} is taken by another program: give another, or none for the first free one."
                ) from None
            if error.errno == errno.EACCES:
                raise Unusable(f"Port {number} is not for this user: give one from 1024 on.") from None
            raise Unusable(f"This machine can't listen on {bare[:80]!a} ({error}): give {_HOSTS}.") from None
        return trial.getsockname()[1]
