"""The app starts whatever the environment says, and says what can't be used; so it does of addresses and ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import certifi
import httpx
import pytest
from visitor import PATIENCE

from tabs.access import addresses, environment

ROOT = Path(__file__).resolve().parents[2]
OF_SIX = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
VARIABLES = [name for low in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (low, low.upper())]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:  # set first, so that whatever is done to them is undone
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("named", "left_out"),
    [
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, []),
        ({"http_proxy": "proxy.example:8080", "HTTPS_PROXY": "http://who:secret@proxy.example"}, []),
        ({"ALL_PROXY": "socks4://who:secret@proxy.example"}, ["ALL_PROXY"]),
        ({"HTTPS_PROXY": "gopher://proxy.example", "HTTP_PROXY": "http://proxy.example"}, ["HTTPS_PROXY"]),
        ({"HTTP_PROXY": "http://a:port", "http_proxy": "http://b:port"}, ["HTTP_PROXY", "http_proxy"]),
        ({"HTTP_PROXY": "  "}, []),
    ],
)
def test_what_can_be_used_is_kept(
    named: dict[str, str], left_out: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    environment.settle()
    for name, value in named.items():
        assert os.environ.get(name) == (None if name in left_out else value)
        assert (f"The proxy in {name}," in caplog.text) == (name in left_out)
    assert "secret" not in caplog.text
    httpx.Client().close()
    for name in ("localhost", "127.0.0.1"):
        assert urllib.request.proxy_bypass_environment(name)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("", "localhost,127.0.0.1,::1"),
        ("example.org, .internal", "example.org,.internal,localhost,127.0.0.1,::1"),
        ("localhost", "localhost,127.0.0.1,::1"),
        ("*", "*"),
        ("10.0.0.0/8,,example.org", None),
        ("[::1],http://[,example.org", None),
    ],
)
def test_exceptions_are_added_to(told: str, kept: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", told)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    environment.settle()
    httpx.Client().close()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    if kept is None:
        assert {"example.org", "localhost", "127.0.0.1"} <= set(os.environ["NO_PROXY"].split(","))
    else:
        assert os.environ["NO_PROXY"] == kept


@pytest.mark.parametrize(
    "environment",
    [
        {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
        {"ALL_PROXY": "socks4://127.0.0.1:9", "NO_PROXY": "http://["},
        {"GRADIO_TEMP_DIR": "{tmp}/a-file/gradio", "PYTHONIOENCODING": "ascii", "SSL_CERT_FILE": "{tmp}/a-file"},
        {"SSL_CERT_FILE": "{tmp}/no-file", "GRADIO_SERVER_NAME": "no.such.example", "GRADIO_SERVER_PORT": "port"}
        | {"GRADIO_NUM_PORTS": "many", "GRADIO_NUM_WORKERS": "2.5", "GRADIO_ROOT_PATH": "a path"},
    ],
    ids=lambda environment: " ".join(environment),
)
def test_the_app_starts(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "a-file").write_text("no folder")
    settings = {**os.environ, "IPL_HOME": str(tmp_path / "home"), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    settings |= {name: value.format(tmp=tmp_path) for name, value in environment.items()}
    with (tmp_path / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=settings, stdout=said, stderr=said
        )
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            words = (tmp_path / "said.txt").read_text(errors="replace")
            assert process.poll() is None, words
            assert time.monotonic() < deadline, words
            if "Running on local URL" in words:  # only then it has asked itself
                break
            time.sleep(0.3)
        with ask(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
            assert b"IPL Studio" in answer.read()
    finally:
        process.terminate()
        process.terminate()  # asked twice, as by `timeout`, it ends as when asked once
        assert process.wait(PATIENCE) == -signal.SIGTERM
    words = (tmp_path / "said.txt").read_text(errors="replace")
    assert "Traceback" not in words
    assert not list((tmp_path / "gradio").glob("ipl-studio-*/*"))
    for name in environment:
        usable = name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PYTHONIOENCODING", "GRADIO_TEMP_DIR")
        assert usable or any("left out" in line for line in words.splitlines() if name in line)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"SSL_CERT_FILE": "{tmp}/none.pem"}, "The certificates in SSL_CERT_FILE can't be used (FileNotFoundError)"),
        ({"SSL_CERT_FILE": "{tmp}/empty.pem"}, "The certificates in SSL_CERT_FILE can't be used (SSLError)"),
        ({"SSL_CERT_FILE": "{tmp}"}, "The certificates in SSL_CERT_FILE can't be used"),
        ({"SSL_CERT_FILE": certifi.where()}, ""),
        ({"SSL_CERT_DIR": "{tmp}"}, ""),
        ({"GRADIO_SERVER_PORT": "0x1e"}, "GRADIO_SERVER_PORT is left out: '0x1e' is no port from 1 to 65535."),
        ({"GRADIO_SERVER_PORT": "70000"}, "GRADIO_SERVER_PORT is left out: '70000' is no port"),
        ({"GRADIO_SERVER_PORT": "0"}, "GRADIO_SERVER_PORT is left out"),
        ({"GRADIO_SERVER_PORT": "8080"}, ""),
        ({"GRADIO_NUM_PORTS": "0"}, "GRADIO_NUM_PORTS is left out: '0' is no whole number from 1 on."),
        ({"GRADIO_NUM_PORTS": "9" * 5000}, "GRADIO_NUM_PORTS is left out"),
        ({"GRADIO_NUM_WORKERS": "٣"}, ""),  # which is 3 to Python, and so to Gradio
        ({"GRADIO_ANALYTICS_MAX_EVENTS": ""}, "GRADIO_ANALYTICS_MAX_EVENTS is left out"),
        ({"GRADIO_ROOT_PATH": "/studio"}, ""),
        ({"GRADIO_ROOT_PATH": "https://example.org/studio"}, ""),
        ({"GRADIO_ROOT_PATH": "studio"}, "GRADIO_ROOT_PATH is left out: 'studio' is neither a path"),
        ({"GRADIO_ROOT_PATH": "//"}, "GRADIO_ROOT_PATH is left out"),
        ({"GRADIO_ROOT_PATH": "https://["}, "GRADIO_ROOT_PATH is left out"),
    ],
)
def test_what_gradio_could_not_bear_is_left_out(
    named: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "empty.pem").touch()
    ((name, value),) = ((name, value.format(tmp=tmp_path)) for name, value in named.items())
    monkeypatch.setenv(name, value)
    assert environment.settle() == "127.0.0.1"
    assert os.environ.get(name) == (None if said else value)
    assert said in caplog.text if said else not caplog.text


@pytest.mark.parametrize("name", ["0.0.0.0", "localhost", " 127.0.0.1 ", "", pytest.param("[::1]", marks=OF_SIX)])
def test_an_address_of_this_machine_in_the_environment_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    assert environment.settle() == (name.strip() or "127.0.0.1")
    assert "GRADIO_SERVER_NAME" not in os.environ
    assert not caplog.text


@pytest.mark.parametrize("name", ["no.such.example", "a b", "x" * 300, "192.0.2.1", "[", "é" * 80])
def test_any_other_address_in_the_environment_is_left_out(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", name)
    assert environment.settle() == "127.0.0.1"
    assert "GRADIO_SERVER_NAME is left out. " in caplog.text


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        (None, "99999", "'99999' is no port: give a number from 1 to 65535, or 0 for any free one."),
        (None, "-5", "'-5' is no port"),
        (None, "http", "'http' is no port"),
        ("no.such.example", None, "No machine is known as 'no.such.example': give 127.0.0.1"),
        ("192.0.2.1", "0", "This machine can't listen on '192.0.2.1'"),
        ("", None, "No machine is known as ''"),
    ],
)
def test_where_nothing_can_listen_is_said_in_a_sentence(host: str | None, port: str | None, said: str) -> None:
    with pytest.raises(addresses.Unusable) as refused:
        addresses.asked_for(host, port, "127.0.0.1")
    assert said in str(refused.value)


def test_a_port_is_asked_for_by_its_number_and_0_is_any_free_one() -> None:
    assert addresses.asked_for(None, None, "127.0.0.1") == ("127.0.0.1", None)
    host, port = addresses.asked_for("localhost", "0", "0.0.0.0")
    assert host == "localhost"
    assert 0 < port <= addresses.MAX_PORT
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen(1)
        with pytest.raises(addresses.Unusable, match=f"Port {port} is taken by another program"):
            addresses.asked_for("127.0.0.1", str(port), "")
    assert addresses.asked_for("127.0.0.1", str(port), "") == ("127.0.0.1", port)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may listen on every port")
def test_a_port_for_root_alone_is_said_to_be_so() -> None:
    with pytest.raises(addresses.Unusable, match="Port 81 is not for this user"):
        addresses.asked_for("127.0.0.1", "81", "")


@OF_SIX
def test_an_address_of_version_6_is_written_as_in_a_url() -> None:
    for written in ("::1", "[::1]"):
        assert addresses.asked_for(written, None, "127.0.0.1") == ("[::1]", None)


def test_the_app_refuses_such_a_place_before_it_starts() -> None:
    ended = subprocess.run(
        [sys.executable, "app.py", "--port", "99999"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 2
    assert "'99999' is no port" in ended.stderr.splitlines()[-1]
