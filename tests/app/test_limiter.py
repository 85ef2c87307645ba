"""How often somebody may do something, by a clock that the test moves."""

from __future__ import annotations

import pytest

from tabs.access import limiter
from tabs.access.limiter import Limiter
from tabs.access.visitors import address_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_some_at_once_then_a_steady_pace() -> None:
    clock = Clock()
    allowed = Limiter(burst=3, a_minute=30, clock=clock)
    assert [allowed.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(2.0)]
    assert allowed.wait("b") == 0, "another has a pace of their own"
    clock.now += 1.5
    assert allowed.take("a") == pytest.approx(0.5)
    clock.now += 0.5
    assert allowed.take("a") == 0
    assert allowed.wait("a") == pytest.approx(2.0)
    clock.now += 3600
    assert [bool(allowed.take("a")) for _ in range(4)] == [False, False, False, True], "a pause saves up no more"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "MOST_KNOWN", 5)
    allowed = Limiter(burst=1, a_minute=1, clock=Clock())
    for caller in range(100):
        allowed.take(caller)
    assert len(allowed) == 5
    assert allowed.wait(99) > 0
    for number in range(100):  # who only asks isn't remembered
        allowed.wait(f"asks {number}")
    assert len(allowed) == 5


@pytest.mark.parametrize(
    ("host", "forwarded", "address"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("::ffff:8.8.8.8", None, "8.8.8.8"),
        ("10.0.0.1", "1.1.1.1, 8.8.8.8, 10.3.0.1", "8.8.8.8"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("testclient", None, ""),
    ],
)
def test_an_address_is_what_a_trusted_proxy_saw(host: str, forwarded: str | None, address: str) -> None:
    assert address_of(host, forwarded) == address
