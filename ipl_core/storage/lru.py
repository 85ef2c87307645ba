"""The one cache of what was used last: whatever was not used for longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LRU(MutableMapping[Key, Value]):
    """A mapping of at most `most` entries, or of entries whose sizes add up to at most that.

    size: of a value; each counts 1 without it. Looking an entry up makes it the latest, asking whether it is there does
    not. A value that is larger than `most` by itself isn't kept. Locks are the caller's business.
    """

    def __init__(self, most: int, size: Callable[[Value], int] | None = None) -> None:
        self._most, self._size = most, size
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def made(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, which `make` gives if there is none."""
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
        """The keys, the one not used for longest first."""
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def _total(self) -> int:
        return len(self._entries) if self._size is None else sum(map(self._size, self._entries.values()))
