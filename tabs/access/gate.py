"""Checks the values of every call, and turns every error into one plain sentence.

All calls of the page and of programs, queued or not, go through `Gate.process_api`, which checks the values before any
component or handler sees them. `Bodies` answers malformed calls (an unreadable body, an unknown function) before Gradio
sees them. This module knows nothing about what the endpoints do.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from html import escape
from inspect import signature
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ipl_core import InputError
from ipl_core.storage.values import flag, whole
from ipl_core.storage.words import quoted

from .files import uploaded
from .policy import MAX_BODY
from .telling import UNEXPECTED, told
from .visitors import MAX_SESSION

log = logging.getLogger(__name__)

MAX_TEXT = 20_000  # characters
MAX_VALUES = 10_000  # in all of an argument, however nested
MAX_DEPTH = 16
MAX_NUMBER = 2.0**63


class Refusal(gr.Error):
    """An error whose text is a sentence already, safe to be shown as HTML."""


def refusal(error: BaseException | str) -> Refusal:
    """The error for whoever called: one plain sentence that stays until it is closed."""
    return Refusal(escape(told(error), quote=False), title="Not possible", duration=None, print_exception=False)


def detail(event: gr.EventData, name: str) -> Any:
    """What an event of the page says of itself under `name`; None if it says nothing of the kind."""
    try:
        return getattr(event, name)
    except (AttributeError, TypeError):  # TypeError where it is no dictionary
        return None


class Gate(gr.Blocks):
    """`gr.Blocks` whose calls are all checked, and all end in a result or in a sentence."""

    async def process_api(
        self,
        block_fn: Any,
        inputs: list[Any],
        state: Any = None,
        request: Any = None,
        iterator: Any = None,
        session_hash: str | None = None,
        event_id: str | None = None,
        event_data: Any = None,
        *rest: Any,
        **options: Any,
    ) -> dict[str, Any]:
        """As in `gr.Blocks`. Raises Refusal for what can't be meant and for whatever goes wrong."""
        if isinstance(block_fn, int):
            block_fn = self.fns[block_fn]
        try:
            if iterator is None:  # else it is the next step of a call that was checked at its first
                _check(block_fn, inputs, state)
                if event_data is not None:
                    _check_size(event_data._data, "The event")
            return await super().process_api(
                block_fn, inputs, state, request, iterator, session_hash, event_id, event_data, *rest, **options
            )
        except Refusal:
            raise
        except gr.Error as error:  # Gradio's own, about a value, or one that says how it is to be shown
            told_so = refusal(error)
            told_so.title, told_so.visible, told_so.duration = error.title, error.visible, error.duration
            raise told_so from error
        except InputError as error:
            raise refusal(error) from error
        except Exception as error:
            log.exception("%s could not be carried out", block_fn.api_name or block_fn.name)
            raise refusal(error) from error

    def launch(self, *arguments: Any, **options: Any) -> Any:
        """As in `gr.Blocks`, with `Bodies` before every route."""
        app = dict(options.get("app_kwargs") or {})
        app["middleware"] = [*app.get("middleware", ()), Middleware(Bodies, blocks=self)]
        app["exception_handlers"] = {RequestValidationError: _unfit, **app.get("exception_handlers", {})}
        return super().launch(*arguments, **{**options, "app_kwargs": app})


# --- values -----------------------------------------------------------------------------------------------------


def _check(block_fn: Any, inputs: list[Any], state: Any) -> None:
    """Raises InputError for arguments that no component or endpoint could mean."""
    if len(inputs) < len(block_fn.inputs):
        raise InputError(f"This call takes {len(block_fn.inputs)} values, and {len(inputs)} came: send them all.")
    names = _parameters(block_fn)
    for position, (block, value) in enumerate(zip(block_fn.inputs, inputs)):
        if block.stateful:  # its value is the server's own, whatever was sent
            continue
        what = getattr(block, "label", None)
        if block.get_block_name() == "api" or not what:
            what = names[position] if position < len(names) else f"value {position + 1}"
        what = f"“{what}”"
        _check_size(value, what)
        if state is not None and block._id in state:
            block = state[block._id]  # with the choices that this session was offered
        _check_kind(block, value, what)


def _parameters(block_fn: Any) -> list[str]:
    """Names of what a handler takes, without the request that Gradio adds."""
    taken = signature(block_fn.fn).parameters if block_fn.fn is not None else {}
    return [name for name, parameter in taken.items() if parameter.annotation is not gr.Request]


def _check_size(value: Any, what: str) -> None:
    """Raises InputError for text, numbers or nesting beyond any use, and for a file that wasn't uploaded."""
    waiting, seen = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH:
            raise InputError(f"{what} is nested more than {MAX_DEPTH} deep: send plain values.")
        if isinstance(part, str):
            _check_text(part, what)
        elif isinstance(part, int) and abs(part) > MAX_NUMBER:
            raise InputError(f"{what} is too large: numbers go up to {MAX_NUMBER:.0e}, not {quoted(part)}.")
        elif isinstance(part, float) and not math.isfinite(part):
            raise InputError(f"{what} must be a finite number, not {quoted(part)}.")
        elif isinstance(part, Mapping):
            if isinstance(part.get("path"), str):
                uploaded(part["path"])
            waiting += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, (list, tuple)):
            waiting += [(inner, depth + 1) for inner in part[: MAX_VALUES + 1]]
        if seen + len(waiting) > MAX_VALUES:
            raise InputError(f"{what} holds more than {MAX_VALUES} values: send fewer.")


