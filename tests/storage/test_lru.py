"""The cache forgets what was not used for longest, and nothing else."""

from __future__ import annotations

import pytest

from ipl_core.storage.lru import LRU


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: LRU[str, int] = LRU(2)
    cache["a"], cache["b"] = 1, 2
    assert cache["a"] == 1  # which makes it the latest
    cache["c"] = 3
    assert list(cache) == ["a", "c"]
    assert "a" in cache  # which changes nothing
    cache["d"] = 4
    assert list(cache) == ["c", "d"]
    assert cache.get("a") is None
    with pytest.raises(KeyError):
        cache["a"]


def test_an_entry_written_again_is_the_latest_and_counts_once() -> None:
    cache: LRU[str, int] = LRU(2)
    cache["a"], cache["b"], cache["a"] = 1, 2, 5
    cache["c"] = 3
    assert dict(cache) == {"a": 5, "c": 3}


def test_sizes_add_up() -> None:
    cache: LRU[str, str] = LRU(5, size=len)
    cache["a"], cache["b"] = "xx", "yyy"
    assert len(cache) == 2
    cache["c"] = "z"
    assert list(cache) == ["b", "c"]
    cache["large"] = "x" * 6
    assert not cache


def test_a_value_is_made_once() -> None:
    cache: LRU[str, list[int]] = LRU(1)
    first = cache.made("a", lambda: [1])
    assert cache.made("a", lambda: pytest.fail("it is there")) is first
    assert cache.made("b", lambda: [2]) == [2]
    assert "a" not in cache


def test_what_failed_to_be_made_is_not_there() -> None:
    cache: LRU[str, int] = LRU(1)
    with pytest.raises(ZeroDivisionError):
        cache.made("a", lambda: 1 // 0)
    assert not cache
