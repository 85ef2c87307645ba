"""Each metric gives its end points where the answer is known."""

import pytest
import torch

from ipl_core.metrics.judge_score import judge_score
from ipl_core.metrics.kept_attributes import kept_attributes, kept_identity
from ipl_core.metrics.scores import write_csv
from ipl_core.metrics.spread import identity_spread
from ipl_core.metrics.table import Score, markdown
from ipl_core.studio.captions import TRAITS
from ipl_core.studio.domains import DOMAINS, domain_number
from ipl_core.studio.judge import Verdict


def _verdict(domain: list[int], label: int, identity: torch.Tensor) -> Verdict:
    one = torch.nn.functional.one_hot
    traits = tuple(one(torch.full((len(domain),), label), len(t.after)).float() for t in TRAITS)
    return Verdict(one(torch.tensor(domain), len(DOMAINS)).float(), traits, identity, identity)


def test_judge_score_counts_the_target():
    assert judge_score(_verdict([2, 2, 2, 0], 0, torch.eye(4)), 2) == 0.75


def test_attributes_kept_all_or_none_and_colours_left_out_where_the_domain_loses_them():
    before, after = _verdict([0, 0], 0, torch.eye(2)), _verdict([1, 1], 1, torch.eye(2))
    photo, sketch = DOMAINS[0], DOMAINS[domain_number("pencil sketch")]
    assert kept_attributes(before, before, photo) == 1
    assert kept_attributes(before, after, photo) == 0
    colour = [i for i, t in enumerate(TRAITS) if t.colour]
    mixed = Verdict(
        after.domain,
        tuple(a if i in colour else b for i, (a, b) in enumerate(zip(after.traits, before.traits))),
        after.identity,
        after.features,
    )
    assert kept_attributes(before, mixed, sketch) == 1
    assert kept_attributes(before, mixed, photo) < 1


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
