"""The blind study: people say which of two adapted models draws better, and don't know which is which.

Studies, their pictures and votes are stored in one SQLite database, so changes in the library don't affect a study.
This module draws who sees which pair on which side, and counts the votes. It knows nothing about the user interface.
"""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import logging
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..drawing.sampling import draw
from ..errors import InputError
from ..library.store import Entry
from ..methods.registry import rank
from ..metrics.intervals import wilson
from ..models import catalog
from ..pictures.media import to_pictures
from ..storage import stored
from ..storage.folders import check_writable, home
from ..storage.tables import write_csv
from ..storage.values import truncation, whole
from ..storage.words import clean_line, json_text, quoted, shown

if TYPE_CHECKING:
    from os import PathLike

    from ..generators.stylegan2.network import Generator as Network

log = logging.getLogger(__name__)

#: What is asked about every pair, in this order; {target} is the domain's words.
QUESTIONS = {"quality": "Which is the better {target}?", "likeness": "Which looks more like the person?"}
LEFT, RIGHT, SKIP = "left", "right", "skip"
CHOICES = (LEFT, RIGHT, SKIP)

#: From here on, seeds that no preview shows, so that nobody has seen the people of a study with a method's name on.
FIRST_SEED = 700_000
MAX_TITLE, MAX_PICTURES = 120, 5000
EDGE = 512  # pixels; larger pictures are made smaller, as screens show them

TALLY_COLUMNS = (
    *("question", "target", "first", "second", "votes", "first_votes", "second_votes", "skipped", "voters"),
    *("share_of_first", "wilson_low", "wilson_high"),
)

_VERSION = 1
_PATIENCE = 30.0  # seconds to wait for other writers, who need milliseconds
# Settings that say what was adapted, or how it is shown or computed, but not in which way it was adapted.
_NOT_A_WAY = (
    *("target", "source", "model", "method", "seed"),
    *("device", "preset", "memory", "preview_seeds", "preview_psi", "keep_every", "keep_state"),
)
_CHANCE = secrets.SystemRandom()  # nobody can foresee a side

_SCHEMA = """
CREATE TABLE study (id TEXT PRIMARY KEY, title TEXT NOT NULL, created TEXT NOT NULL, settings TEXT NOT NULL);
CREATE TABLE picture (id INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    study TEXT NOT NULL REFERENCES study,
    target TEXT NOT NULL,
    seed INTEGER NOT NULL,
    source INTEGER NOT NULL REFERENCES picture,
    first INTEGER NOT NULL REFERENCES picture,
    second INTEGER NOT NULL REFERENCES picture,
    first_name TEXT NOT NULL,
    second_name TEXT NOT NULL
);
CREATE TABLE task (
    id TEXT PRIMARY KEY,
    voter TEXT NOT NULL,
    pair INTEGER NOT NULL REFERENCES pair,
    position INTEGER NOT NULL,
    swapped INTEGER NOT NULL CHECK (swapped IN (0, 1)),
    UNIQUE (voter, pair)
);
CREATE TABLE vote (
    voter TEXT NOT NULL,
    pair INTEGER NOT NULL,
    question TEXT NOT NULL CHECK (question IN ('quality', 'likeness')),
    choice TEXT NOT NULL CHECK (choice IN ('first', 'second', 'skip')),
    PRIMARY KEY (voter, pair, question),
    FOREIGN KEY (voter, pair) REFERENCES task (voter, pair)
);
CREATE INDEX pair_of_study ON pair (study);
CREATE INDEX task_of_pair ON task (pair);
"""


@dataclass(frozen=True)
class Study:
    """A study as it was started. pairs: how many there are; pairs_each: how many of them a voter is shown."""

    id: str
    title: str
    created: str
    pairs: int
    pairs_each: int

    @property
    def questions_each(self) -> int:
        """How many questions a voter is asked."""
        return self.pairs_each * len(QUESTIONS)


@dataclass(frozen=True)
class Question:
    """A voter's next question; it doesn't reveal which method drew which picture.

    task: the id to vote with. name: a key of QUESTIONS. number, total: the voter's progress, from 1.
    source, left, right: JPEG; source is None if the question doesn't show the picture before adaptation.
    """

    task: str
    name: str
    words: str
    number: int
    total: int
    source: bytes | None
    left: bytes
    right: bytes


