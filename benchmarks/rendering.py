"""How fast the studio renders: pictures a second of photos and of all domains; each domain's time against a photo's.

python benchmarks/rendering.py [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ipl_core.studio.world.domains import PHOTO, Domain
from ipl_core.studio.world.subject import SUBJECTS, Subject

BATCH, RESOLUTION, ROUNDS = 32, 128, 3


def seconds_a_picture(subject: Subject, domain: Domain) -> float:
    """The fastest of a few rounds, after one that warms up."""
    random = torch.Generator().manual_seed(0)
    sitters = subject.random(BATCH, random)
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        subject.render(domain, sitters, random, RESOLUTION)
        times.append(time.perf_counter() - began)
    return min(times[1:]) / BATCH


def main() -> None:
    """Print a table for each subject."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (%(default)s)")
    torch.set_num_threads(parser.parse_args().threads)
    for subject in SUBJECTS:
        photo = seconds_a_picture(subject, PHOTO)
        others = {domain.name: seconds_a_picture(subject, domain) for domain in subject.domains[1:]}
        mean = (photo + sum(others.values())) / len(subject.domains)
        print(f"{subject.name}: {1 / photo:.0f} photos/s, {1 / mean:.0f} pictures/s over all domains")
        for name, seconds in sorted(others.items(), key=lambda item: item[1]):
            print(f"  {name:18}{seconds / photo:6.2f} × a photo")


if __name__ == "__main__":
    main()
