"""Files from the Hugging Face hub: fetched with progress, resumed, checked, and kept in the hub's own cache.

The cache is huggingface_hub's (`HF_HOME`, `HF_HUB_CACHE`), so other programs share it; `HF_ENDPOINT`, `HF_TOKEN` and
offline mode (`HF_HUB_OFFLINE`) are honoured as usual. An interrupted transfer leaves its partial file beside the
cache's blobs and is continued next time. This module knows repositories and files, not what the files contain.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import logging
import os
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

log = logging.getLogger(__name__)

PART = ".ipl-part"  # suffix of a partial file, after the hash that the hub announced
_SHA256 = 64  # hex digits

#: Called with the bytes received so far and the total, 0 if the hub doesn't say.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class HubFile:
    """One file of a repository of models."""

    repository: str
    file: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.file}"

    @property
    def address(self) -> str:
        """Where a person can get the file with a browser."""
        return f"https://huggingface.co/{self.repository}/blob/main/{self.file}"


class NotFetched(Exception):
    """A file couldn't be fetched from one mirror; the message is the reason in a few words."""


class Stopped(Exception):
    """Raised by a progress callback to stop a transfer; the part received so far is kept for the next one."""


def offline() -> bool:
    """Whether huggingface_hub is told to stay off the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def cached(source: HubFile) -> Path | None:
    """The path of the file if it is complete in the cache, else None; never uses the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repository, source.file)
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def fetch(source: HubFile, sha256: str | None = None, progress: Progress | None = None) -> Path:
    """The path of the file in the cache; fetches and checks it if it isn't there.

    sha256: the expected hash; None uses the hub's, which it gives for all large files.
    Raises NotFetched: no network, offline mode, no such file, no permission, a wrong hash, a full disk; and Stopped
    if `progress` raises it.
    """
    from huggingface_hub import hf_hub_download

    path = cached(source)
    if path is not None:
        return path
    if offline():
        raise NotFetched("it isn't in the cache, and offline mode (HF_HUB_OFFLINE) is on")
    with _reasons():
        metadata = _metadata(source)
        blob = _blobs(source) / metadata.etag
        promised = _promised(metadata)
        if sha256 and promised and sha256 != promised:
            raise NotFetched(
                f"the hub now has another file there (sha256 {promised[:12]}…) than the one known ({sha256[:12]}…)"
            )
        if not blob.is_file():
            _transfer(source, metadata, blob, sha256 or promised, progress)
        # The blob is in place, so nothing is transferred: this call only adds the cache's entry for it.
        return Path(hf_hub_download(source.repository, source.file))


def forget(source: HubFile) -> int:
    """Delete the file and its partial files from the cache, and nothing else; returns the number of bytes freed."""
    freed = 0
    folder = _blobs(source).parent
    for pointer in [path for path in folder.glob(f"snapshots/*/{source.file}") if path.exists() or path.is_symlink()]:
        blob = pointer.resolve()
        pointer.unlink()
        if blob.is_file() and folder.resolve() in blob.parents:  # a cache without symbolic links holds the file itself
            freed += blob.stat().st_size
            blob.unlink()
    for part in _blobs(source).glob(f"*{PART}"):
        freed += part.stat().st_size
        part.unlink()
    return freed


def digest(path: Path) -> str:
    """Sha256 of a file's bytes, in hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


# ----------------------------------------------------------------------------------------------------------------------


def _blobs(source: HubFile) -> Path:
    """The folder of the cache that holds the repository's files by hash."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=source.repository, repo_type="model") / "blobs"


def _metadata(source: HubFile) -> HfFileMetadata:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    metadata = get_hf_file_metadata(hf_hub_url(source.repository, source.file), timeout=10)
    # The etag becomes a file name, so a server must not be able to choose another folder with it.
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", metadata.etag or "") or not metadata.commit_hash:
        raise NotFetched("the server isn't a hub (it names no version of the file)")
    return metadata


def _promised(metadata: HfFileMetadata) -> str | None:
    """The sha256 that the hub announces; None for small files, which have another kind of hash."""
    return metadata.etag if len(metadata.etag) == _SHA256 else None


def _transfer(
    source: HubFile, metadata: HfFileMetadata, blob: Path, sha256: str | None, progress: Progress | None
) -> None:
    """Download the file's bytes to ``blob``, continuing from a partial file if there is one."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(blob.name + PART)
    with part.open("ab") as file:
        have = file.tell()
        if metadata.size and have > metadata.size:
            file.truncate(have := 0)
        if have:
            log.info("%s: continued at %d of %s bytes", source, have, metadata.size or "unknown")
        if not metadata.size or have < metadata.size:
            http_get(
                hf_hub_url(source.repository, source.file),
                _Watched(file, metadata.size or 0, progress),
                resume_size=have,
                headers=build_hf_headers(),
                expected_size=metadata.size,
            )
    found = digest(part)
    if sha256 and found != sha256:
        part.unlink()
        raise NotFetched(f"what arrived is another file (sha256 {found[:12]}…, expected {sha256[:12]}…)")
    os.replace(part, blob)


class _Watched(io.RawIOBase):
    """A file wrapper that reports how much has been written."""

    def __init__(self, file: Any, total: int, progress: Progress | None) -> None:
        self._file, self._total, self._progress = file, total, progress
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._file.tell(), self._total)

    def write(self, data: Any) -> int:
        written = self._file.write(data)
        self._tell()
        return written

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(position, whence)

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """Turns errors of huggingface_hub into NotFetched with a short reason, and hides its progress bars."""
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    bars = "huggingface_hub.http_get"
    disable_progress_bars(bars)
    try:
        yield
    except (NotFetched, Stopped):
        raise
    except EntryNotFoundError as error:
        raise NotFetched("the repository has no such file (404)") from error
    except GatedRepoError as error:
        raise NotFetched("its owner has to give permission first (sign in with `hf auth login`)") from error
    except RepositoryNotFoundError as error:
        status = getattr(error.response, "status_code", 404)
        raise NotFetched(f"the repository isn't there, or isn't public ({status})") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise NotFetched(f"access was refused ({status}; sign in with `hf auth login`)") from error
        raise NotFetched(f"the hub answered {status}") from error
    except Exception as error:  # the network errors of the library's client, which changed with its versions
        number = getattr(error, "errno", None)
        if isinstance(error, OSError) and number and (error.filename is not None or number == errno.ENOSPC):
            raise NotFetched(f"it can't be written: {error.strerror or error}") from error
        if (lacking := _lacking_certificates()) is not None:
            raise NotFetched(lacking) from error
        raise NotFetched(f"no connection, or it broke off ({_first_line(error)})") from error
    finally:
        enable_progress_bars(bars)


def _lacking_certificates() -> str | None:
    """Why SSL_CERT_FILE prevents connections to the hub; None if it doesn't."""
    path = os.environ.get("SSL_CERT_FILE")
    try:
        if path:
            ssl.create_default_context(cafile=path)
    except OSError as error:  # includes ssl.SSLError
        why = f"{error.strerror or error}" if not isinstance(error, ssl.SSLError) else "it holds no certificates"
        return f"SSL_CERT_FILE names {path!a}: {why}; name another file there, or unset it"
    return None


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 160 else f"{line[:159]}…"
