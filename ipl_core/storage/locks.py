"""Locks that are always open in a forked process; jobs on a borrowed GPU run in one."""

from __future__ import annotations

import os
import threading


def new_lock() -> threading.Lock:
    """A lock that delays a fork until it is released: the new process gets it open, and what it guards consistent.

    A thread must not fork while it holds the lock.
    """
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
