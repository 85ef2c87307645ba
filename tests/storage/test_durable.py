"""Folders and files that come whole or not at all: the moves one by one, and what others find."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipl_core import InputError
from ipl_core.storage import durable, folders


def write(words: str, name: str = "entry") -> Callable[[Path], str]:
    """A writer of two files that belong together."""

    def to(folder: Path) -> str:
        (folder / "words").write_text(words)
        (folder / folders.SETTINGS).write_text(json.dumps(words))
        return name

    return to


def words(folder: Path) -> str:
    """What both files say."""
    said = (folder / "words").read_text()
    assert json.loads((folder / folders.SETTINGS).read_text()) == said
    return said


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the system can exchange names."""
    if not request.param:
        monkeypatch.setattr(durable, "exchange", lambda one, other: False)
    elif not sys.platform.startswith("linux"):
        pytest.skip("names are exchanged on Linux")


WAYS = pytest.mark.parametrize("way", [True, False], ids=["exchange", "two renames"], indirect=True)


@WAYS
@pytest.mark.usefixtures("way")
def test_what_comes_in_its_place_is_there_and_nothing_else(tmp_path: Path) -> None:
    for said in ("one", "two", "three"):
        path = folders.keep(tmp_path, write(said))
        assert words(path) == said
        assert list(tmp_path.iterdir()) == [path]
    assert words(folders.keep(tmp_path, write("four"), stays=lambda path: True)) == "three"


def test_names_are_exchanged_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not durable.exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system can't")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["other"]
    with pytest.raises(FileNotFoundError):
        durable.exchange(tmp_path / "one", tmp_path / "nowhere")


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_disk_that_refuses_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    path = folders.keep(tmp_path, write("old"))
    move = os.rename

    def refuse(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    def exchange(one: Path, other: Path) -> bool:
        if exchanges:
            raise OSError(errno.ENOSPC, "No space left on device")
        return False

    with monkeypatch.context() as broken:
        broken.setattr(durable.os, "rename", refuse)
        broken.setattr(durable, "exchange", exchange)
        with pytest.raises(folders.Full, match="No space left"):
            folders.keep(tmp_path, write("new"))
    assert words(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_work_of_the_living_stays_and_that_of_the_dead_is_swept(tmp_path: Path) -> None:
    living = durable.Workplace(tmp_path)
    (living.new / "part").write_text("half")
    os.utime(living.path, (0, 0))  # however long it takes
    child = os.fork()
    if child == 0:
        dead = durable.Workplace(tmp_path)
        (dead.new / "part").write_text("half")
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 2
    assert durable.settle(tmp_path)
    assert list(tmp_path.iterdir()) == [living.path]
    assert not durable.settle(tmp_path)
    living.close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_asked_is_swept_after_a_day(tmp_path: Path) -> None:
    folder, file = tmp_path / ".writing-abc", tmp_path / ".writing-def"
    folder.mkdir()
    (folder / "half").touch()
    file.touch()
    folders.keep(tmp_path, write("entry"))
    assert folder.exists()
    assert file.exists()
    for path in (folder, file):
        os.utime(path, (0, 0))
    folders.keep(tmp_path, write("entry"))
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_a_move_is_not_ended_where_another_has_come_meanwhile(tmp_path: Path) -> None:
    folders.keep(tmp_path, write("old"))
    child = os.fork()
    if child == 0:
        place = durable.Workplace(tmp_path)
        write("begun")(place.new)
        durable._put = lambda path, target: os._exit(0)
        place.put("entry")
    os.waitpid(child, 0)
    place = durable.Workplace(tmp_path)  # `keep` would settle first
    write("newer")(place.new)
    place.put("entry")
    place.close()
    assert [path.name for path in folders.contents(tmp_path)] == ["entry"]
    assert words(tmp_path / "entry") == "newer"
    assert len(list(tmp_path.iterdir())) == 1


def test_files_that_belong_together_never_mix(tmp_path: Path) -> None:
    folders.write_into(tmp_path, write("old"))
    (tmp_path / "mine.txt").write_text("mine")
    seen = []
    move = os.replace

    def look(source: Path, target: Path) -> None:
        settings = tmp_path / folders.SETTINGS
        seen.append(json.loads(settings.read_text()) if settings.exists() else None)
        move(source, target)

    with pytest.MonkeyPatch.context() as watched:
        watched.setattr(durable.os, "replace", look)
        folders.write_into(tmp_path, write("new"))
    assert seen == [None, None], "while files of both are there, nothing says that they are one whole"
    assert words(tmp_path) == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"words", folders.SETTINGS, "mine.txt"}


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be deleted"):
        folders.delete(tmp_path / "nothing", tmp_path, "the shelf")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't be read"):
        folders.contents(tmp_path / "file")
    assert folders.contents(tmp_path / "nowhere") == []
