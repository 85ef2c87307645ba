"""Builds the demo and launches it: `python app.py`. What the tabs do is in `tabs/`, the method in `ipl_core/`."""

from __future__ import annotations

import argparse
import logging
import os
from typing import Any

import gradio as gr

from ipl_core import InputError
from tabs import api, look, show
from tabs.adapt import AdaptTab
from tabs.compare import CompareTab
from tabs.favourites import Favourites
from tabs.interpolate import InterpolateTab
from tabs.library import LibraryTab
from tabs.picture import PictureTab
from tabs.sample import SampleTab
from tabs.session import AT_ONCE, Service
from tabs.study import StudyTab, admin_token

#: `launch` takes the looks, and what keeps the app to itself: no history in the browser, no files but its own.
LAUNCH: dict[str, Any] = {
    "theme": look.theme(),
    "css_paths": look.STYLE_SHEET,
    "js": look.SCRIPT,
    "run_history": False,
    "ssr_mode": False,
    "max_file_size": "600mb",  # a generator of 1024×1024 with its optimiser; pictures have limits of their own
    "footer_links": ["api", "settings"],
}


def build() -> gr.Blocks:
    """The whole demo, not yet launched."""
    service = Service()
    with gr.Blocks(title="IPL Studio", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as blocks:
        favourites = Favourites()
        gr.HTML(show.masthead("IPL Studio", "Name a domain, and watch a generator of portraits become it."))
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
            return draw_from_run(event.name)

        def draw_person(person: str) -> tuple[Any, Any, Any]:
            return gr.Tabs(selected="sample"), sample.choices(), sample.person_choices(person)

        def open_asked(request: gr.Request) -> Any:
            return gr.Tabs(selected="study") if "study" in request.query_params else gr.skip()

        def forget(request: gr.Request) -> None:
            service.stops.leave(request.session_hash)

        greeted = blocks.load(adapt.greet, None, adapt.greeting, **AT_ONCE)
        adapt.forecast_on(greeted.then)
        blocks.load(favourites.show, favourites.remembered, favourites.listed, **AT_ONCE)
        compare_tab.select(compare.outline, compare.outlined, [compare.pictures, compare.outlined], **AT_ONCE)
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
    return blocks.queue(max_size=20)


try:
    demo = build()
except InputError as error:  # nothing to show without a list of models; the sentence says where it should be
    raise SystemExit(str(error)) from None


def main() -> None:
    """Launches the demo; the address is printed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="IPL Studio in the browser.")
    parser.add_argument("--host", help="address to listen on (this machine only)")
    parser.add_argument("--port", type=int, help="port to listen on (the first free one from 7860)")
    options = parser.parse_args()
    if not os.environ.get("IPL_STUDY_ADMIN"):
        print(f"Token for whoever runs a blind study: {admin_token()}", flush=True)
    demo.launch(server_name=options.host, server_port=options.port, **LAUNCH)


if __name__ == "__main__":
    main()
