"""Each metric gives its end points where the answer is known."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from ipl_core import AdaptConfig, InputError
from ipl_core.library import store
from ipl_core.methods.registry import METHODS, method_of, settings_of, variants
from ipl_core.metrics.judge_score import judge_score
from ipl_core.metrics.kept_attributes import kept_attributes, kept_identity
from ipl_core.metrics.reports import methods as table
from ipl_core.metrics.reports.methods import Score, compare, markdown, paired
from ipl_core.metrics.scores import read_csv, write_csv
from ipl_core.metrics.side_by_side import SideBySide
from ipl_core.metrics.spread import identity_spread
from ipl_core.models import catalog
from ipl_core.studio.judge import Verdict
from ipl_core.studio.world.domains import PHOTO
from ipl_core.studio.world.subject import PEOPLE, SUBJECTS, Subject

each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def _verdict(domain: list[int], label: int, identity: torch.Tensor, subject: Subject = PEOPLE) -> Verdict:
    one = torch.nn.functional.one_hot
    traits = tuple(one(torch.full((len(domain),), label), len(t.after)).float() for t in subject.traits)
    return Verdict(subject, one(torch.tensor(domain), len(subject.domains)).float(), traits, identity, identity)


@each_subject
def test_judge_score_counts_the_target_by_its_place_among_the_subjects_domains(subject):
    last = len(subject.domains) - 1
    verdict = _verdict([last, last, last, 0], 0, torch.eye(4), subject)
    assert judge_score(verdict, subject.domains[last]) == 0.75
    assert judge_score(verdict, PHOTO) == 0.25
    assert judge_score(verdict, subject.domains[1]) == 0


@each_subject
def test_attributes_kept_all_or_none_and_colours_left_out_where_the_domain_loses_them(subject):
    before, after = (_verdict([k, k], k, torch.eye(2), subject) for k in (0, 1))
    sketch = subject.domain("pencil sketch")
    assert kept_attributes(before, before, PHOTO) == 1
    assert kept_attributes(before, after, PHOTO) == 0
    mixed = Verdict(
        subject,
        after.domain,
        tuple(a if t.colour else b for t, a, b in zip(subject.traits, after.traits, before.traits)),
        after.identity,
        after.features,
    )
    colours = sum(trait.colour for trait in subject.traits)
    assert kept_attributes(before, mixed, sketch) == 1
    assert kept_attributes(before, mixed, PHOTO) == pytest.approx(1 - colours / len(subject.traits))


def test_identity_and_spread_at_their_ends():
    apart, alike = torch.eye(3), torch.eye(3)[:1].expand(3, 3)
    before = _verdict([0] * 3, 0, apart)
    assert kept_identity(before, before) == 1
    assert identity_spread(before, before) == pytest.approx(1)
    assert identity_spread(before, _verdict([0] * 3, 0, alike)) == pytest.approx(0, abs=1e-6)


def row(method: str, seed: int, judge: float = 1.0, target: str = "neon", **figures: float | str) -> Score:
    known = dict(diversity=0.9, attributes=0.8, identity=0.7, way_areas=0.6, way_strokes=0.5, loss=0.1, seconds=20.0)
    measured = dict(threads=1, samples=200, psi=0.7, run=f"{target}{method}{seed}")
    return Score(target, method, seed, judge, **{**known, **measured, **figures})


def test_the_table_has_means_over_seeds_and_the_lowest_judge_score(tmp_path):
    rows = [row("ipl", 0, 0.8), row("ipl", 1, 1.0)]
    text = markdown(rows)
    assert "| neon | ipl | 2 | 90.0% | 80.0% | 0.90 | 80.0% | 0.70 | 0.60 | 0.50 |" in text
    assert "NADA" not in text  # nothing to compare with
    write_csv(rows, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().splitlines()[1].startswith("neon,ipl,0,0.8000")
    assert read_csv(Score, tmp_path / "scores.csv") == rows
    assert read_csv(Score, tmp_path / "none.csv") == []


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "target,method\nneon,ipl\n", "\0"])
def test_what_holds_no_scores_is_not_gone_on_with(tmp_path, text):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="holds no scores to go on with"):
        read_csv(Score, path)
    path.write_text(",".join(field.name for field in fields(Score)) + "\nneon,ipl,first\n")
    with pytest.raises(InputError, match="holds no scores to go on with"):
        read_csv(Score, path)


def test_methods_are_compared_with_nada_by_seed():
    gains = (0.01, 0.02, 0.06)  # mean 0.03, SD 0.026458; t(0.975, 2) = 4.3027, so ± 0.0657
    rows = [row("nada", seed, diversity=0.8) for seed in range(3)]
    rows += [row("nada", seed, target="elf", diversity=0.5) for seed in range(3)]
    rows += [row("described", s, diversity=0.8 + 2 * g, attributes=0.84) for s, g in enumerate(gains)]
    rows += [row("described", s, target="elf", diversity=0.5, attributes=0.84) for s in range(3)]
    rows += [row("described", 0, target="zombie")]  # NADA has none
    (line,) = paired(rows).splitlines()[2:]
    assert line.startswith("| described | 2 | 3 | +0.0 ± 0.0 points | +0.030 ± 0.066 | +4.0 ± 0.0 points |")
    assert line.endswith("| 1 of 2 |")  # the elf is no better in diversity
    assert "± " not in paired([r for r in rows if r.seed == 0])  # one seed says nothing about others


@pytest.mark.usefixtures("studio_of_sitters")
def test_the_table_measures_dogs_and_refuses_what_no_dog_becomes_before_any_run():
    def config(target: str) -> AdaptConfig:
        return AdaptConfig(target, model="studio-dogs", method="nada", steps=1)

    with pytest.raises(InputError, match="doesn't portray dogs as “elf”"):
        next(compare([config("cartoon"), config("elf")], samples=4))
    assert not store.list_entries()
    (score,) = compare([config("cartoon")], samples=4)
    assert (score.target, score.method, score.seed) == ("cartoon", "nada", 0)
    assert 0 <= score.judge <= 1
    assert score.identity > 0.9  # one step changes little
    assert score.attributes > 0.5
    assert score.way_areas < 0.2
    assert (score.samples, score.threads) == (4, torch.get_num_threads())

    assert not list(compare([config("cartoon")], samples=4, scores=[score]))  # it is there
    with pytest.raises(InputError, match="cartoon, nada, seed 0 by other settings"):
        next(compare([config("cartoon")], samples=5, scores=[score]))
    with pytest.raises(InputError, match="cartoon, nada, seed 0 by other settings"):
        next(compare([replace(config("cartoon"), steps=2)], samples=4, scores=[score]))


@pytest.mark.usefixtures("studio_of_sitters")
def test_a_run_that_fails_is_told_and_the_others_are_made(monkeypatch):
    configs = [AdaptConfig(target, method="nada", steps=1) for target in ("elf", "zombie")]
    made = table.finished_run

    def fails(config: AdaptConfig) -> store.Entry:
        if config.target == "elf":
            raise InputError("The disk is full.")
        return made(config)

    monkeypatch.setattr(table, "finished_run", fails)
    told = []
    (score,) = compare(configs, samples=4, failed=lambda config, error: told.append((config.target, str(error))))
    assert score.target == "zombie"
    assert told == [("elf", "The disk is full.")]
    with pytest.raises(InputError, match="disk is full"):
        list(compare(configs, samples=4))


def test_a_method_of_the_table_is_the_settings_it_stands_for():
    for name in (*METHODS, *variants()):
        assert method_of(AdaptConfig("elf", **settings_of(name))) == name
    assert method_of(AdaptConfig("elf", method="nada", prompts="words")) == "nada"


@pytest.mark.usefixtures("studio")
def test_side_by_side_asks_the_models_own_judge():
    source = catalog.load_generator("studio-dogs")
    figures = SideBySide("studio-dogs", "cartoon", source, "studio", samples=4).measure()
    assert (figures.attributes, figures.diversity) == (1.0, 1.0)
    assert 0 <= figures.judge <= 1
    samples = SideBySide("studio-dogs", "werewolf", source, "studio", samples=4)
    assert "doesn't portray dogs" in samples.no_judge
    assert samples.measure(source).judge is None
    assert SideBySide("studio", "werewolf", catalog.load_generator("studio"), "studio", samples=4).no_judge == ""
