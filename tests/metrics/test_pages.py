"""Pages and plots say what the CSV files say, with the same bytes each time."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from ipl_core import InputError
from ipl_core.commands.main import main
from ipl_core.metrics.reports import page, plots
from ipl_core.metrics.reports.differences import Difference
from ipl_core.metrics.reports.page import filled, write_pages
from ipl_core.metrics.reports.tables import ABLATIONS, SHOWN
from ipl_core.metrics.reports.why import clip_plane, principal_plane
from ipl_core.study.study import TALLY_COLUMNS
from ipl_core.sweeps.results import Results
from ipl_core.sweeps.task import Outcome, Run

ROOT = Path(__file__).resolve().parents[2]
CIRCUMSTANCES = {"seconds": 3.5, "machine": "some machine", "threads": 1, "commit": "abc1234"}


def keep(folder: Path, name: str, rows: list[tuple[dict[str, object], dict[str, float] | str]]) -> None:
    """Writes a results file as a sweep would; text in the place of scores is an error."""
    results = Results(folder / f"{name}.csv", name, {"samples": 5}, SHOWN, {"metrics": {}})
    runs = [Run({"row": settings["target"], "weights": "w", **settings}) for settings, _ in rows]
    for run, (_, scores) in zip(runs, rows):
        failed = isinstance(scores, str)
        outcome = Outcome(run.key, {} if failed else scores, scores if failed else "", CIRCUMSTANCES)
        results.add(runs, run, outcome)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with a small table of the paper, an ablation, and the comparison that is published."""
    folder = tmp_path / "results"
    paper: list[tuple[dict[str, object], dict[str, float] | str]] = []
    for place, target in enumerate(("Disney", "cubism")):
        scores = {"domain_score": 0.5, "scs": 0.4, "diversity": 0.7, "direction_spread": 0.1}
        paper.append(({"target": target, "method": "ceiling", "seed": 0}, {name: 1.0 for name in scores}))
        for seed in range(3):
            paper.append(({"target": target, "method": "nada", "seed": seed}, scores))
            better = {name: value + 0.1 + 0.01 * seed - 0.1 * place for name, value in scores.items()}
            paper.append(({"target": target, "method": "ipl", "seed": seed}, better))
    paper.append(({"target": "cubism", "method": "shared", "seed": 0}, "The disk is full."))
    keep(folder / "paper", "paper", paper)
    varied = [
        ({"target": "elf", "method": "ipl", "level": level, "seed": seed}, {"diversity": place / 10 + seed / 50})
        for place, level in enumerate(ABLATIONS["lambda"].levels)
        for seed in range(2)
    ]
    keep(folder / "ablations", "lambda", varied)
    (folder / "people").mkdir()
    shutil.copy(ROOT / "results" / "people" / "scores.csv", folder / "people")
    return folder


def test_pages_and_plots_have_the_same_bytes_each_time(results: Path, tmp_path: Path):
    written = write_pages(results)
    names = {path.relative_to(results).as_posix() for path in written}
    assert {"README.md", "paper/paper.md", "ablations/lambda.md", "people/scores.md"} <= names
    assert {"paper/paper-scs.svg", "paper/paper-direction_spread-diversity.svg", "ablations/lambda-levels.svg"} <= names
    first = {path: path.read_bytes() for path in written}
    copy = tmp_path / "elsewhere"
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("*.md", "*.svg"))
    assert {path.relative_to(copy) for path in write_pages(copy)} == {path.relative_to(results) for path in written}
    assert all((copy / path.relative_to(results)).read_bytes() == text for path, text in first.items())
    for path in written:
        if path.suffix == ".svg":
            ElementTree.fromstring(path.read_text(encoding="utf-8"))
            assert "<dc:date>" not in path.read_text(encoding="utf-8")


def test_a_page_says_what_came_out_and_of_what(results: Path):
    write_pages(results)
    text = (results / "paper" / "paper.md").read_text(encoding="utf-8")
    assert "14 of 15 rows measured, from [paper.csv](paper.csv)." in text
    assert "Machine: some machine. Threads: 1." in text
    assert "Commit: abc1234." in text
    assert '"samples": 5' in text
    assert "- cubism, shared, seed 0: The disk is full." in text
    assert "![paper-scs](paper-scs.svg)" in text
    assert "+0.110 ± 0.025" in text
    index = (results / "README.md").read_text(encoding="utf-8")
    assert "(paper/paper.md)" in index
    assert "No votes were cast." in index


