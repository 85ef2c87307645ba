"""Makes the finished models that come with the app from runs of the library, and measures what quantisation costs.

A file holds the run's weights as quantised differences to its source's (shipped.py), and the figures that the judge and
the CLIP model give to the pictures of these weights; the app shows those figures.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..drawing.sampling import draw
from ..errors import InputError
from ..generators.stylegan2.network import Generator
from ..library import domain_folder, shipped, store
from ..metrics.side_by_side import Figures, SideBySide
from ..models import catalog
from ..pictures.media import grid, to_uint8
from ..running import step_history
from ..storage import folders

MAX_BYTES = 12_000_000  # of all finished models together
_QUALITY = 85  # of the pictures that lists show
_LEFT_OUT = ("title", "training", "earlier")  # settings of an entry that has more files


@dataclass(frozen=True)
class Shipment:
    """A finished model, and how far it is from its run. run, model: what was measured of both, on the same samples.

    apart: mean distance of a pixel's value from the run's, 0 to 255, over those samples. psnr: the same in decibels.
    """

    path: Path
    bytes: int
    run: Figures
    model: Figures
    apart: float
    psnr: float


def ship(
    entries: Sequence[store.Entry], out: Path, bits: int = shipped.BITS, samples: int = 200, psi: float = 0.7
) -> Iterator[Shipment]:
    """Writes each entry to the folder `out` as a finished model, and yields a Shipment when it is measured.

    samples: how many seeds are drawn at truncation `psi` and measured, those of `metrics.table`. Raises InputError,
    before anything is written, for entries that no run made to its end, for two of one domain and method, and for a
    model or a domain that no judge knows; and at the end if `out` holds more than MAX_BYTES.
    """
    paths = _paths(entries, out)
    for entry in entries:
        catalog.load_judge(catalog.judge_of(entry.model)).subject.domain(entry.target)
    folders.check_writable(out)
    for path, entry in zip(paths, entries):
        yield _shipped(entry, path, bits, samples, psi)
    taken = sum(path.stat().st_size for path in out.glob(f"*{shipped.SUFFIX}"))
    if taken > MAX_BYTES:
        raise InputError(
            f"The finished models in {out} take {taken / 1e6:.1f} MB together, more than {MAX_BYTES / 1e6:.0f}: ship "
            "fewer of them, or with fewer bits."
        )


def _paths(entries: Sequence[store.Entry], out: Path) -> list[Path]:
    """The file of each entry, called by domain and method, and by its source where that isn't the first of all."""
    first = next(iter(catalog.generators()))
    paths: list[Path] = []
    for entry in entries:
        if entry.shipped or not entry.from_run or not entry.finished:
            raise InputError(f"“{entry.title}” isn't a run that came to its end: ship such runs only.")
        words = folders.plain_letters(entry.config.target) or "domain"
        name = f"{words}-{entry.config.method}" + ("" if entry.config.model == first else f"-{entry.config.model}")
        path = out / f"{name}{shipped.SUFFIX}"
        if path in paths:
            raise InputError(f"Two runs are given for {path.name}: ship one of a domain and method.")
        paths.append(path)
    return paths


def _shipped(entry: store.Entry, path: Path, bits: int, samples: int, psi: float) -> Shipment:
    config = entry.config
    source, exact = catalog.load_generator(config.model), catalog.load_adapted(entry.path)
    own = source.state_dict()
    changes = {name: tensor - own[name] for name, tensor in catalog.changed_weights(entry.path).items()}
    measured = SideBySide(config.model, config.target, source, entry.record.critic, samples, psi)
    near = catalog.load_generator(config.model)
    domain_folder.apply_weights(
        near, {name: own[name] + change for name, change in shipped.as_kept(changes, bits).items()}
    )
    figures, of_run = measured.measure(near), measured.measure(exact)
    apart, psnr = _distance(draw(exact, measured.seeds, psi), draw(near, measured.seeds, psi))
    settings = {name: value for name, value in entry.settings.items() if name not in _LEFT_OUT}
    settings["shipped"] = {
        **{"bits": bits, "samples": samples, "psi": psi, "apart": apart, "psnr": psnr},
        **{"source": asdict(measured.measure()), "figures": asdict(figures), "run": asdict(of_run)},
    }
    pictures = {
        name: _picture(generator, config.preview_seeds, config.preview_psi)
        for name, generator in ((shipped.SOURCE_PICTURE, source), (shipped.SAMPLES_PICTURE, near))
    }
    shipped.write(path, settings, changes, bits, pictures, step_history.history_text(entry.history()))
    return Shipment(path, path.stat().st_size, of_run, figures, apart, psnr)


def _distance(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Mean distance of two sets of images in bytes, and their peak signal-to-noise ratio in decibels, 100 at most."""
    difference = to_uint8(one).float() - to_uint8(other).float()
    squared = float(difference.square().mean()) / 255**2
    return float(difference.abs().mean()), -10 * float(torch.tensor(max(squared, 1e-10)).log10())


def _picture(generator: Generator, seeds: Sequence[int], psi: float) -> bytes:
    data = io.BytesIO()
    sheet: Image.Image = grid(draw(generator, seeds, psi))
    sheet.save(data, "WEBP", quality=_QUALITY, method=6)
    return data.getvalue()


def described(shipment: Shipment) -> str:
    """A Shipment in two lines: size and distance; then the judge's figures, the run's before the model's."""
    run, model = shipment.run, shipment.model
    figures = (
        f"judge {run.judge:.1%} → {model.judge:.1%}, diversity {run.diversity:.3f} → {model.diversity:.3f}, "
        f"attributes kept {run.attributes:.1%} → {model.attributes:.1%}, "
        f"identity {run.identity:.3f} → {model.identity:.3f}"
    )
    return (
        f"{shipment.path}: {shipment.bytes / 1000:.0f} kB, {shipment.apart:.2f} of 255 apart, {shipment.psnr:.1f} dB\n"
        f"  {figures}"
    )
