"""Models of the hub, from a server on this machine: progress, resume, hashes, mirrors, offline, and plain sentences."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fakes import foreign_files as foreign
from fakes import hub_server
from fakes.refusals import refusal

from ipl_core.commands.main import main
from ipl_core.errors import InputError
from ipl_core.models import catalog, fetching
from ipl_core.models.fetching import Offer
from ipl_core.models.hub import PART, HubFile
from ipl_core.storage import folders

FIRST, SECOND = HubFile("one/models", "ada/dogs.pt"), HubFile("two/mirror", "dogs.pt")
OFFER = Offer("dogs", (FIRST, SECOND), "https://example.org/dogs", "--model /path/to/the/file")
CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's, and an empty library."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setenv("IPL_HOME", str(tmp_path / "home"))
    return tmp_path / "hf" / "hub"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """A hub that has the file in both places, and is the only one there is."""
    from huggingface_hub import constants

    with hub_server.running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        hub.files = {str(FIRST): CONTENT, str(SECOND): CONTENT}
        yield hub


def state() -> dict[str, dict[str, object]]:
    return json.loads((folders.home() / fetching.STATE).read_text())


def parts(cache: Path) -> list[Path]:
    return list(cache.rglob(f"*{PART}"))


def test_fetched_once_checked_and_remembered(hub: hub_server.Hub, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetching.obtain(OFFER, lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache)
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 5
    assert [have for have, _ in seen] == sorted(have for have, _ in seen)
    facts = state()[str(FIRST)]
    assert (facts["sha256"], facts["size"]) == (DIGEST, len(CONTENT))
    asked = len(hub.requests)
    assert fetching.obtain(OFFER) == path
    assert fetching.digest(OFFER) == DIGEST
    assert len(hub.requests) == asked  # what is here needs no network
    assert not parts(cache)


def test_other_programs_find_it_in_the_same_cache(hub: hub_server.Hub, cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    path = fetching.obtain(OFFER)
    assert hf_hub_download(FIRST.repository, FIRST.file, local_files_only=True) == str(path)
    assert len(hub.transfers(str(FIRST))) == 1


def test_what_another_program_fetched_is_taken_and_checked(hub: hub_server.Hub) -> None:
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download(SECOND.repository, SECOND.file))
    asked = len(hub.requests)
    assert fetching.obtain(OFFER) == path
    assert len(hub.requests) == asked
    assert state()[str(SECOND)]["sha256"] == DIGEST


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("no certificate", "it holds no certificates")])
def test_a_file_of_certificates_that_is_none_is_named(
    hub: hub_server.Hub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, why: str
) -> None:
    from huggingface_hub import close_session

    file = tmp_path / "certificates.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    close_session()  # the client that was made before knows the certificates of then
    with pytest.raises(InputError, match=f"SSL_CERT_FILE names '{re.escape(str(file))}': {why}"):
        fetching.obtain(OFFER)


def test_a_transfer_that_broke_off_goes_on_where_it_stopped(hub: hub_server.Hub, cache: Path) -> None:
    hub.files = {str(FIRST): CONTENT}
    hub.broken = 4500
    with pytest.raises(InputError, match="broke off"):
        fetching.obtain(OFFER)
    (part,) = parts(cache)
    have = part.stat().st_size
    assert 0 < have <= 4500
    assert fetching.here(OFFER) is None
    hub.broken = None
    seen: list[int] = []
    path = fetching.obtain(OFFER, lambda have, total: seen.append(have))
    assert hub.transfers(str(FIRST))[-1].startswith(f"bytes={have}-")
    assert seen[0] == have
    assert path.read_bytes() == CONTENT
    assert not parts(cache)


def test_a_part_that_is_complete_or_too_long(hub: hub_server.Hub, cache: Path) -> None:
    blobs = cache / "models--one--models" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{DIGEST}{PART}").write_bytes(CONTENT)
    assert fetching.obtain(OFFER).read_bytes() == CONTENT
    assert not hub.transfers(str(FIRST))
    fetching.remove(OFFER)
    (blobs / f"{DIGEST}{PART}").write_bytes(CONTENT + b"more")
    assert fetching.obtain(OFFER).read_bytes() == CONTENT
    assert hub.transfers(str(FIRST)) == [""]


def test_bytes_that_are_not_those_announced(hub: hub_server.Hub, cache: Path) -> None:
    hub.files = {str(FIRST): CONTENT}
    hub.wrong = {str(FIRST): CONTENT[::-1]}
    with pytest.raises(InputError, match="what arrived is another file"):
        fetching.obtain(OFFER)
    assert not parts(cache)
    assert fetching.here(OFFER) is None
    assert not (folders.home() / fetching.STATE).exists()


def test_a_file_that_became_another_one_is_not_taken(hub: hub_server.Hub) -> None:
    path = fetching.obtain(OFFER)
    path.resolve().unlink()
    path.unlink()
    hub.files = {str(FIRST): b"other" * 100}
    with pytest.raises(InputError, match="now has another file there"):
        fetching.obtain(OFFER)
    fetching.remove(OFFER)  # what was seen is forgotten too
    assert fetching.obtain(OFFER).read_bytes() == b"other" * 100


def test_damage_in_the_cache_is_noticed(hub: hub_server.Hub) -> None:
    path = fetching.obtain(OFFER)
    damaged = bytearray(CONTENT)
    damaged[7] ^= 1
    path.resolve().write_bytes(damaged)
    with pytest.raises(InputError, match=r"damaged or were changed.*models remove dogs"):
        fetching.obtain(OFFER)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "one/models/ada/dogs.pt: the repository isn't there, or isn't public"),
        (401, "one/models/ada/dogs.pt: .*(401|isn't public)"),
        (403, "one/models/ada/dogs.pt: access was refused .403"),
        (500, "one/models/ada/dogs.pt: "),
    ],
)
def test_the_mirror_is_tried_next_and_every_reason_is_said(
    hub: hub_server.Hub, status: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files = {str(SECOND): CONTENT}
    hub.status = {str(FIRST): status}
    assert fetching.obtain(OFFER).read_bytes() == CONTENT
    assert list(state()) == [str(SECOND)]
    fetching.remove(OFFER)
    hub.status[str(SECOND)] = 404
    with pytest.raises(InputError, match=reason) as caught:
        fetching.obtain(OFFER)
    message = str(caught.value)
    assert "two/mirror/dogs.pt: the repository has no such file (404)" in message
    assert "from https://example.org/dogs and name your copy: --model /path/to/the/file" in message
    assert "\n" not in message


def test_offline(hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetching.obtain(OFFER)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked = len(hub.requests)
    assert fetching.obtain(OFFER) == path
    fetching.remove(OFFER)
    with pytest.raises(InputError, match=r"offline mode .HF_HUB_OFFLINE. is on"):
        fetching.obtain(OFFER)
    assert len(hub.requests) == asked


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", nowhere)
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(InputError, match=r"one/models/ada/dogs.pt: no connection"):
        fetching.obtain(OFFER)


def test_removing_leaves_the_other_files_of_a_repository(hub: hub_server.Hub) -> None:
    other = HubFile("one/models", "cats.pt")
    hub.files[str(other)] = b"cats" * 10
    cats = Offer("cats", (other,), "", "")
    fetching.obtain(OFFER)
    fetching.obtain(cats)
    assert fetching.remove(OFFER) == len(CONTENT)
    assert fetching.here(OFFER) is None
    assert fetching.here(cats) is not None
    assert list(state()) == [str(other)]
    assert fetching.remove(OFFER) == 0


@pytest.mark.parametrize("text", ["{", "[]", '{"one/models/ada/dogs.pt": 3}'])
def test_a_damaged_memory_costs_only_the_memory(hub: hub_server.Hub, text: str) -> None:
    fetching.obtain(OFFER)
    (folders.home() / fetching.STATE).write_text(text)
    assert fetching.obtain(OFFER).read_bytes() == CONTENT
    assert state()[str(FIRST)]["sha256"] == DIGEST


# ----------------------------------------------------------------------------------------------------------------------
# By name


@pytest.fixture
def dogs(hub: hub_server.Hub, tmp_path: Path, studio: Path) -> bytes:
    """The catalog's dogs are on the hub, small ones."""
    state = foreign.rosinality_state({4: 6, 8: 4, 16: 3})
    torch.save({"g_ema": state, "latent_avg": torch.zeros(8)}, tmp_path / "dogs.pt")
    content = (tmp_path / "dogs.pt").read_bytes()
    hub.files = {str(catalog.generators()["afhq-dog-512"].sources[0]): content}
    return content


