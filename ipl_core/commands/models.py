"""The commands about models as such: render, convert, models, licences. Part of the command line, see __main__.py."""

from __future__ import annotations

import argparse
import sys

from ..drawing.rendering import MAX_PSI, SPACES
from ..errors import InputError
from ..storage import folders
from ..storage.paths import as_path, is_folder
from ..storage.words import size_words

AUTO_DEVICE = "cpu, cuda, cuda:1, mps, or auto for the fastest there is (%(default)s)"


def number(text: str) -> float:
    """A number as typed; whether it must be whole, and its range, is for the configuration to say."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def chosen_device(name: str) -> str:
    """The device that a person named; for "auto" the fastest one, with the reason on the screen."""
    if name != "auto":
        return name
    from ..devices import choose_device

    device, why = choose_device()
    print(f"Device: {device} ({why}).", file=sys.stderr)
    return device


class Transfers:
    """A bar for each file that is fetched, on a terminal only."""

    def __init__(self) -> None:
        self._bar = None

    def __enter__(self) -> Transfers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def show(self, have: int, total: int) -> None:
        """Draw how much of a file is here."""
        from tqdm import tqdm

        if self._bar is None or have < self._bar.n or (self._bar.total or 0) != total:
            self.__exit__()
            self._bar = tqdm(
                total=total or None,
                initial=have,
                desc="fetching",
                unit="B",
                unit_scale=True,
                disable=None,
                file=sys.stderr,
            )
        self._bar.update(have - self._bar.n)


# ----------------------------------------------------------------------------------------------------------------------
# render


def render_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="PATH_OR_NAME",
        help="a generator's name or file, or an adapted domain's folder",
    )
    add("--latents", required=True, metavar="FILE.npy", help="z (B, z_dim), w (B, w_dim) or W+ (B, layers, w_dim)")
    add("--space", required=True, choices=SPACES, help="what the latents are")
    add("--psi", type=number, default=1.0, help="truncation of w: 0 the mean picture, 1 none (%(default)s)")
    add("--device", default="cpu", help=AUTO_DEVICE)
    add("--out", required=True, metavar="FILE.npy", help="images, float32 (B, 3, H, W), about [-1, 1], unclipped")


def render(options: argparse.Namespace) -> int:
    """The command `render`; gives the exit status."""
    from ..drawing.rendering import read_latents
    from ..drawing.rendering import render as render_to_file
    from ..models.catalog import load_generator

    if not 0.0 <= options.psi <= MAX_PSI:
        raise InputError(f"Truncation (--psi) must be a number from 0 to {MAX_PSI:g}, not {options.psi:g}.")
    out = as_path(options.out)
    if out.suffix.lower() != ".npy" or is_folder(out):
        raise InputError(f"The images are written as a NumPy array: give --out a file ending in .npy, not {out}.")
    folders.check_writable_file(out)
    with Transfers() as transfers:
        generator = load_generator(options.model, chosen_device(options.device), transfers.show)
    latents = read_latents(options.latents, options.space, generator.config)
    shape = render_to_file(generator, latents, options.space, out, float(options.psi))
    print(f"{out}: {'×'.join(map(str, shape))}")
    return 0


# ----------------------------------------------------------------------------------------------------------------------
# convert


def convert_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help="a generator's name or file, or an adapted domain's folder")
    add("--out", required=True, metavar="FILE", help="ends in .safetensors (ours) or .pt (rosinality's)")


def convert(options: argparse.Namespace) -> int:
    """The command `convert`; gives the exit status."""
    from ..generators.files import write_generator
    from ..models.catalog import load_generator

    out = as_path(options.out)
    if out.suffix not in (".safetensors", ".pt") or is_folder(out):  # before anything is fetched
        raise InputError(f"Generators are written as .safetensors or .pt: give --out such a file, not {out}.")
    folders.check_writable_file(out)
    with Transfers() as transfers:
        generator = load_generator(options.model, progress=transfers.show)
    write_generator(generator, out)
    print(f"{out}: {generator.config.resolution}×{generator.config.resolution}")
    return 0


# ----------------------------------------------------------------------------------------------------------------------
# models


def models_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A model is used by its name: python -m ipl_core adapt WORDS --model NAME --critic NAME --out DIR"
    words = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (help_, _) in ACTIONS.items():
        action = words.add_parser(name, help=help_, description=help_)
        if name != "list":
            action.add_argument("names", nargs="*" if name == "verify" else "+", metavar="NAME", help="of the list")


def models(options: argparse.Namespace) -> int:
    """The command `models`; gives the exit status, 1 where a file isn't what it was."""
    return ACTIONS[options.action][1](options)


