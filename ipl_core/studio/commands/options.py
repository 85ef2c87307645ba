"""What the studio's commands share: their options, and where their models and reports lie."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from ...models.catalog import pretrained_folder


def add_shared(parser: argparse.ArgumentParser) -> None:
    """The options that every command has, but --smoke, which comes last."""
    add = parser.add_argument
    add("--work", type=Path, default=Path("studio-work"), help="renders, checkpoints and logs (%(default)s)")
    add("--out", type=Path, default=pretrained_folder(), help="where the models go (%(default)s)")
    add("--subject", default="people", help="people or dogs, for commands about one subject (%(default)s)")
    add("--threads", type=int, default=os.cpu_count(), help="CPU threads (%(default)s)")
    add("--device", default="cpu", help="where training computes, such as cuda (%(default)s)")


def model_file(options: argparse.Namespace, subject: str, model: str) -> Path:
    """Where the generator, judge or encoder (`model`) of a subject goes."""
    return options.out / f"studio-{subject}-{model}" / "model.safetensors"


def registry_name(subject: str) -> str:
    """The name by which the registry knows a subject's generator."""
    return "studio" if subject == "people" else f"studio-{subject}"


def write_report(figures: dict[str, object], path: Path) -> None:
    """Writes a report as JSON, rounded to four places, and prints it in full."""
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
