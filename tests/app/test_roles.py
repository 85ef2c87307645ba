"""A shared app: what came from one browser is changed by that browser, by whoever runs the app, and by nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from fakes.kept_domains import entry_of
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from visitor import PATIENCE, SHARED_TOKEN

from ipl_core import InputError
from ipl_core.library import inversions, store
from ipl_core.storage.folders import home
from tabs.access import private
from tabs.access.policy import Policy
from tabs.access.roles import Roles
from tabs.requests.pictures import EXAMPLES

FEW = {"method": "nada", "mapper_steps": 2, "batch": 2}
INVERTED = {"preset": "fast", "steps": 2, "crop": "none"}
PORTRAIT = EXAMPLES / "portrait-1.png"


@pytest.fixture
def browser_of(shared_url: str) -> Iterator[Callable[..., Client]]:
    """Makes clients: each a browser of its own, or, given another, the same browser in another session."""
    clients = []

    def make(same_as: Client | None = None) -> Client:
        known = {} if same_as is None else {"cookies": dict(same_as.cookies)}
        clients.append(Client(shared_url, verbose=False, httpx_kwargs=known))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def leave(url: str, client: Client) -> None:
    """What closing the page does: its connection ends."""
    with httpx.stream("GET", f"{url}gradio_api/heartbeat/{client.session_hash}", cookies=client.cookies) as heart:
        next(heart.iter_lines())


def test_an_entry_is_its_makers_and_everybody_may_look_at_it(browser_of: Callable[..., Client]) -> None:
    maker, other = browser_of(), browser_of()
    entry = maker.predict("zombie", **FEW, steps=4, keep_every=2, api_name="/adapt")["entry"]
    assert entry in [row["name"] for row in other.predict(api_name="/library")]
    assert other.predict(entry, "0", api_name="/sample")
    for endpoint, request_ in (("/rename", (entry, "Mine now")), ("/pick", (entry, 2)), ("/delete", (entry,))):
        with pytest.raises(AppError, match="made in another browser"):
            other.predict(*request_, api_name=endpoint)
    assert other.predict("zombie", **FEW, steps=4, keep_every=2, api_name="/adapt")["entry"] == entry
    with pytest.raises(AppError, match="made in another browser"):  # asking for the same run makes nobody its maker
        other.predict(entry, api_name="/delete")
    again = browser_of(same_as=maker)
    assert again.predict(entry, "Mine", api_name="/rename")["title"] == "Mine"
    picked = again.predict(entry, 2, api_name="/pick")["name"]
    for name in (picked, entry):
        assert maker.predict(name, api_name="/delete") == name
    settings = (home() / "runs").glob("*/settings.json")
    assert not any("owner" in file.read_text() for file in settings)


def test_nobody_inherits_what_is_made_again_under_a_name(browser_of: Callable[..., Client]) -> None:
    first, second = browser_of(), browser_of()
    entry = first.predict("zombie", **FEW, steps=3, api_name="/adapt")["entry"]
    store.delete(store.open_entry(store.runs_folder() / entry))  # by the command line
    assert second.predict("zombie", **FEW, steps=3, api_name="/adapt")["entry"] == entry
    with pytest.raises(AppError, match="made in another browser"):
        first.predict(entry, api_name="/delete")
    second.predict(entry, api_name="/delete")


def test_what_was_there_before_is_the_admins(browser_of: Callable[..., Client]) -> None:
    entry, visitor = entry_of("vampire", 0.3).path.name, browser_of()
    with pytest.raises(AppError, match="made in another browser"):
        visitor.predict(entry, api_name="/delete")
    with pytest.raises(AppError, match="not the token"):
        visitor.predict("a token that was guessed", api_name="/admin")
    assert visitor.predict(SHARED_TOKEN, api_name="/admin") is True
    with pytest.raises(AppError, match="made in another browser"):  # allowed to that session, not to all of them
        browser_of(same_as=visitor).predict(entry, api_name="/delete")
    visitor.predict(entry, api_name="/delete")


def test_limits_are_said_before_the_work(browser_of: Callable[..., Client]) -> None:
    visitor = browser_of()
    with pytest.raises(AppError, match="at most 20 steps of a stage, not 21"):
        visitor.predict("zombie", **FEW, steps=21, api_name="/adapt")
    with pytest.raises(AppError, match="at most 20 steps of a stage, not 30"):
        visitor.predict(handle_file(PORTRAIT), **{**INVERTED, "steps": 30}, api_name="/invert")
    made = [visitor.predict("zombie", **FEW, steps=2, seed=seed, api_name="/adapt")["entry"] for seed in range(4)]
    with pytest.raises(AppError, match="as many as one browser may"):
        visitor.predict("zombie", **FEW, steps=2, seed=9, api_name="/adapt")
    for name in made:
        visitor.predict(name, api_name="/delete")
    visitor.predict(visitor.predict("zombie", **FEW, steps=2, api_name="/adapt")["entry"], api_name="/delete")


def test_imports_need_the_token(browser_of: Callable[..., Client]) -> None:
    visitor = browser_of()
    entry = visitor.predict("zombie", **FEW, steps=5, api_name="/adapt")["entry"]
    file = visitor.predict(entry, api_name="/export")
    with pytest.raises(AppError, match="only whoever runs it imports"):
        visitor.predict(handle_file(file), target="ghost", api_name="/import")
    visitor.predict(SHARED_TOKEN, api_name="/admin")
    imported = visitor.predict(handle_file(file), target="ghost", api_name="/import")
    for name in (imported["name"], entry):
        visitor.predict(name, api_name="/delete")


# ----------------------------------------------------------------------------------------------------------------------


def names(client: Client) -> list[str]:
    return [row["name"] for row in client.predict(api_name="/people")]


def test_an_inverted_person_is_gone_with_the_session(browser_of: Callable[..., Client], shared_url: str) -> None:
    visitor, other = browser_of(), browser_of()
    last, latent, _ = visitor.predict(handle_file(PORTRAIT), "Ada", **INVERTED, api_name="/invert")
    person = last["person"]
    assert person in names(visitor)
    assert visitor.predict(person, api_name="/restyle")
    assert inversions.read_latent(latent).name == "Ada"
    assert not inversions.list_people(), "it isn't among what is kept"
    assert person not in names(other)
    with pytest.raises(AppError, match="no inverted picture"):
        other.predict(person, api_name="/restyle")
    folder = private.shelf("people") / person
    assert folder.is_dir()
    leave(shared_url, visitor)
    deadline = time.monotonic() + PATIENCE
    while folder.exists():
        assert time.monotonic() < deadline, "the person is still there"
        time.sleep(0.2)
    assert person not in names(visitor)


def test_a_kept_person_is_shown_to_its_browser_and_the_admin(browser_of: Callable[..., Client]) -> None:
    visitor, other = browser_of(), browser_of()
    asked = dict(**INVERTED, keep=True, api_name="/invert")
    person = visitor.predict(handle_file(PORTRAIT), "Ada", **asked)[0]["person"]
    same = other.predict(handle_file(PORTRAIT), "Grace", **asked)[0]["person"]
    assert (names(visitor), names(other)) == ([person], [same]), "the same picture of two is kept for each"
    assert names(browser_of(same_as=visitor)) == [person]
    with pytest.raises(AppError, match="no inverted picture"):
        other.predict(person, api_name="/restyle")
    assert len(inversions.list_people()) == 2
    other.predict(SHARED_TOKEN, api_name="/admin")
    assert set(names(other)) == {person, same}
    for kept in inversions.list_people():
        inversions.delete(kept)


# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("studio")
def test_a_full_library_says_what_can_be_done() -> None:
    entry_of("zombie", 0.3)
    roles = Roles(Policy(library_bytes=1000), lambda model: 32)
    with pytest.raises(InputError, match=r"The library is full .* ask whoever runs this app"):
        roles.check_room()
    Roles(Policy(library_bytes=10**9), lambda model: 32).check_room()


@pytest.mark.usefixtures("studio")
def test_who_cant_be_told_changes_nothing_of_a_shared_app() -> None:
    entry = entry_of("zombie", 0.3)
    shared = Roles(Policy(shared=True), lambda model: 32)
    assert not shared.may_change(shared.claimed(entry))
    assert shared.list_people() == []
    assert Roles(Policy(), lambda model: 32).may_change(entry)


@pytest.mark.usefixtures("studio")
def test_a_token_has_a_length_and_guesses_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPL_ADMIN", "too short")
    with pytest.raises(InputError, match="IPL_ADMIN has 9 characters: give at least 12"):
        Roles(Policy(), lambda model: 32)
    monkeypatch.setenv("IPL_ADMIN", SHARED_TOKEN)
    roles = Roles(Policy(guesses_of_all=3), lambda model: 32)
    for _ in range(3):
        with pytest.raises(InputError, match="not the token"):
            roles.check_token("guessed")
    with pytest.raises(InputError, match=r"Too many wrong tokens were given: try again in \d+ seconds"):
        roles.check_token(SHARED_TOKEN)
