"""The comparison behind the Compare tab, on tiny models and without a server: runs, figures, Stop, what is kept."""

from __future__ import annotations

import csv
import html
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch

from ipl_core import AdaptResult, InputError
from ipl_core.clip.model import Critic
from ipl_core.library import find_or_run, store
from ipl_core.metrics.clip_distance import clip_distance
from ipl_core.metrics.side_by_side import FIRST, FOLLOWED, SideBySide, allowed
from ipl_core.models import catalog
from ipl_core.models.catalog import load_generator
from ipl_core.running.steps import Pictures
from ipl_core.storage import folders
from ipl_core.studio.judge import Judge
from tabs import show
from tabs.base import Page
from tabs.compare import CompareTab
from tabs.service.service import Service

pytestmark = pytest.mark.usefixtures("studio")
ASKED = {
    "target": "zombie",
    "methods": ["ipl", "nada"],
    "preview_seeds": "0-2",
    "source": "photo",
    "preset": "default",
    "mapper_steps": 2,
    "steps": 3,
    "learning_rate": 0.002,
    "seed": 0,
    "prompts": "vectors",
    "vocabulary": "auto",
    "own_words": "",
    "model": "studio",
    "critic": "",
    "metrics": list(FIRST),
}


@pytest.fixture
def tab() -> CompareTab:
    """The tab without a page."""
    with gr.Blocks():
        return CompareTab(Page(Service()))


def updates(tab: CompareTab, stop: threading.Event | None = None, **changes: Any) -> Iterator[dict[Any, Any]]:
    return tab._run(stop or threading.Event(), *{**ASKED, **changes}.values())


def last(seen: list[dict[Any, Any]], component: Any) -> Any:
    """What a component shows after all updates."""
    return [update[component] for update in seen if component in update][-1]


def test_described_people_stand_beside_the_other_methods_when_they_are_asked_for(tab: CompareTab) -> None:
    titles = dict(tab._fields["methods"].choices)
    assert titles["IPL, described"] == "described"
    assert "described" not in tab._fields["methods"].value  # what a click compares stays what it was
    seen = list(updates(tab, methods=["described", "nada"]))
    assert "Done: zombie, 2 of 2 methods are complete" in last(seen, tab._controls.status)
    assert "zombie, IPL, described" in last(seen, tab.pictures)
    (entry,) = [entry for entry in store.list_entries() if entry.config.method == "described"]
    assert {row["stage"] for row in entry.history()} == {"generator"}


def test_what_prompts_say_stands_under_each_person_of_a_method_whose_prompts_say_something(tab: CompareTab) -> None:
    words = {"prompts": "words", "vocabulary": "own", "own_words": "bald, curly\nsmiling, frowning"}
    seen = list(updates(tab, methods=["nada", "ipl", "described"], **words))
    runs = {entry.config.method: entry for entry in store.list_entries()}
    assert {run.config.vocabulary for run in runs.values()} == {"bald, curly;smiling, frowning"}
    source, nada, ipl, described = re.findall('<div class="row">.*?</div>.*?</div>', last(seen, tab.pictures))
    assert "reads as" not in source + nada
    for row, run in ((ipl, runs["ipl"]), (described, runs["described"])):
        captions = re.findall('alt="seed (.)[^>]*><figcaption><span class="reads" title="(.*?)"', row)
        assert {int(seed): said for seed, said in captions} == run.readings
    early = next(update[tab.pictures] for update in seen if "adapting the generator" in update.get(tab.pictures, ""))
    assert "reads as" not in early, "NADA's prompts say nothing"
    live = [update[tab.pictures] for update in seen if "learning the prompts" in update.get(tab.pictures, "")]
    assert live, "prompts that are being learned are not watched"
    assert not any("reads as" in html for html in live), "prompts are read before they are learned"


