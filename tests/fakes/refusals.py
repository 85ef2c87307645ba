"""What the command line promises for a request that can't be carried out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ipl_core.commands.main import main


def refusal(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a bad request ends with; fails unless it ends so, with exit status 2."""
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    sentence = capsys.readouterr().err.strip()
    assert status == 2
    assert len(sentence.splitlines()) == 1
    return sentence
