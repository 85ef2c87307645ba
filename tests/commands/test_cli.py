"""The command line as a contract: files, exit status, one plain sentence on bad input."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.refusals import refusal
from PIL import Image

from ipl_core import AdaptConfig, AdaptResult, Step, adapt, invert
from ipl_core.commands.main import COMMANDS, main
from ipl_core.commands.progress import INTERRUPTED, StepBar
from ipl_core.library import domain_folder, inversions, store
from ipl_core.methods import adapt as loops
from ipl_core.models import catalog
from ipl_core.pictures.media import read_settings
from ipl_core.running.steps import Pictures

TINY = ["--mapper-steps", "2", "--mapper-batch", "2", "--steps", "2", "--batch", "2"]
pytestmark = pytest.mark.usefixtures("studio")


def test_adapt_writes_everything_and_sample_draws_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    request = ["adapt", "pencil sketch", "--source", "photo", "--method", "ipl", "--model", "studio", "--seed", "0"]
    assert main([*request, *TINY, "--lambda", "2", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(domain_folder.FILES)
    said = capsys.readouterr()
    assert str(out / "adapted.safetensors") in said.out
    assert "it/s" not in said.err  # no progress bar unless it is a terminal

    settings = json.loads((out / "settings.json").read_text())
    config = AdaptConfig.from_dict(settings["config"])
    assert (config.lambda_domain, config.steps, config.batch, config.mapper_steps) == (2.0, 2, 2, 2)
    assert len((out / "history.csv").read_text().splitlines()) == 5
    assert Image.open(out / "source.png").size == Image.open(out / "samples.png").size

    picture = tmp_path / "pictures" / "sheet.png"
    assert main(["sample", str(out), "--seeds", "0-15", "--psi", "0.7", "--out", str(picture)]) == 0
    assert Image.open(picture).size == (4 * 34 - 2, 4 * 34 - 2)

    # What was kept repeats the run bit by bit.
    weights = list(adapt(config))[-1].weights
    adapted = catalog.load_generator(out).state_dict()
    assert all(torch.equal(adapted[name], tensor) for name, tensor in weights.items())


def test_a_run_that_exists_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adapt", "werewolf", "--method", "nada", *TINY, "--out", str(tmp_path / "one")]) == 0

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("ipl_core.library.find_or_run.adapt", never)
    capsys.readouterr()
    assert main(["adapt", "werewolf", "--method", "nada", *TINY, "--out", str(tmp_path / "two")]) == 0
    assert "exists already" in capsys.readouterr().out
    for name in domain_folder.FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.usefixtures("studio_of_sitters")
def test_evaluate_measures_each_method_and_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scores"
    request = ["evaluate", "werewolf", "--methods", "nada,ipl", "--seeds", "0", "--samples", "4"]
    assert main([*request, "--set", "steps=3", "--set", "mapper_steps=2", "--out", str(out)]) == 0
    assert {entry.config.steps for entry in store.list_entries()} == {3}
    said = capsys.readouterr().out
    assert "1/2 werewolf, nada, seed 0: judge" in said
    assert "2/2 werewolf, ipl, seed 0: judge" in said
    header, *rows = (out / "scores.csv").read_text().splitlines()
    assert header.startswith("target,method,seed,judge,diversity")
    assert [row.split(",")[:3] for row in rows] == [["werewolf", "nada", "0"], ["werewolf", "ipl", "0"]]
    assert (out / "scores.md").read_text().count("| werewolf |") == 2

    assert main([*request, "--seeds", "0,1", "--set", "steps=3", "--set", "mapper_steps=2", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2/4 are in" in said
    assert [line.split()[0] for line in said.splitlines()[1:]] == ["3/4", "4/4"]
    assert "| ipl | 1 | 2 | " in (out / "scores.md").read_text()  # against NADA: one target, two seeds
    assert main([*request, "--set", "steps=2", "--out", str(out)]) == 2
    assert "by other settings, weights or samples" in capsys.readouterr().err


def test_critic_report_has_a_line_a_domain(capsys: pytest.CaptureFixture[str]) -> None:
    from ipl_core.studio.commands.main import main as studio_main

    assert studio_main(["critic-report", "--smoke", "--threads", "1"]) == 0
    attributes, every, *_, line, near, named = capsys.readouterr().out.splitlines()
    assert "glasses" in attributes
    assert every.startswith("all attributes: ")
    assert line.startswith("pencil sketch")
    assert len(line.split()) == 2 + 6
    assert near.startswith("within 0.1")
    assert 0 <= float(named.rpartition(" ")[2].rstrip("%")) <= 100


QUICK = ["--preset", "fast", "--starts", "2", "--steps", "2", "--tune-steps", "1"]


def a_photo(path: Path) -> Path:
    Image.effect_noise((60, 40), 60).convert("RGB").save(path)
    return path


def test_invert_writes_everything_and_restyle_draws_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, out = a_photo(tmp_path / "Ada.png"), tmp_path / "inverted"
    request = ["invert", str(photo), "--model", "studio", "--space", "w", "--tune", "--crop", "center", "--seed", "3"]
    assert main([*request, *QUICK, "--move", "0.1,-0.1", "--zoom", "1.5", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(inversions.FILES)
    said = capsys.readouterr()
    assert "centre square" in said.out
    assert all(f"{figure} " in said.out for figure in ("pixel", "perceptual", "identity"))
    assert str(out / "inverted.safetensors") in said.out
    assert "it/s" not in said.err

    inverted = inversions.load(out)
    assert inverted.name == "Ada"
    config = inverted.config
    assert (config.space, config.tune, config.steps, config.seed) == ("w", True, 2, 3)
    assert inverted.settings["crop"]["method"] == "centre"
    assert len((out / "history.csv").read_text().splitlines()) == 4
    assert Image.open(out / "aligned.png").size == Image.open(out / "inverted.png").size == (32, 32)
    assert [one.name for one in inversions.list_people()] == ["Ada"]

    domains = []
    for target in ("werewolf", "zombie"):
        domains.append(str(tmp_path / target))
        assert main(["adapt", target, "--method", "nada", *TINY, "--out", domains[-1]]) == 0
    sheet = tmp_path / "pictures" / "sheet.png"
    assert main(["restyle", str(out), *domains, "--strength", "0.5", "--out", str(sheet)]) == 0
    note = read_settings(sheet)
    assert (note["picture"], note["domains"], note["strength"]) == ("Ada", ["werewolf", "zombie"], 0.5)
    assert Image.open(sheet).width == 2 * 160 + 2
    assert main(["restyle", str(out), *domains, "--mix", "0.3,0.7", "--out", str(sheet)]) == 0
    assert read_settings(sheet)["domains"] == ["werewolf + zombie"]
    capsys.readouterr()
    for wrong, said in [(["--mix", "1"], "each of the 2 domains"), (["--strength", "3"], "from 0 to 2, not 3")]:
        assert main(["restyle", str(out), *domains, *wrong, "--out", str(tmp_path / "no.png")]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "no.png").exists()


def test_interrupt_keeps_what_an_inversion_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        for update in invert(*arguments, **options):
            yield update
            if isinstance(update, Step) and (update.phase, update.step) == ("latent", 2):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("ipl_core.library.find_or_run.invert", interrupted)
    request = ["invert", str(a_photo(tmp_path / "a.png")), "--preset", "fast", "--crop", "center", "--steps", "9"]
    assert main([*request, "--out", str(tmp_path / "out")]) == INTERRUPTED
    assert "Stopped as asked after 2 steps" in capsys.readouterr().out
    assert inversions.load(tmp_path / "out").settings["stopped"] == "asked"


def test_evaluate_inversion_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scores"
    request = ["evaluate-inversion", "--preset", "fast", "--count", "0", "--samples", "1", "--out", str(out)]
    assert main(request) == 0
    assert "1/1 fast, samples 0: identity" in capsys.readouterr().out
    assert len((out / "inversion.csv").read_text().splitlines()) == 2
    assert "| fast | samples | 1 |" in (out / "inversion.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["invert", "nowhere.jpg"], "“nowhere.jpg” can't be read"),
        (["invert", __file__], "is no picture"),
        (["invert", "PHOTO", "--preset", "slow"], "one of fast, good, best, not “slow”"),
        (["invert", "PHOTO", "--space", "z"], "Latent space (space) must be one of w, w+, not “z”"),
        (["invert", "PHOTO", "--crop", "left"], "one of auto, center, none"),
        (["invert", "PHOTO", "--crop", "none"], "must be a square, not 60×40"),
        (["invert", "PHOTO", "--face", "2"], "no face 2"),
        (["invert", "PHOTO", "--face", "1.5"], "not 1.5"),
        (["invert", "PHOTO", "--zoom", "9"], "crop's zoom must be a number from 0.25 to 4"),
        (["invert", "PHOTO", "--move", "up"], "two numbers"),
        (["invert", "PHOTO", "--steps", "0"], "from 1 to 20000, not 0"),
        (["invert", "PHOTO", "--pixel", "-1"], "from 0 to 1000, not -1"),
        (["invert", "PHOTO", "--model", "ffhq"], "no model “ffhq”"),
        (["restyle", "nowhere", "nobody"], "can't be read"),
        (["evaluate-inversion", "--count", "-1"], "from 0 to 5000, not -1"),
        (["evaluate-inversion", "--preset", "slow"], "one of fast, good, best"),
        (["adapt", " "], "target is blank"),
        (["adapt", "photo"], "nothing to adapt"),
        (["adapt", "word " * 50], "tokens"),
        (["adapt", "werewolf", "--method", "gan"], "one of nada, shared, ipl"),
        (["adapt", "werewolf", "--preset", "best"], "one of official, paper, default"),
        (["adapt", "werewolf", "--steps", "0"], "from 1 to 5000, not 0"),
        (["adapt", "werewolf", "--steps", "1.5"], "not 1.5"),
        (["adapt", "werewolf", "--steps", "many"], "'many' is not a number"),
        (["adapt", "werewolf", "--lambda", "nan"], "not nan"),
        (["adapt", "werewolf", "--seed", "-1"], "not -1"),
        (["adapt", "werewolf", "--batch", "1000"], "not 1000"),
        (["adapt", "werewolf", "--device", "cuda:99"], "cuda:99"),
        (["adapt", "werewolf", "--model", "ffhq"], "no model “ffhq”"),
        (["evaluate", "werewolf", "--samples", "1"], "from 2 to 5000, not 1"),
        (["evaluate", "werewolf", "--methods", "ipl,gan"], "one of nada, shared, ipl"),
        (["evaluate", "submarine"], "submarine"),
        (["evaluate", "werewolf", "--set", "steps"], "NAME=VALUE"),
        (["evaluate", "werewolf", "--set", "haste=1"], "no setting named “haste”"),
        (["adapt", "werewolf", "--layers", "fine"], "no fine layers"),
        (["sample", "studio", "--seeds", "5-1"], "backwards"),
        (["sample", "studio", "--psi", "3"], "from 0 to 1.5, not 3"),
        (["sample", "studio", "--psi", "nan"], "not nan"),
        (["sample", "studio", "--columns", "0"], "at least 1"),
        (["sample", "nowhere"], "no model “nowhere”"),
        (["sample", "studio", "--device", "toaster"], "no device called “toaster”"),
        (["convert", "studio"], "as .safetensors or .pt"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_status_2(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(a_photo(tmp_path / "photo.png")) if word == "PHOTO" else word for word in arguments]
    assert said in refusal([*arguments, "--out", str(tmp_path / "out.png")], capsys)
    assert not list(tmp_path.glob("out.png/*"))


def test_unwritable_out_is_said_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr("ipl_core.library.find_or_run.adapt", None)
    assert main(["adapt", "werewolf", "--out", str(tmp_path / "file")]) == 2
    assert "Nothing can be written to the folder" in capsys.readouterr().err
    assert main(["sample", "studio", "--out", str(tmp_path / "file" / "a.png")]) == 2
    assert main(["sample", "studio", "--out", str(tmp_path / "a.jpg")]) == 2
    assert "ends in .png" in capsys.readouterr().err


def test_unknown_words_are_listed_with_a_way_out(
    tmp_path: Path, make_critic_folder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"words": ["a", "photo", "of", "person"], "domains": {"pencil sketch": ["pencil sketch"]}}
    folder = make_critic_folder(tmp_path / "closed", words)
    assert main(["adapt", "spaceship", "--critic", str(folder), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in ("spaceship", "pencil sketch", "ViT-B-32"))


def test_interrupt_keeps_what_was_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = signal.getsignal(signal.SIGINT)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        for update in adapt(*arguments, **options):
            yield update
            if isinstance(update, Step) and (update.phase, update.step) == ("generator", 2):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("ipl_core.library.find_or_run.adapt", interrupted)
    request = ["adapt", "werewolf", "--method", "nada", "--steps", "9", "--batch", "1"]
    assert main([*request, "--out", str(tmp_path / "out")]) == INTERRUPTED
    assert "after 2 of 9 steps" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["stopped"] == "asked"
    assert catalog.load_generator(tmp_path / "out").config.resolution == 32
    assert signal.getsignal(signal.SIGINT) == usual


def test_numbers_that_are_not_finite_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loss_of = loops.adaptation_loss
    monkeypatch.setattr(loops, "adaptation_loss", lambda *arguments: loss_of(*arguments) * float("nan"))
    assert main(["adapt", "werewolf", "--method", "nada", *TINY, "--out", str(tmp_path / "out")]) == 1
    assert "stopped being finite after 0 of 2 steps" in capsys.readouterr().out


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in COMMANDS.items():
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert command.help in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


def test_what_is_kept_is_managed_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = ["adapt", "werewolf", "--method", "nada", *TINY, "--keep-every", "1", "--keep-state"]
    assert main([*request, "--out", str(tmp_path / "out")]) == 0
    (entry,) = store.list_entries()
    name = entry.path.name
    assert (tmp_path / "out" / domain_folder.step_file(1)).is_file()

    def says(*words: str) -> str:
        capsys.readouterr()
        assert main(["library", *words]) == 0
        return capsys.readouterr().out

    assert says("rename", name, "Wolves") == "Wolves\n"
    assert "Wolves, " in says("list")
    assert "steps kept: 1\n" in says("list")
    assert says("pick", name, "1").strip().endswith("-step-1")
    file = tmp_path / "wolf.pt"
    assert says("export", name, "--step", "1", "--out", str(file)) == f"{file}\n"
    assert "(imported from wolf.pt)" in says("import", str(file), "--target", "wolf")
    assert says("delete", name) == "Deleted: Wolves\n"
    assert "Wolves" not in says("list")
    for words, said in (
        (["delete", name], "no adapted domain"),
        (["import", str(file), "--model", "nobody"], "no model “nobody”"),
        (["burn"], "invalid choice"),
    ):
        assert said in refusal(["library", *words], capsys)


def test_a_run_is_resumed_exactly_or_says_that_it_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = ["adapt", "werewolf", "--method", "nada", *TINY]
    assert main([*request, "--keep-state", "--out", str(tmp_path / "one")]) == 0
    assert main(["resume", str(tmp_path / "one"), "--steps", "1", "--out", str(tmp_path / "two")]) == 0
    assert "after step 2 with the state of its training." in capsys.readouterr().out
    assert store.open_entry(tmp_path / "two").settings["steps"]["generator"] == 3
    (entry,) = (entry for entry in store.list_entries() if entry.config.steps == 3)
    shutil.rmtree(entry.path)
    assert main([*request, "--steps", "3", "--out", str(tmp_path / "whole")]) == 0
    weights = [catalog.changed_weights(tmp_path / folder) for folder in ("two", "whole")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    capsys.readouterr()
    assert main(["resume", str(tmp_path / "whole"), "--steps", "1", "--out", str(tmp_path / "three")]) == 0
    assert "after step 3 from its weights, with a fresh optimiser" in capsys.readouterr().out
    wrong = ["resume", str(tmp_path / "one"), "--steps", "0.5", "--out", str(tmp_path / "no")]
    assert "from 1 to 5000, not 0.5" in refusal(wrong, capsys)


def test_a_terminal_shows_a_bar_a_stage_and_a_file_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    result = AdaptResult(1, 1, Pictures(pictures, pictures), {})
    updates = [Step(1, 1, "prompts", {"total": 1.25}), Step(1, 1, "generator"), result]
    for terminal in (True, False):
        screen = io.StringIO()
        screen.isatty = lambda shown=terminal: shown
        monkeypatch.setattr(sys, "stderr", screen)
        with StepBar() as bar:
            for update in updates:
                bar.show(update)
        assert ("stage 1, prompts" in screen.getvalue()) == terminal
        assert ("stage 2, generator" in screen.getvalue()) == terminal


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "ipl_core", "sample", "nowhere", "--out", "a.png"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_import_is_light() -> None:
    code = (
        "import sys, threading, time, torch; start = time.perf_counter(); import ipl_core; "
        "took = time.perf_counter() - start; loaded = sys.modules; "
        "print(took, 'open_clip' in loaded, 'gradio' in loaded, threading.active_count())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    seconds, open_clip, gradio, threads = ended.stdout.split()
    assert (open_clip, gradio, threads) == ("False", "False", "1")
    assert float(seconds) < 1.0


def test_every_setting_can_be_typed(tmp_path: Path) -> None:
    settings = {
        "--learning-rate": "0.003", "--layers": "adaptive", "--layer-interval": "2", "--ema": "0.5",
        "--mapper-lr": "0.02", "--context": "a picture of", "--templates": "studio", "--contrastive": "difference",
        "--residual": "none", "--preset": "paper",
    }  # fmt: skip
    typed = [word for pair in settings.items() for word in pair]
    assert main(["adapt", "werewolf", *TINY, *typed, "--no-share-noise", "--out", str(tmp_path)]) == 0
    config = store.open_entry(tmp_path).config
    assert (config.learning_rate, config.layers, config.layer_interval, config.ema) == (0.003, "adaptive", 2, 0.5)
    assert (config.mapper_lr, config.context, config.templates) == (0.02, "a picture of", "studio")
    assert (config.contrastive, config.residual, config.share_noise) == ("difference", "none", False)
