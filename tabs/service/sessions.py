"""What Gradio keeps for each session, made small."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import fastapi
from gradio.state_holder import SessionState, StateHolder

from ..access.visitors import MAX_SESSION


class _NoConfig(dict):
    """Takes what Gradio notes for links to a page's state, which the app doesn't offer, and keeps nothing of it."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: Any) -> dict[str, Any]:
        return {}

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class Sessions(StateHolder):
    """What Gradio keeps for each session, without a copy of the page, which takes 0.8 MB and 36 ms to make."""

    def __getitem__(self, session_id: str) -> SessionState:
        if len(session_id) > MAX_SESSION:  # one in an address; in a body, `Bodies` has refused it
            raise fastapi.HTTPException(400, f"The name of a session has at most {MAX_SESSION} characters.")
        if session_id not in self.session_data:
            self.session_data[session_id] = session = SessionState(_Bare(self.blocks.default_config))
            session.config_values = _NoConfig()
        return super().__getitem__(session_id)


@dataclass
class _Bare:
    """The part of a `gr.Blocks` that a new `SessionState` needs."""

    default_config: Any
    blocks: dict[int, Any] = field(default_factory=dict)
