"""Odd consoles and odd names: what is printed ends no run, and what is stored can be read by every program."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from ipl_core import AdaptConfig, InputError
from ipl_core.commands.console import lasting_output
from ipl_core.commands.main import main
from ipl_core.generators.files import save_generator
from ipl_core.generators.stylegan2.network import Generator
from ipl_core.library import domain_folder, inversions, store
from ipl_core.library.records import Imported
from ipl_core.pictures.media import read_settings, save_png, save_webp
from ipl_core.storage.files import atomic_path
from ipl_core.storage.paths import as_path, exists, path_text
from ipl_core.storage.tensors import load_tensors, read_metadata, save_tensors
from ipl_core.storage.words import file_words, json_text, readable

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--mapper-steps", "1", "--mapper-batch", "2", "--steps", "1", "--batch", "2"]
QUICK = ["--preset", "fast", "--starts", "2", "--steps", "1", "--crop", "center"]
JOSE = os.fsdecode(b"Jos\xe9")  # Latin-1, as an old disk has it
pytestmark = pytest.mark.usefixtures("studio")

posix = pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names there are always Unicode")


# ----------------------------------------------------------------------------------------------------------------------
# Consoles


def run_all(commands: list[list[str]], redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Runs commands one after another in a process of their own; its exit status is 0 if all of theirs were.

    redirect: what a shell does with the output, such as ">&-".
    """
    script = (
        "import json, os, sys\nfrom ipl_core.__main__ import main\n"
        "as_typed = lambda text: os.fsdecode(text.encode('utf-8', 'surrogateescape'))\n"
        "states = [main([as_typed(word) for word in command]) for command in json.loads(sys.argv[1])]\n"
        "sys.exit(next(filter(None, states), 0))"
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    line = ["bash", "-c", f'"$0" "$@" {redirect}', sys.executable, "-c", script, json.dumps(commands)]
    return subprocess.run(line, capture_output=True, env={**os.environ, "PYTHONPATH": path, **environment}, cwd=ROOT)


def every_command(folder: Path) -> list[list[str]]:
    """A request to each command that prints, in an order in which the later ones find what they need."""
    Image.effect_noise((40, 40), 60).convert("RGB").save(folder / "Zoë.png")
    scores = ["--out", str(folder / "scores →")]
    run, other, person = str(folder / "run →"), str(folder / "other"), str(folder / "person")
    return [
        ["adapt", "café λ", *TINY, "--keep-state", "--keep-every", "1", "--out", run],
        ["adapt", "café λ", "--method", "nada", *TINY, "--out", other],
        ["resume", run, "--steps", "1", "--out", str(folder / "on")],
        ["sample", run, "--seeds", "0", "--out", str(folder / "sheet →.png")],
        ["invert", str(folder / "Zoë.png"), *QUICK, "--out", person],
        ["restyle", person, run, "--out", str(folder / "restyled →.png")],
        ["interpolate", run, "--seeds", "0,1", "--frames", "2", "--out", str(folder / "walk →.gif")],
        ["evaluate", "werewolf", "--methods", "nada", "--samples", "2", "--seeds", "0", "--set", "steps=1", *scores],
        ["convert", run, "--out", str(folder / "whole →.pt")],
        ["library", "list"],
        ["library", "import", str(folder / "whole →.pt"), "--target", "naïve →"],
        ["models", "list"],
        ["licences"],
        ["study", "new", run, other, "--title", "→ λ", "--seeds", "0-1", "--pairs-each", "1"],
        ["study", "tally"],
        ["study", "export", "--out", str(folder / "votes →")],
    ]


CONSOLES = {
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "a redirected Windows console": {"PYTHONIOENCODING": "cp1252"},
    "a system of ASCII": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


@pytest.mark.usefixtures("studio_of_sitters")
@pytest.mark.parametrize("console", CONSOLES)
def test_no_encoding_ends_a_command(console: str, tmp_path: Path) -> None:
    commands = every_command(tmp_path)
    done = run_all(commands, **CONSOLES[console])
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr
    said = done.stdout.decode("cp1252" if console == "a redirected Windows console" else "ascii")
    assert "photo -> caf" in said
    assert len(list(tmp_path.glob("*/adapted.safetensors"))) == 3
    assert (tmp_path / "person" / "settings.json").read_text(encoding="utf-8").count("Zoë") == 1
    assert {entry.target for entry in store.list_entries()} >= {"café λ", "naïve →"}


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&- <&-", "> /dev/full", "2> /dev/full", "| head -c 0"])
def test_no_closed_pipe_and_no_full_disk_ends_a_run(redirect: str, tmp_path: Path) -> None:
    if "full" in redirect and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    out = tmp_path / "run"
    request = ["adapt", "werewolf", "--method", "nada", *TINY, "--out", str(out)]
    # The second finds the run of the first and says so before it writes.
    done = run_all([request, [*request[:-1], str(tmp_path / "again")], ["library", "list"]], redirect)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(domain_folder.FILES)
    assert (out / "settings.json").read_bytes() == (tmp_path / "again" / "settings.json").read_bytes()


def test_output_is_put_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with lasting_output():
        assert sys.stdout is not before[0]
        print("λ \ud800 →", flush=True)  # noqa: T201
        assert not sys.stdout.isatty()
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "λ \\ud800 →\n"


def test_what_an_encoding_lacks_is_written_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", narrow)
    with lasting_output():
        print("“photo” → “σ”… 3×3", JOSE)  # noqa: T201
    assert narrow.buffer.getvalue().decode() == '"photo" -> "\\u03c3"... 3x3 Jos\\udce9\n'


# ----------------------------------------------------------------------------------------------------------------------
# Names of files


@posix
def test_a_picture_whose_name_is_no_text_is_inverted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, out = tmp_path / f"{JOSE}.png", tmp_path / f"{JOSE} out"
    Image.effect_noise((40, 40), 60).convert("RGB").save(photo)
    assert main(["invert", str(photo), *QUICK, "--out", str(out)]) == 0
    kept = inversions.load(out)
    assert kept.name == "Jos\ufffd"
    assert [person.name for person in inversions.list_people()] == ["Jos\ufffd"]
    kept.title.encode()
    for picture in ("aligned.png", "inverted.png"):
        json.dumps(read_settings(out / picture), ensure_ascii=False).encode()
    assert "inverted.safetensors" in capsys.readouterr().out

    run, walk = tmp_path / f"{JOSE} run", ["--out", str(tmp_path / f"{JOSE}.webp")]
    assert main(["adapt", "werewolf", "--method", "nada", *TINY, "--out", str(run)]) == 0
    for request in (
        ["restyle", str(out), str(run), "--out", str(tmp_path / f"{JOSE} restyled.png")],
        ["sample", str(run), "--seeds", "0", "--out", str(tmp_path / f"{JOSE} sheet.png")],
        ["interpolate", str(run), "--people", str(out), "--seeds", "0", "--frames", "2", *walk],
        ["convert", str(run), "--out", str(tmp_path / f"{JOSE}.safetensors")],
        ["convert", str(run), "--out", str(tmp_path / f"{JOSE}.pt")],
        ["library", "import", str(tmp_path / f"{JOSE}.pt"), "--target", "wolf"],
        ["library", "export", str(run), "--out", str(tmp_path / f"{JOSE} whole.safetensors")],
    ):
        assert main(request) == 0, request
    imported = next(entry for entry in store.list_entries() if isinstance(entry.origin, Imported))
    assert "Jos\ufffd.pt" in imported.title
    imported.title.encode()


@posix
def test_a_model_whose_name_is_no_text_is_adapted_and_found_again(tmp_path: Path, tiny_generator: Generator) -> None:
    model = tmp_path / f"{JOSE}.safetensors"
    save_generator(tiny_generator, model)
    out = tmp_path / "run"
    assert main(["adapt", "werewolf", "--model", str(model), "--critic", "studio", *TINY, "--out", str(out)]) == 0
    entry = store.open_entry(out)
    entry.config.model.encode()
    assert as_path(entry.config.model) == model
    assert main(["sample", str(out), "--seeds", "0", "--out", str(tmp_path / "sheet.png")]) == 0
    json.dumps(read_settings(out / "source.png"), ensure_ascii=False).encode()


@posix
@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("two\nlines", "two lines"),
        (" blanks . ", "blanks ."),
        ("\u202eevil", "evil"),
        ("\u202f", "picture"),
        ("x" * 251, "x" * 60),
        ("CON", "CON"),
        ("-dash", "-dash"),
        ("~nobody-of-that-name", "~nobody-of-that-name"),
        ("é" * 125, "é" * 60),
    ],
)
def test_odd_names_are_read_and_written(
    name: str, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((40, 40), 60).convert("RGB").save(f"./{name}.png", "PNG")
    assert main(["invert", f"./{name}.png", *QUICK, "--out", "out"]) == 0
    (person,) = inversions.list_people()
    assert person.name[:60] == called
    assert "\n" not in person.title
    # As a path that begins with it, too.
    target = name if name[0] != "-" else f"./{name}"
    for request in (
        ["sample", "studio", "--seeds", "0", "--out", f"{target}.png"],
        ["interpolate", "studio", "--seeds", "0,1", "--frames", "2", "--out", f"{target}.gif"],
        ["convert", "studio", "--out", f"{target}.pt"],
        ["restyle", "out", str(a_run(tmp_path)), "--out", f"{target}.png"],
    ):
        assert main(request) == 0, capsys.readouterr().err
        assert Path(f"./{request[-1]}").is_file()
    assert not [path for path in Path().iterdir() if path.name.startswith((".writing", ".tmp")) or "." * 2 in path.name]


def a_run(folder: Path) -> Path:
    out = folder / "run"
    assert main(["adapt", "werewolf", "--method", "nada", *TINY, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize(
    "request_",
    [
        ["sample", "studio", "--seeds", "0", "--out", "{}.png"],
        ["restyle", "nobody", "nothing", "--out", "{}.png"],
        ["interpolate", "studio", "--seeds", "0,1", "--out", "{}.webp"],
        ["convert", "studio", "--out", "{}.pt"],
        ["render", "--model", "studio", "--latents", "none.npy", "--space", "z", "--out", "{}.npy"],
        ["adapt", "werewolf", *TINY, "--out", "{}"],
        ["invert", "none.png", "--out", "{}"],
        ["library", "export", "nothing", "--out", "{}.pt"],
    ],
    ids=lambda request: request[0],
)
def test_a_name_that_no_file_can_have_is_refused_before_any_work(
    request_: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fakes.refusals import refusal

    def never(*_: object, **__: object) -> None:
        raise AssertionError("work was done")

    monkeypatch.setattr("ipl_core.models.catalog.load_generator", never)
    for command in ("sample", "render", "convert"):
        monkeypatch.setattr(f"ipl_core.commands.{command}.load_generator", never)
    monkeypatch.setattr("ipl_core.commands.invert.read_picture", lambda *_: Image.new("RGB", (64, 64)))
    monkeypatch.setattr("ipl_core.commands.adapt.finished_run", never)
    filled = [part.format(tmp_path / ("x" * 300)) for part in request_]
    sentence = refusal(filled, capsys)
    assert "too long" in sentence
    assert len(sentence) < 900


def test_atomic_path_writes_the_longest_name(tmp_path: Path) -> None:
    for name in ("y" * 255, "y" * 251 + ".pt", "." + "y" * 254, "a." + "y" * 253):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text("whole")
        assert (tmp_path / name).read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 4


# ----------------------------------------------------------------------------------------------------------------------
# Stored text


@posix
def test_stored_text_has_no_halves_of_characters(tmp_path: Path) -> None:
    odd = {f"{JOSE}": [JOSE, {"deep": (JOSE, 1, None, "λ")}], "plain": "José"}
    clean = {"Jos\ufffd": ["Jos\ufffd", {"deep": ["Jos\ufffd", 1, None, "λ"]}], "plain": "José"}
    assert json.loads(json_text(odd)) == clean
    assert json.loads(json_text(odd, ascii_only=True)) == clean
    assert json_text(odd, ascii_only=True).isascii()
    picture = Image.new("RGB", (4, 4))
    assert read_settings(save_png(picture, tmp_path / "a.png", odd)) == clean
    assert read_settings(save_webp(picture, tmp_path / "a.webp", odd)) == clean
    save_tensors({"a": torch.zeros(1)}, tmp_path / "a.safetensors", odd)
    assert read_metadata(tmp_path / "a.safetensors") == clean
    assert load_tensors(tmp_path / "a.safetensors")[1] == clean


@posix
def test_text_of_a_terminal_of_utf8_in_a_system_of_ascii_is_understood() -> None:
    typed = "".join(f"{chr(byte)}" if byte < 128 else chr(0xDC00 + byte) for byte in "café".encode())
    assert readable(typed) == "café"
    assert AdaptConfig(typed).target == "café"
    with pytest.raises(InputError, match="can't be shown"):
        AdaptConfig(JOSE)


def test_a_path_that_no_text_can_hold_is_a_uri_and_back(tmp_path: Path) -> None:
    for name in ("plain", "two  blanks", "per%20cent", "é"):
        path = str(tmp_path / name)
        assert path_text(path) == path
        assert as_path(path_text(path)) == Path(path)
        assert as_path(Path(path).as_uri()) == Path(path)
    if os.name != "nt":
        path = tmp_path / f"{JOSE} %+@"
        assert path_text(str(path)).isascii()
        assert as_path(path_text(str(path))) == path
    assert not exists("x" * 5000)
    assert not exists("nul\0")
    assert as_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


@pytest.mark.parametrize(
    ("path", "words"),
    [("a/Ada.png", "Ada"), ("a\tb.png", "a b"), ("\u200b.png", "file"), (" .png", "file"), ("é" * 200, "é" * 80)],
)
def test_file_words_are_a_short_line(path: str, words: str) -> None:
    assert file_words(path) == words