def test_votes_that_were_cast_are_on_the_page(results: Path):
    tally = results / "study" / "tally.csv"
    tally.parent.mkdir()

    def put(first: int) -> str:
        counted = ["quality", "elf", "ipl", "nada", first, first, 0, 0, 2, "0.7500", "0.3000", "0.9000"]
        with tally.open("w", newline="") as file:
            csv.writer(file).writerows([TALLY_COLUMNS, counted])
        write_pages(results)
        return (results / "README.md").read_text(encoding="utf-8")

    assert "No votes were cast." in put(0)
    with pytest.raises(InputError, match=r"votes.csv holds no votes"):
        put(4)
    cast = [("a", "elf", "quality", "ipl", "nada", "ipl")] * 2 + [("b", "elf", "quality", "nada", "ipl", "nada")] * 2
    others = [("a", "elf", "likeness", "ipl", "nada", "nada"), ("c", "elf", "quality", "ipl", "nada", "")]
    with (tally.parent / "votes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("voter", "target", "question", "left", "right", "chosen"), *cast, *others])
    assert "| elf | quality | ipl over nada | 4 | 2 | 75.0% | 30.0% to 90.0% | 0.0% to 100.0% |" in put(4)
    tally.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="holds no votes of a study"):
        write_pages(results)


def test_the_published_pages_are_what_the_files_say(tmp_path: Path):
    folder = tmp_path / "results"
    shutil.copytree(ROOT / "results", folder)
    for path in write_pages(folder):
        published = ROOT / "results" / path.relative_to(folder)
        assert published.read_bytes() == path.read_bytes(), f"{published}: run python -m ipl_core results"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "<!-- from results/people/scores.csv -->" in readme
    assert filled(readme, ROOT) == readme


def test_a_readme_is_filled_between_its_marks_alone(results: Path):
    text = "Before\n<!-- from results/people/scores.csv -->\nold\n<!-- until here -->\nafter old\n"
    new = filled(text, results.parent)
    assert new.startswith("Before\n<!-- from results/people/scores.csv -->\n| method | judge |")
    assert new.endswith("<!-- until here -->\nafter old\n")
    assert filled(new, results.parent) == new
    with pytest.raises(InputError, match="isn't there"):
        filled(text.replace("people", "dogs"), results.parent)


def test_the_command_and_what_it_refuses(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert main(["results", "--folder", str(results)]) == 0
    assert "paper-scs.svg" in capsys.readouterr().out
    assert main(["results", "--folder", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert main(["results", "--folder", str(results), "--readme", str(tmp_path / "none.md")]) == 2
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["results", "--folder", str(results)]) == 2
    assert "requirements-plots.txt" in capsys.readouterr().err


def test_a_forest_without_intervals_and_levels_without_seeds_are_drawn():
    one = Difference("elf", 1, 0.1, float("inf"), 1.0, 1.0)
    assert "elf" in plots.forest("IPL − NADA", {"ipl": [one]})
    scores = {"is": {"all": {("elf", 0): 1.0}, "fine": {("elf", 0): 2.0}}}
    assert "trained layers" in plots.levels({"is": "IS"}, scores, "trained layers")


def test_the_principal_plane_holds_most_of_the_variance():
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(200, 5, generator=random) * torch.tensor([3.0, 1.0, 0.1, 0.1, 0.1]) + 7
    mean, plane, shares = principal_plane(vectors)
    assert mean.tolist() == pytest.approx(vectors.mean(0).tolist())
    assert plane[0, 0] > 0.99
    assert plane[1, 1] > 0.99
    assert shares.tolist() == pytest.approx([0.9, 0.1], abs=0.03)


@pytest.mark.usefixtures("studio_of_sitters")
def test_the_plane_of_clip_space_holds_pictures_and_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from ipl_core import AdaptConfig

    configs = [AdaptConfig("elf", method=method, steps=2, mapper_steps=2) for method in ("nada", "ipl")]
    rows = clip_plane(configs, samples=6)
    assert len(rows) == 6 * (1 + 2 * 2)
    ends = {}
    for row in rows:
        ends.setdefault((row["kind"], row["method"]), []).append((float(row["x"]), float(row["y"])))
    assert set(ends) == {("source", ""), *((kind, m) for kind in ("target", "text") for m in ("nada", "ipl"))}
    moves = torch.tensor(ends["text", "nada"]) - torch.tensor(ends["source", ""])
    assert moves.std(0).max() < 1e-4  # NADA leads everybody the same way
    assert main(["why", "elf", "--methods", "nada", "--samples", "4", "--out", str(tmp_path / "r")]) == 0
    assert (tmp_path / "r" / "why-elf.csv").is_file()
    (svg,) = (path for path in write_pages(tmp_path / "r") if path.suffix == ".svg")
    assert "of the variance" in svg.read_text(encoding="utf-8")
    (tmp_path / "r" / "why-elf.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="no plane of CLIP space"):
        page.write_pages(tmp_path / "r")