def test_kept_runs_are_read_for_people_whom_they_did_not_watch(
    tab: CompareTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(updates(tab, methods=["described"]))
    (entry,) = store.list_entries()
    read = find_or_run.readings(entry, [2, 9])
    again = list(updates(tab, methods=["described"], preview_seeds="2, 9"))
    assert len(store.list_entries()) == 1
    captions = re.findall('class="reads" title="(.*?)"', last(again, tab.pictures))
    assert captions == [read[2], read[9]]
    monkeypatch.setattr(find_or_run, "readings", None)
    noted = list(updates(tab, methods=["described"], preview_seeds="1, 0"))
    captions = re.findall('class="reads" title="(.*?)"', last(noted, tab.pictures))
    assert captions == [entry.readings[1], entry.readings[0]]


def test_before_any_comparison_its_people_and_ideas_are_shown_once(tab: CompareTab) -> None:
    html, outlined = tab.outline(False)
    assert outlined
    assert html.count("<img") == 6
    assert "a direction for each person" in html
    assert tab.outline(True)[1]
    assert "<img" not in str(tab.outline(True)[0])


def test_every_method_is_run_kept_measured_and_shown(tab: CompareTab) -> None:
    seen = list(updates(tab))
    assert {entry.config.method for entry in store.list_entries()} == {"ipl", "nada"}
    pictures = last(seen, tab.pictures)
    alts = re.findall('alt="(.*?)"', pictures)
    assert len(alts) == 3 * 3
    assert {"seed 0, photo", "seed 2, zombie, IPL", "seed 1, zombie, NADA"} <= set(alts)
    assert "3 steps" in pictures
    table = last(seen, tab._table)
    assert re.findall('<th scope="col">(.*?)</th>', table) == ["", "Source", "NADA", "IPL"]
    assert "64 fresh samples" in table
    assert "Done: zombie, 2 of 2 methods are complete" in last(seen, tab._controls.status)
    for method in ("ipl", "nada"):
        entry = last(seen, tab.entries[method])
        assert store.open_entry(store.runs_folder() / entry).config.method == method
        handed_out = Path(last(seen, tab._kept[method][1]).constructor_args["value"])
        assert not handed_out.is_relative_to(folders.home()), "Gradio hands out no file of the library"
        assert handed_out.name == f"{entry}.json"
    assert last(seen, tab.entries["shared"]) == ""
    assert "NADA on the left, IPL on the right" in last(seen, tab._slider_words)
    one, other = last(seen, tab._slider)
    assert one.size == other.size == (256, 256)
    assert one.tobytes() != other.tobytes()


def columns(table: str) -> list[str]:
    return re.findall('<th scope="col">(.*?)</th>', table)


def cells(table: str, metric: str) -> list[str]:
    """The cells of the line of a metric."""
    (line,) = [line for line in table.split("<tr>") if f'"row">{html.escape(metric)}' in line]
    return re.findall("<td>(.*?)</td>", line)


@pytest.mark.usefixtures("studio_of_sitters")
def test_floor_and_ceiling_stand_beside_and_all_of_it_is_a_file(tab: CompareTab) -> None:
    metrics = ["attributes", "direction_spread", "scs", "kid", "sifid"]
    texts = []
    for update in updates(tab, methods=["nada"], metrics=metrics):
        if tab._csv in update and "value" in update[tab._csv].constructor_args:
            file = Path(update[tab._csv].constructor_args["value"])
            texts.append((file.name, file.read_text(encoding="utf-8")))
    ((name, text),) = texts
    assert name == "zombie-compared.csv"
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(text))}
    assert set(metrics) < set(rows)
    assert {"attributes.smile", "sifid.R1"} <= set(rows)
    assert list(rows["kid"]) == [
        *("target", "metric", "title", "better", "samples"),
        *("source", "nada", "floor", "ceiling"),
    ]
    assert (rows["kid"]["samples"], rows["kid"]["better"], rows["scs"]["better"]) == ("64", "lower", "higher")
    assert rows["direction_spread"]["source"] == "", "the source moves nowhere"
    assert float(rows["scs"]["source"]) == 1 > float(rows["scs"]["ceiling"]) > float(rows["scs"]["floor"])