def test_a_name_of_the_list_is_fetched_when_it_is_first_needed(dogs: bytes, hub: hub_server.Hub) -> None:
    entry = catalog.generators()["afhq-dog-512"]
    assert not catalog.is_here(entry)
    seen: list[tuple[int, int]] = []
    generator = catalog.load_generator("afhq-dog-512", progress=lambda have, total: seen.append((have, total)))
    assert generator.config.resolution == 16
    assert seen[-1] == (len(dogs), len(dogs))
    assert catalog.is_here(entry)
    assert catalog.generator_digest("afhq-dog-512") == hashlib.sha256(dogs).hexdigest()
    assert catalog.critic_of("afhq-dog-512") == "ViT-B-32"


def test_the_command_line_lists_fetches_verifies_and_removes(
    dogs: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert "afhq-dog-512               AFHQ dogs 512, 512 px, 124 MB to fetch" in said
    assert "non-commercial" in said
    assert "ViT-B-16-SigLIP2" in said
    assert "embedded" in said

    assert main(["models", "fetch", "afhq-dog-512"]) == 0
    said = capsys.readouterr()
    assert hashlib.sha256(dogs).hexdigest() in said.out
    assert "non-commercial" in said.out
    assert main(["models", "list"]) == 0
    assert "AFHQ dogs 512, 512 px, here" in capsys.readouterr().out
    assert main(["models", "verify"]) == 0
    assert "afhq-dog-512: as it was fetched" in capsys.readouterr().out
    out = tmp_path / "images.npy"
    assert main(["sample", "afhq-dog-512", "--seeds", "0-1", "--out", str(tmp_path / "a.png")]) == 0

    path = catalog.find_generator("afhq-dog-512").resolve()
    path.write_bytes(dogs[::-1])
    assert main(["models", "verify", "afhq-dog-512"]) == 1
    assert "damaged" in capsys.readouterr().err
    assert main(["models", "remove", "afhq-dog-512"]) == 0
    assert main(["models", "verify", "afhq-dog-512"]) == 1
    assert "not here" in capsys.readouterr().out
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models", "fetch", "dragons"], "no model “dragons” in the list: use one of studio, studio-dogs, ffhq-1024"),
        (["models", "fetch", "ffhq-256"], "no repository of the hub is known to have them"),
        (["models", "fetch", "afhq-cat-512"], "aaronb/StyleGAN2/ada/afhqcat.pt: the repository has no such file"),
        (["models", "remove", "studio"], "embedded"),
        (["models"], "required"),
        (["models", "burn"], "invalid choice"),
        (["adapt", "wolf", "--model", "ffhq-256", "--out", "{}/out"], "no repository of the hub"),
        (["sample", "ffhq-256", "--out", "{}/a.png"], "name your copy: --model /path/to/the/file"),
    ],
)
def test_bad_requests(
    dogs: bytes, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal([word.format(tmp_path) for word in words], capsys)


def test_critics_are_fetched_and_say_what_they_need(hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    critic = catalog.critics()["ViT-B-32"]
    assert catalog.find_critic("ViT-B-32") == "ViT-B-32:openai"
    hub.files = {str(critic.sources[0]): CONTENT}
    catalog.fetch_critic("ViT-B-32")
    assert catalog.is_here(critic)
    catalog.fetch_critic("RN101")  # only open_clip knows it
    catalog.fetch_critic("studio")
    monkeypatch.setattr("ipl_core.models.catalog.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install transformers"):
        catalog.fetch_critic("ViT-B-16-SigLIP2")
    hub.files = {}
    with pytest.raises(InputError, match="--critic RN50:/path/to/the/file"):
        catalog.load_critic("RN50")


def test_weights_that_were_fetched_and_are_damaged_are_called_so(hub: hub_server.Hub, cache: Path) -> None:
    critic = catalog.critics()["ViT-B-32"]
    hub.files = {str(critic.sources[0]): CONTENT}
    with pytest.raises(InputError) as refused:
        catalog.load_critic("ViT-B-32")
    words = str(refused.value)
    assert str(cache) in words
    assert "which is damaged" in words
    assert "network" not in words.lower()


def test_every_entry_is_complete_and_every_critic_exists_in_open_clip() -> None:
    import open_clip

    models = catalog.hub_models()
    for name, facts in {**models["generators"], **models["critics"]}.items():
        assert facts["licence"], name
        assert facts["page"].startswith("https://"), name
        assert facts["size"] > 1e8, name
    for facts in models["generators"].values():
        assert facts["critic"] in models["critics"]
        assert facts["resolution"] in (256, 512, 1024)
    for facts in models["critics"].values():
        architecture, _, tag = facts["open_clip"].partition(":")
        where = open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"]
        assert facts["sources"][0]["repository"] == where.rstrip("/")


def test_as_a_program_with_the_environment_alone(dogs: bytes, hub: hub_server.Hub, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "elsewhere"),
        "IPL_HOME": str(tmp_path / "own"),
    }
    for setting in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGINGFACE_HUB_CACHE"):
        environment.pop(setting, None)

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ipl_core", "models", "fetch", "afhq-dog-512"]
        return subprocess.run(
            command, env={**environment, **more}, capture_output=True, text=True, check=False, timeout=120
        )

    offline = run(HF_HUB_OFFLINE="1")
    assert (offline.returncode, len(offline.stderr.splitlines())) == (2, 1)
    assert "offline mode" in offline.stderr
    online = run()
    assert online.returncode == 0
    assert str(tmp_path / "elsewhere") in online.stdout
    assert "Traceback" not in online.stderr
    assert run(HF_HUB_OFFLINE="1").returncode == 0
