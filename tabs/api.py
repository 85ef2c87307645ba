"""The same jobs for programs: endpoints with names, typed parameters and a docstring each.

The page's own listeners are private; a client library sees what is here and nothing else. Types are read from the
signatures, so annotations have to be types, not text; a function that yields is annotated with what it yields. What
can't be done raises InputError, of which `gate` makes the sentence that a client gets.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from ipl_core.latents import parse_seeds
from ipl_core.library import store as library
from ipl_core.library.inversions import Inverted, Kept
from ipl_core.pictures.media import save_animation
from ipl_core.storage.values import whole

from .access.files import inside
from .adapt import MAX_STEP, make_config
from .forms.people import collages, copies, fitting_entries, named, numbers, weighted
from .interpolate import ending, plan
from .library import domains_mixed, exported, keep_mix, taken_in
from .picture import align, called, seen_by
from .picture import make_config as make_invert_config
from .requests.models import chosen
from .sample import MAX_COUNT, draw_seeds, nearest, save_sheet, save_zip
from .service.running import SECONDS_BETWEEN_YIELDS, fetched
from .service.session import A_LIST, A_MOMENT, MODEL_JOB, Service, find_entry
from .service.turns import Stop, of_kind

_INVERT_WORDS = (("Name", "picture"), ("Model", ""), ("Preset", "good"), ("Space", ""), ("Crop", "auto"))
_INVERT_NUMBERS = (
    *(("Steps of the latent", None), ("Steps of tuning", None), ("Seed", 0), ("Face", 1)),
    *(("Right", 0), ("Down", 0), ("Zoom", 1), ("Turn", 0)),
)
_INVERT_CHOICES = (("Start", "auto"), ("View", "critic"))
_WALK_WORDS = (("Model", None), ("Seeds", "0, 7, 12"), ("To", ""))
_WALK_NUMBERS = (("Frames", 48), ("Frames a second", 24))
_WALK_CHOICES = (("Back to the start", True), ("Beside the source", False))
_WALK_WAYS = (("Space", "w"), ("Easing", "smooth"))


def register(service: Service) -> None:
    """Adds the endpoints to the `gr.Blocks` under construction."""

    def adapt(
        request: gr.Request,
        target: str,
        source: str = "photo",
        method: str = "",
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
        keep_every: int = 0,
        keep_state: bool = False,
        avoid: str = "",
        prompts: str = "",
        vocabulary: str = "auto",
    ) -> dict:
        """Adapts a model to `target` and yields how far it is.

        A step has stage, step, total, losses, diversity, seconds and remaining. What is left out comes from the preset.
        critic: one or several, such as "own+ViT-B-16@0.5", "own" being the model's. avoid: words for what it should not
        become. method: nada, shared, ipl or described. prompts: what ipl learns: vectors, words, or read, words from
        what the critic reads. Both left out, they are what suits the critic. vocabulary: what prompts of words and
        described prompts are made of: auto, faces, animals, or a list such as "smiling, frowning; bald, curly". The
        last dictionary has the stage "done" and the name of the library entry, which /sample takes; None if the run was
        stopped before the generator had changed. A run that exists already is given at once. /stop ends it early and
        keeps what has been reached; "stopped" then says why: asked, time (the most that this app allows one job), or
        not finite.
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
            keep_every=keep_every,
            keep_state=keep_state,
            avoid=avoid,
            prompts=prompts,
            vocabulary=vocabulary,
        )
        yield from _adapt(service, settings, request.session_hash)

    def resume(request: gr.Request, entry: str, steps: int = 100) -> dict:
        """Goes on with the run of a library entry for `steps` more steps and yields how far it is, as /adapt does.

        Exactly so if the run kept its optimiser (keep_state), else from its weights. What comes of it is an entry of
        its own. /stop ends it early and keeps what has been reached.
        """
        yield from _resume(service, entry, steps, request.session_hash)

    def stop(request: gr.Request) -> bool:
        """Ends the jobs of the same client session: what runs after the step under way, what waits at once.

        False if there is none.
        """
        return service.stops.stop(request.session_hash)

    def sample(
        request: gr.Request,
        entry: str,
        seeds: str = "0-11",
        psi: float = 0.7,
        fine: float | None = None,
        crossover: float = 4,
    ) -> Iterator[tuple[str, str]]:
        """Draws seeds (such as "0-11" or "3, 7, 20-25") by a library entry and by its source.

        Gives a PNG of all pairs, source before adapted, four pairs in a row, and a zip of single PNGs. `entry` is a
        name that /adapt or /library gave, or "source NAME" for a model as it is, which is drawn alone; psi, the
        truncation, goes from 0 to 1.5. fine: a seed whose fine layers all of them get, from the layer `crossover` on,
        counted from 0 at the coarsest. /stop ends it with an error, as nothing is kept.
        """
        check = service.checkpoint(request.session_hash)
        who = parse_seeds(seeds, MAX_COUNT)
        drawing = draw_seeds(service, chosen(entry), who, psi, fine, crossover, between=check)
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the files when the yield returns
            yield str(save_sheet(drawing, Path(folder))), str(save_zip(drawing, Path(folder)))

    def nearest_(
        request: gr.Request, entry: str, seed: int, among: int = 256, count: int = 11, psi: float = 0.7
    ) -> list[dict]:
        """Finds the people who look most like that of `seed` among the seeds from 0, in the eyes of the model's critic.

        Gives a list of seed and likeness (−1 to 1), the nearest first. `entry` is a library entry whose source model
        draws them, by a name that /library gave, or "source NAME". /stop ends it early, with an empty list.
        """
        stop = service.stops.running(request.session_hash)
        found: list[tuple[int, float]] = []
        for _, _, found in nearest(service, chosen(entry).source, seed, among, psi, count, stop):  # noqa: B007
            pass
        return [{"seed": other, "likeness": cosine} for other, cosine in found]

    def mix(domains: str, parts: str = "", strength: float = 1.0, title: str = "") -> dict:
        """Keeps a mix of library entries as an entry of its own and gives its row, as /library does.

        domains: names of entries of one model, with commas between them. parts: a number for each, relative to their
        sum, such as "2,1"; nothing for equal ones. strength: 0 the source, 1 as adapted, up to 2.
        """
        names = named(domains)
        return row(keep_mix(service, domains_mixed(names, numbers(parts, len(names)), strength), title))

    def admin(token: str) -> bool:
        """Allows everything to the client's session, until it ends, for the token of whoever runs the app.

        It is printed when a shared app starts, unless IPL_ADMIN says it. Gives true; a wrong token is an error.
        """
        service.roles.let_in(token)
        return True

    def interpolate(
        request: gr.Request,
        model: str,
        seeds: str = "0, 7, 12",
        to: str = "",
        frames: float = 48,
        rate: float = 24,
        loop: bool = True,
        side_by_side: bool = False,
        space: str = "w",
        easing: str = "smooth",
        psi: float = 0.7,
        suffix: str = ".webp",
    ) -> Iterator[str]:
        """Animates people who turn into each other, or, with `to`, the first of them on the way to another model.

        model, to: a library entry, or "source NAME" for a model as it is. suffix: .webp, .mp4 or .gif. space: w for
        straight lines, z for great circles. easing: smooth, slow or even. Gives the file. /stop ends it
        with an error, as nothing is kept.
        """
        asked = dict(model=model, seeds=seeds, persons=[], sitters=[], to=to, frames=frames, loop=loop)
        asked.update(side_by_side=side_by_side, space=space, easing=easing, psi=psi)
        suffix = ending(suffix)
        journey = plan(service, asked, rate, service.stops.running(request.session_hash))
        pictures = [frame.picture for frame in journey.frames]
        service.checkpoint(request.session_hash)()  # there may be fewer than were asked for
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the file when the yield returns
            path = inside(Path(folder), journey.name + suffix)
            yield str(save_animation(pictures, path, rate, journey.note, journey.enlarge))

    def invert(
        request: gr.Request,
        picture: str,
        name: str = "picture",
        model: str = "",
        preset: str = "good",
        space: str = "",
        crop: str = "auto",
        steps: float | None = None,
        tune_steps: float | None = None,
        seed: float = 0,
        face: float = 1,
        right: float = 0,
        down: float = 0,
        zoom: float = 1,
        turn: float = 0,
        start: str = "auto",
        view: str = "critic",
        keep: bool | None = None,
    ) -> Iterator[tuple[dict, str | None, str | None]]:
        """Finds the latent of a picture and yields how far it is; the last time with two files, the latent and a PNG.

        A step has stage, step, total, losses, seconds and remaining. The last dictionary has the stage "done", the
        name of the person (which /restyle takes), crop (how it was found), distances, identity and stopped. crop is
        auto, center or none; right, down, zoom and turn move it. What is left out comes from the preset: fast, good
        or best, the last two of which tune on where a picture is still far off; tune_steps are meant exactly, 0 for
        none. start: where the search begins: auto, encoder, random or mean. view: what compares pictures as people see
        them: critic, lpips-alex or lpips-vgg, whose files must be on the server. keep: whether the person stays on the
        server when the session ends; None for what the app does by default. /stop ends it early and keeps what has
        been reached; "stopped" then says why, as for /adapt.
        """
        settings = dict(model=model, preset=preset, space=space, steps=steps, seed=seed, start=start, view=view)
        if tune_steps is not None:
            settings.update(tune=tune_steps != 0, tune_steps=tune_steps or None, tune_further=0)
        where = (crop, face, right, down, zoom, turn)
        yield from _invert(service, picture, name, settings, where, request.session_hash, keep)

    def kept_people() -> list[dict]:
        """The inverted people whom the client may see, the newest first.

        Each has a name (for /restyle), title, model, distances, identity, stopped (why, if it was) and created.
        """
        return [person_row(inverted) for inverted in service.roles.list_people()]

    def rename(entry: str, title: str) -> dict:
        """Gives a library entry a title that no other has, and gives its row as /library does.

        "" takes a title away.
        """
        return row(library.rename(service.roles.check_change(find_entry(entry)), title))

    def pick(entry: str, step: int) -> dict:
        """Makes an earlier step that a run kept a library entry of its own, and gives its row as /library does."""
        return row(service.roles.pick(find_entry(entry), whole(step, "The step", 1, MAX_STEP)))

    def delete(entry: str) -> str:
        """Deletes a library entry for good, and gives its name; nothing brings it back."""
        service.roles.delete(find_entry(entry))
        return entry

    def restyle(
        request: gr.Request, person: str, domains: str = "", strength: float = 1.0, mix: str = ""
    ) -> Iterator[str]:
        """Draws an inverted person in domains of the library as one labelled PNG.

        `person` is a name that /invert or /people gave. domains: names of library entries with commas between them,
        nothing for all that fit. strength: 0 the inversion as it is, 1 the domain, up to 2. mix: a share for each of
        the domains, such as "0.5,0.5", to draw one picture of them together. /stop ends it with an error.
        """
        check = service.checkpoint(request.session_hash)
        restyler = service.restylers.get(person)
        entries = [find_entry(name) for name in named(domains)] or fitting_entries(restyler.inverted)
        mixes = weighted(entries, strength, mix)
        with tempfile.TemporaryDirectory() as folder:
            for collage in collages(restyler, mixes):  # noqa: B007 – the last has them all
                check()
            yield str(collage.save(Path(folder)))

    def export(entry: str, suffix: str = ".safetensors", step: int = 0) -> Iterator[str]:
        """Gives the whole adapted generator of a library entry as a file that needs nothing else.

        suffix: ".safetensors" of this program, or ".pt" as rosinality's stylegan2-pytorch writes and reads. step: an
        earlier step that the run kept, see /library; 0 is the last.
        """
        with tempfile.TemporaryDirectory() as folder:  # Gradio has copied the file when the yield returns
            yield str(exported(entry, suffix, step, Path(folder)))

    def import_(request: gr.Request, file: str, model: str = "studio", target: str = "") -> dict:
        """Takes an adapted generator from a file into the library and gives its row, as /library does.

        file: .safetensors as /export gives, rosinality's .pt or NVIDIA's .pkl. model: the name of the model that it was
        adapted from, which it has to fit. target: what it draws, in words; a file of /export knows it by itself.
        /stop ends it with an error while the file is read.
        """
        return row(taken_in(service, file, model, target, service.stops.running(request.session_hash)))

    of_kind(adapt, "", lambda: _end(None, "asked"))
    of_kind(resume, "", lambda: _end(None, "asked"))
    of_kind(nearest_, "", list)
    of_kind(invert, "", _nobody)
    gr.api(adapt, api_name="adapt", **MODEL_JOB)
    gr.api(resume, api_name="resume", **MODEL_JOB)
    gr.api(stop, api_name="stop", queue=False)
    gr.api(nearest_, api_name="nearest", **MODEL_JOB)
    gr.api(mix, api_name="mix", **MODEL_JOB)
    gr.api(kept, api_name="library", **A_LIST)
    gr.api(kept_people, api_name="people", **A_LIST)
    gr.api(rename, api_name="rename", **A_LIST)
    gr.api(pick, api_name="pick", **A_MOMENT)
    gr.api(delete, api_name="delete", **A_LIST)
    gr.api(admin, api_name="admin", queue=False)
    # Only components take and hand out files, so these have some that nobody sees.
    gr.Button(visible=False).click(
        export,
        [
            gr.Textbox(label="Library entry", visible=False),
            gr.Textbox(".safetensors", label="Suffix", visible=False),
            gr.Number(0, label="Step", precision=0, visible=False),
        ],
        gr.File(label="Generator", visible=False),
        api_name="export",
        **MODEL_JOB,
    )
    gr.Button(visible=False).click(
        import_,
        [
            gr.File(label="Generator", visible=False),
            gr.Textbox("studio", label="Adapted from", visible=False),
            gr.Textbox("", label="Target", visible=False),
        ],
        gr.JSON(label="Library entry", visible=False),
        api_name="import",
        **MODEL_JOB,
    )
    gr.Button(visible=False).click(
        sample,
        [
            gr.Textbox(label="Library entry", visible=False),
            gr.Textbox("0-11", label="Seeds", visible=False),
            gr.Number(0.7, label="Truncation", visible=False),
            gr.Number(None, label="Seed of the fine layers", visible=False),
            gr.Number(4, label="First fine layer", visible=False),
        ],
        [gr.File(label="Picture of all pairs", visible=False), gr.File(label="Zip of all", visible=False)],
        api_name="sample",
        **MODEL_JOB,
    )
    gr.Button(visible=False).click(
        interpolate,
        [
            *(gr.Textbox(text, label=label, visible=False) for label, text in _WALK_WORDS),
            *(gr.Number(number, label=label, visible=False) for label, number in _WALK_NUMBERS),
            *(gr.Checkbox(yes, label=label, visible=False) for label, yes in _WALK_CHOICES),
            *(gr.Textbox(text, label=label, visible=False) for label, text in _WALK_WAYS),
            gr.Number(0.7, label="Truncation", visible=False),
            gr.Textbox(".webp", label="Suffix", visible=False),
        ],
        gr.File(label="Animation", visible=False),
        api_name="interpolate",
        **MODEL_JOB,
    )
    gr.Button(visible=False).click(
        invert,
        [
            gr.File(label="Picture", visible=False),
            *(gr.Textbox(text, label=label, visible=False) for label, text in _INVERT_WORDS),
            *(gr.Number(number, label=label, visible=False) for label, number in _INVERT_NUMBERS),
            *(gr.Textbox(text, label=label, visible=False) for label, text in _INVERT_CHOICES),
            gr.Checkbox(service.policy.keeps_people, label="Keep this person on the server", visible=False),
        ],
        [gr.JSON(visible=False), gr.File(label="Latent", visible=False), gr.File(label="Picture", visible=False)],
        api_name="invert",
        **MODEL_JOB,
    )
    gr.Button(visible=False).click(
        restyle,
        [
            gr.Textbox(label="Person", visible=False),
            gr.Textbox("", label="Library entries", visible=False),
            gr.Number(1.0, label="Strength", visible=False),
            gr.Textbox("", label="Shares", visible=False),
        ],
        gr.File(label="Picture", visible=False),
        api_name="restyle",
        **MODEL_JOB,
    )