@pytest.mark.usefixtures("studio_of_sitters")
def test_the_chosen_metrics_are_the_lines_of_the_table(tab: CompareTab) -> None:
    table = last(list(updates(tab, methods=["nada"], metrics=["scs", "attributes"])), tab._table)
    assert columns(table) == ["", "Source", "NADA", *show.BESIDE.values()]
    assert len(re.findall('scope="row"', table)) == 2
    assert cells(table, "SCS")[0] == "1.000"
    assert cells(table, "Attributes kept")[0] == "100 %"
    assert "which is as good as it gets" in table
    with pytest.raises(InputError, match="Choose at least one metric"):
        list(updates(tab, metrics=[]))
    with pytest.raises(InputError, match="A metric must be one of"):
        list(updates(tab, metrics=["beauty"]))


def test_where_nobody_renders_the_table_has_no_floor_and_says_why(tab: CompareTab) -> None:
    narrow = last(list(updates(tab, methods=["nada"])), tab._table)
    assert columns(narrow) == ["", "Source", "NADA"]
    assert "There is neither floor nor ceiling: " in narrow  # latents that are too narrow for sitters
    words = show.beside_remark(64, False)
    assert "neither floor nor ceiling, since nobody can render" in words
    remark = show.figures_remark(4, "No judge.", {"kid": "No truth.", "frechet": "No truth."}, words)
    assert remark.endswith(
        "Not measured (KID to true pictures, judge's features, "
        "Fréchet distance to true pictures, judge's features): No truth."
    )


def test_metrics_are_offered_whose_networks_are_here(tab: CompareTab, monkeypatch: pytest.MonkeyPatch) -> None:
    field = tab._fields["metrics"]
    offered = [name for _, name in field.choices]
    assert field.value == list(FIRST)
    assert set(FIRST) < set(offered)
    assert {"kid", "sifid", "vendi"} <= set(offered)
    assert not {"is_imagenet", "scs_hed", "id_arcface", "clip_distance"} & set(offered)
    monkeypatch.setattr(catalog, "own_judge", lambda model: None)
    assert allowed("studio") == ["scs", "direction_spread", "clip_diversity", FOLLOWED.name]
    monkeypatch.setattr(catalog, "find_network", lambda name: Path(__file__))
    assert {"is_imagenet", "scs_hed", "id_arcface"} <= set(allowed("studio"))


def test_each_network_looks_once_at_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: dict[str, int] = {}

    def counted(kind: type, name: str) -> None:
        usual = getattr(kind, name)

        def count(self: Any, pictures: torch.Tensor, *rest: Any) -> Any:
            looked[name] = looked.get(name, 0) + len(pictures)
            return usual(self, pictures, *rest)

        monkeypatch.setattr(kind, name, count)

    counted(Judge, "read")
    counted(Critic, "encode_images")
    source = load_generator("studio")
    samples = SideBySide("studio", "zombie", source, samples=6)
    metrics = [*FIRST, "vendi", "effective_number", "is"]
    samples.scores(metrics)
    samples.scores(metrics, source)
    samples.measure(source)
    assert looked == {"read": 12, "encode_images": 12}


