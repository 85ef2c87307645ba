"""A setting is declared in one place: checks, command line, run key and forms read it there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import pytest

from ipl_core import AdaptConfig, InputError, InvertConfig
from ipl_core.commands.main import main
from ipl_core.fields import earlier_values, field, key_settings, settings
from tabs.adapt import AdaptTab
from tabs.base import Page
from tabs.picture import PictureTab
from tabs.requests.adapting import make_config
from tabs.service.service import Service


@dataclass(frozen=True)
class Wobbling(AdaptConfig):
    """A run with one setting more."""

    wobble: float = field(
        0.5, 0.0, 2.0, label="Wobble (wobble)", help="how much it wobbles", stage=2, earlier=0.5, in_form=True
    )


def test_a_setting_that_is_added_is_checked_kept_and_part_of_the_key() -> None:
    with pytest.raises(InputError, match=r"Wobble \(wobble\) must be a number from 0 to 2, not 3"):
        Wobbling("zombie", wobble=3)
    assert Wobbling("zombie", wobble=1).wobble == 1.0
    assert Wobbling.from_dict(Wobbling("zombie", wobble=2).to_dict()).wobble == 2.0
    assert Wobbling("zombie", wobble=1).decisive()["wobble"] == 1.0
    assert Wobbling("zombie").decisive() == AdaptConfig("zombie").decisive(), "runs kept before keep their key"


def test_a_setting_that_is_added_is_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    monkeypatch.setattr("ipl_core.commands.adapt.AdaptConfig", Wobbling)
    with pytest.raises(SystemExit):
        main(["adapt", "--help"])
    assert "how much it wobbles (0 to 2; 0.5)" in " ".join(capsys.readouterr().out.split())
    assert main(["adapt", "zombie", "--wobble", "9", "--out", str(tmp_path / "out")]) == 2
    assert "Wobble (wobble) must be a number from 0 to 2, not 9" in capsys.readouterr().err


def test_a_form_finds_title_range_and_choices() -> None:
    declared = settings(Wobbling)
    wobble = declared["wobble"]
    assert (wobble.title, wobble.low, wobble.high, wobble.help) == ("Wobble", 0.0, 2.0, "how much it wobbles")
    assert (declared["target"].title, declared["steps"].title) == ("Target", "Steps of stage 2")
    assert list(declared["method"].choices) == ["nada", "shared", "ipl", "described"]
    assert declared["lambda_domain"].option == "--lambda"
    assert declared["steps"].range == "1 to 5000"


@pytest.mark.parametrize("kind", [AdaptConfig, InvertConfig])
def test_every_setting_says_what_it_is(kind: type) -> None:
    for name, setting in settings(kind).items():
        assert setting.label, name
        assert setting.help, name
        assert setting.kind in ("choice", "flag", "words", "path") or setting.check or setting.high is not None, name
        assert setting.kind not in ("words", "path") or setting.hint or setting.optional, name


def test_the_key_leaves_out_what_decides_nothing() -> None:
    assert earlier_values(AdaptConfig)["vocabulary"] == "auto"
    config = AdaptConfig("Zombie", precision="bfloat16")
    key = key_settings(config)
    assert key["precision"] == "bfloat16"
    assert not {"preset", "device", "memory", "keep_every", "vocabulary"} & set(key)
    assert config.decisive()["target"] == "zombie"
    assert "locality" not in InvertConfig(tune=False).decisive()
    assert "locality" in InvertConfig(tune=True).decisive()


def test_a_setting_that_is_added_is_in_the_apps_form(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("tabs.forms.run_settings", "tabs.requests.adapting"):
        monkeypatch.setattr(f"{room}.AdaptConfig", Wobbling)
    with gr.Blocks():
        tab = AdaptTab(Page(Service()))
    wobble = tab.fields["wobble"]
    assert isinstance(wobble, gr.Number)
    assert (wobble.label, wobble.info, wobble.value) == ("Wobble", "How much it wobbles.", 0.5)
    values = {name: field.value for name, field in tab.fields.items()} | {"target": "zombie"}
    assert make_config({**values, "wobble": 1}, "cpu").wobble == 1.0
    answers = dict(zip(values, tab._check(*{**values, "wobble": 3}.values())))
    assert answers["wobble"]["message"] == "Wobble (wobble) must be a number from 0 to 2, not 3."


@pytest.mark.usefixtures("studio")
def test_forms_offer_what_is_declared_for_them() -> None:
    with gr.Blocks():
        page = Page(Service())
        adapted, inverted = AdaptTab(page).fields, PictureTab(page)._config_fields
    for fields, kind in ((adapted, AdaptConfig), (inverted, InvertConfig)):
        offered = {name for name, setting in settings(kind).items() if setting.in_form}
        assert fields.keys() - {"own_words"} == offered
