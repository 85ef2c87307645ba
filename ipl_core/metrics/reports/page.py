"""The results page: what the CSV files under `results/` say, as Markdown and plots, by one command and nothing else.

Whatever came out is shown, also where a method loses. The same files give the same bytes.
"""

from __future__ import annotations

import csv
import json
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ...errors import InputError
from ...storage.files import atomic_path
from ...storage.words import json_text, reason
from ...study.study import TALLY_COLUMNS
from ...sweeps.results import read_rows
from ..intervals import share_over_voters
from ..registry import METRICS
from ..scores import read_csv
from . import plots
from .differences import Rows, differences, scores_of, table_markdown
from .measured import BESIDE
from .methods import Score, markdown
from .tables import ABLATIONS, BASELINE, TABLES

INDEX = "README.md"
#: Metrics that get a plot of their own.
_PLOTTED = ("domain_score", "is", "scs", "identity", "sifid", "diversity")
_SHADED = {"lambda": (1.0, 10.0)}  # where the paper says that λ works
_STUDY = Path("study") / "tally.csv"
_MARK = re.compile(r"(<!-- from (\S+\.csv) -->\n).*?(<!-- until here -->)", re.DOTALL)
_SHORT = dict(judge=".1%", diversity=".2f", attributes=".1%", identity=".2f", way_areas=".2f", way_strokes=".2f")
_CIRCUMSTANCES = ("machine", "threads", "torch", "python", "commit")


@dataclass(frozen=True)
class Sweep:
    """A results file of a sweep, with the facts that lie beside it."""

    path: Path
    name: str
    facts: Mapping[str, object]
    rows: Rows


def write_pages(folder: Path, readme: Path | None = None) -> list[Path]:
    """Writes every page and plot of the results in `folder`, and tables between a README's marks; gives the files.

    Raises InputError for a file that holds something else, and where matplotlib is needed and isn't installed.
    """
    written, sections = [], []
    for sweep in _sweeps(folder):
        pictures = dict(_plots(sweep))
        for name, text in pictures.items():
            written.append(_write(sweep.path.with_name(name), text))
        written.append(_write(sweep.path.with_suffix(".md"), _page(sweep, list(pictures))))
        sections.append(_entry(folder, sweep))
    for path in sorted(folder.rglob("scores.csv")):
        scores = read_csv(Score, path)
        written.append(_write(path.with_suffix(".md"), markdown(scores)))
        sections.append(
            f"- [Methods by the judge and true renders: {_link(folder, path)}]({_link(folder, path, '.md')})"
        )
    for path in sorted(folder.rglob("why-*.csv")):
        rows = _why(path)
        title = f"{rows[0]['target']}: pictures and directions in CLIP space"
        written.append(_write(path.with_suffix(".svg"), plots.clip_space(rows, title)))
        sections.append(f"- [{title}]({_link(folder, path, '.svg')})")
    written.append(_write(folder / INDEX, _index(sections, folder)))
    if readme is not None:
        written.append(_write(readme, filled(readme.read_text(encoding="utf-8"), readme.parent)))
    return written


# ----------------------------------------------------------------------------------------------------------------------
# A sweep's page


