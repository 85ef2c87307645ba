"""Each metric gives its end points where the answer is known."""

from __future__ import annotations

import pytest
import torch

from ipl_core import AdaptConfig, InputError, catalog, library
from ipl_core.metrics.judge_score import judge_score
from ipl_core.metrics.kept_attributes import kept_attributes, kept_identity
from ipl_core.metrics.scores import write_csv
from ipl_core.metrics.side_by_side import SideBySide
from ipl_core.metrics.spread import identity_spread
from ipl_core.metrics.table import Score, compare, markdown
from ipl_core.studio.domains import PHOTO
from ipl_core.studio.judge import Verdict
from ipl_core.studio.subject import PEOPLE, SUBJECTS, Subject

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


def test_the_table_has_means_over_seeds_and_the_lowest_judge_score(tmp_path):
    rows = [Score("neon", "ipl", s, j, 0.9, 0.8, 0.7, 0.1, 20.0) for s, j in ((0, 0.8), (1, 1.0))]
    text = markdown(rows)
    assert "| neon | ipl | 2 | 90.0% | 80.0% | 0.90 | 80.0% | 0.70 |" in text
    write_csv(rows, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().splitlines()[1].startswith("neon,ipl,0,0.8000")


@pytest.mark.usefixtures("studio")
def test_the_table_measures_dogs_and_refuses_what_no_dog_becomes_before_any_run():
    def config(target: str) -> AdaptConfig:
        return AdaptConfig(target, model="studio-dogs", method="nada", steps=1)

    with pytest.raises(InputError, match="doesn't portray dogs as “elf”"):
        next(compare([config("cartoon"), config("elf")], samples=4))
    assert not library.list_entries()
    (score,) = compare([config("cartoon")], samples=4)
    assert (score.target, score.method, score.seed) == ("cartoon", "nada", 0)
    assert 0 <= score.judge <= 1
    assert score.identity > 0.9  # one step changes little
    assert score.attributes > 0.5


@pytest.mark.usefixtures("studio")
def test_side_by_side_asks_the_models_own_judge():
    source, critic = catalog.load_generator("studio-dogs"), catalog.load_critic("studio")
    figures = SideBySide("studio-dogs", "cartoon", source, critic, samples=4).measure()
    assert (figures.attributes, figures.diversity) == (1.0, 1.0)
    assert 0 <= figures.judge <= 1
    samples = SideBySide("studio-dogs", "werewolf", source, critic, samples=4)
    assert "doesn't portray dogs" in samples.no_judge
    assert samples.measure(source).judge is None
    assert SideBySide("studio", "werewolf", catalog.load_generator("studio"), critic, samples=4).no_judge == ""