@dataclass(frozen=True)
class Tally:
    """The votes on one question between two ways to adapt. target: None for all domains together.

    first_votes, second_votes: who chose which. skipped: asked, and not answered. voters: who answered at least once.
    """

    question: str
    target: str | None
    first: str
    second: str
    first_votes: int
    second_votes: int
    skipped: int
    voters: int

    @property
    def votes(self) -> int:
        """How many chose one of the two."""
        return self.first_votes + self.second_votes

    @property
    def share(self) -> float | None:
        """The share that chose the first, 0–1; None without a vote."""
        return self.first_votes / self.votes if self.votes else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of that share, which takes all votes as independent of each other."""
        return wilson(self.first_votes, self.votes)


# ----------------------------------------------------------------------------------------------------------------------
# The database


def path() -> Path:
    """The database of all studies."""
    return home() / "studies.sqlite3"


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    """A connection of its own for each piece of work, so any thread of any process may come.

    A write-ahead log lets everybody read while one writes. Raises InputError if the file can't be used, or was written
    by a newer version.
    """
    database = None
    try:
        database = _connected()
        _check_version(database)
        yield database
    except sqlite3.Error as error:
        raise InputError(f"The studies in {path()} can't be used: {error}.") from error
    finally:
        if database is not None:
            database.close()


def _connected(address: str = "") -> sqlite3.Connection:
    """A connection to the database, or to the one at an SQLite URI. Bytes that are no text read as �."""
    database = sqlite3.connect(address or path(), timeout=_PATIENCE, isolation_level=None, uri=bool(address))
    database.row_factory = sqlite3.Row
    database.text_factory = lambda text: text.decode("utf-8", "replace")
    database.execute("PRAGMA foreign_keys = ON")
    return database


@contextmanager
def _reading() -> Iterator[sqlite3.Connection]:
    """A connection for looking only, on a disk that can't be written or is full too; raises as `_database` does.

    With a write-ahead log SQLite wants to make an index of the log beside the file, even to read. Where no file can be
    made, nobody can write the database either, so it is opened as one that doesn't change (`immutable`), which is what
    SQLite asks of read-only media. That mode doesn't look into the log; if there are votes in it still, as after a
    copy of a running app's folder, or if the disk is only full, so that others may write as soon as it isn't,
    database and log are copied to a temporary folder and read there.
    """
    with ExitStack() as stack:
        try:
            database = stack.enter_context(_database())
        except InputError as error:
            if not isinstance(error.__cause__, sqlite3.OperationalError):
                raise
            database = stack.enter_context(_untouched())
        yield database


@contextmanager
def _untouched() -> Iterator[sqlite3.Connection]:
    """A connection that makes no file beside the database, for `_reading`."""
    log = Path(f"{path()}-wal")
    with tempfile.TemporaryDirectory(prefix="ipl-studies-", ignore_cleanup_errors=True) as folder:
        database = None
        try:
            if _can_be_written(home()) or (log.is_file() and log.stat().st_size):
                copy = Path(shutil.copy(path(), Path(folder, path().name)))
                if log.is_file():
                    shutil.copy(log, f"{copy}-wal")
                database = _connected(copy.as_uri())
            else:
                database = _connected(f"{path().absolute().as_uri()}?mode=ro&immutable=1")
            _check_version(database)
            yield database
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"The studies in {path()} can't be used: {error}.") from error
        finally:
            if database is not None:
                database.close()


def _check_version(database: sqlite3.Connection) -> None:
    if _version(database) > _VERSION:
        raise InputError(f"The studies in {path()} were written by a newer version: update this one to use them.")


def _can_be_written(folder: Path) -> bool:
    """Whether files can be made in a folder, or could be on a disk with more room."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        return error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def _transaction() -> Iterator[sqlite3.Connection]:
    """All that the block writes, or nothing; others who write wait for its end."""
    with _database() as database:
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            if database.in_transaction:  # some errors have ended it already
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def _version(database: sqlite3.Connection) -> int:
    """Which version of the schema the file has; 0 for none yet."""
    return database.execute("PRAGMA user_version").fetchone()[0]