def kept() -> list[dict]:
    """What the library keeps, the newest first, and the finished models that come with the app.

    Each has a name (for /sample and all else), title, shipped (whether it comes with the app), target, source, method,
    seed, stopped (why, if it was), steps (those kept beside the last), bytes, seconds and created.
    """
    return [row(entry) for entry in library.list_entries()]


def person_row(inverted: Kept) -> dict[str, Any]:
    """What /people says of an inverted person."""
    facts = {name: inverted.settings.get(name) for name in ("distances", "identity", "stopped", "created")}
    return {"name": inverted.path.name, "title": inverted.title, "model": inverted.model, **facts}


def row(entry: library.Entry) -> dict[str, Any]:
    """What /library says of an entry."""
    config = entry.config
    facts = {name: getattr(config, name) for name in ("target", "source", "method", "seed")}
    if not entry.from_run:
        facts.update(method=None, seed=None)
    facts.update({name: entry.settings[name] for name in ("stopped", "seconds", "created")})
    return {
        "name": entry.name,
        "title": entry.title,
        "shipped": entry.shipped,
        **facts,
        "steps": entry.steps(),
        "bytes": entry.bytes,
    }


def _invert(
    service: Service,
    path: str | None,
    name: str,
    settings: Mapping[str, Any],
    where: tuple[Any, ...],
    session: str,
    keep: bool | None,
) -> Iterator[tuple[dict[str, Any], str | None, str | None]]:
    stop = service.stops.running(session)
    config = make_invert_config(settings, service.device)
    seen_by(service, path)  # before models are fetched for it
    name = called(name, path)
    for _ in fetched(config, stop, service.roles.check_run):
        pass
    if stop.is_set():
        yield _nobody(_why(stop, "asked"))
        return
    aligned, crop = align(service, path, config.model, *where)
    shown = 0.0
    made = service.inversion(config, aligned, name, crop, stop, keep)
    with closing(made) as updates:
        for update in updates:
            if isinstance(update, Inverted):
                last = {"stage": "done", "person": update.path.name, "crop": crop.note}
                last.update({fact: update.settings[fact] for fact in ("distances", "identity")})
                last["stopped"] = _why(stop, update.settings["stopped"])
                with tempfile.TemporaryDirectory() as folder:
                    yield last, *(str(file) for file in copies(update, Path(folder)))
            elif update.phase != "done" and time.monotonic() - shown >= SECONDS_BETWEEN_YIELDS:
                shown = time.monotonic()
                names = ("step", "total", "losses", "seconds", "remaining")
                yield {"stage": update.phase, **{fact: getattr(update, fact) for fact in names}}, None, None


