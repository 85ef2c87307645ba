"""The app on a Space with ZeroGPU: `python app.py` beside a stand-in for the package that lends a GPU there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.client import Job
from gradio_client.exceptions import AppError
from PIL import Image
from visitor import PATIENCE

from ipl_core import AdaptConfig, InputError
from ipl_core.library import store
from ipl_core.models import catalog
from ipl_core.running.forecast import Speed
from ipl_core.running.steps import AdaptResult, Pictures, Start, Step
from tabs.access.policy import Policy
from tabs.service import zero
from tabs.service.service import Service
from tabs.service.stops import Stop

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in")
LENT_FOR = 22
NADA = {"method": "nada", "steps": 3, "batch": 2}
IPL = {"mapper_steps": 2, "steps": 3, "batch": 2}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # as the process has on whose GPU a run is made
LONG = {"method": "nada", "steps": 3000, "batch": 32}  # takes far longer than the GPU is lent for


class Space:
    """A Space that runs. calls: what its GPU was asked for."""

    def __init__(self, folder: Path, pretrained: Path, **environment: str) -> None:
        self.folder, self.home = folder, folder / "home"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {name: value for name, value in os.environ.items() if not name.startswith("IPL_")}
        settings |= {
            "SPACE_ID": "somebody/studio",
            "SPACES_ZERO_GPU": "true",
            "STAND_IN_FOLDER": str(folder),
            "PYTHONPATH": str(STAND_IN),
            "IPL_PRETRAINED": str(pretrained),
            "IPL_HOME": str(self.home),
            "IPL_GPU_SECONDS": str(LENT_FOR),
            "IPL_MAX_STEPS": "3000",
            "GRADIO_TEMP_DIR": str(folder / "gradio"),
            "GRADIO_ANALYTICS_ENABLED": "False",
            **environment,
        }
        self.url, self._log = f"http://127.0.0.1:{port}", folder / "said.txt"
        with self._log.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=settings, stdout=said, stderr=said
            )
        deadline = time.monotonic() + PATIENCE
        while "Running on local URL" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.3)

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def lent(self) -> list[dict[str, Any]]:
        return [call for call in self.calls if "seconds" in call]

    def kept(self) -> set[str]:
        runs = self.home / "runs"
        return {path.name for path in runs.iterdir() if not path.name.startswith(".")} if runs.is_dir() else set()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Iterator[Space]:
    """One Space for all tests of this file."""
    running = Space(tmp_path_factory.mktemp("space"), tiny_pretrained, **ONE_THREAD)
    yield running
    running.end()
    assert "Traceback" not in running.said


@pytest.fixture
def client(space: Space) -> Iterator[Client]:
    client = Client(space.url, verbose=False)
    yield client
    client.close()


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def begun(client: Client, times: int = 1, **asked: Any) -> Job:
    """A job that has reported so many times."""
    job = client.submit("pencil sketch", **asked, api_name="/adapt")
    wait_for(lambda: len(job.outputs()) >= times or job.done())
    assert not job.done(), job.result()
    return job


def refused(client: Client, **asked: Any) -> str:
    with pytest.raises(AppError) as raised:
        client.predict("pencil sketch", **asked, api_name="/adapt")
    return str(raised.value)


@pytest.mark.parametrize("asked", [NADA, IPL], ids=["nada", "ipl"])
def test_a_run_is_made_over_there_and_kept_here(space: Space, client: Client, asked: dict[str, Any]) -> None:
    before = len(space.lent)
    *steps, last = client.submit("pencil sketch", **asked, seed=1, api_name="/adapt")
    assert steps
    assert last["stopped"] is None
    (call,) = space.lent[before:]
    assert call["parent"] == space.process.pid != call["worker"]
    assert call["request"], "the lender can't know whose quota it is"
    assert last["entry"] in [row["name"] for row in client.predict(api_name="/library")]
    sheet, _ = client.predict(last["entry"], "0-1", api_name="/sample")
    assert Image.open(sheet).size[0] > 32
    assert len(space.lent) == before + 1, "drawing borrows a GPU"
    title = f"by {client.session_hash}"
    assert client.predict(last["entry"], title, api_name="/rename")["title"] == title  # it is the visitor's own


def test_the_weights_are_those_of_a_run_in_one_process(
    space: Space, client: Client, tiny_pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = client.predict("a portrait of stone", **IPL, seed=2, api_name="/adapt")["entry"]
    # In a process of its own: what this one has computed and kept with several threads differs in the last digit.
    config, alone = {"target": "a portrait of stone", **IPL, "seed": 2}, tmp_path / "alone.pt"
    run = (
        "import torch; from ipl_core import AdaptConfig, adapt; "
        f"*_, last = adapt(AdaptConfig(**{config!r})); torch.save(dict(last.weights), {str(alone)!r})"
    )
    settings = {**os.environ, **ONE_THREAD, "IPL_PRETRAINED": str(tiny_pretrained), "IPL_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", run], cwd=ROOT, env=settings, check=True, timeout=PATIENCE)
    expected = torch.load(alone, weights_only=True)
    monkeypatch.setenv("IPL_PRETRAINED", str(tiny_pretrained))
    monkeypatch.setenv("IPL_HOME", str(space.home))
    weights = catalog.changed_weights(store.runs_folder() / name)
    assert weights.keys() == expected.keys()
    for tensor, value in expected.items():
        assert torch.equal(value, weights[tensor]), tensor


def test_the_time_that_is_asked_for_is_forecast_once_the_gpu_is_known(space: Space, client: Client) -> None:
    before = len(space.lent)
    for seed in (3, 4):
        client.predict("pencil sketch", method="shared", mapper_steps=1, steps=2, batch=2, seed=seed, api_name="/adapt")
    first, second = space.lent[before:]
    assert first["seconds"] == LENT_FOR
    assert zero.RESERVE + zero.LOADING < second["seconds"] < LENT_FOR


def test_a_run_goes_on_over_there(space: Space, client: Client) -> None:
    first = client.predict("pencil sketch", **IPL, seed=5, keep_state=True, api_name="/adapt")
    before = len(space.lent)
    on = client.predict(first["entry"], 2, api_name="/resume")
    assert on["stopped"] is None
    assert on["entry"] != first["entry"]
    assert len(space.lent) == before + 1
    settings = json.loads((space.home / "runs" / on["entry"] / "settings.json").read_text())
    assert settings["steps"]["generator"] == 5
    assert settings["resumed"]["exactly"] is True


def test_a_picture_is_inverted_over_there(space: Space, client: Client, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "tan").save(tmp_path / "me.png")
    before = len(space.lent)
    last, latent, picture = client.predict(
        handle_file(str(tmp_path / "me.png")), "me", preset="fast", crop="none", steps=3, api_name="/invert"
    )
    assert last["stage"] == "done"
    assert Path(latent).stat().st_size > 100
    assert Image.open(picture).size
    assert len(space.lent) == before + 1
    assert last["person"] in [row["name"] for row in client.predict(api_name="/people")]
    other = Client(space.url, verbose=False)
    assert other.predict(api_name="/people") == []
    other.close()


def test_stop_keeps_what_was_reached(space: Space, client: Client) -> None:
    job = begun(client, 2, **LONG, seed=6)
    asked = time.monotonic()
    assert client.predict(api_name="/stop") is True
    last = job.result(PATIENCE)
    assert time.monotonic() - asked < LENT_FOR / 2
    assert last["stopped"] == "asked"
    settings = json.loads((space.home / "runs" / last["entry"] / "settings.json").read_text())
    assert 0 < settings["steps"]["generator"] < LONG["steps"]


def test_a_run_ends_before_its_time_does_and_is_kept(space: Space, client: Client) -> None:
    began = time.monotonic()
    last = client.predict("pencil sketch", **LONG, seed=7, api_name="/adapt")
    assert time.monotonic() - began < LENT_FOR + 3
    assert last["stopped"] == "time"
    assert last["entry"] in space.kept()
    assert client.predict(last["entry"], 1, api_name="/resume")["stopped"] is None


def test_a_run_that_would_reach_nothing_is_refused(space: Space, client: Client) -> None:
    client.predict("pencil sketch", **IPL, seed=8, api_name="/adapt")  # the GPU's pace is known from now on
    before = len(space.lent)
    words = refused(client, mapper_steps=3000, steps=2, batch=2)
    assert "Stage 1 of this run would take about" in words
    assert f"lent for {LENT_FOR} at most" in words
    assert len(space.lent) == before, "a GPU was borrowed for nothing"


def test_limits_hold(space: Space, client: Client) -> None:
    before = len(space.lent)
    assert "at most 3000 steps of a stage, not 3001" in refused(client, method="nada", steps=3001)
    assert len(space.lent) == before


def test_without_quota_a_sentence_says_so(space: Space, client: Client) -> None:
    (space.folder / "quota").write_text("5")
    try:
        words = refused(client, **NADA, seed=9)
    finally:
        (space.folder / "quota").unlink()
    assert "The GPU could not be used: You have exceeded your quota" in words
    assert "<" not in words
    assert client.predict("pencil sketch", **NADA, seed=9, api_name="/adapt")["entry"]


def test_an_error_over_there_becomes_its_sentence(space: Space, client: Client) -> None:
    before = len(space.lent)
    assert "This model has no fine layers: it draws 32×32 pictures" in refused(client, **NADA, layers="fine")
    assert len(space.lent) == before + 1


def test_a_process_that_is_killed_over_there_ends_only_its_job(space: Space, client: Client) -> None:
    kept = space.kept()
    job = begun(client, **LONG, seed=10)
    os.kill(space.lent[-1]["worker"], signal.SIGKILL)
    with pytest.raises(AppError, match="The GPU could not be used: GPU task aborted"):
        job.result(PATIENCE)
    assert space.kept() == kept
    assert client.predict("pencil sketch", **NADA, seed=11, api_name="/adapt")["entry"]


def test_the_gpu_is_free_when_a_visitor_has_left(space: Space, client: Client) -> None:
    kept = space.kept()
    leaver = Client(space.url, verbose=False)
    job = begun(leaver, **LONG, seed=12)
    call = space.lent[-1]
    job.cancel()
    leaver.close()
    wait_for(lambda: any(one.get("over") == call["worker"] for one in space.calls), LENT_FOR / 2)
    with pytest.raises(ProcessLookupError):
        wait_for(lambda: os.kill(call["worker"], 0), LENT_FOR / 2)
    assert space.kept() == kept, "nobody waits for it, and it was kept"
    assert client.predict("pencil sketch", **NADA, seed=13, api_name="/adapt")["entry"]


def test_a_process_that_was_forked_before_does_the_next_job(tmp_path: Path, tiny_pretrained: Path) -> None:
    space = Space(tmp_path, tiny_pretrained, STAND_IN_REUSES="1")
    try:
        client = Client(space.url, verbose=False)
        first = client.predict("pencil sketch", **NADA, seed=1, api_name="/adapt")
        assert client.predict(first["entry"], 2, api_name="/resume")["entry"]
        job = begun(client, 2, **LONG, seed=2)
        client.predict(api_name="/stop")
        assert job.result(PATIENCE)["entry"] in space.kept()
        client.close()
        assert len({call["worker"] for call in space.lent}) == 1
        assert len(space.lent) == 3
    finally:
        space.end()
    assert "Traceback" not in space.said


# ----------------------------------------------------------------------------------------------------------------------
# Without a Space


def test_elsewhere_nothing_is_lent(studio: Path) -> None:
    assert not zero.LENT
    gpu = zero.Gpu(Policy(gpu_seconds=1))
    config = AdaptConfig("pencil sketch", **NADA)
    assert gpu.placed(config) is config
    *_, last = gpu.adapt(config, Stop())
    assert isinstance(last, AdaptResult)
    assert isinstance(gpu.measure(config), Speed)


def test_too_short_a_time_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero, "LENT", True)
    with pytest.raises(InputError, match="IPL_GPU_SECONDS must be at least 20, not 3"):
        zero.Gpu(Policy(gpu_seconds=3))


def test_what_visitors_see_first_is_loaded_before_they_come(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(Policy())
    service.load_first()

    def load(*_: Any) -> None:
        raise AssertionError("a visitor waits for this")

    monkeypatch.setattr("ipl_core.models.catalog.load_generator", load)
    assert service.generators.get("studio").config.resolution == 32


def test_how_long_a_gpu_is_lent_is_set_by_the_environment() -> None:
    assert Policy.from_environment({"SPACE_ID": "a/b"}).gpu_seconds == 60
    assert Policy.from_environment({"IPL_GPU_SECONDS": "90"}).gpu_seconds == 90
    with pytest.raises(InputError, match="IPL_GPU_SECONDS must be a number above 0"):
        Policy.from_environment({"IPL_GPU_SECONDS": "long"})


def test_what_crosses_is_as_it_was() -> None:
    import pickle

    state = {"step": torch.tensor(3), "learns": torch.tensor(True), "random": torch.arange(5, dtype=torch.uint8)}
    start = Start(3, {"w": torch.randn(2, 3)}, {}, state)
    packed = pickle.loads(pickle.dumps(zero._packed(start)))  # noqa: S301
    assert not any(isinstance(value, torch.Tensor) for value in packed.training.values())
    again = zero._unpacked(packed)
    assert again.step == 3
    for name, value in state.items():
        assert torch.equal(again.training[name], value)
        assert again.training[name].dtype == value.dtype
    assert torch.equal(again.weights["w"], start.weights["w"])
    step = Step(1, 2, "generator", {"adaptation": 0.5})
    assert zero._unpacked(zero._packed(step)) == step
    pictures = Pictures(torch.zeros(1, 2, 2, 3), torch.ones(1, 2, 2, 3), 0.5, {0: "old"})
    result = zero._packed(AdaptResult(2, 2, pictures, start.weights))
    assert not isinstance(result.pictures.after, torch.Tensor)
    assert torch.equal(zero._unpacked(result).pictures.after, pictures.after)
    assert (result.pictures.diversity, result.pictures.readings) == (0.5, {0: "old"})