def _prepare() -> None:
    """Makes the database if there is none. Raises InputError if it can't be written."""
    check_writable(home())
    with _database() as database:
        database.execute("PRAGMA journal_mode = WAL")
    with _transaction() as database:
        if _version(database) == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {_VERSION}")


# ----------------------------------------------------------------------------------------------------------------------
# Studies


@dataclass(frozen=True)
class _Contest:
    """Two entries that differ in how they were adapted, and what each is called."""

    first: Entry
    second: Entry
    first_name: str
    second_name: str


def start(
    title: str,
    entries: Sequence[Entry],
    seeds: Sequence[int],
    psi: float = 0.7,
    pairs_each: int = 10,
    load: Callable[[str], Network] = catalog.load_generator,
) -> Generator[tuple[int, int], None, Study]:
    """Draws and stores a study. New voters get the newest study; voters in an older one continue there.

    Two entries with the same target and source model that were adapted in different ways form a pair for each of
    `seeds`, drawn at truncation `psi` (0 to 1.5). pairs_each: maximum number of pairs for one voter. load: loads the
    generator of a model's name or an entry's folder.

    Yields the numbers of finished and of all generators, and returns the Study; if it is closed early, nothing is
    stored. Raises InputError, before anything is drawn, if the entries can't form a study.
    """
    title = clean_line(title, "The title", MAX_TITLE)
    if not title:
        raise InputError(f"The study has no title: give one of at most {MAX_TITLE} characters.")
    psi = truncation(psi)
    pairs_each = whole(pairs_each, "How many pairs each voter sees", 1, MAX_PICTURES)
    seeds = list(dict.fromkeys(seeds))
    if not seeds:
        raise InputError("A study needs at least one seed, such as 700000.")
    contests = _contests(entries)
    models = {str(entry.path): entry.model for contest in contests for entry in (contest.first, contest.second)}
    generators = list(dict.fromkeys([*models.values(), *models]))
    if len(generators) * len(seeds) > MAX_PICTURES:
        raise InputError(
            f"{len(generators)} models and {len(seeds)} seeds are {len(generators) * len(seeds)} pictures, more than "
            f"{MAX_PICTURES}: choose fewer."
        )
    _prepare()
    drawn: dict[str, list[bytes]] = {}
    for number, model in enumerate(generators):
        yield number, len(generators)
        drawn[model] = _jpegs(draw(load(model), seeds, psi))
    yield len(generators), len(generators)
    settings = {
        "seeds": seeds,
        "psi": psi,
        "pairs_each": min(pairs_each, len(contests) * len(seeds)),
        "runs": {entry.name: entry.settings["config"] for entry in entries if str(entry.path) in models},
    }
    return _keep(title, contests, seeds, drawn, settings)


def _contests(entries: Sequence[Entry]) -> list[_Contest]:
    """Every two entries of a kind, the method nearer to the end of METHODS first. InputError for one without a partner.

    Of a kind: same target and source model, adapted in different ways.
    """
    for entry in entries:
        if not entry.from_run:
            raise InputError(
                f"“{entry.title}” was {entry.made_by}, so no method of adaptation made it alone: "
                "choose models adapted here."
            )
    ways = _ways(entries)
    contests, alone = [], {entry.path: entry for entry in entries}
    for pair in itertools.combinations(alone.values(), 2):
        first, second = sorted(pair, key=lambda entry: (-rank(entry.config.method), ways[entry.path]))
        if _kind(first) == _kind(second) and ways[first.path] != ways[second.path]:
            contests.append(_Contest(first, second, ways[first.path], ways[second.path]))
    matched = {entry.path for contest in contests for entry in (contest.first, contest.second)}
    for entry in alone.values():
        if entry.path not in matched:
            raise InputError(
                f"“{entry.title}” has no partner: choose two or more models for each domain, adapted from the same "
                "model in different ways."
            )
    if not contests:
        raise InputError("A study compares two adapted models or more of the same domain; none is chosen.")
    return contests


def _kind(entry: Entry) -> tuple[str, str]:
    return entry.target.casefold(), entry.record.model_sha256


