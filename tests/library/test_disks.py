"""Disks that can't be written, and disks that are full: what can be read is read, and what is finished is kept."""

from __future__ import annotations

import builtins
import dataclasses
import errno
import json
import os
import shutil
import sqlite3
import tempfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.kept_domains import OWN_MACHINE, entry_of
from fakes.mounts import read_only, small_disk

from ipl_core import AdaptConfig, AdaptResult, InvertConfig, Step
from ipl_core.commands.main import main
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.drawing.sampling import draw
from ipl_core.library import inversions, store
from ipl_core.library.find_or_run import finished_inversion, finished_run
from ipl_core.methods import source_samples as pool
from ipl_core.models import catalog
from ipl_core.pictures.media import to_uint8
from ipl_core.running.steps import Pictures
from ipl_core.storage import folders, space
from ipl_core.study import study
from tabs.library import LibraryTab
from tabs.service import running

pytestmark = pytest.mark.usefixtures("studio")


def person() -> inversions.Inverted:
    """A person, not kept yet."""
    return inversions.drawn_person(SeedPerson("studio", 1), catalog.load_generator("studio"))


def voted() -> study.Study:
    """A study with a vote."""
    drawing = study.start("Which?", [entry_of("neon", 0.1, "nada"), entry_of("neon", 0.2, "ipl")], [1])
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            held = end.value
            break
    study.enter(held.id, "someone")
    question = study.next_question(held.id, "someone")
    assert study.cast(held.id, "someone", question.task, question.name, study.LEFT)
    return held


# ----------------------------------------------------------------------------------------------------------------------
# Disks that can't be written


def everything_is_read(entry: store.Entry, kept: inversions.Inverted, held: study.Study, out: Path) -> None:
    """Uses a library that can't be written in all ways that don't change it."""
    assert entry in store.list_entries()
    assert store.find(entry.config) == entry
    assert draw(catalog.load_generator(str(entry.path)), [1]).isfinite().all()
    store.export(entry, out / "copy")
    assert store.open_entry(out / "copy").title == entry.title
    assert inversions.scan()[1] == []
    assert torch.equal(inversions.open_person(kept.path.name).w_plus, kept.w_plus)
    assert study.studies() == [held]
    assert sum(row.votes for row in study.tally(held.id) if row.target is None) == 1
    assert len(study.votes(held.id)) == 1
    study.write_tally(held.id, out / "tally.csv")
    assert study.progress(held.id, "someone")[0] == 1
    assert study.next_question(held.id, "someone") is not None
    assert entry.path.name in LibraryTab.contents(OWN_MACHINE)
    assert main(["library", "list"]) == 0
    assert main(["study", "tally"]) == 0


@pytest.fixture
def filled(studio: Path) -> tuple[store.Entry, inversions.Inverted, study.Study]:
    """An entry, a person and a study."""
    held = voted()
    return entry_of("zombie", 0.3), inversions.keep(person()), held


def test_a_library_on_a_read_only_disk_is_read(filled: Any, studio: Path, tmp_path: Path) -> None:
    (studio / "runs" / ".writing-abc").mkdir()  # what can't be swept
    os.utime(studio / "runs" / ".writing-abc", (0, 0))
    with read_only(studio):
        with pytest.raises(OSError, match="Read-only"):
            (studio / "x").touch()
        everything_is_read(*filled, tmp_path / "out")
        with pytest.raises(folders.InputError, match="Nothing can be written"):
            inversions.keep(person())
        with pytest.raises(folders.InputError, match="can't be deleted"):
            store.delete(filled[0])