def test_kept_runs_are_not_made_again(tab: CompareTab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list(updates(tab, methods=["nada"]))
    monkeypatch.setattr(tab._service, "run", None)
    again = list(updates(tab, methods=["nada"]))
    assert last(again, tab.entries["nada"]) == last(first, tab.entries["nada"])
    assert last(again, tab._table) == last(first, tab._table)


def test_stop_ends_all_and_keeps_what_is_complete(tab: CompareTab) -> None:
    stop, seen = threading.Event(), []
    for update in updates(tab, stop, methods=["nada", "shared", "ipl"], steps=40):
        seen.append(update)
        if "Method 2 of 3" in str(update.get(tab._controls.status)):
            stop.set()
    assert [entry.config.method for entry in store.list_entries()] == ["nada"]
    assert "Stopped: 1 of 3 methods is complete" in last(seen, tab._controls.status)
    html = last(seen, tab.pictures)
    assert "not finished, not kept" in html
    assert "not run" in html
    assert "Source on the left, NADA on the right" in last(seen, tab._slider_words)


def test_a_comparison_stopped_at_once_keeps_nothing(tab: CompareTab) -> None:
    stop, seen = threading.Event(), []
    for update in updates(tab, stop, steps=40):
        seen.append(update)
        if "Method 1 of 2" in str(update.get(tab._controls.status)):
            stop.set()
    assert not store.list_entries()
    assert "Stopped: 0 of 2 methods are complete" in last(seen, tab._controls.status)
    assert not any(tab._slider in update for update in seen)


def test_a_method_out_of_bounds_does_not_end_the_others(tab: CompareTab, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = tab._service.run

    def run(config: Any, stop: threading.Event) -> Iterator[Any]:
        if config.method == "nada":
            pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
            yield AdaptResult(1, 3, Pictures(pictures, pictures), {}, stopped="not finite")
        else:
            yield from usual(config, stop)

    monkeypatch.setattr(tab._service, "run", run)
    seen = list(updates(tab))
    assert "out of bounds" in last(seen, tab.pictures)
    assert "1 of 2 methods is complete" in last(seen, tab._controls.status)


def test_the_slider_draws_any_two_rows_of_any_person(tab: CompareTab) -> None:
    seen = list(updates(tab))
    entries = [last(seen, tab.entries[method]) for method in tab.entries]
    shown = tab._slide("source", "ipl", 2, *entries)
    assert "Seed 2: Source on the left, IPL on the right" in shown[tab._slider_words]
    assert all(picture.size == (256, 256) for picture in shown[tab._slider])
    gone = tab._slide("source", "ipl", 2, *["" if not entry else "gone" for entry in entries])
    assert "no entry “gone”" in gone[tab._slider_words]


def test_what_is_wrong_is_told_at_its_field(tab: CompareTab) -> None:
    def wrong(**changes: Any) -> list[str]:
        answers = tab._check(*{**ASKED, **changes}.values())
        return [answer["message"] for answer in answers if not answer["is_valid"]]

    assert wrong() == []
    assert wrong(metrics=[]) == ["Metrics: Choose at least one metric.", "Choose at least one metric."]
    assert wrong(methods=[]) == ["Choose at least one method."]
    assert "blank" in wrong(target="")[0]
    assert wrong(steps=0)[0].startswith("Settings of all runs: Steps of stage 2 (steps) must be")
    assert "Seeds are whole numbers" in wrong(preview_seeds="one")[0]
    assert wrong(vocabulary="own")[0].startswith("Settings of all runs: The vocabulary is blank")
    assert wrong(vocabulary="own", own_words="smiling, frowning") == []


# ----------------------------------------------------------------------------------------------------------------------


def test_figures_of_the_source_are_where_everything_starts() -> None:
    source = load_generator("studio")
    samples = SideBySide("studio", "zombie", source, "studio", samples=4)
    figures = samples.measure()
    assert samples.no_judge == ""
    assert (figures.diversity, figures.attributes) == (1.0, 1.0)
    assert figures.identity == pytest.approx(1.0)
    assert samples.measure(source) == figures


def test_without_a_judge_the_critic_says_how_varied_they_are() -> None:
    source = load_generator("studio")
    samples = SideBySide("studio", "submarine", source, "studio", samples=4)
    figures = samples.measure()
    assert "submarine" in samples.no_judge
    assert (figures.judge, figures.attributes, figures.identity, figures.diversity) == (None, None, None, 1.0)


def test_clip_distance_at_its_ends() -> None:
    text = torch.tensor([[1.0, 0.0]])
    assert clip_distance(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), text) == 0
    assert clip_distance(torch.tensor([[-1.0, 0.0]]), text) == 2
    assert clip_distance(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), text) == 0.5
