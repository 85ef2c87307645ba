"""How often somebody may do something: a few times at once, then at a steady pace (a token bucket for each).

This module knows no request; who somebody is, the caller says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

from ipl_core.storage.lru import LRU

MOST_KNOWN = 10_000  # callers that are remembered; the one not seen for longest is forgotten first


class Limiter:
    """Allows each caller `burst` times at once, and `a_minute` more every minute.

    clock: gives seconds that never run backwards.
    """

    def __init__(self, burst: int, a_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._rate, self._clock = burst, a_minute / 60, clock
        self._levels: LRU[Hashable, tuple[float, float]] = LRU(MOST_KNOWN)
        self._lock = threading.Lock()

    def wait(self, caller: Hashable) -> float:
        """Seconds until the caller is allowed the next time; 0 if they are now."""
        with self._lock:
            return self._wait(self._level(caller))

    def take(self, caller: Hashable) -> float:
        """Counts one time, if it is allowed, and gives 0; else counts nothing and gives the seconds to wait."""
        with self._lock:
            level = self._level(caller)
            wait = self._wait(level)
            if not wait:
                self._levels[caller] = level - 1, self._clock()
            return wait

    def _level(self, caller: Hashable) -> float:
        level, since = self._levels.get(caller, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - since) * self._rate)

    def _wait(self, level: float) -> float:
        return 0.0 if level > 1 - 1e-9 else (1 - level) / self._rate

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._levels)
