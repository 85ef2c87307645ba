"""Builds the demo and launches it: `python app.py`. What the tabs do is in `tabs/`, the method in `ipl_core/`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from tabs.access import addresses, environment, private

HOST = environment.settle()
private.hold()  # before Gradio is imported, which asks then where its files belong

import tabs.service.zero  # noqa: F401 – before PyTorch, as what it lends a GPU by asks for

# isort: split
import gradio as gr
import torch
from starlette.middleware import Middleware

from ipl_core import InputError
from ipl_core.devices import cores
from ipl_core.memory import share_heaps
from tabs import api, show
from tabs.access.doors import DoorKeeper, Doors
from tabs.access.gate import Gate
from tabs.access.policy import Policy
from tabs.access.roles import admin_token
from tabs.base import Page, build_tabs
from tabs.service.service import Service
from tabs.service.turns import take_turns
from tabs.show import look

#: `launch` takes the looks, and what keeps the app to itself: no history in the browser, no files but its own.
LAUNCH: dict[str, Any] = {
    "theme": look.theme(),
    "css_paths": look.STYLE_SHEET,
    "js": look.SCRIPT,
    "run_history": False,
    "ssr_mode": False,
    "max_file_size": Policy.generator_bytes,  # 1024×1024 with its optimiser; pictures have limits of their own
    "enable_monitoring": False,
    "footer_links": ["api", "settings"],
    "app_kwargs": {"middleware": [Middleware(DoorKeeper)]},
}


def build(policy: Policy | None = None) -> gr.Blocks:
    """The whole demo, not yet launched. policy: what visitors may do, by default as the environment says."""
    service = Service(policy)
    service.load_first()
    with Gate(title="IPL Studio", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as blocks:
        gr.HTML(show.masthead("IPL Studio", "Name a domain, and watch a generator of portraits become it."))
        if service.policy.shared:
            gr.HTML(show.note(service.policy.words))
        build_tabs(Page(service), blocks.load)
        blocks.unload(service.forget)
        api.register(service)
    blocks.doors = Doors(service.roles)
    return take_turns(blocks, service.stops, service.policy)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command line. Ends the program for what can't be meant, and for --help."""
    parser = argparse.ArgumentParser(
        description="IPL Studio in the browser.",
        epilog="IPL_HOSTS in the environment lists the names, with commas between them, under which the app is reached "
        "from elsewhere; addresses and this machine's own name need no list.",
    )
    parser.add_argument("--host", help="address to listen on (127.0.0.1, for this machine only)")
    parser.add_argument("--port", help="port to listen on, 0 for any (the first free one from 7860)")
    parser.add_argument(
        "--shared",
        action="store_true",
        help="for people who don't know each other: each changes only what came from their own browser, within limits; "
        "the printed token allows everything (the default on a Hugging Face Space, and with IPL_SHARED=1)",
    )
    options = parser.parse_args(arguments)
    try:
        options.host, options.port = addresses.asked_for(options.host, options.port, HOST)
    except addresses.Unusable as error:
        parser.error(str(error))
    return options


OPTIONS = parsed(sys.argv[1:] if __name__ == "__main__" else [])
try:
    demo = build(Policy.from_environment(shared=OPTIONS.shared))
except InputError as error:  # nothing to show without a list of models; the sentence says where it should be
    raise SystemExit(str(error)) from None


class _AskedToEnd(BaseException):
    """A signal asks the program to end."""

    def __init__(self, number: int) -> None:
        self.number = number


_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _ask_to_end(number: int, frame: FrameType | None) -> None:
    for ending in _ENDING:  # to be asked again, as by `timeout`, is no reason to leave the cleaning
        signal.signal(ending, signal.SIG_IGN)
    raise _AskedToEnd(number)


def main() -> None:
    """Launches the demo; the address is printed. Whatever ends it but a kill, nothing of its visitors is left."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for ending in _ENDING:
        signal.signal(ending, _ask_to_end)
    share_heaps()
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    try:
        private.use_for_temporary_files()
        if not os.environ.get("IPL_ADMIN") and not os.environ.get("IPL_STUDY_ADMIN"):
            whom = "this app" if demo.doors.shared else "a blind study"
            print(f"Token for whoever runs {whom}: {admin_token()}", flush=True)
        demo.launch(server_name=OPTIONS.host, server_port=OPTIONS.port, **LAUNCH)
    except _AskedToEnd as asked:
        private.release()
        signal.signal(asked.number, signal.SIG_DFL)
        os.kill(os.getpid(), asked.number)  # so that whoever asked sees that it ended of that
    except KeyboardInterrupt:  # while it starts; later Gradio takes it for the wish to end
        print("Ended before it had started.")
    finally:
        private.release()


if __name__ == "__main__":
    main()
