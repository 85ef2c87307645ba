"""A cache that drops the least recently used entries first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LRU(MutableMapping[Key, Value]):
    """A mapping whose entries have a total size of at most `most`.

    size: gives the size of a value; 1 by default. Looking up an entry makes it the most recent one, testing with `in`
    doesn't. A single value larger than `most` isn't kept. Not thread-safe: the caller locks.
    """

    def __init__(self, most: int, size: Callable[[Value], int] | None = None) -> None:
        self._most, self._size = most, size
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def made(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`; if there is none, `make()` is stored and returned."""
        if key not in self._entries:
            value = make()
            self[key] = value
            return value
        return self[key]

    def __getitem__(self, key: Key) -> Value:
        value = self._entries[key]
        self._entries.move_to_end(key)
        return value

    def __setitem__(self, key: Key, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        while self._total() > self._most:
            self._entries.popitem(last=False)

    def __delitem__(self, key: Key) -> None:
        del self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        """The keys, the least recently used first."""
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def _total(self) -> int:
        return len(self._entries) if self._size is None else sum(map(self._size, self._entries.values()))
