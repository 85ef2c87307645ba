"""Pictures and what networks make of them: drawn once, looked at once, and kept on disk where that is small."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..pictures.media import to_float, to_uint8
from ..storage.folders import home
from ..storage.space import keep_latest, used
from ..storage.tensors import load_tensors, save_tensors

log = logging.getLogger(__name__)

BATCH = 16  # pictures that are drawn and looked at together
#: Larger pictures are averaged down to this many pixels a side: what published networks see, and CPUs can bear.
LARGEST_SIDE = 256
#: Features kept on disk, of about a thousand runs; what was not used for longest goes first.
MOST_BYTES = 1_000_000_000


class Network(Protocol):
    """Whatever looks at pictures. key: which weights, and which way of looking. kept: whether its rows are small."""

    key: str
    kept: bool

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (B, 3, R, R) in [-1, 1] → B rows each, by name."""


def features_folder() -> Path:
    """Where features are kept."""
    return home() / "features"


class Pictures:
    """N pictures, which are drawn when something first looks at them, and what networks made of them.

    key: what decides the pictures; those of equal keys are equal. draw: places → pictures (B, 3, H, H) about [-1, 1];
    asked in order, `BATCH` at a time. They are held as bytes, as if they had been saved, at most `LARGEST_SIDE` a side.
    kept: whether small features are kept on disk.
    """

    def __init__(self, key: str, count: int, draw: Callable[[range], Tensor], kept: bool = True) -> None:
        self.key, self._count, self._draw, self._kept = key, count, draw, kept
        self._levels: Tensor | None = None
        self._small: dict[str, dict[str, Tensor]] = {}
        self._large: dict[str, dict[int, dict[str, Tensor]]] = {}
        self._distances: dict[tuple[str, int], Tensor] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def levels(self) -> Tensor:
        """The pictures as bytes (N, R, R, 3)."""
        if self._levels is None:
            starts = range(0, self._count, BATCH)
            parts = [_brought_down(self._draw(range(s, min(s + BATCH, self._count)))) for s in starts]
            self._levels = torch.cat([to_uint8(part) for part in parts])
        return self._levels

    def batches(self) -> Iterator[Tensor]:
        """The pictures (B, 3, R, R) in [-1, 1], `BATCH` at a time."""
        yield from map(to_float, self.levels.split(BATCH))

    def seen(self, network: Network) -> dict[str, Tensor]:
        """What a network makes of the pictures, N rows each; from memory, else from disk, else it looks."""
        return self._rows(network, range(self._count))

    def distances(self, key: str, most: int, measure: Callable[[Pictures], Tensor]) -> Tensor:
        """Distances (n, n) of the first `most` pictures to each other, measured once.

        measure: pictures → distances of all to all, known as `key`.
        """
        if (key, most) not in self._distances:
            self._distances[key, most] = measure(self.taken(range(min(most, self._count))))
        return self._distances[key, most]

    def taken(self, places: Sequence[int]) -> Pictures:
        """Some of the pictures, in the order of `places`, with what was seen in them."""
        return _Some(self, places)

    def _rows(self, network: Network, places: Sequence[int]) -> dict[str, Tensor]:
        """Rows of these pictures. Where they are large, a network looks at no other picture."""
        if network.kept:
            rows = self._small_rows(network)
            return rows if len(places) == self._count else {name: rows[name][list(places)] for name in rows}
        known = self._large.setdefault(network.key, {})
        missing = [place for place in places if place not in known]
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            rows = _look(network, to_float(self.levels[some]))
            known |= {place: {name: rows[name][k] for name in rows} for k, place in enumerate(some)}
        return {name: torch.stack([known[place][name] for place in places]) for name in known[places[0]]}

    def _small_rows(self, network: Network) -> dict[str, Tensor]:
        if network.key not in self._small:
            path = self._path(network)
            rows = None if path is None else _read(path, self._count)
            if rows is None:
                parts = [_look(network, batch) for batch in self.batches()]
                rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
                if path is not None:
                    _write(rows, path)
            self._small[network.key] = rows
        return self._small[network.key]

    def _path(self, network: Network) -> Path | None:
        if not self._kept:
            return None
        digest = hashlib.sha256(f"{self.key}\n{self._count}\n{network.key}".encode()).hexdigest()
        return features_folder() / f"{digest[:32]}.safetensors"


class _Some(Pictures):
    """Some pictures of others, which see for them."""

    def __init__(self, whole: Pictures, places: Sequence[int]) -> None:
        super().__init__(f"{whole.key}\n{list(places)}", len(places), lambda _: torch.empty(0), kept=False)
        self._whole, self._places = whole, list(places)

    @property
    def levels(self) -> Tensor:
        return self._whole.levels[self._places]

    def distances(self, key: str, most: int, measure: Callable[[Pictures], Tensor]) -> Tensor:
        among = torch.tensor([place for place in self._places if place < most], dtype=torch.long)
        return self._whole.distances(key, most, measure)[among][:, among]

    def _rows(self, network: Network, places: Sequence[int]) -> dict[str, Tensor]:
        return self._whole._rows(network, [self._places[place] for place in places])


@torch.no_grad()
def _look(network: Network, pictures: Tensor) -> dict[str, Tensor]:
    return network(pictures)


def _brought_down(pictures: Tensor) -> Tensor:
    if pictures.shape[-1] <= LARGEST_SIDE:
        return pictures
    return F.interpolate(pictures.clamp(-1, 1), (LARGEST_SIDE,) * 2, mode="area")


def _read(path: Path, count: int) -> dict[str, Tensor] | None:
    if not path.is_file():
        return None
    try:
        rows = load_tensors(path)[0]
        if not rows or any(len(tensor) != count for tensor in rows.values()):
            raise InputError(f"{path} has another number of rows.")
    except InputError as error:
        log.warning("Features at %s can't be used and are made anew: %s", path, error)
        return None
    used(path)
    return {name: tensor.float() for name, tensor in rows.items()}


def _write(rows: dict[str, Tensor], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(rows, path, {"format": "ipl-studio-features"})
        keep_latest(path.parent, path.suffix, MOST_BYTES)
    except (OSError, InputError) as error:  # a disk that refuses costs time alone
        log.warning("Features can't be kept at %s: %s", path, error)
