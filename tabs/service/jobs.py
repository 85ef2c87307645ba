"""Queue settings of listeners and endpoints: model jobs, short computations, and instant requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradio.block_function import BlockFunction

MODEL = "model"
REDRAW = "redraw"  # a kind of job


def redraw(function: Any) -> Any:
    """Marks a job that only shows anew what a visitor chose: while one waits, a newer one takes its place."""
    function.redraw = True
    return function


def of_kind(function: Any, kind: str, withdrawn: Callable[[], Any] | None = None) -> Any:
    """Marks a job as one that is stopped by its kind. withdrawn: gives its result if it was stopped while it waited."""
    function.kind, function.withdrawn = kind, withdrawn
    return function


def is_redraw(fn: BlockFunction) -> bool:
    """Whether a function was marked by `redraw`."""
    return getattr(fn.fn, "redraw", False)


def kind_of(fn: BlockFunction) -> str:
    """The kind of a function that computes with a model, by which its jobs are stopped."""
    return REDRAW if is_redraw(fn) else getattr(fn.fn, "kind", "")


#: Every handler that computes with a model is registered with these, so that one runs at a time.
MODEL_JOB: dict[str, Any] = {"concurrency_id": MODEL, "concurrency_limit": 1}

#: Those of the page itself: with Gradio's sign of progress on a component, or without.
PAGE_JOB: dict[str, Any] = {**MODEL_JOB, "api_visibility": "private"}
QUIET_JOB: dict[str, Any] = {**PAGE_JOB, "show_progress": "hidden"}

#: What takes a moment of the processor or some memory, such as looking at a picture: two at a time, beside a model job.
A_MOMENT: dict[str, Any] = {"concurrency_id": "moment", "concurrency_limit": 2}

#: What reads or changes a list: many at a time, never behind a model job.
A_LIST: dict[str, Any] = {"concurrency_id": "list", "concurrency_limit": 8}

#: A listener of the page itself, not an endpoint of the API, and in no queue: it has to be over in no time.
AT_ONCE: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}

#: A listener of the page itself that takes a moment.
LOOK: dict[str, Any] = {**A_MOMENT, "api_visibility": "private", "show_progress": "hidden"}
