"""The report on text directions: its figures on vectors done by hand, and on the embedded critic."""

import csv
from pathlib import Path

import pytest
import torch

from ipl_core.errors import InputError
from ipl_core.methods.directions import normalise
from ipl_core.metrics.reports.directions import COLUMNS, agreement, direction_report, mean_row, report_without_renderer
from ipl_core.models import catalog
from ipl_core.studio.commands.main import main
from ipl_core.studio.world.subject import DOGS, PEOPLE, Subject


@pytest.fixture(autouse=True)
def without_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of its own, and a judge that can't be asked."""
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalog, "find_judge", None, raising=False)
    monkeypatch.setattr(catalog, "load_judge", None)


def test_agreement_is_that_of_directions_and_of_what_is_personal_in_them() -> None:
    up, own = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([[0.3, 0.0, 0.0], [-0.3, 0.0, 0.0]])
    true, photos = normalise(up + own), normalise(torch.tensor([[0.2, 1.0, 0.0], [-0.2, 1.0, 0.0]]))
    perfect = agreement(true, true, photos)
    assert perfect.cosine == pytest.approx(1)
    assert perfect.personal == pytest.approx(1)
    assert perfect.spread == pytest.approx(1 - 1 / 1.09**0.5, abs=1e-6)
    assert perfect.against == pytest.approx(0.3 / 1.09**0.5, abs=1e-6)  # towards what tells each photo from the mean
    for_all = agreement(true, up[None], photos)
    assert for_all.cosine == pytest.approx(1 / 1.09**0.5, abs=1e-6)
    assert for_all.personal is None
    assert for_all.spread == pytest.approx(0, abs=1e-6)
    assert for_all.against == pytest.approx(0, abs=1e-6)
    wrong = agreement(true, true.flip(0), photos)
    assert wrong.personal == pytest.approx(-1)
    assert wrong.against == pytest.approx(-perfect.against)
    assert wrong.cosine < for_all.cosine


def test_the_best_single_direction_bounds_that_of_nada_and_true_directions_leave_the_person_behind() -> None:
    rows = list(direction_report(PEOPLE, "studio", domains=["sketch", "zombie"], sitters=24, learned=False))
    assert [row["domain"] for row in rows] == ["pencil sketch", "zombie"]
    for row in rows:
        assert tuple(row)[: len(COLUMNS)] == COLUMNS
        assert 0.8 < row["nada"] < row["best"] < 1
        assert 0.5 < row["described"] < 1
        assert row["true_against"] < row["described_against"] < row["nada_against"] + 0.01
        assert row["nada_spread"] == pytest.approx(0, abs=1e-5)
        assert row["described_personal"] > 0.1
        assert row["shared"] is row["ipl"] is row["ipl_loss_first"] is None
    mean = mean_row(rows)
    assert mean["nada"] == pytest.approx((rows[0]["nada"] + rows[1]["nada"]) / 2)
    assert mean["ipl"] is None


def test_the_same_seed_gives_the_same_figures_and_another_other_sitters() -> None:
    first, again, other = (
        next(direction_report(DOGS, "studio-dogs", domains=["marble statue"], sitters=4, seed=seed, learned=False))
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first["best"] != other["best"]


def test_learned_prompts_are_reported_with_what_their_stage_1_came_to() -> None:
    (row,) = direction_report(PEOPLE, "studio", domains=["zombie"], sitters=8, mapper_steps=4)
    assert row["shared"] == pytest.approx(row["nada"], abs=0.1)
    assert row["vectors"] == pytest.approx(row["nada"], abs=0.1)  # four steps of the default rate teach next to nothing
    assert row["vectors_loss_chance"] == pytest.approx(torch.tensor(16.0).log().item())
    assert row["vectors_loss_first"] == pytest.approx(row["vectors_loss_chance"], abs=0.5)
    named = [name.removeprefix("begun") for name in row if name.startswith("begun")]
    assert {f"ipl{name}": row[f"begun{name}"] for name in named}.items() <= row.items()  # the embedded critic's default
    assert row["ipl_loss_first"] < row["ipl_loss_chance"] - 1  # it begins at what tells people apart
    assert row["words_loss_chance"] == pytest.approx(torch.tensor(32.0).log().item())  # it has a stage 1 of its own
    assert row["words_loss_first"] == pytest.approx(row["words_loss_chance"], abs=0.5)
    assert row["shared_personal"] is None
    assert row["ipl_personal"] is not None


@pytest.mark.parametrize(("subject", "model"), [(PEOPLE, "studio"), (DOGS, "studio-dogs")])
def test_the_embedded_critic_was_taught_how_those_it_sees_change(subject: Subject, model: str) -> None:
    for row in direction_report(subject, model, domains=["pencil sketch", "oil painting"], sitters=24, learned=False):
        assert row["read"] > row["nada"] + 0.015
        assert row["descriptions"] > row["nada"]


def test_domains_that_are_not_portrayed_are_refused() -> None:
    with pytest.raises(InputError, match="doesn't portray dogs as “zombie”"):
        next(direction_report(DOGS, "studio-dogs", domains=["zombie"]))


def test_the_command_writes_a_table_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.csv"
    command = ["direction-report", "--smoke", "--threads", "1", "--domains", "neon", "charcoal", "--csv", str(file)]
    assert main([*command, "--no-learned"]) == 0
    rows = list(csv.DictReader(file.open()))
    assert [row["domain"] for row in rows] == ["neon", "charcoal"]
    assert tuple(rows[0])[:6] == ("domain", "nada", "best", "shared", "described", "ipl")
    assert rows[0]["ipl"] == ""
    _, head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:6] == ["domain", "nada", "best", "shared", "descr.", "ipl"]
    assert [line.split()[0] for line in lines] == ["neon", "charcoal", "mean"]
    assert f"{float(rows[0]['nada']):.3f}" in lines[0]


def test_without_a_renderer_it_says_how_directions_part_and_how_surely_pictures_are_read() -> None:
    (row,) = report_without_renderer("studio", None, ["zombie"], people=12, learned=False)
    assert row["domain"] == "zombie"
    assert row["descriptions_spread"] == pytest.approx(0, abs=1e-6)  # one direction for all
    assert row["read_spread"] > 0.001
    assert row["read_against"] < row["nada_against"] - 0.01
    assert row["vectors_spread"] is None
    assert row["read_sure"] > 1.5


def test_the_command_reports_without_a_renderer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.csv"
    command = ["direction-report", "--model", "studio", "--smoke", "--threads", "1", "--csv", str(file)]
    assert main([*command, "--domains", "neon"]) == 0
    (row,) = csv.DictReader(file.open())
    assert row["domain"] == "neon"
    assert float(row["begun_spread"]) > 0
    assert capsys.readouterr().out.splitlines()[2].startswith("neon ")
    assert main(command) == 2
    assert "Name the domains with --domains" in capsys.readouterr().err
