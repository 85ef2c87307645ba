"""Finished runs of the library are found by subject and domain, as weights of the synthesis network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ipl_core.library.find_or_run import finished_run
from ipl_core.methods.config import AdaptConfig
from ipl_core.models import catalog
from ipl_core.studio.training.ends import library_ends
from ipl_core.studio.world.domains import domain_number
from ipl_core.studio.world.subject import DOGS, PEOPLE


def test_runs_end_where_their_weights_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPL_HOME", str(tmp_path))
    assert library_ends(PEOPLE, "studio") == {}
    config = AdaptConfig("pencil sketch", method="nada", steps=2, batch=1)
    for seed in (0, 1):
        finished_run(dataclasses.replace(config, seed=seed))
    ends = library_ends(PEOPLE, "studio")
    assert list(ends) == [domain_number("pencil sketch")]
    source = catalog.load_generator("studio").synthesis.state_dict()
    first, second = ends[domain_number("pencil sketch")]
    assert set(first) == set(second) <= set(source)
    for end in (first, second):
        assert any(not torch.equal(tensor, source[name]) for name, tensor in end.items())
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert library_ends(DOGS, "studio-dogs") == {}
