"""`python app.py`, as the README says it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from visitor import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


def test_the_app_starts_and_answers(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {**os.environ, "IPL_HOME": str(tmp_path), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    settings.pop("IPL_STUDY_ADMIN", None)
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, "the app has ended"
            assert time.monotonic() < deadline, "the app doesn't answer"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                    assert b"IPL Studio" in answer.read()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=PATIENCE)
    assert re.search(r"^Token for whoever runs a blind study: \S{16}$", said, re.MULTILINE)


def test_without_models_it_says_what_to_do(tmp_path: Path) -> None:
    settings = {**os.environ, "IPL_PRETRAINED": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=settings, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode != 0
    assert "IPL_PRETRAINED" in ended.stderr
    assert "Traceback" not in ended.stderr
