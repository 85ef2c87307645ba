"""The same jobs for programs: endpoints with names, typed parameters and a docstring each.

The page's own listeners are private; a client library sees what is here and nothing else. Types are read from the
signatures, so annotations have to be types, not text; a function that yields is annotated with what it yields.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from ipl_core import InputError, library
from ipl_core.latents import parse_seeds

from .adapt import make_config
from .running import SECONDS_BETWEEN_YIELDS, fetched, job
from .sample import MAX_COUNT, draw_people, save_sheet, save_zip
from .session import MODEL_JOB, Service, refusal


def register(service: Service) -> None:
    """Adds the endpoints to the `gr.Blocks` under construction."""

    def adapt(
        request: gr.Request,
        target: str,
        source: str = "photo",
        method: str = "ipl",
        preset: str = "default",
        mapper_steps: int | None = None,
        steps: int | None = None,
        lambda_domain: float | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        layers: str | None = None,
        model: str | None = None,
        critic: str | None = None,
    ) -> dict:
        """Adapts a model to `target` and yields how far it is.

        A step has stage, step, total, losses, diversity, seconds and remaining. What is left out comes from the preset.
        The last dictionary has the stage "done" and the name of the
        library entry, which /sample takes; None if the run was stopped before the generator had changed. A run that
        exists already is given at once. /stop ends it early and keeps what has been reached.
        """
        settings = dict(
            target=target,
            source=source,
            method=method,
            preset=preset,
            mapper_steps=mapper_steps,
            steps=steps,
            lambda_domain=lambda_domain,
            batch=batch,
            learning_rate=learning_rate,
            seed=seed,
            layers=layers,
            model=model,
            critic=critic,
        )
        yield from _adapt(service, settings, request.session_hash)

    def stop(request: gr.Request) -> bool:
        """Ends the run of the same client session after the step under way; false if there is none."""
        return service.stops.stop(request.session_hash)

    def sample(entry: str, seeds: str = "0-11", psi: float = 0.7) -> Iterator[tuple[str, str]]:
        """Draws seeds (such as "0-11" or "3, 7, 20-25") by a library entry and by its source.

        Gives a PNG of all pairs, source before adapted, four pairs in a row, and a zip of single PNGs. `entry` is a
        name that /adapt or /library gave; psi, the truncation, goes from 0 to 1.5.
        """
        try:
            drawing = draw_people(service, entry, parse_seeds(seeds, MAX_COUNT), psi)
        except InputError as error:
            raise refusal(error) from error
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the files when the yield returns
            yield str(save_sheet(drawing, Path(folder))), str(save_zip(drawing, Path(folder)))

    gr.api(adapt, api_name="adapt", **MODEL_JOB)
    gr.api(stop, api_name="stop", queue=False)
    gr.api(kept, api_name="library")
    # Only components hand out files, so this one has some that nobody sees.
    gr.Button(visible=False).click(
        sample,
        [
            gr.Textbox(label="Library entry", visible=False),
            gr.Textbox("0-11", label="Seeds", visible=False),
            gr.Number(0.7, label="Truncation", visible=False),
        ],
        [gr.File(label="Picture of all pairs", visible=False), gr.File(label="Zip of all", visible=False)],
        api_name="sample",
        **MODEL_JOB,
    )


def kept() -> list[dict]:
    """What the library keeps, the newest first.

    Each has a name (for /sample), target, source, method, seed, stopped (why, if it was), seconds and created.
    """
    rows = []
    for entry in library.list_entries():
        config = entry.config
        row = {name: getattr(config, name) for name in ("target", "source", "method", "seed")}
        row.update({name: entry.settings[name] for name in ("stopped", "seconds", "created")})
        rows.append({"name": entry.path.name, **row})
    return rows


def _adapt(service: Service, settings: Mapping[str, Any], session: str) -> Iterator[dict[str, Any]]:
    stop = service.stops.begin(session)
    try:
        config = make_config(settings, service.device)
        for _ in fetched(config, stop):
            pass
        entry = None if stop.is_set() else library.find(config)
        if entry is None and not stop.is_set():
            shown = 0.0
            with closing(job(config, stop)) as updates:
                for update in updates:
                    if isinstance(update, library.Entry):
                        entry = update
                    elif update.phase != "done" and time.monotonic() - shown >= SECONDS_BETWEEN_YIELDS:
                        shown = time.monotonic()
                        names = ("step", "total", "losses", "diversity", "seconds", "remaining")
                        yield {"stage": update.phase, **{name: getattr(update, name) for name in names}}
        yield {"stage": "done", "entry": entry and entry.path.name, "stopped": entry and entry.settings["stopped"]}
    except InputError as error:
        raise refusal(error) from error
    finally:
        service.stops.end(session)