def _adapt(service: Service, settings: Mapping[str, Any], session: str) -> Iterator[dict[str, Any]]:
    stop = service.stops.running(session)
    config = make_config(settings, service.device)
    for _ in fetched(config, stop, service.roles.check_run):
        pass
    if stop.is_set():  # while the model was fetched
        yield _end(None, _why(stop, "asked"))
    elif (entry := library.find(config)) is not None:
        yield _end(entry, entry.settings["stopped"])
    else:
        yield from _steps(service.run(config, stop), stop)


def _resume(service: Service, name: str, steps: Any, session: str) -> Iterator[dict[str, Any]]:
    stop = service.stops.running(session)
    entry = find_entry(name)
    config, start = library.continuation(entry, steps)
    yield from _steps(service.run(config, stop, entry, start), stop)


def _steps(updates: Iterator[Any], stop: Stop) -> Iterator[dict[str, Any]]:
    """What is said of a run's steps, every now and then, and of how it ended."""
    shown, entry, stopped = 0.0, None, None
    with closing(updates):
        for update in updates:
            if isinstance(update, library.Entry):
                entry = update
            elif update.phase == "done":
                stopped = update.stopped
            elif time.monotonic() - shown >= SECONDS_BETWEEN_YIELDS:
                shown = time.monotonic()
                names = ("step", "total", "losses", "diversity", "seconds", "remaining")
                yield {"stage": update.phase, **{name: getattr(update, name) for name in names}}
    yield _end(entry, _why(stop, stopped))


def _why(stop: Stop, stopped: str | None) -> str | None:
    """Why a job ended early; files call it "asked" whoever did so."""
    return "time" if stopped == "asked" and stop.why == "time" else stopped


def _end(entry: library.Entry | None, stopped: str | None) -> dict[str, Any]:
    return {"stage": "done", "entry": entry and entry.name, "stopped": stopped}


def _nobody(stopped: str | None = "asked") -> tuple[dict[str, Any], None, None]:
    """What /invert gives last where it was stopped before its first step."""
    return {"stage": "done", "person": None, "stopped": stopped}, None, None