def _ways(entries: Sequence[Entry]) -> dict[Path, str]:
    """A description of how each entry was adapted: its method, and settings that differ among runs of that method.

    The seed isn't included: runs that differ only in the seed are repetitions.
    """
    ways = {}
    for entry in entries:
        config = entry.config
        others = [other.config.to_dict() for other in entries if other.config.method == config.method]
        left_out = (*_NOT_A_WAY, *config.unread())
        differing = [
            f"{name} {value}"
            for name, value in config.to_dict().items()
            if name not in left_out and any(other[name] != value for other in others)
        ]
        reached = [] if entry.finished else [f"step {entry.run.generator_steps} of {config.steps}"]
        ways[entry.path] = ", ".join([config.method, *differing, *reached])
    return ways


def _jpegs(images: Tensor) -> list[bytes]:
    """Pictures as they are shown: at most EDGE wide, in full colour resolution, with nothing in them but pixels."""
    files = []
    for picture in to_pictures(images):
        picture.thumbnail((EDGE, EDGE))
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=95, subsampling=0)
        files.append(data.getvalue())
    return files


def _keep(
    title: str,
    contests: Sequence[_Contest],
    seeds: Sequence[int],
    drawn: Mapping[str, list[bytes]],
    settings: Mapping[str, Any],
) -> Study:
    study = secrets.token_hex(4)
    with _transaction() as database:
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        text = json_text(settings)
        database.execute("INSERT INTO study VALUES (?, ?, ?, ?)", (study, title, created, text))
        pictures = {
            (model, seed): database.execute("INSERT INTO picture (jpeg) VALUES (?)", (jpeg,)).lastrowid
            for model, jpegs in drawn.items()
            for seed, jpeg in zip(seeds, jpegs)
        }
        for contest in contests:
            config = contest.first.config
            for seed in seeds:
                three = (config.model, str(contest.first.path), str(contest.second.path))
                database.execute(
                    "INSERT INTO pair (study, target, seed, source, first, second, first_name, second_name) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(study, config.target, seed),
                        *(pictures[model, seed] for model in three),
                        *(contest.first_name, contest.second_name),
                    ),
                )
    return find(study)


def studies() -> list[Study]:
    """Every study, the newest first; damaged ones are logged and left out, see `scan`.

    Raises InputError if the database can't be read.
    """
    found, problems = _studies()
    for problem in problems:
        log.warning("%s", problem)
    return found


def scan() -> tuple[list[Study], list[str]]:
    """Every study, the newest first, and a sentence about each that is damaged, or about the database as a whole."""
    try:
        return _studies()
    except InputError as error:
        log.warning("%s", error)
        return [], [str(error)]


def _studies() -> tuple[list[Study], list[str]]:
    if not path().exists():
        return [], []
    with _reading() as database:
        if _version(database) == 0:  # another process is about to make it
            return [], []
        rows = database.execute(
            "SELECT *, (SELECT count(*) FROM pair WHERE pair.study = study.id) AS pairs FROM study ORDER BY rowid DESC"
        ).fetchall()
    found, problems = [], []
    for row in rows:
        try:
            found.append(_study(row))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            problems.append(f"The study {quoted(row['id'])} in {path()} is damaged ({error}) and is left out.")
    return found, problems


def _study(row: sqlite3.Row) -> Study:
    """The study in a row. Raises ValueError, KeyError, TypeError or RecursionError if that is damaged."""
    identity, title = stored.text(row["id"], "id", 40), stored.text(row["title"], "title", MAX_TITLE)
    if not identity.isprintable():
        raise ValueError("its id can't be shown")
    stored.time(row["created"], "created")
    settings = stored.mapping(json.loads(stored.text(row["settings"], "settings", stored.MAX_JSON)), "settings")
    pairs_each = stored.whole(settings["pairs_each"], "pairs_each", MAX_PICTURES**2)
    return Study(identity, shown(title, MAX_TITLE), row["created"], row["pairs"], pairs_each)


def current() -> Study | None:
    """The study that newcomers are shown: the newest; None if there is none."""
    return next(iter(studies()), None)


def find(study: str = "") -> Study:
    """The study with that id, or the newest. Raises InputError if there is none."""
    known = studies()
    for one in known:
        if study in ("", one.id):
            return one
    there_are = f"there are {', '.join(one.id for one in known)}" if known else "there is none yet: start one"
    raise InputError(f"There is no study “{study}”; {there_are}.")


