"""The container's recipe: what it says, and the app started by its steps, as its user, on a read-only system."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from gradio_client import Client
from visitor import PATIENCE

from tabs.access.policy import Policy

ROOT = Path(__file__).resolve().parents[2]
USER = 10001
_PLACES = {"/data": "/mnt/data", "/tmp": "/mnt/tmp", "/app": "/mnt/app"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, the rest), continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines if line.strip()]


def said(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in said("ENV") for pair in shlex.split(line))


def service() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["studio"]


def test_the_recipe_gives_away_nothing() -> None:
    assert said("FROM") == ["python:3.12-slim"]
    assert said("USER") == [f"{USER}:{USER}"]
    assert [word for word, _ in instructions()].index("USER") > max(
        number for number, (word, _) in enumerate(instructions()) if word in ("RUN", "COPY")
    )
    assert said("EXPOSE") == ["7860"]
    assert said("VOLUME") == ["/data"]
    kept = environment()
    assert all(kept[name].startswith("/data/") for name in ("IPL_HOME", "HF_HOME", "TORCH_HOME"))
    assert all(kept[name].startswith("/tmp") for name in ("HOME", "GRADIO_TEMP_DIR"))
    assert not re.search(r"(?i)token|password|secret", (ROOT / "Dockerfile").read_text(encoding="utf-8"))


def test_compose_leaves_the_container_nothing_to_change() -> None:
    studio = service()
    assert studio["read_only"] is True
    assert studio["cap_drop"] == ["ALL"]
    assert studio["security_opt"] == ["no-new-privileges:true"]
    assert studio["mem_limit"]
    assert studio["pids_limit"]
    assert [volume.split(":")[1] for volume in studio["volumes"]] == said("VOLUME")
    assert [place.split(":")[0] for place in studio["tmpfs"]] == ["/tmp"]
    (port,) = studio["ports"]
    assert port.startswith("127.0.0.1:")
    assert port.endswith(":7860")
    assert not {"privileged", "network_mode", "pid", "cap_add", "devices"} & set(studio)


def test_what_the_documentation_lets_one_set_reaches_the_app() -> None:
    documentation = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    (paragraph,) = re.findall(r"^- \*\*Limits\.\*\* .*$", documentation, re.MULTILINE)
    named = re.findall(r"`((?:IPL_|FORWARDED_)[A-Z_]+)`", paragraph)
    assert len(named) == 7
    passed_on = service()["environment"]
    for name in named:
        assert name in passed_on
        assert passed_on[name] is None, "a value here would be a second default"
    for name in named:
        if name.startswith("IPL_"):
            limited = Policy.from_environment({"IPL_SHARED": "1", name: "7"})
            assert limited != Policy.from_environment({"IPL_SHARED": "1"})


def copied() -> list[tuple[str, str]]:
    """What the recipe copies, as (source, target folder or file)."""
    pairs = []
    for line in said("COPY"):
        *sources, target = line.split()
        pairs += [(source, target if len(sources) == 1 and target != "./" else source) for source in sources]
    return pairs


def test_what_is_copied_is_let_through_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {source for source, _ in copied()}
    assert all((ROOT / source).exists() for source, _ in copied())


# ----------------------------------------------------------------------------------------------------------------------
# Its steps


def can_be_tried() -> bool:
    """Whether this process may make a mount namespace and become another user, as a container's engine does."""
    if sys.platform != "linux" or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        return False
    trial = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt && setpriv --reuid=10001 true"]
    return subprocess.run(trial, capture_output=True).returncode == 0


def moved(text: str) -> str:
    """Paths of the container as they are called in the test's namespace."""
    return re.sub(r"(?<![\w./])(/data|/tmp|/app)\b", lambda found: _PLACES[found[1]], text)


