"""Tables of runs: the paper's ten rows, what stands beside them, paired differences, and going on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ipl_core import InputError
from ipl_core.commands.main import main
from ipl_core.library.find_or_run import finished_run
from ipl_core.methods.registry import METHODS, variants
from ipl_core.metrics.comparison import Comparison
from ipl_core.metrics.metric import Metric
from ipl_core.metrics.registry import METRICS
from ipl_core.metrics.reports import tables
from ipl_core.metrics.reports.differences import differences, metric_table, overall, table_markdown
from ipl_core.metrics.reports.measured import (
    BESIDE,
    CEILING,
    Measuring,
    _given,
    compared,
    config_of,
    measure_run,
    run_settings,
)
from ipl_core.metrics.reports.tables import ABLATIONS, PAPER_METHODS, PAPER_ROWS, TABLES, table_runs
from ipl_core.studio.world.subject import DOGS, PEOPLE
from ipl_core.sweeps.results import read_rows

FEW = Measuring(samples=16, true=16, groups=0)


@pytest.mark.usefixtures("studio_of_sitters")
def test_the_papers_table_has_ten_rows_that_exist():
    assert len(PAPER_ROWS) == 10
    for row in PAPER_ROWS:
        subject = PEOPLE if row.embedded == "studio" else DOGS
        assert subject.domain(row.target).name == row.target
    runs = table_runs("paper", [0, 1], FEW)
    assert len(runs) == 10 * (3 + 4 * 2)
    assert len({run.key for run in runs}) == len(runs)
    assert {run.settings["method"] for run in runs} == {*BESIDE, *PAPER_METHODS}
    assert set(PAPER_METHODS) <= {*METHODS, *variants()}
    some = table_runs("paper", [0], FEW, ["disney"], ["nada"], {"steps": 5})
    assert [run.settings["method"] for run in some] == [*BESIDE, "nada"]
    assert some[0].settings["row"] == "photo→Disney"
    assert config_of(some[3].settings).steps == 5
    # What stands beside is the same whatever the runs' settings are.
    assert [run.key for run in some[:3]] == [run.key for run in runs[:3]]
    with pytest.raises(InputError, match="no row"):
        table_runs("paper", [0], FEW, ["neon"])
    with pytest.raises(InputError, match="There is no table"):
        table_runs("best", [0], FEW)


@pytest.mark.usefixtures("studio_of_sitters")
@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_vary_one_thing(name: str):
    ablation = ABLATIONS[name]
    assert name in TABLES
    assert ablation.reference in ablation.levels
    runs = [run for run in table_runs(name, [0], FEW, ["Disney"]) if run.settings["method"] not in BESIDE]
    assert [run.settings["level"] for run in runs] == list(ablation.levels)
    configs = [config_of(run.settings) for run in runs]
    assert len(set(configs)) == len(configs)
    if name != "scheme":
        ones = [config.to_dict() for config in configs]
        varied = {key for one in ones for key in one if one[key] != ones[0][key]}
        assert len(varied) == 1, varied


def test_how_to_measure_is_checked():
    for wrong in ({"samples": 1}, {"psi": -1.0}, {"family": "imagined"}, {"metrics": ("beauty",)}, {"groups": 1000}):
        with pytest.raises(InputError):
            Measuring(**wrong)
    assert Measuring.from_dict(json.loads(json.dumps(FEW.to_dict()))) == FEW


@pytest.mark.usefixtures("studio_of_sitters")
def test_the_ceiling_is_the_renderers_and_the_floor_is_of_others():
    settings = run_settings("cartoon", CEILING, 0, FEW, model="studio-dogs")
    top = compared(settings, FEW)
    floor = compared({**settings, "method": "floor"}, FEW)
    source = compared({**settings, "method": "source"}, FEW)
    assert len(top.target) == len(floor.target) == len(source.target) == 16
    assert source.target is source.source
    shapes = {tuple(pictures.levels.shape) for pictures in (top.source, top.target, floor.target, source.source)}
    assert shapes == {(16, 32, 32, 3)}
    assert not torch.equal(top.target.levels, floor.target.levels)
    assert not torch.equal(floor.target.levels, floor.truth.levels)
    assert torch.equal(top.references.levels, floor.references.levels)
    assert len(top.references) == 20
    scores = measure_run(settings)
    assert scores["unmeasured"] == "clip_distance"
    assert len(scores["references"].split()) == 3
    assert all(math.isfinite(scores[name]) for name in ("is", "sifid", "kid", "coverage", "scs"))


@pytest.mark.usefixtures("studio_of_sitters")
def test_the_command_writes_a_row_a_run_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ask = ["evaluate", "--table", "paper", "Disney", "--methods", "nada,shared", "--samples", "16", "--out"]
    more = ["--set", "steps=1", "--set", "mapper_steps=1"]
    assert main([*ask, str(tmp_path), "--seeds", "0", *more]) == 0
    said = capsys.readouterr().out
    assert "clip_distance isn't measured. A distance to the target's words" in said
    assert "5/5 photo→Disney, shared, seed 0: domain_score" in said
    assert main([*ask, str(tmp_path), "--seeds", "0-1", *more]) == 0
    assert "5/7 are in" in capsys.readouterr().out
    rows = read_rows(tmp_path / "paper.csv")
    assert [(row["method"], row["seed"]) for row in rows] == [
        *((beside, "0") for beside in BESIDE),
        *((method, seed) for method in ("nada", "shared") for seed in "01"),
    ]
    assert all(row["status"] == "done" and "is.se" in row for row in rows)
    text = (tmp_path / "paper.md").read_text(encoding="utf-8")
    assert "### SCS, fixed edge filter ↑" in text
    assert "shared − nada" in text
    facts = json.loads((tmp_path / "paper.json").read_text(encoding="utf-8"))
    assert facts["metrics"]["studio"]["intra_cluster"]["variant"].endswith("(NADA)")
    assert facts["metrics"]["studio"]["identity"]["looked at by"][0].startswith("judge ")
    assert main([*ask, str(tmp_path), "--seeds", "0", "--set", "steps=2"]) == 2
    assert "by other settings or weights" in capsys.readouterr().err


@pytest.mark.usefixtures("studio_of_sitters")
def test_a_run_that_fails_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    from ipl_core.metrics.reports import measured

    def fails(config: object) -> None:
        raise InputError("The disk is full.")

    monkeypatch.setattr(measured, "finished_run", fails)
    ask = ["evaluate", "--table", "steps", "werewolf", "--seeds", "0", "--samples", "12", "--metrics", "identity,scs"]
    assert main([*ask, "--out", str(tmp_path)]) == 1
    assert "werewolf, ipl, 50, seed 0 failed: The disk is full." in capsys.readouterr().err
    rows = read_rows(tmp_path / "steps.csv")
    assert [row["status"] for row in rows] == ["done"] * 3 + ["failed"] * 5
    assert "- werewolf, 600, seed 0: The disk is full." in (tmp_path / "steps.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("studio_of_sitters")
def test_a_model_without_a_judge_is_measured_by_what_needs_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_pretrained: Path
):
    own = tiny_pretrained / "tiny-generator.safetensors"
    ask = ["evaluate", "--model", str(own), "--set", 'critic="studio"', "--set", "steps=1"]
    ask += ["--samples", "12", "--methods", "nada", "--seeds", "0", "--out", str(tmp_path)]
    assert main(ask) == 2
    assert "name the targets" in capsys.readouterr().err
    assert main(["evaluate", "a sketch", *ask[1:]]) == 0
    assert "identity isn't measured. There is no judge" in capsys.readouterr().out
    source, run = read_rows(tmp_path / "targets.csv")
    assert source["method"] == "source"
    assert float(run["clip_diversity"]) > 0
    assert {"identity", "kid"} <= set(run["unmeasured"].split())


@pytest.mark.usefixtures("studio_of_sitters")
def test_a_metric_of_ones_own_is_a_line_of_the_registry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def brightness(comparison: Comparison) -> float:
        return float(comparison.target.levels.float().mean())

    toy = Metric("brightness", "mean brightness", "any", (), None, brightness, ".1f")
    monkeypatch.setitem(METRICS, "brightness", toy)
    ask = ["evaluate", "--table", "paper", "cubism", "--methods", "nada", "--seeds", "0", "--set", "steps=1"]
    assert main([*ask, "--samples", "4", "--metrics", "brightness", "--out", str(tmp_path)]) == 0
    assert 0 < float(read_rows(tmp_path / "paper.csv")[-1]["brightness"]) < 255
    assert "### mean brightness\n" in (tmp_path / "paper.md").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main([*ask, "--metrics", "beauty", "--out", str(tmp_path)]) == 2
    assert "There is no metric “beauty”" in capsys.readouterr().err


@pytest.mark.usefixtures("studio_of_sitters")
def test_pictures_of_ones_own_stand_for_what_nobody_renders(tmp_path: Path, tiny_pretrained: Path):
    own, folder = str(tiny_pretrained / "tiny-generator.safetensors"), tmp_path / "sketches"
    told = Measuring(samples=4, psi=0.7, references=str(folder), truth=str(folder))
    settings = {"target": "a sketch", "method": "source", "changes": {"model": own, "critic": "studio"}}
    with pytest.raises(InputError, match="There are no pictures of “a sketch”"):
        compared(settings, told)
    (folder / "a sketch").mkdir(parents=True)
    for place, size in enumerate(((300, 256), (256, 512), (600, 600))):
        Image.new("RGB", size, (place, 0, 0)).save(folder / "a sketch" / f"{place}.png")
    found = compared(settings, told)
    assert found.references.levels.shape == (3, 256, 256, 3)
    assert found.references.levels[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert found.domain is None
    with pytest.raises(InputError, match="nobody knows true pictures"):
        compared({**settings, "method": CEILING}, told)
    Image.new("RGB", (255, 900)).save(folder / "a sketch" / "small.png")
    _given.cache_clear()
    with pytest.raises(InputError, match=r"small\.png is 255×900; pictures need at least 256 a side"):
        compared(settings, told)


@pytest.mark.usefixtures("studio_of_sitters")
def test_a_study_of_the_papers_rows_takes_the_runs_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tables, "PAPER_ROWS", tuple(r for r in PAPER_ROWS if r.target in ("Disney", "cubism")))
    ask = ["study", "new", "--table", "paper", "--title", "Which one?", "--seeds", "700000-700001"]
    assert main(ask) == 2
    assert "4 of the table's 4 runs are not in the library, photo→Disney by nada among them" in capsys.readouterr().err
    quick = {"steps": 1, "mapper_steps": 1}
    monkeypatch.setattr(tables, "run_settings", lambda *given, **more: run_settings(*given, **{**more, **quick}))
    for run in table_runs("paper", [0], FEW, methods=["nada", "ipl"]):
        if run.settings["method"] not in BESIDE:
            finished_run(config_of(run.settings))
    assert main(ask) == 0
    assert "4 pairs" in capsys.readouterr().out


@pytest.mark.usefixtures("studio_of_sitters")
def test_targets_of_ones_own_are_measured_by_the_registry_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    ask = ["evaluate", "neon", "a wolf", "--model", "studio-dogs", "--methods", "nada", "--seeds", "0"]
    ask += ["--samples", "4", "--set", "steps=1", "--out", str(tmp_path), "--metrics", "scs"]
    assert main(ask) == 0
    rows = read_rows(tmp_path / "targets.csv")
    assert [(row["target"], row["method"]) for row in rows] == [
        *(("neon", method) for method in (*BESIDE, "nada")),
        *(("a wolf", method) for method in ("source", "nada")),  # nobody renders one
    ]
    assert {row["status"] for row in rows} == {"done"}
    capsys.readouterr()
    assert main([*ask, "--models", "real"]) == 2
    assert "--models chooses the models of a table" in capsys.readouterr().err
    assert main([*ask, "--engine", "subprocess", "--workers", "0"]) == 2
    assert "Workers must be" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------------------
# Differences


def row(name: str, method: str, seed: int, **scores: float) -> dict[str, str]:
    which = {"status": "done", "row": name, "method": method, "seed": str(seed)}
    return {**which, **{metric: f"{score:.6g}" for metric, score in scores.items()}}


GAINS = {"a": (0.1, 0.2, 0.3), "b": (0.0, 0.1, 0.05), "c": (-0.1, -0.1, -0.1)}


def rows() -> list[dict[str, str]]:
    found = []
    for name, gains in GAINS.items():
        found += [row(name, "source", 0, kid=0.5), row(name, "ceiling", 0, kid=0.01)]
        for seed, gain in enumerate(gains):
            found += [row(name, "nada", seed, kid=0.4), row(name, "ipl", seed, kid=0.4 + gain)]
    return found


def test_differences_are_paired_by_row_and_seed():
    a, b, c = differences(rows(), "kid", "ipl", "nada")
    assert (a.row, a.seeds, a.mean) == ("a", 3, pytest.approx(0.2))
    assert a.half == pytest.approx(4.3027 * 0.1 / math.sqrt(3), abs=1e-4)
    assert a.p == pytest.approx(0.0742, abs=1e-4)
    assert (a.adjusted, b.adjusted) == (pytest.approx(2 * a.p), pytest.approx(b.p))
    assert c.adjusted < 1e-6  # without any spread
    unpaired = [one for one in rows() if (one["method"], one["seed"]) != ("nada", "2")]
    assert [d.seeds for d in differences(unpaired, "kid", "ipl", "nada")] == [2, 2, 2]
    assert not differences(rows(), "kid", "shared", "nada")


def test_overall_counts_rows_by_which_way_is_better():
    found = overall(rows(), METRICS["kid"], "ipl", "nada")
    assert found.mean == pytest.approx((0.2 + 0.05 - 0.1) / 3)
    assert found.low < found.mean < found.high
    assert (found.better, found.rows) == (1, 3)  # less is better
    assert found.p == pytest.approx(7 / 8)
    assert overall(rows(), replace(METRICS["kid"], higher=True), "ipl", "nada").better == 2
    assert overall(rows(), METRICS["kid"], "shared", "nada") is None


def test_tables_say_scores_differences_and_failures():
    text = metric_table(rows(), METRICS["kid"], "nada")
    assert "|  | source | floor | nada | ipl | ceiling | ipl − nada |" in text
    assert "| a | 0.5000 |  | 0.4000 | 0.6000 | 0.0100 | +0.2000 ± 0.2484 (p 0.15) |" in text
    assert "better in 1 of 3 |" in text
    failed = {"status": "failed", "row": "a", "method": "shared", "seed": "0", "error": "no memory"}
    text = table_markdown([*rows(), failed], "nada")
    assert "### KID to true pictures, judge's features ↓" in text
    assert "- a, shared, seed 0: no memory" in text
    one = [r for r in rows() if r["seed"] == "0"]
    assert "(one seed)" in metric_table(one, METRICS["kid"], "nada")
