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
from tabs.access.gate import Gate, detail
from tabs.access.policy import Policy
from tabs.access.roles import admin_token
from tabs.adapt import AdaptTab
from tabs.compare import CompareTab
from tabs.forms.favourites import Favourites
from tabs.interpolate import InterpolateTab
from tabs.library import LibraryTab
from tabs.picture import PictureTab
from tabs.sample import SampleTab
from tabs.service.jobs import AT_ONCE, LOOK
from tabs.service.service import Service
from tabs.service.turns import take_turns
from tabs.show import look
from tabs.study import StudyTab

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
        favourites = Favourites()
        gr.HTML(show.masthead("IPL Studio", "Name a domain, and watch a generator of portraits become it."))
        if service.policy.shared:
            gr.HTML(show.note(service.policy.words))
        with gr.Tabs(selected="adapt") as tabs:
            with gr.Tab("Adapt", id="adapt"):
                adapt = AdaptTab(service)
            with gr.Tab("Compare", id="compare") as compare_tab:
                compare = CompareTab(service, favourites)
            with gr.Tab("Sample", id="sample") as sample_tab:
                sample = SampleTab(service, favourites)
            with gr.Tab("Interpolate", id="interpolate") as interpolate_tab:
                interpolate = InterpolateTab(service, favourites)
            with gr.Tab("Your picture", id="picture") as picture_tab:
                picture = PictureTab(service, favourites)
            with gr.Tab("Library", id="library") as library_tab:
                shelf = LibraryTab(service)
            with gr.Tab("Blind study", id="study") as study_tab:
                ballot = StudyTab(service)

        def draw_from_run(entry: str) -> tuple[Any, Any, Any]:
            return gr.Tabs(selected="sample"), sample.choices(entry), sample.person_choices()

        def draw_from_library(event: gr.EventData) -> tuple[Any, Any, Any]:
            return draw_from_run(detail(event, "name"))

        def draw_person(person: str) -> tuple[Any, Any, Any]:
            return gr.Tabs(selected="sample"), sample.choices(), sample.person_choices(person)

        def open_asked(request: gr.Request) -> Any:
            return gr.Tabs(selected="study") if "study" in request.query_params else gr.skip()

        def forget(request: gr.Request) -> None:
            service.stops.leave(request.session_hash)
            service.roles.leave(request.session_hash)

        greeted = blocks.load(adapt.greet, None, adapt.greeting, **LOOK)
        adapt.forecast_on(greeted.then)
        blocks.load(favourites.show, favourites.remembered, favourites.listed, **AT_ONCE)
        compare_tab.select(compare.open, compare.outlined, compare.opened, **LOOK)
        blocks.load(sample.choices, None, sample.model, **AT_ONCE)
        opened = sample_tab.select(sample.choices, sample.model, sample.model, **AT_ONCE)
        sample.draw_new_on(opened.success)
        sample_tab.select(sample.person_choices, sample.person, sample.person, **AT_ONCE)
        blocks.load(interpolate.choices, None, interpolate.lists, **AT_ONCE)
        interpolate_tab.select(
            interpolate.choices, [*interpolate.lists, favourites.remembered], interpolate.lists, **AT_ONCE
        )
        picture_tab.select(
            picture.people.favourite_choices,
            favourites.remembered,
            [picture.people.favourite, picture.people.favourites_row],
            **AT_ONCE,
        )
        opened = picture_tab.select(picture.people.choices, picture.people.person, picture.people.person, **AT_ONCE)
        picture.people.restyle_on(opened.success)
        with_person = picture.people.to_sample.click(
            draw_person, picture.people.person, [tabs, sample.model, sample.person], **AT_ONCE
        )
        sample.draw_on(with_person.success)
        library_tab.select(shelf.contents, None, shelf.cards, **AT_ONCE)
        library_tab.select(shelf.domain_choices, shelf.domains, shelf.domains, **AT_ONCE)
        from_run = adapt.to_sample.click(draw_from_run, adapt.entry, [tabs, sample.model, sample.person], **AT_ONCE)
        sample.draw_on(from_run.success)
        for method, button in compare.to_sample.items():
            from_comparison = button.click(
                draw_from_run, compare.entries[method], [tabs, sample.model, sample.person], **AT_ONCE
            )
            sample.draw_on(from_comparison.success)
        picked = shelf.cards.click(draw_from_library, None, [tabs, sample.model, sample.person], **AT_ONCE)
        sample.draw_on(picked.success)
        managed = shelf.to_sample.click(draw_from_run, shelf.entry, [tabs, sample.model, sample.person], **AT_ONCE)
        sample.draw_on(managed.success)
        for ended in adapt.ends:
            ended.then(sample.newest, [adapt.entry, sample.model], sample.model, **AT_ONCE)
        blocks.load(open_asked, None, tabs, **AT_ONCE).then(ballot.look, ballot.remembered, ballot.page, **AT_ONCE)
        study_tab.select(ballot.look, ballot.remembered, ballot.page, **AT_ONCE)
        blocks.unload(forget)
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
