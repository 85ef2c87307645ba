"""Methods are declared in one place: one that is added there is offered, run, kept and timed like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ipl_core import AdaptConfig, InputError, adapt
from ipl_core.commands.main import main
from ipl_core.library import store
from ipl_core.methods.prompts import Ingredients, ManualPrompts
from ipl_core.methods.registry import METHODS, Method, method_of, rank, settings_of, variants
from ipl_core.running.forecast import measure

TINY = dict(steps=2, batch=1, preview_seeds=(0,))


class Backwards(ManualPrompts):
    """NADA's direction the other way round."""

    @classmethod
    def make(cls, given: Ingredients) -> Backwards:
        config = given.config
        return cls(given.critic, config.target, config.source, given.phrases)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    method = Method("Toy", "NADA's direction, backwards", {"": Backwards}, variants={"toy-fast": {"steps": 1}})
    monkeypatch.setitem(METHODS, "toy", method)
    return "toy"


def test_methods_say_what_they_are() -> None:
    assert [name for name, method in METHODS.items() if method.learns] == ["shared", "ipl"]
    assert [name for name, method in METHODS.items() if method.per_image] == ["ipl", "described"]
    assert rank("nada") < rank("described")
    for name in (*METHODS, *variants()):
        assert method_of(AdaptConfig("zombie", **settings_of(name))) == name
    with pytest.raises(InputError, match="Method must be one of nada, shared, ipl, described, not “toy”"):
        AdaptConfig("zombie", method="toy")


@pytest.mark.usefixtures("studio")
def test_a_method_that_is_added_runs_and_is_kept(toy: str) -> None:
    config = AdaptConfig("pencil sketch", method=toy, **TINY)
    run = store.Run(config)
    for update in adapt(config):
        run.add(update)
    entry = run.save()
    assert "(toy, seed 0)" in entry.title
    assert store.find(config) == entry
    nada = list(adapt(AdaptConfig("pencil sketch", method="nada", **TINY)))[-1].weights
    assert any(not torch.equal(tensor, nada[name]) for name, tensor in update.weights.items())
    assert measure(config).prompts == 0.0


def test_a_method_that_is_added_is_on_the_command_line(
    toy: str, studio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, name in (("adapt", "described, toy"), ("evaluate", "toy-fast")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert name in " ".join(capsys.readouterr().out.split())
    request = ["adapt", "pencil sketch", "--method", toy, "--steps", "1", "--batch", "1"]
    assert main([*request, "--out", str(tmp_path / "out")]) == 0
    assert "(toy, seed 0)" in capsys.readouterr().out
