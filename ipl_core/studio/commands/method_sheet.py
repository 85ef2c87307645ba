"""`method-sheet`: draws the same seeds by two methods in several domains."""

from __future__ import annotations

import argparse

from ...commands.command import Command, no_options
from ..sheets import method_sheet
from .options import registry_name

#: The domains that the picture shows, by subject.
SHOWN = {
    "people": ("pencil sketch", "werewolf", "pop art", "cartoon", "zombie", "neon", "Tolkien elf", "anime painting"),
    "dogs": ("cartoon", "pointillism", "cubism", "watercolor"),
}


def _run(options: argparse.Namespace) -> None:
    file = options.out / f"{options.subject}-methods.jpg"
    method_sheet(file, registry_name(options.subject), SHOWN[options.subject])
    print(file)


COMMAND = Command("draw the same seeds by NADA and by described prompts: SUBJECT-methods.jpg", no_options, _run)
