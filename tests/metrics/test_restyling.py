"""Restyled portraits are measured beside the inversion before it and a true picture of the same sitter."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.kept_domains import entry_of

from ipl_core import AdaptConfig, InputError, InvertConfig, invert
from ipl_core.commands.main import main
from ipl_core.metrics.reports import restyling
from ipl_core.metrics.reports.inversion import held_out_portraits
from ipl_core.metrics.reports.restyling import TRUE, RestyleScore, Restyling, markdown
from ipl_core.pictures.media import to_float
from ipl_core.studio.world.subject import PEOPLE

FEW = InvertConfig(preset="fast", starts=0, steps=2, start="mean")


def made(monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    """Adaptations that add `shift` to one layer, without the training."""
    monkeypatch.setattr(
        restyling, "finished_run", lambda config: entry_of(config.target, shift, config.method, seed=config.seed)
    )


@pytest.mark.usefixtures("studio")
def test_a_generator_that_has_not_changed_restyles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sitters, portraits = held_out_portraits(PEOPLE, 2, 32)
    *_, last = invert(FEW, to_float(portraits[1:]))
    configs = [AdaptConfig("neon", method=method) for method in ("nada", "ipl")]
    made(monkeypatch, 0.0)
    rows = Restyling(configs, sitters, "studio").scores(FEW, 1, portraits[1:], last)
    assert [(row.target, row.method, row.number) for row in rows] == [("neon", m, 1) for m in ("nada", "ipl", TRUE)]
    for row in rows[:2]:
        for name in ("identity", "attributes", "ssim", "perceptual"):
            assert getattr(row, name) == pytest.approx(getattr(row, f"{name}_before"), abs=2e-3)
    made(monkeypatch, 2.0)
    others = [AdaptConfig("neon", method="nada", seed=1)]
    changed = Restyling(others, sitters, "studio").scores(FEW, 1, portraits[1:], last)[0]
    assert changed.ssim != rows[0].ssim
    assert changed.ssim_before == rows[0].ssim_before
    true = rows[2]
    assert true.judge in (0.0, 1.0)
    assert true.ssim < 1


@pytest.mark.usefixtures("studio")
def test_what_cannot_be_measured_is_said_before_any_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restyling, "finished_run", None)
    sitters, _ = held_out_portraits(PEOPLE, 1, 32)
    with pytest.raises(InputError, match="submarine"):
        Restyling([AdaptConfig("submarine")], sitters, "studio")
    with pytest.raises(InputError, match="what was adapted from it"):
        Restyling([AdaptConfig("neon", model="other")], sitters, "studio")


def test_the_table_says_before_and_after() -> None:
    rows = [
        RestyleScore("good", "neon", method, 0, n, 1.0, 0.9, identity, 0.8, 0.6, 0.7, 0.4, 0.01, 0.2)
        for method, identity in (("nada", 0.5), ("ipl", 0.7))
        for n in range(2)
    ]
    table = markdown(rows)
    line = "| ipl | 2 | 100.0% | 0.900 → 0.700 | 80.0% → 60.0% | 0.700 → 0.400 | 0.0100 → 0.2000 |"
    assert f"| good | neon {line}" in table
    assert f"| good | **all** {line}" in table


@pytest.mark.usefixtures("studio")
def test_the_command_writes_both_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made(monkeypatch, 0.5)
    monkeypatch.setitem(
        __import__("ipl_core.methods.config", fromlist=["INVERT_PRESETS"]).INVERT_PRESETS,
        "fast",
        dict(space="w", starts=0, steps=1, learning_rate=0.1, noise=False, tune=False, tune_steps=1, tune_further=0),
    )
    options = ["--preset", "fast", "--count", "2", "--samples", "0", "--targets", "neon, zombie", "--start", "mean"]
    assert main(["evaluate-inversion", *options, "--out", str(tmp_path)]) == 0
    assert len((tmp_path / "inversion.csv").read_text().splitlines()) == 3
    assert len((tmp_path / "restyling.csv").read_text().splitlines()) == 1 + 2 * (2 * 2 + 2)
    assert "| fast | zombie | ipl | 2 |" in (tmp_path / "restyling.md").read_text()
    assert main(["evaluate-inversion", "--count", "0", "--targets", "neon", "--out", str(tmp_path)]) == 2