def _sweeps(folder: Path) -> Iterator[Sweep]:
    for facts in sorted(folder.rglob("*.json")):
        path = facts.with_suffix(".csv")
        if not path.is_file():
            continue
        try:
            known = json.loads(facts.read_text(encoding="utf-8"))
            yield Sweep(path, str(known["table"]), known, read_rows(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{facts} can't be read as a table's facts ({reason(error)}): restore it.") from error


def _which(name: str) -> tuple[str, str]:
    """The column whose values a table compares, and the value that others are paired with."""
    return ("level", ABLATIONS[name].reference) if name in ABLATIONS else ("method", BASELINE)


def _title(name: str) -> str:
    title = TABLES.get(name, "targets by methods")
    return title[:1].upper() + title[1:]


def _page(sweep: Sweep, pictures: Sequence[str]) -> str:
    which, baseline = _which(sweep.name)
    parts = [f"# {_title(sweep.name)}\n", _provenance(sweep)]
    parts += [f"![{Path(name).stem}]({name})\n" for name in pictures]
    parts.append(table_markdown(sweep.rows, baseline, which))
    return "\n".join(parts)


def _provenance(sweep: Sweep) -> str:
    """Of what the figures are: settings, commits, machines, threads; counts of runs, and of those that failed."""
    done = sum(row["status"] == "done" for row in sweep.rows)
    settings = sweep.facts.get("settings")
    said = [f"{done} of {len(sweep.rows)} rows measured, from [{sweep.path.name}]({sweep.path.name})."]
    for name in _CIRCUMSTANCES:
        values = sorted({row[name] for row in sweep.rows if name in row})
        said.append(f"{name.capitalize()}: {'; '.join(values) or 'not noted'}.")
    text = " ".join(said)
    return (
        f"{text}\n\nMeasured by: `{json_text(settings)}`; each metric's own settings are in {sweep.path.stem}.json.\n"
    )


def _plots(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Name and text of each plot that the table has the scores for."""
    stem, rows = sweep.path.stem, sweep.rows
    names = [name for name in _PLOTTED if any(name in row for row in rows)]
    if sweep.name in ABLATIONS:
        scores = {name: _by_level(rows, name) for name in names}
        titles = {name: METRICS[name].title for name in names if scores[name]}
        if titles:
            levels = list(ABLATIONS[sweep.name].levels)
            numbers = [float(level) for level in levels] if sweep.name in _SHADED else None
            text = plots.levels(titles, scores, ABLATIONS[sweep.name].title, numbers, _SHADED.get(sweep.name))
            yield f"{stem}-levels.svg", text
        return
    methods = [m for m in dict.fromkeys(row["method"] for row in rows) if m not in (*BESIDE, BASELINE)]
    for name in names:
        found = {method: differences(rows, name, method, BASELINE) for method in methods}
        found = {method: one for method, one in found.items() if one}
        if found:
            yield f"{stem}-{name}.svg", plots.forest(f"{METRICS[name].title}: difference from {BASELINE}", found)
    for x in ("domain_score", "direction_spread"):
        points = _points(rows, x, "diversity")
        if points:
            yield (
                f"{stem}-{x}-diversity.svg",
                plots.trade_off(points, BASELINE, METRICS[x].title, METRICS["diversity"].title),
            )


def _by_level(rows: Rows, metric: str) -> dict[str, dict[tuple[str, int], float]]:
    found: dict[str, dict[tuple[str, int], float]] = {}
    for row, by_level in scores_of(rows, metric, "level").items():
        for level, by_seed in by_level.items():
            found.setdefault(level, {}).update({(row, seed): score for seed, score in by_seed.items()})
    return found


def _points(rows: Rows, x: str, y: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Method → row → means over seeds of two scores."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    ys = scores_of(rows, y)
    for row, by_method in scores_of(rows, x).items():
        for method, by_seed in by_method.items():
            if method not in BESIDE and method in ys.get(row, {}):
                means = (statistics.fmean(values.values()) for values in (by_seed, ys[row][method]))
                found.setdefault(method, {})[row] = tuple(means)
    return found


# ----------------------------------------------------------------------------------------------------------------------
# The index


def _link(folder: Path, path: Path, ending: str | None = None) -> str:
    return (path if ending is None else path.with_suffix(ending)).relative_to(folder).as_posix()


def _entry(folder: Path, sweep: Sweep) -> str:
    return f"- [{_title(sweep.name)}: {_link(folder, sweep.path)}]({_link(folder, sweep.path, '.md')})"


def _index(sections: Sequence[str], folder: Path) -> str:
    parts = ["# Results", "All of this is made by `python -m ipl_core results` from the CSV files here.", ""]
    parts += [*sections, "", "## What people say", "", _study(folder / _STUDY), ""]
    return "\n".join(parts)


def _study(path: Path) -> str:
    """The tally of the blind study, as `study export` writes it beside all votes; or that none were cast."""
    intro = "People see two pictures of the same latent and say which is of better quality, and which keeps the person."
    rows = _table(path, TALLY_COLUMNS) if path.is_file() else []
    if not any(int(row["votes"]) for row in rows):
        return f"{intro} No votes were cast."
    votes = _table(path.with_name("votes.csv"), ("voter", "target", "question", "left", "right", "chosen"))
    heads = ("target", "question", "pair", "votes", "voters", "share of the first", "Wilson 95 %", "over voters 95 %")
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        if int(row["votes"]):
            wilson = _range(float(row["wilson_low"]), float(row["wilson_high"]))
            over_voters = _range(*share_over_voters(_by_voter(votes, row), torch.Generator().manual_seed(0)))
            who = (row["target"] or "all", row["question"], f"{row['first']} over {row['second']}")
            counts = (row["votes"], row["voters"], f"{float(row['share_of_first']):.1%}")
            lines.append(f"| {' | '.join((*who, *counts, wilson, over_voters))} |")
    return f"{intro}\n\n" + "\n".join(lines)


def _by_voter(votes: Sequence[Mapping[str, str]], row: Mapping[str, str]) -> dict[str, list[bool]]:
    """Whether each vote that a row of the tally counts was for the first, by voter."""
    found: dict[str, list[bool]] = {}
    for vote in votes:
        asked = {vote["left"], vote["right"]} == {row["first"], row["second"]} and vote["question"] == row["question"]
        if asked and vote["chosen"] and row["target"] in ("", vote["target"]):
            found.setdefault(vote["voter"], []).append(vote["chosen"] == row["first"])
    return found


def _range(low: float, high: float) -> str:
    return f"{low:.1%} to {high:.1%}"


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV that `study export` wrote."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            if not set(columns) <= set(reader.fieldnames or ()):
                raise ValueError("its columns are others")
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} holds no votes of a study ({reason(error)}): write it by `python -m ipl_core study export`."
        ) from None
    return rows


def _why(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"target", "kind", "method", "number", "x", "y", "share_x", "share_y"} <= set(rows[0]):
        raise InputError(f"{path} holds no plane of CLIP space: write it by `python -m ipl_core why`.")
    return rows


# ----------------------------------------------------------------------------------------------------------------------
# README


def filled(text: str, folder: Path) -> str:
    """A README with the table between each pair of marks made anew from the CSV that the first mark names.

    folder: that the names are relative to. Raises InputError for a CSV that isn't there.
    """

    def made(match: re.Match[str]) -> str:
        path = folder / match[2]
        scores = read_csv(Score, path)
        if not scores:
            raise InputError(f"The README wants a table from {path}, which isn't there: restore it.")
        return f"{match[1]}{short_table(scores)}{match[3]}"

    return _MARK.sub(made, text)


def short_table(scores: Sequence[Score]) -> str:
    """A comparison in a line a method: means over targets and seeds."""
    heads = ("judge", "diversity", "attributes kept", "identity", "way, areas", "way, strokes")
    lines = [f"| method | {' | '.join(heads)} |", "|---|--:|--:|--:|--:|--:|--:|"]
    for method in dict.fromkeys(row.method for row in scores):
        rows = [row for row in scores if row.method == method]
        cells = [format(statistics.fmean(getattr(row, name) for row in rows), form) for name, form in _SHORT.items()]
        lines.append(f"| {'NADA' if method == BASELINE else method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path