def test_votes_that_are_in_the_log_are_counted_on_a_read_only_disk(filled: Any, studio: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(study.path())  # while somebody has it open, votes may stay in the log
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute("SELECT count(*) FROM vote").fetchone()
    question = study.next_question(filled[2].id, "someone")
    study.cast(filled[2].id, "someone", question.task, question.name, study.RIGHT)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("studies.sqlite3", "studies.sqlite3-wal"):
        shutil.copy(studio / name, other / name)
    database.close()
    assert (other / "studies.sqlite3-wal").stat().st_size > 0
    with read_only(other), pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPL_HOME", str(other))
        assert len(study.votes(filled[2].id)) == 2


def test_where_no_file_can_be_made_it_is_read(
    filled: Any, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without a mount: everything that makes or moves a file below the library is refused."""

    def refusing(function: Any) -> Any:
        def refused(*arguments: Any, **options: Any) -> Any:
            if any(str(studio) in str(argument) for argument in (*arguments, *options.values())):
                raise OSError(errno.EROFS, "Read-only file system")
            return function(*arguments, **options)

        return refused

    for room, name in ((os, "rename"), (os, "replace"), (os, "unlink"), (os, "mkdir"), (os, "rmdir"), (os, "link")):
        monkeypatch.setattr(room, name, refusing(getattr(room, name)))
    monkeypatch.setattr(tempfile, "mkdtemp", refusing(tempfile.mkdtemp))
    monkeypatch.setattr(tempfile, "TemporaryFile", refusing(tempfile.TemporaryFile))
    everything_is_read(*filled, tmp_path / "out")


# ----------------------------------------------------------------------------------------------------------------------
# Full disks


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def run_of(earlier: int = 0) -> store.Run:
    """A run that has come to its end, with some earlier steps."""
    config = AdaptConfig("zombie", method="nada", steps=earlier + 1, keep_every=1 if earlier else 0)
    run = store.Run(config)
    generator = catalog.load_generator("studio")
    weights = {name: generator.get_parameter(name) + 0.3 for name in generator.layer_parameters(2)}
    pictures = torch.randint(256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for step in range(1, earlier + 2):
        kept = weights if step <= earlier else None
        run.add(Step(step, earlier + 1, "generator", {"adaptation": 1.0}, Pictures(pictures, pictures), kept))
    run.add(AdaptResult(earlier + 1, earlier + 1, Pictures(pictures, pictures), weights))
    return run


def fill(disk: Path, free: int) -> Path:
    """Fills a disk but for so many bytes."""
    ballast = disk / "ballast"
    size = shutil.disk_usage(disk).free - free
    ballast.write_bytes(b"\1" * max(0, size))
    return ballast


def brought_in(error: space.KeptElsewhere, capsys: pytest.CaptureFixture[str]) -> str:
    """Does what an error advises, and gives what the command says."""
    command = str(error).rpartition("“python -m ipl_core ")[2].partition("”")[0]
    capsys.readouterr()
    assert main(command.split()) == 0
    return capsys.readouterr().out


def test_a_run_at_whose_end_the_disk_is_full_lies_elsewhere(
    studio: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(studio, "2m"):
        before = entry_of("bystander", 0.1)
        run = run_of()
        ballast = fill(studio, 8192)
        with pytest.raises(space.KeptElsewhere, match=r"No space left.*isn't lost: it lies in") as caught:
            run.save()
        assert caught.value.path.is_relative_to(elsewhere)
        assert [entry.path for entry in store.list_entries()] == [before.path]
        assert not list((studio / "runs").glob(".*"))
        rescued = store.open_entry(caught.value.path)
        assert catalog.changed_weights(rescued.path).keys() == run.last.weights.keys()
        ballast.unlink()
        assert rescued.path.name in brought_in(caught.value, capsys)
        found = store.find(run.config)
        assert found.settings == rescued.settings


def test_the_result_of_a_run_comes_before_its_earlier_steps(
    studio: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(studio, "2m") as disk:
        run = run_of(earlier=3)
        monkeypatch.setattr(tempfile, "tempdir", str(disk / "temporary"))  # as full as the library
        (disk / "temporary").mkdir()
        fill(disk, 8192)
        entry = run.save()
        assert (entry.steps(), entry.finished) == ([], True)
        assert "no room for earlier steps" in entry.left_out
        assert catalog.changed_weights(entry.path).keys() == run.last.weights.keys()


def test_a_run_goes_on_where_there_is_no_room_for_an_earlier_step(
    studio: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(studio, "2m") as disk:
        (disk / "runs").mkdir()
        ballast = fill(disk, 8192)
        run = run_of(earlier=2)
        assert "the run goes on" in caplog.text
        ballast.unlink()
        entry = run.save()
        assert entry.steps() == []
        assert entry.left_out


def test_a_disk_that_is_full_everywhere_is_said(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(studio, "1m") as disk:
        run = run_of()
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        fill(disk, 8192)
        with pytest.raises(folders.Full, match="No space left"):
            run.save()
        (disk / "ballast").unlink()
        assert store.find(run.config) is None
        assert run.save() == store.find(run.config), "the result is still in memory"


def test_an_inversion_at_whose_end_the_disk_is_full_lies_elsewhere(
    studio: Path, elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(studio, "1m") as disk:
        inverted = person()
        ballast = fill(disk, 4096)
        with pytest.raises(space.KeptElsewhere, match="inversion isn't lost") as caught:
            inversions.keep(inverted, tmp_path / "out")
        assert caught.value.path.parent == tmp_path / "out", "the person's own folder comes first"
        assert torch.equal(inversions.load(caught.value.path).w_plus, inverted.w_plus)
        ballast.unlink()
        assert inverted.title in brought_in(caught.value, capsys)
        (kept,) = inversions.list_people()
        assert torch.equal(inversions.load(kept.path).w_plus, inverted.w_plus)


def test_a_full_out_folder_says_where_the_run_is(
    studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(space, "check", lambda needs, what: None)
    request = ["adapt", "werewolf", "--method", "nada", "--steps", "1", "--batch", "1"]
    with small_disk(tmp_path / "out", "1m") as disk:
        fill(disk, 8192)
        assert main([*request, "--out", str(disk)]) == 2
        (entry,) = store.list_entries()
        assert f"The run is kept in the library, as {entry.path.name}." in capsys.readouterr().err
        assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_room_is_asked_for_before_a_run(studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = AdaptConfig("zombie", method="nada", steps=5, keep_every=1, keep_state=True)
    monkeypatch.setattr("ipl_core.library.find_or_run.adapt", None)
    monkeypatch.setattr(running, "adapt", None)
    with small_disk(studio, "1m") as disk:
        fill(disk, 8192)
        for start in (
            lambda: finished_run(config),
            lambda: next(running.job(config, None)),
            lambda: finished_inversion(InvertConfig(), to_uint8(draw(catalog.load_generator("studio"), [3]))),
        ):
            with pytest.raises(folders.Full, match=r"will take about .* on the disk of .*, where 8 kB are free: free"):
                start()


def test_what_a_run_takes_is_estimated_from_its_model(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = catalog.load_generator("studio")
    own = [tensor for name, tensor in generator.state_dict().items() if name.startswith("synthesis.")]
    assert store.synthesis_bytes("studio") == 4 * sum(tensor.numel() for tensor in own)
    entry = entry_of("zombie", 0.3)
    assert store.synthesis_bytes(str(entry.path)) == store.synthesis_bytes("studio")
    asked = []
    monkeypatch.setattr(space, "check", lambda needs, what: asked.append([size for _, size in needs]))
    store.check_room(AdaptConfig("zombie", steps=9))
    store.check_room(AdaptConfig("zombie", steps=9, keep_every=2, keep_state=True), "out")
    inversions.check_room(InvertConfig(tune=False))
    weights = store.synthesis_bytes("studio")
    full = space.SPARE + weights + 4 * weights // 2 + 3 * weights
    assert asked == [[space.SPARE + weights], [full, full], [space.SPARE]]


def test_folders_on_one_disk_share_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 100))
    space.check([(tmp_path / "a" / "b", 50), (tmp_path, 50)], "The run")
    with pytest.raises(folders.Full, match="The run will take about 0 kB"):
        space.check([(tmp_path / "a", 50), (tmp_path, 51)], "The run")


def test_a_disk_that_fills_up_while_it_is_written_loses_nothing(
    studio: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mount: files opened for writing below the library take no bytes."""
    run, plain = run_of(), builtins.open

    class Refusing:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, content: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    def opened(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = plain(self, mode, *arguments, **options)
        return Refusing(file) if "w" in mode and str(studio) in str(self) else file

    with monkeypatch.context() as full:
        full.setattr(Path, "open", opened)
        with pytest.raises(space.KeptElsewhere) as caught:
            run.save()
    assert store.open_entry(caught.value.path).config == run.config
    assert store.scan() == ([], [])
    assert run.save().config == run.config


def test_pools_and_votes_need_no_room_to_be_read(studio: Path) -> None:
    with small_disk(studio, "2m") as disk:
        held = voted()
        fill(disk, 0)
        assert len(study.votes(held.id)) == 1
        assert json.dumps([dataclasses.asdict(row) for row in study.tally(held.id)])
        made = pool.SourcePool()
        made.present[0] = True
        made.w, made.embeddings = torch.zeros(pool.SIZE, 512), torch.zeros(pool.SIZE, 512)
        made.save(disk / "pools" / "one.safetensors")  # only a warning
        assert not list((disk / "pools").glob("*"))