# ----------------------------------------------------------------------------------------------------------------------
# Voters


def new_voter() -> str:
    """A random name for a voter, to be kept by whoever votes; the database never sees it."""
    return secrets.token_urlsafe(16)


def _pseudonym(study: str, voter: str) -> str:
    """What the database calls a voter: it differs from study to study, and lets nobody vote in their place."""
    return hashlib.sha256(f"{study} {voter}".encode()).hexdigest()[:24]


def enter(study: str, voter: str) -> None:
    """Assigns pairs with random sides to a voter; a voter who already has pairs keeps them.

    Pairs that were assigned least often are preferred, in random order. Raises InputError if there is no study.
    """
    chosen = find(study)
    name = _pseudonym(chosen.id, voter)
    with _transaction() as database:
        if database.execute("SELECT 1 FROM task WHERE voter = ?", (name,)).fetchone():
            return
        pairs = database.execute(
            "SELECT id FROM pair WHERE study = ? "
            "ORDER BY (SELECT count(*) FROM task WHERE task.pair = pair.id), random() LIMIT ?",
            (chosen.id, chosen.pairs_each),
        ).fetchall()
        _CHANCE.shuffle(pairs)
        database.executemany(
            "INSERT INTO task VALUES (?, ?, ?, ?, ?)",
            [
                (secrets.token_urlsafe(12), name, pair["id"], position, _CHANCE.getrandbits(1))
                for position, pair in enumerate(pairs)
            ],
        )


def progress(study: str, voter: str) -> tuple[int, int]:
    """How many questions a voter has answered or skipped, and of how many; (0, 0) for one who hasn't entered."""
    name = _pseudonym(study, voter)
    with _reading() as database:
        tasks, done = database.execute(
            "SELECT (SELECT count(*) FROM task WHERE voter = :name), (SELECT count(*) FROM vote WHERE voter = :name)",
            {"name": name},
        ).fetchone()
    return done, tasks * len(QUESTIONS)


def next_question(study: str, voter: str) -> Question | None:
    """The first question that a voter has not answered; None when all are. InputError for one who hasn't entered."""
    name = _pseudonym(study, voter)
    with _reading() as database:
        database.execute("BEGIN")  # one look at one state of things
        tasks = database.execute(
            "SELECT task.*, target, source, first, second FROM task JOIN pair ON pair.id = task.pair "
            "WHERE voter = ? ORDER BY position",
            (name,),
        ).fetchall()
        if not tasks:
            raise _not_entered()
        votes = database.execute("SELECT pair, question FROM vote WHERE voter = ?", (name,)).fetchall()
        done = {(vote["pair"], vote["question"]) for vote in votes}
        total = len(tasks) * len(QUESTIONS)
        for task, question in itertools.product(tasks, QUESTIONS):
            if (task["pair"], question) in done:
                continue

            def jpeg(column: str, task: sqlite3.Row = task) -> bytes:
                return database.execute("SELECT jpeg FROM picture WHERE id = ?", (task[column],)).fetchone()[0]

            left, right = ("second", "first") if task["swapped"] else ("first", "second")
            return Question(
                task=task["id"],
                name=question,
                words=QUESTIONS[question].format(target=task["target"]),
                number=len(done) + 1,
                total=total,
                source=jpeg("source") if question == "likeness" else None,
                left=jpeg(left),
                right=jpeg(right),
            )
    return None


def cast(study: str, voter: str, task: str, question: str, choice: str) -> bool:
    """Counts a vote, once: True if it is the voter's first on this question, False if there is one, which stays.

    choice: LEFT, RIGHT or SKIP, as the voter saw it. Raises InputError, and counts nothing, for a task that was not
    handed to this voter, or for what is no question or no choice.
    """
    if question not in QUESTIONS:
        raise InputError(f"There is no question “{question}”; there are {', '.join(QUESTIONS)}.")
    if choice not in CHOICES:
        raise InputError(f"A vote is {', '.join(CHOICES)}, not “{choice}”.")
    name = _pseudonym(study, voter)
    with _transaction() as database:
        handed = database.execute("SELECT * FROM task WHERE id = ? AND voter = ?", (task, name)).fetchone()
        if handed is None:
            raise _not_entered()
        chosen = SKIP if choice == SKIP else "first" if (choice == LEFT) != bool(handed["swapped"]) else "second"
        added = database.execute(
            "INSERT INTO vote VALUES (?, ?, ?, ?) ON CONFLICT (voter, pair, question) DO NOTHING",
            (name, handed["pair"], question, chosen),
        )
        return added.rowcount == 1