class Container:
    """The image's file system and user, without an engine: a namespace in which all is read-only but /data and /tmp."""

    def __init__(self, app: Path, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._app, self._data = app, data
        self._environment = {
            name: moved(value)
            for name, value in {**environment(), "TMPDIR": "/tmp", "PATH": os.environ["PATH"]}.items()
        }
        self._environment["LD_LIBRARY_PATH"] = "/mnt/base/lib"  # the interpreter's own, whose folder may be closed
        libraries = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), "/mnt/site"]
        self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, libraries))
        passed_on = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS")
        self._environment |= {name: os.environ[name] for name in passed_on if name in os.environ}

    def command(self, words: list[str]) -> list[str]:
        """A command of the recipe as it runs inside."""
        python = f"/mnt/base/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        inside = [python if word == "python" else word.replace("7860", str(self.port)) for word in words]
        lines = [
            "set -e",
            "mount --make-rprivate /",
            "mount -t tmpfs -o mode=755 tmpfs /mnt",
            "mkdir /mnt/app /mnt/data /mnt/tmp /mnt/base /mnt/site",
            f"mount --bind {shlex.quote(str(self._app))} /mnt/app",
            f"mount --bind {shlex.quote(str(self._data))} /mnt/data",
            f"mount --bind {shlex.quote(sys.base_prefix)} /mnt/base",
            f"mount --bind {shlex.quote(site.getsitepackages()[0])} /mnt/site",
            "mount -t tmpfs -o mode=1777 tmpfs /mnt/tmp",
            "mount -o remount,bind,ro /",
            "mount -o remount,ro /mnt",
            "cd /mnt/app",
            f"exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs --inh-caps=-all "
            f"--bounding-set=-all env -i {shlex.join(f'{k}={v}' for k, v in self._environment.items())} "
            f"{shlex.join(inside)}",
        ]
        return ["unshare", "--mount", "sh", "-c", "\n".join(lines)]


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A container of the image that the recipe makes, as far as that goes without an engine."""
    if not can_be_tried():
        pytest.skip("this machine lets a test make no mount namespace")
    app, data = tmp_path / "app", tmp_path / "data"
    app.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.py[cod]")
    for source, target in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, app / target, ignore=ignored)
        else:
            shutil.copy(ROOT / source, app / target)
    (rights,) = (step.strip() for line in said("RUN") for step in line.split("&&") if "chmod" in step)
    subprocess.run(shlex.split(rights.replace("/app", str(app))), check=True)
    (owned,) = (step.strip() for line in said("RUN") for step in line.split("&&") if "install -d" in step)
    subprocess.run(shlex.split(owned.replace("/data", str(data))), check=True)
    return Container(app, data)


@pytest.fixture
def running(container: Container, tmp_path: Path) -> Iterator[tuple[Container, Path]]:
    """The container, its app up and healthy; the file holds what the app has said."""
    words = json.loads(said("CMD")[0])
    log = tmp_path / "said.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(container.command(words), stdout=output, stderr=subprocess.STDOUT)
    (health,) = said("HEALTHCHECK")
    check = json.loads(health[health.index("[") :])
    try:
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(container.command(check), capture_output=True).returncode:
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.5)
        yield container, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def test_the_app_works_by_the_steps_of_the_recipe(running: tuple[Container, Path], tmp_path: Path) -> None:
    container, log = running
    client = Client(f"http://127.0.0.1:{container.port}", verbose=False)
    last = client.predict("pencil sketch", method="nada", steps=1, batch=2, api_name="/adapt")
    sheet, _ = client.predict(last["entry"], "0", api_name="/sample")
    assert Path(sheet).stat().st_size > 1000
    client.close()
    kept = tmp_path / "data" / "studio" / "runs" / last["entry"]
    assert {path.stat().st_uid for path in kept.iterdir()} == {USER}
    said_so_far = log.read_text(errors="replace")
    assert "Traceback" not in said_so_far
    assert "Read-only file system" not in said_so_far


def test_nothing_inside_can_be_changed(container: Container) -> None:
    tries = "import os, pathlib, sys\nassert os.getuid() == 10001\n" + "".join(
        f"try:\n    {action}\n    sys.exit({action!r})\nexcept OSError:\n    pass\n"
        for action in (
            "open('app.py', 'a')",
            "open('ipl_core/new.py', 'w')",
            "os.remove('LICENSE')",
            "os.chmod('app.py', 0o777)",
            "open('/mnt/new', 'w')",
            "open('/mnt/site/new.py', 'w')",
            "os.setuid(0)",
        )
    )
    tries += "pathlib.Path('/mnt/data/a').write_text('a'); pathlib.Path('/mnt/tmp/a').write_text('a')"
    done = subprocess.run(container.command(["python", "-c", tries]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
