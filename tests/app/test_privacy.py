"""What is left of visitors' files when the app has ended, however it ended: nothing, once it starts again."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
from PIL import Image
from visitor import PATIENCE

from tabs.access import private

ROOT = Path(__file__).resolve().parents[2]


class App:
    """`python app.py` as a process of its own, which is soon there: see `wait`."""

    def __init__(self, folder: Path, pretrained: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("GRADIO_TEMP_DIR", "IPL_ADMIN")},
            **{"IPL_HOME": str(folder / "home"), "IPL_PRETRAINED": str(pretrained), "TMPDIR": str(self.temporary)},
        }
        # Where the tests run in the background of a shell, their children would ignore Ctrl-C.
        listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=environment, preexec_fn=listen
        )
        self.url = f"http://127.0.0.1:{port}/"

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, "the app has ended"
            assert time.monotonic() < deadline, "the app doesn't answer"
            try:
                assert httpx.get(self.url).status_code == 200
                return
            except httpx.TransportError:
                time.sleep(0.2)

    def upload(self, photo: bytes) -> Path:
        answer = httpx.post(f"{self.url}gradio_api/upload", files={"files": ("me.jpg", photo)})
        return Path(answer.json()[0])

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def photo() -> bytes:
    """A photo that says who took it."""
    exif = Image.Exif()
    exif[0x013B] = "Ada Lovelace"
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "JPEG", exif=exif)
    return out.getvalue()


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and b"Ada Lovelace" in path.read_bytes()]


def test_nothing_of_a_visitor_outlives_the_app(tmp_path: Path, tiny_pretrained: Path) -> None:
    """One app is killed and leaves its files to the next, which SIGTERM ends; a third lives all along, until Ctrl-C."""
    killed, living = App(tmp_path, tiny_pretrained), App(tmp_path, tiny_pretrained)
    for one in (killed, living):
        one.wait()
    lost, used = killed.upload(photo()), living.upload(photo())
    assert sorted(left(tmp_path)) == sorted([lost, used])
    own = lost.parents[2]
    assert own.parent == killed.temporary / f"ipl-studio-{os.getuid()}"
    assert {path.stat().st_mode & 0o777 for path in (own, own.parent)} == {0o700}
    assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    assert lost.exists(), "nobody can clean after this"

    ended = App(tmp_path, tiny_pretrained)
    ended.wait()
    assert left(tmp_path) == [used]
    assert not own.exists()
    new = ended.upload(photo())
    assert sorted(left(tmp_path)) == sorted([new, used])
    assert ended.end(signal.SIGTERM) == -signal.SIGTERM
    assert [*own.parent.iterdir()] == [used.parents[2]]
    assert living.end(signal.SIGINT) == 0
    assert [path for path in living.temporary.rglob("*") if not _is_pytorchs(path)] == [own.parent]


def _is_pytorchs(path: Path) -> bool:
    """Whether PyTorch made it: 2.8 writes a module of its own into a temporary folder, and may leave that."""
    return any("non_scriptable" in name for one in (path, *path.rglob("*")) for name in one.parts)


# ----------------------------------------------------------------------------------------------------------------------

HOLDER = "from tabs.access import private; print(private.hold(), flush=True); input()"


@pytest.fixture
def hold(tmp_path: Path) -> object:
    """Starts processes that hold a private folder in `tmp_path`."""
    processes = []

    def start() -> tuple[Path, subprocess.Popen[str]]:
        environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([sys.executable, "-c", HOLDER], cwd=ROOT, env=environment, text=True, **pipes)
        processes.append(process)
        return Path(process.stdout.readline().strip()), process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_living_app_keeps_its_folder_and_a_dead_one_loses_it(hold: object) -> None:
    (living, one), (dead, other) = hold(), hold()
    (living / "file").touch()
    (dead / "file").touch()
    other.kill()
    other.wait()
    hold()
    assert (living / "file").exists()
    assert not dead.exists()
    one.communicate("\n")
    assert not living.exists(), "it removes its own at its end"


def test_nothing_else_is_removed(tmp_path: Path, hold: object) -> None:
    ours = tmp_path / f"ipl-studio-{os.getuid()}"
    ours.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    for folder in (ours / "notes", elsewhere, ours / private._UNFINISHED):
        folder.mkdir()
        (folder / "file").touch()
    (ours / f"99999999-{'0' * 16}").symlink_to(elsewhere)
    dead = ours / f"99999998-{'0' * 16}"
    dead.mkdir()
    (dead / "link").symlink_to(elsewhere)
    hold()
    assert not dead.exists()
    for folder in (ours / "notes", elsewhere, ours / private._UNFINISHED):
        assert (folder / "file").exists()


@pytest.mark.parametrize("meanwhile", ["nothing", "gradio"])
def test_a_folder_that_was_removed_is_made_again_in_its_place(tmp_path: Path, meanwhile: str, hold: object) -> None:
    """Gradio, whose folder lies in it, is told of it only once, and may have made it for an upload meanwhile."""
    lines = (
        "import os, shutil",
        "from tabs.access import private",
        "first, told = private.hold(), os.environ['GRADIO_TEMP_DIR']",
        "shutil.rmtree(first.parent)",
        f"{meanwhile!r} == 'gradio' and os.makedirs(os.path.join(told, 'upload'))",
        "assert private.hold() == private.hold() == first",
        "assert os.environ['GRADIO_TEMP_DIR'] == told and os.path.isdir(told)",
        "print(first, flush=True)",
        "input()",
    )
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, env=environment, text=True, **pipes
    ) as one:
        folder = Path(one.stdout.readline().strip())
        hold()
        assert folder.is_dir(), "another app took it for one that was left behind"
        assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}
        _, said = one.communicate("\n")
    assert one.returncode == 0
    assert said.count("made anew") == 1
    assert not folder.exists(), "it removes its own at its end"


@pytest.mark.parametrize("trap", ["link", "open"])
def test_a_folder_that_others_may_have_laid_out_is_not_used(tmp_path: Path, trap: str, hold: object) -> None:
    ours, elsewhere = tmp_path / f"ipl-studio-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if trap == "link":
        ours.symlink_to(elsewhere)
    else:
        ours.mkdir()
        ours.chmod(0o777)
    folder, _ = hold()
    assert folder.parent.parent == tmp_path
    assert folder.parent.name.startswith(f"{ours.name}-")
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert [*elsewhere.iterdir()] == []


def test_a_folder_that_cannot_be_used_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "file"), "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", HOLDER], cwd=ROOT, env=environment, input="\n", capture_output=True, text=True
    )
    assert Path(ended.stdout.strip()).parent.parent == tmp_path
    assert "can be kept in GRADIO_TEMP_DIR" in ended.stderr