def _not_entered() -> InputError:
    return InputError("This question was not put to you, so the answer isn't counted: begin the study first.")


# ----------------------------------------------------------------------------------------------------------------------
# Counting


def votes(study: str) -> list[dict[str, Any]]:
    """Every vote of a study, as the voter saw it: voter, position, target, seed, question, left, right, choice, chosen.

    voter is a random name; nothing else is known of a person. position: of the pair among those the voter was shown,
    from 0. left, right: which way of adapting stood where. choice: LEFT, RIGHT or SKIP; chosen: the way, "" if skipped.
    """
    with _reading() as database:
        rows = database.execute(
            "SELECT vote.*, position, swapped, target, seed, first_name, second_name FROM vote "
            "JOIN task ON task.voter = vote.voter AND task.pair = vote.pair JOIN pair ON pair.id = vote.pair "
            "WHERE study = ? ORDER BY vote.voter, position, question DESC",
            (find(study).id,),
        ).fetchall()
    found = []
    for row in rows:
        names = {"first": row["first_name"], "second": row["second_name"], SKIP: ""}
        left, right = ("second", "first") if row["swapped"] else ("first", "second")
        seen = {name: row[name] for name in ("voter", "position", "target", "seed", "question")}
        choice = {left: LEFT, right: RIGHT, SKIP: SKIP}[row["choice"]]
        seen.update(left=names[left], right=names[right], choice=choice, chosen=names[row["choice"]])
        found.append(seen)
    return found


def tally(study: str) -> list[Tally]:
    """The votes of a study, counted: for every two ways of adapting and question, each domain and then all together."""
    study = find(study).id
    with _reading() as database:
        pairs = database.execute(
            "SELECT DISTINCT first_name, second_name, target FROM pair WHERE study = ? ORDER BY id", (study,)
        ).fetchall()
    cast_votes = votes(study)
    targets: dict[tuple[str, str], list[str | None]] = {}
    for pair in pairs:
        targets.setdefault((pair["first_name"], pair["second_name"]), []).append(pair["target"])
    rows = []
    for (first, second), domains in targets.items():
        for question, target in itertools.product(QUESTIONS, [*domains, None]):
            here = [
                vote
                for vote in cast_votes
                if {vote["left"], vote["right"]} == {first, second}
                and vote["question"] == question
                and target in (None, vote["target"])
            ]
            chosen = [vote["chosen"] for vote in here]
            voters = {vote["voter"] for vote in here if vote["chosen"]}
            counts = (chosen.count(first), chosen.count(second), chosen.count(""))
            rows.append(Tally(question, target, first, second, *counts, len(voters)))
    return rows


def write_tally(study: str, file: str | PathLike[str]) -> Path:
    """The tally as CSV, whole or not at all; a blank target is all domains together. Raises InputError."""
    rows = [
        {
            "question": row.question,
            "target": row.target or "",
            "first": row.first,
            "second": row.second,
            "votes": row.votes,
            "first_votes": row.first_votes,
            "second_votes": row.second_votes,
            "skipped": row.skipped,
            "voters": row.voters,
            "share_of_first": "" if row.share is None else f"{row.share:.4f}",
            "wilson_low": f"{row.interval[0]:.4f}",
            "wilson_high": f"{row.interval[1]:.4f}",
        }
        for row in tally(study)
    ]
    return write_csv(rows, TALLY_COLUMNS, file)


def write_votes(study: str, file: str | PathLike[str]) -> Path:
    """Every vote as CSV, whole or not at all; the columns are those of `votes`. Raises InputError."""
    columns = ["voter", "position", "target", "seed", "question", "left", "right", "choice", "chosen"]
    return write_csv(votes(study), columns, file)
