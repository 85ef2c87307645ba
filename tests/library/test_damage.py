"""One damaged thing never hides the rest, whatever lies in the library, among the people, or among the studies."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import kept_domains
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipl_core import AdaptConfig, InputError
from ipl_core.commands.main import main
from ipl_core.drawing.people_by_seed import SeedPerson
from ipl_core.library import domain_folder, inversions, store
from ipl_core.models import catalog
from ipl_core.storage import stored
from ipl_core.study import study
from tabs import api, show
from tabs.library import LibraryTab
from tabs.requests.models import choices, find_entry

pytestmark = pytest.mark.usefixtures("studio")

NUMBERS = st.integers() | st.floats() | st.sampled_from([1e30, 10**400, -1, 0, 2**53, 9999, 1e-320])
TEXTS = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    [
        "9999-12-31T23:59:59+00:00",
        "0001-01-01T00:00:00+14:00",
        "\ud800",
        "\x00",
        "\u202egnp",
        "=1+1",
        "x" * 5000,
        "asked",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DROPPED = object()
QUICK = settings(
    max_examples=int(os.environ.get("IPL_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def entry_of(target: str = "zombie") -> store.Entry:
    """A whole entry."""
    return kept_domains.entry_of(target, 0.3)


#: What made an entry, besides a run in one go.
ORIGINS: dict[str, dict[str, Any]] = {
    "resumed": {"resumed": {"entry": "before", "step": 1, "exactly": True, "as one run": False}},
    "imported": {"imported": {"file": "theirs.pt", "sha256": "0", "changes mapping": True}},
    "mixed": {"mixed": [{"entry": "one", "share": 0.5, "config": AdaptConfig("werewolf").to_dict()}]},
}


def rich_entry(origin: str = "resumed") -> store.Entry:
    """An entry with all settings that one of this origin may have."""
    entry = store.rename(entry_of(), "Ours")
    facts = entry.settings["weights"]
    shutil.copy(entry.path / domain_folder.ADAPTED, entry.path / domain_folder.step_file(1))
    shutil.copy(entry.samples_picture, entry.path / domain_folder.step_picture(1))
    shutil.copy(entry.path / domain_folder.ADAPTED, entry.path / domain_folder.TRAINING)
    more = {
        "earlier": {"1": {**facts, "diversity": 0.5}},
        "training": facts,
        **ORIGINS[origin],
        "readings": {"0": "bald, smiling", "7": "pink haired"},
        "diversity": 0.7,
    }
    (entry.path / "settings.json").write_text(json.dumps({**entry.settings, **more}))
    return store.open_entry(entry.path)


def person_of(seed: int = 1) -> inversions.Inverted:
    """A whole person."""
    return inversions.keep(inversions.drawn_person(SeedPerson("studio", seed), catalog.load_generator("studio")))


@st.composite
def mutated(draw: Callable[..., Any], good: dict[str, Any]) -> dict[str, Any]:
    """Good settings with one to three values, anywhere, replaced by anything or dropped."""
    changed = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = changed
        while holder:
            key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
            deeper = holder[key]
            if isinstance(deeper, (dict, list)) and deeper and draw(st.booleans()):
                holder = deeper
                continue
            value = draw(st.just(DROPPED) | JSON)
            if value is DROPPED:
                del holder[key]
            else:
                holder[key] = value
            break
    return changed


def sent(value: Any) -> None:
    """Fails for what no reader of JSON can read."""
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def shown(entry: store.Entry) -> None:
    """Everything that is said of an entry anywhere can be said."""
    sent(api.row(entry))
    sent({"title": entry.title, "files": entry.files, "bytes": entry.bytes, "steps": entry.steps()})
    sent({"readings": list(entry.readings.items())})
    html = show.cards([entry]) + show.entry_facts(entry) + show.entry_title(entry)
    assert "nan" not in html.casefold().replace(entry.target.casefold(), "") or "data:image" in html
    html.encode()


@pytest.mark.parametrize("origin", ORIGINS)
def test_settings_of_an_entry_may_hold_anything(origin: str) -> None:
    good, neighbour = rich_entry(origin), entry_of("neighbour")
    shown(good)
    text = (good.path / "settings.json").read_text()

    @QUICK
    @given(mutated(json.loads(text)))
    def looked_at(changed: dict[str, Any]) -> None:
        (good.path / "settings.json").write_text(json.dumps(changed), encoding="utf-8")
        entries, problems = store.scan()
        assert neighbour in entries
        assert len(entries) + len(problems) == 2
        for entry in entries:
            shown(entry)
        for problem in problems:
            sent(problem)
            assert good.path.name in problem
        sent(choices())

    looked_at()


def test_settings_of_a_person_may_hold_anything() -> None:
    good, neighbour = person_of(), person_of(2)

    @QUICK
    @given(mutated(json.loads((good.path / "settings.json").read_text())))
    def looked_at(changed: dict[str, Any]) -> None:
        (good.path / "settings.json").write_text(json.dumps(changed), encoding="utf-8")
        kept, problems = inversions.scan()
        assert neighbour.path in [one.path for one in kept]
        assert len(kept) + len(problems) == 2
        sent([api.person_row(one) for one in kept])
        sent(problems)
        sent([(one.title, one.path.name) for one in kept])

    looked_at()


def deep(folder: Path) -> None:
    (folder / "settings.json").write_text('{"format": ' + "[" * 100_000 + "]" * 100_000 + "}")


def huge(folder: Path) -> None:
    with open(folder / "settings.json", "r+b") as file:
        file.truncate(100_000_000)


def a_pipe(folder: Path) -> None:
    (folder / "settings.json").unlink()
    os.mkfifo(folder / "settings.json")


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    damage.__name__ = f"{name} is {content[:9]!r}"
    return damage


def a_folder_as(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    damage.__name__ = f"{name} is a folder"
    return damage


def a_loop(folder: Path) -> None:
    (folder / "settings.json").unlink()
    (folder / "settings.json").symlink_to("settings.json")


def renamed(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        os.rename(folder, os.fsencode(folder.parent) + b"/" + name.encode("utf-8", "surrogateescape"))

    damage.__name__ = f"called {name!r}"
    return damage


def a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


def a_link_to_nowhere(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


DAMAGE = [
    *(deep, huge, a_pipe, a_loop, a_file_in_its_place, a_link_to_nowhere),
    *(replaced("settings.json", content) for content in (b"", b"\xff\xfe", b"null", b"1e999", b'{"format": 1}', b"[]")),
    *(a_folder_as(name) for name in ("settings.json", "history.csv")),
    *(renamed(name) for name in ("new\nline", "\u202egnp.exe", "no\udcfftext", "es\x1bcape")),
]
OF_ENTRIES = [
    *(replaced("samples.png", content) for content in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"x" * 99)),
    *(replaced("source.png", content) for content in (b"", b"\x89PNG")),
    a_folder_as("samples.png"),
]


def ids(damage: Callable[..., Any]) -> str:
    return damage.__name__


@pytest.mark.parametrize("damage", [*DAMAGE, *OF_ENTRIES], ids=ids)
def test_a_damaged_entry_is_named_and_all_else_shows(
    damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, hurt = entry_of("neighbour"), entry_of()
    damage(hurt.path)
    entries, problems = store.scan()
    assert entries == [whole]
    (problem,) = problems
    sent(problem)
    assert problem.endswith(".")
    assert "\n" not in problem
    assert find_entry(whole.path.name) == whole
    assert store.find(whole.config) == whole
    assert store.find(hurt.config) is None
    contents = LibraryTab.contents(kept_domains.OWN_MACHINE)
    assert show.entry_name(whole) in contents
    assert show.trouble(problem) in contents
    assert [row["name"] for row in api.Endpoints(kept_domains.OWN_MACHINE).library()] == [whole.path.name]
    assert main(["library", "list"]) == 0
    said = capsys.readouterr()
    assert whole.path.name in said.out
    assert said.err.strip() == problem
    assert store.rename(whole, "Ours").title == "Ours"


@pytest.mark.parametrize("damage", [*DAMAGE, replaced("inverted.png", b""), replaced("aligned.png", b"x")], ids=ids)
def test_a_damaged_person_is_named_and_all_others_show(damage: Callable[[Path], None]) -> None:
    whole, hurt = person_of(), person_of(2)
    damage(hurt.path)
    kept, problems = inversions.scan()
    assert [one.path for one in kept] == [whole.path]
    (problem,) = problems
    sent(problem)
    assert [api.person_row(one)["name"] for one in inversions.list_people()] == [whole.path.name]
    assert show.trouble(problem) in LibraryTab.contents(kept_domains.OWN_MACHINE)


def test_a_damaged_person_is_named_to_nobody_who_may_not_see_them(studio: Path) -> None:
    (studio / "people" / "ada-lovelace-12").mkdir(parents=True)
    assert "ada-lovelace-12" in LibraryTab.contents(kept_domains.OWN_MACHINE)
    assert "ada-lovelace-12" not in LibraryTab.contents(kept_domains.OF_A_VISITOR)


@pytest.mark.parametrize("shelf", ["runs", "people"])
def test_a_shelf_that_is_no_folder_hides_nothing_else(studio: Path, shelf: str) -> None:
    entry, person = entry_of(), person_of()
    shutil.rmtree(studio / shelf)
    (studio / shelf).write_text("no folder")
    found = [one.path for one in (*store.list_entries(), *inversions.list_people())]
    assert found == [person.path if shelf == "runs" else entry.path]
    assert "can’t be read" in LibraryTab.contents(kept_domains.OWN_MACHINE).replace("&#x27;", "’")


@pytest.mark.skipif(not hasattr(os, "fork") or os.geteuid() != 0, reason="only root can become somebody else")
def test_what_one_may_not_read_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as home:
        monkeypatch.setenv("IPL_HOME", home)
        whole, closed, unreadable = entry_of("neighbour"), entry_of(), entry_of("neon")
        kept = person_of()
        os.chmod(home, 0o755)
        closed.path.chmod(0)
        (unreadable.path / "settings.json").chmod(0)
        kept.path.parent.chmod(0)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            entries, problems = store.scan()
            named = all(one.path.name in " ".join(problems) for one in (closed, unreadable))
            os._exit(0 if entries == [whole] and len(problems) == 2 and named and inversions.scan()[1] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_picture_that_cannot_be_decoded_shows_as_words() -> None:
    whole, hurt = entry_of("neighbour"), entry_of()
    content = bytearray(hurt.samples_picture.read_bytes())
    middle = content.index(b"IDAT") + 6
    content[middle : middle + 8] = b"damaged!"
    hurt.samples_picture.write_bytes(content)
    assert {entry.path for entry in store.list_entries()} == {whole.path, hurt.path}
    assert "This picture is damaged: samples.png" in LibraryTab.contents(kept_domains.OWN_MACHINE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stage\n",
        "stage,step,seconds\nstage,1,2\n",
        "stage,step,seconds\ngenerator,x,1\n",
        "a\0b",
        "stage,step\n1,2,3,4",
    ],
)
def test_a_damaged_history_is_said(text: str) -> None:
    entry = entry_of()
    (entry.path / "history.csv").write_text(text)
    entry = store.open_entry(entry.path)
    if text in ("", "stage\n"):  # a table without rows
        assert entry.history() == []
    else:
        with pytest.raises(InputError, match=r"history\.csv"):
            entry.history()


def test_an_entry_that_is_deleted_meanwhile_can_still_be_spoken_of() -> None:
    entry = store.open_entry(entry_of().path)
    shutil.rmtree(entry.path)
    shown_before = entry.bytes
    assert shown_before > 1000
    sent(api.row(entry))


def test_numbers_that_are_no_numbers_are_not_written() -> None:
    assert stored.finite({"a": [float("nan"), {"b": float("inf")}], "c": 1.5}) == {"a": [None, {"b": None}], "c": 1.5}
    odd = {**person_of().settings, "identity": float("nan")}
    kept = inversions.keep(dataclasses.replace(inversions.load(person_of().path), settings=odd))
    assert inversions.load(kept.path).settings["identity"] is None


# ----------------------------------------------------------------------------------------------------------------------
# Studies


def a_study(target: str = "zombie") -> study.Study:
    """A study of two ways to one domain."""
    drawing = study.start(
        f"About {target}",
        [kept_domains.entry_of(target, shift, way) for shift, way in ((0.3, "nada"), (0.6, "ipl"))],
        [1],
    )
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    "change",
    [
        "settings = '{'",
        "settings = 'null'",
        "settings = '{\"pairs_each\": 1e99}'",
        'settings = \'{"pairs_each": "many"}\'',
        "settings = x'ff00ff'",
        "settings = '" + "[" * 100_000 + "'",
        "created = 'yesterday'",
        "created = 5",
        "id = 'a' || char(10)",
        "title = x'ff' || zeroblob(5000)",
    ],
    ids=range(10),
)
def test_a_damaged_study_is_named_and_all_others_show(change: str) -> None:
    whole, hurt = a_study(), a_study("neon")
    with sqlite3.connect(study.path()) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(f"UPDATE study SET {change} WHERE id = ?", (hurt.id,))
    database.close()
    found, problems = study.scan()
    assert found == study.studies() == [whole]
    assert len(problems) == 1
    sent(problems)
    assert study.current() == whole
    assert show.trouble(problems[0]) in LibraryTab.contents(kept_domains.OWN_MACHINE)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000, None])
def test_a_damaged_database_hides_nothing_else(content: bytes | None) -> None:
    entry = entry_of()
    if content is None:
        study.path().mkdir()
    else:
        study.path().write_bytes(content)
    found, problems = study.scan()
    assert found == []
    assert len(problems) == 1
    assert show.entry_name(entry) in LibraryTab.contents(kept_domains.OWN_MACHINE)
    with pytest.raises(InputError, match="can't be used"):
        study.current()
