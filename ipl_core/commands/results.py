"""`results`: writes the pages and plots of what was measured, from the CSV files in a folder."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..metrics.reports.page import write_pages
from ..storage import folders
from ..storage.paths import as_path
from .command import Command


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--folder", default="results", metavar="DIR", help="folder of the CSV files, and of the pages (%(default)s)")
    add("--readme", metavar="FILE", help="a Markdown file whose tables between marks are made anew, too")


def _run(options: argparse.Namespace) -> None:
    folder = as_path(options.folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: `evaluate --out` makes one.")
    readme = None if options.readme is None else as_path(options.readme)
    if readme is not None and not readme.is_file():
        raise InputError(f"There is no file {readme}: name a Markdown file.")
    folders.check_writable(folder)
    for path in write_pages(folder, readme):
        print(path)


COMMAND = Command("write the pages and plots of what was measured", _options, _run)
