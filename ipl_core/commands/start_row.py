"""`start-row`: draws the row of examples that the app shows before any run."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from ..errors import InputError
from ..latents import parse_seeds
from ..library.examples import MAX_BYTES, ROW, drawn, save
from ..library.find_or_run import finished_run
from ..methods.config import AdaptConfig
from ..methods.registry import settings_of
from ..models import catalog
from ..storage.paths import as_path
from .command import Command
from .options import add_device, chosen_device, number


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "targets",
        metavar="DOMAIN",
        nargs="*",
        help="domains in this order; none given, all that the CLIP model was taught",
    )
    add("--model", default="studio", help="name of the generator (%(default)s)")
    add("--method", help="method of the runs; left out, the one that suits the CLIP model")
    add("--preset", default="default", help="preset of the runs (%(default)s)")
    add("--seed", type=number, default=0, help="seed of the runs (%(default)s)")
    add("--people", default="0-1", metavar="SEEDS", help="the people who are shown in every domain (%(default)s)")
    add_device(parser)
    add(
        "--out",
        default=str(ROW),
        metavar="FILE.webp",
        help=f"the picture to write, of at most {MAX_BYTES // 1000} kB (%(default)s)",
    )


def _run(options: argparse.Namespace) -> None:
    """Runs that the library has are taken from it."""
    path = as_path(options.out)
    if path.suffix.lower() != ".webp":
        raise InputError(f"The row is written as WebP: give --out a file that ends in .webp, not {options.out}.")
    seeds = parse_seeds(options.people, 8)
    known = catalog.generators().get(options.model)
    source, device = known.source if known else "photo", chosen_device(options.device)
    critic = catalog.critic_of(options.model)
    targets = options.targets or [words for words in catalog.load_critic(critic).domains if words != source]
    facts = {"source": source, "device": device}
    facts |= settings_of(options.method) if options.method else catalog.suited_to(critic)
    facts.update({name: getattr(options, name) for name in ("model", "preset", "seed")})
    configs = [AdaptConfig(target, **facts) for target in targets]
    entries = [finished_run(config) for config in tqdm(configs, "domains", disable=None)]
    print(save(drawn(entries, seeds), path))


COMMAND = Command("draw the examples that the app shows before any run", _options, _run)