def _list(options: argparse.Namespace) -> int:
    from .. import lpips
    from ..models import catalog

    for heading, entries, edge in (
        ("Generators (--model)", catalog.generators(), "resolution"),
        ("Critics (--critic)", catalog.critics(), "image_size"),
        ("Encoders (--encoder)", catalog.encoders(), ""),
        ("Networks of metrics (evaluate --models real)", catalog.networks(), ""),
    ):
        print(heading)
        for entry in entries.values():
            facts = [
                entry.title,
                f"{getattr(entry, edge)} px" if getattr(entry, edge, None) else "",
                catalog.where(entry),
            ]
            if getattr(entry, "memory", None):
                facts.append(f"adapting is expected to take {entry.memory} GB of memory")
            if getattr(entry, "source", ""):
                facts.append(f"draws: {entry.source}")
            print(f"  {entry.name:<26} {', '.join(filter(None, facts))}")
            print(f"  {'':<26} {entry.licence}")
    print("Perceptual distances (--view)")
    for name, published in lpips.NETWORKS.items():
        where = "here" if name in lpips.available() else "not here, its files are to be had by hand"
        print(f"  {name:<26} {published.title}, {where}")
        print(f"  {'':<26} {lpips.LICENCE}")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from ..models import catalog, fetching

    entries = _entries(options.names)
    for entry in entries:
        if entry.offer is not None:
            # What is needed beside the file is for the command that uses it to say.
            with Transfers() as transfers:
                path = fetching.obtain(entry.offer, transfers.show)
            print(f"{entry.name}: {path}, sha256 {fetching.digest(entry.offer)}")
        else:
            print(f"{entry.name}: embedded, {entry.folder if isinstance(entry, catalog.CriticEntry) else entry.file}")
        print(f"  {entry.licence}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ..models import catalog, fetching

    find = {
        catalog.GeneratorEntry: catalog.find_generator,
        catalog.CriticEntry: catalog.find_critic,
        catalog.EncoderEntry: catalog.find_encoder,
    }
    entries = _entries(options.names) if options.names else _known()
    status = 0
    for entry in entries:
        try:
            if entry.offer is None:
                find[type(entry)](entry.name)
                print(f"{entry.name}: embedded, as it should be")
            elif (found := fetching.here(entry.offer)) is not None:
                print(f"{entry.name}: as it was fetched, sha256 {fetching.verify(entry.offer, *found)}")
            elif options.names:
                print(f"{entry.name}: not here")
                status = 1
        except InputError as error:
            print(error, file=sys.stderr)
            status = 1
    return status


def _remove(options: argparse.Namespace) -> int:
    from ..models import fetching

    entries = _entries(options.names)
    for entry in entries:
        if entry.offer is None:
            raise InputError(f"The model “{entry.name}” is embedded, part of this program; it is not removed.")
    for entry in entries:
        print(f"{entry.name}: {size_words(fetching.remove(entry.offer))} freed")
    return 0


def _known() -> list:
    """Everything that is known by name: generators, critics, encoders, networks of metrics."""
    from ..models import catalog

    kinds = (catalog.generators(), catalog.critics(), catalog.encoders(), catalog.networks())
    return [entry for kind in kinds for entry in kind.values()]


def _entries(names: list[str]) -> list:
    """Everything of these names, in the order of `_known`. Raises InputError for a name that isn't known."""
    known = _known()
    for name in names:
        if not any(entry.name == name for entry in known):
            raise InputError(
                f"There is no model “{name}” in the list: use one of {', '.join(dict.fromkeys(e.name for e in known))}."
            )
    return [entry for name in dict.fromkeys(names) for entry in known if entry.name == name]


ACTIONS = {
    "list": ("every model that is known by name, its size, licence and whether it is here", _list),
    "fetch": ("fetch models from the hub, with a check of their hashes", _fetch),
    "verify": ("read the files again and compare their hashes with those seen first", _verify),
    "remove": ("delete fetched files from the cache", _remove),
}


# ----------------------------------------------------------------------------------------------------------------------
# licences


def licences_options(parser: argparse.ArgumentParser) -> None:
    """The command has none."""


def licences(options: argparse.Namespace) -> int:
    """Prints the licence of every package that is installed for this program, and of every model that it names."""
    from ..models.licences import rows

    print("Packages, as they are installed here:")
    for row in rows():
        print(f"  {row.package} {row.version}: {row.licence}{f' ({row.remark})' if row.remark else ''}")
    print("Models:")
    for entry in _known():
        print(f"  {entry.name}: {entry.licence}")
    return 0
