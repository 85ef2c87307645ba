"""`models`: lists the models that are known by name, and fetches, verifies and removes files of the hub."""

from __future__ import annotations

import argparse
import sys

from .. import lpips
from ..errors import InputError
from ..models import catalog, fetching
from ..storage.words import size_words
from .command import Command, no_options, with_actions
from .progress import TransferBar

Entry = catalog.GeneratorEntry | catalog.CriticEntry | catalog.EncoderEntry | catalog.NetworkEntry


def known() -> list[Entry]:
    """Every model that has a name: generators, CLIP models, encoders, networks of metrics."""
    kinds = (catalog.generators(), catalog.critics(), catalog.encoders(), catalog.networks())
    return [entry for kind in kinds for entry in kind.values()]


def _named(names: list[str]) -> list[Entry]:
    """All models of these names, which several may share. Raises InputError for a name that isn't known."""
    all_ = known()
    for name in names:
        if not any(entry.name == name for entry in all_):
            raise InputError(
                f"There is no model “{name}” in the list: use one of {', '.join(dict.fromkeys(e.name for e in all_))}."
            )
    return [entry for name in dict.fromkeys(names) for entry in all_ if entry.name == name]


def _list(options: argparse.Namespace) -> None:
    for heading, entries, edge in (
        ("Generators (--model)", catalog.generators(), "resolution"),
        ("CLIP models (--critic)", catalog.critics(), "image_size"),
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
            _print_model(entry.name, ", ".join(filter(None, facts)), entry.licence)
    print("Perceptual distances (--view)")
    for name, published in lpips.NETWORKS.items():
        where = "here" if name in lpips.available() else "not here, its files are to be had by hand"
        _print_model(name, f"{published.title}, {where}", lpips.LICENCE)


def _print_model(name: str, facts: str, licence: str) -> None:
    print(f"  {name:<26} {facts}")
    print(f"  {'':<26} {licence}")


def _fetch(options: argparse.Namespace) -> None:
    for entry in _named(options.names):
        if entry.offer is not None:
            # Fetches this file alone: a command that needs another beside it asks for that one itself.
            with TransferBar() as transfers:
                path = fetching.obtain(entry.offer, transfers.show)
            print(f"{entry.name}: {path}, sha256 {fetching.digest(entry.offer)}")
        else:
            print(f"{entry.name}: embedded, {entry.folder if isinstance(entry, catalog.CriticEntry) else entry.file}")
        print(f"  {entry.licence}")


def _verify(options: argparse.Namespace) -> int:
    find = {
        catalog.GeneratorEntry: catalog.find_generator,
        catalog.CriticEntry: catalog.find_critic,
        catalog.EncoderEntry: catalog.find_encoder,
    }
    status = 0
    for entry in _named(options.names) if options.names else known():
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


def _remove(options: argparse.Namespace) -> None:
    entries = _named(options.names)
    for entry in entries:
        if entry.offer is None:
            raise InputError(f"The model “{entry.name}” is embedded, part of this program; it is not removed.")
    for entry in entries:
        print(f"{entry.name}: {size_words(fetching.remove(entry.offer))} freed")


def _some(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="names in the list")


def _any(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="names in the list")


COMMAND = with_actions(
    "list, fetch, verify and remove models of the hub",
    {
        "list": Command(
            "every model that is known by name, its size, licence and whether it is here", no_options, _list
        ),
        "fetch": Command("fetch models from the hub, with a check of their hashes", _some, _fetch),
        "verify": Command("read the files again and compare their hashes with those seen first", _any, _verify),
        "remove": Command("delete fetched files from the cache", _some, _remove),
    },
    "A model is used by its name: python -m ipl_core adapt WORDS --model NAME --critic NAME --out DIR",
)
