"""Locks that a forked process gets open, as a GPU that is lent works in one."""

from __future__ import annotations

import os
import threading


def new_lock() -> threading.Lock:
    """A lock for which a fork waits, so that what it guards is whole in the new process too, and the lock open.

    A thread must not fork while it holds the lock.
    """
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