def _check_text(text: str, what: str) -> None:
    if len(text) > MAX_TEXT:
        raise InputError(f"{what} has {len(text)} characters; at most {MAX_TEXT} are possible. Use fewer words.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what} holds half a character that can't be written ({quoted(text)}): type it again."
        ) from None


def _check_kind(block: Any, value: Any, what: str) -> None:
    """Raises InputError for a value that isn't of the component's kind; None is left to the handler."""
    if value is None:
        return
    if isinstance(block, gr.Textbox) and not isinstance(value, str):
        raise InputError(f"{what} must be text, not {quoted(value)}.")
    if isinstance(block, (gr.Number, gr.Slider)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{what} must be a number, not {quoted(value)}.")
        if getattr(block, "precision", None) == 0 and value % 1:  # Gradio would round it
            raise InputError(f"{what} must be a whole number, not {quoted(value)}.")
    if isinstance(block, gr.Checkbox):
        flag(value, what)
    if isinstance(block, gr.Dataset):
        whole(value, what, 0, len(block.raw_samples) - 1)
    if isinstance(block, (gr.File, gr.UploadButton, gr.Image)) and not (
        isinstance(value, Mapping) and isinstance(value.get("path"), str)
    ):
        raise InputError(f"{what} must be an uploaded file, not {quoted(value)}.")
    if isinstance(block, (gr.Dropdown, gr.Radio, gr.CheckboxGroup)):
        _check_choice(block, value, what)


def _check_choice(block: Any, value: Any, what: str) -> None:
    several = isinstance(block, gr.CheckboxGroup) or bool(getattr(block, "multiselect", False))  # None by default
    if several != isinstance(value, list):
        expected = "a list of choices" if several else "one of its choices"
        raise InputError(f"{what} must be {expected}, not {quoted(value)}.")
    for one in value if several else [value]:
        if not isinstance(one, (str, int, float)):
            raise InputError(f"{what} must be one of its choices, not {quoted(one)}.")
        if not getattr(block, "allow_custom_value", False) and one not in [known for _, known in block.choices]:
            raise InputError(f"{what} has no choice {quoted(one)}: take one of the list, which may have changed.")


# --- bodies -----------------------------------------------------------------------------------------------------


class Bodies:
    """Answers calls by HTTP that can't be read, or are of nothing, before Gradio sees them.

    blocks: whose functions are called. What isn't a call, such as an upload, passes untouched.
    """

    def __init__(self, app: ASGIApp, blocks: gr.Blocks) -> None:
        self._app, self._blocks = app, blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if _has_body(scope):
                body, receive = await _read(receive)
                answer = self._complaint(scope["path"], body)
                if answer is not None:
                    await _say(*answer)(scope, receive, send)
                    return
            await self._app(scope, receive, watched)
        except MultiPartException:  # more came than may, which `DoorKeeper` answers
            raise
        except Exception:
            if begun or scope["type"] != "http":
                raise
            log.exception("%s could not be answered", scope["path"])
            await _say(500, UNEXPECTED)(scope, receive, send)

    def _complaint(self, path: str, body: bytes | None) -> tuple[int, str] | None:
        """Status and sentence for what can't be passed on; None for the rest. body: None if there is too much of it."""
        if body is None:
            return 413, f"A call has at most {MAX_BODY} bytes: upload files by themselves."
        try:
            asked = json.loads(body) if body.strip() else None
        except (ValueError, RecursionError):  # also numbers of too many digits, and bytes that are no text
            return 400, "The body of this call can't be read as JSON: send plain values."
        if _depth(asked) > 2 * MAX_DEPTH:
            return 400, f"The body of this call is nested more than {2 * MAX_DEPTH} deep: send plain values."
        if not isinstance(asked, Mapping):
            return None  # Gradio says what is missing
        session = asked.get("session_hash")
        if isinstance(session, str) and not (len(session) <= MAX_SESSION and session.isascii()):
            return 400, f"A session is called by at most {MAX_SESSION} plain letters."
        if not self._is_known(path, asked):
            return 404, "There is no such function here: see the list of the API."
        return None

    def _is_known(self, path: str, asked: Mapping[str, Any]) -> bool:
        """Whether the function that is called, if any is, exists."""
        index = asked.get("fn_index")
        if index is not None and not (type(index) is int and index in self._blocks.fns):
            return False
        *_, group, name = ["", "", *(part for part in path.split("/") if part not in ("", "v2"))]
        if group not in ("run", "api", "call") or (index is not None and group != "call"):
            return True
        return name in {fn.api_name for fn in self._blocks.fns.values()}


def _has_body(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
        return False
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return not any(kind.lower().startswith(b"multipart/") for kind in kinds)


async def _read(receive: Receive) -> tuple[bytes | None, Receive]:
    """The body of a request, None if it is too long, and what gives it to the next reader."""
    parts: list[bytes] = []
    more, size = True, 0
    while more and size <= MAX_BODY:
        message = await receive()
        if message["type"] != "http.request":  # whoever asked has gone
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    body = b"".join(parts)
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return (None if size > MAX_BODY else body), again


def _depth(value: Any) -> int:
    """How deep lists and dictionaries are nested."""
    depth, level = 0, [value]
    while level := [
        inner
        for part in level
        if isinstance(part, (list, dict))
        for inner in (part.values() if isinstance(part, dict) else part)
    ]:
        depth += 1
    return depth


def _say(status: int, words: str) -> JSONResponse:
    return JSONResponse({"detail": words, "error": words}, status_code=status)


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    """For a body of another shape; the usual answer would say all of it back."""
    return _say(422, "The body of this call isn't of the shape that it has to have: see the list of the API.")
