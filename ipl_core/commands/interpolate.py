"""`interpolate`: an animation of people who turn into each other, or of one person from domain to domain."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from torch import Tensor
from tqdm import tqdm

from ..drawing.interpolate import EASINGS, MAX_POINTS, SPACES, Frame, Walk, described, through_domains, through_people
from ..drawing.mixing import Mixer
from ..errors import InputError
from ..latents import parse_seeds
from ..library import inversions, shipped, store
from ..models import catalog
from ..pictures.media import ANIMATIONS, check_animation, enlargement, left_out_words, save_animation
from ..storage import folders
from ..storage.paths import as_path, is_folder
from .command import Command
from .options import add_device, chosen_device, number
from .progress import TransferBar

_DEFAULT = Walk()


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "models",
        metavar="MODEL",
        nargs="+",
        help="a folder that `adapt` wrote, a finished model's name, or a generator's name or file; several are a path "
        "from domain to domain",
    )
    add("--seeds", default="", help="people by seed, such as 0,7,12-14")
    add("--people", nargs="+", default=[], metavar="DIR", help="people that `invert` wrote, after those by seed")
    add("--frames", type=number, default=_DEFAULT.frames, help="frames of the whole animation (%(default)s)")
    add("--rate", type=number, default=24, help="frames a second (%(default)s)")
    add("--space", default=_DEFAULT.space, help=f"{', '.join(SPACES)}: great circles in z, straight in w (%(default)s)")
    add("--easing", default=_DEFAULT.easing, help=f"speed between two points: {', '.join(EASINGS)} (%(default)s)")
    add("--loop", action=argparse.BooleanOptionalAction, default=True, help="come back to the first point")
    add("--side-by-side", action="store_true", help="the source at the left of each frame")
    add(
        "--strength",
        type=number,
        default=1.0,
        help="strength of one model's domain: 0 the source, 1 the domain (%(default)s)",
    )
    add("--psi", type=number, default=_DEFAULT.psi, help="truncation of seeds: 0 the mean face, 1 none (%(default)s)")
    add("--enlarge", type=number, help="factor on the size of frames; left out, one that gives 256 pixels at least")
    add_device(parser)
    add("--out", required=True, metavar="FILE", help=f"the animation; it ends in {', '.join(ANIMATIONS)}")


def _run(options: argparse.Namespace) -> None:
    walk = Walk(options.frames, options.loop, options.easing, options.space, options.psi)
    path = as_path(options.out)
    check_animation(path, options.rate)
    if options.enlarge is not None and not (isinstance(options.enlarge, int) and 1 <= options.enlarge <= 16):
        raise InputError(f"Frames are enlarged 1 to 16 times, not {options.enlarge}.")
    folders.check_writable_file(path)
    seeds = parse_seeds(options.seeds, MAX_POINTS) if options.seeds.strip() else []
    persons = [*seeds, *(inversions.load(folder) for folder in options.people)]
    source, stations = _stations(options.models)
    with TransferBar() as transfers:
        device = chosen_device(options.device)
        mixer = Mixer(source, device, catalog.load_generator(source, device, transfers.show))
    if len(stations) > 1:
        if len(persons) != 1:
            raise InputError(f"A path from domain to domain shows one person, and {len(persons)} are given.")
        domains = [(entry, 1.0) for entry in stations if entry is not None]
        frames = through_domains(mixer, persons[0], stations, walk, options.side_by_side)
    else:
        domains = [(entry, options.strength) for entry in stations if entry is not None]
        frames = through_people(mixer, persons, walk, domains, options.side_by_side)
    pictures = _all(frames, walk.frames)
    enlarge = options.enlarge or enlargement(mixer.source.config.resolution)
    note = described(mixer, persons, walk, domains, options.side_by_side)
    print(save_animation(pictures, path, options.rate, note, enlarge))
    if words := left_out_words(path, len(pictures), options.rate):
        print(words)


def _stations(models: list[str]) -> tuple[str, list[store.Entry | None]]:
    """The source model of all `models`, and each as an entry; None where it is the source itself."""
    entries = [_entry(model) for model in models]
    sources = {model if entry is None else entry.model: None for model, entry in zip(models, entries)}
    if len(sources) > 1:
        raise InputError(f"One animation has one source model, but these have {' and '.join(sources)}.")
    return next(iter(sources)), entries


def _entry(model: str) -> store.Entry | None:
    """The adapted domain that `model` stands for; None for a generator as it is."""
    if model in catalog.generators():
        return None
    path = catalog.find_generator(model)
    return store.open_entry(path) if is_folder(path) or shipped.is_one(path) else None


def _all(frames: Iterator[Frame], total: int) -> list[Tensor]:
    """All frames, bytes (H, W, 3) each, with a bar while they come, on a terminal only."""
    return [frame.picture for frame in tqdm(frames, "frames", total, disable=None, file=sys.stderr)]


COMMAND = Command("make an animation of people, or of domains, that turn into each other", _options, _run)
