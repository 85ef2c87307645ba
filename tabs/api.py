"""The same jobs for programs: endpoints with names, typed parameters and a docstring each.

The page's own listeners are private; a client library sees what is here and nothing else. Each method of `Endpoints`
is one endpoint, of the same name: its parameters, their types, what it gives and its description are read from the
signature and the docstring, so annotations have to be types, not text, and a method that yields is annotated with what
it yields. What can't be done raises InputError, of which `gate` makes the sentence that a client gets.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from types import UnionType
from typing import Annotated, Any, NewType, get_args, get_origin

import gradio as gr

from ipl_core import Result, Step
from ipl_core.latents import parse_seeds
from ipl_core.library import store
from ipl_core.library.inversions import Inverted, Kept
from ipl_core.library.person_records import Found
from ipl_core.pictures.media import save_animation
from ipl_core.storage.values import whole

from .access.files import handed_out, inside
from .requests.adapting import find_or_run, go_on, make_config
from .requests.animation import ending, plan
from .requests.drawing import MAX_COUNT, draw_seeds, nearest, save_sheet, save_zip
from .requests.library import MAX_STEP, exported, taken_in
from .requests.mixing import domains_mixed, keep_mix, named, numbers, weighted
from .requests.models import chosen, find_entry
from .requests.people import collages, copies, fitting_entries
from .requests.pictures import align, called, invert_config, seen_by
from .service.jobs import A_LIST, A_MOMENT, MODEL_JOB, of_kind
from .service.running import Throttle
from .service.service import Service
from .service.stops import Stop

#: The path of a file: one that was uploaded, or that is given.
File = NewType("File", str)

#: Only components take and hand out files. An endpoint that does so has one, unseen, for each parameter and result.
_COMPONENTS: dict[Any, Callable[..., Any]] = {
    str: gr.Textbox,
    float: gr.Number,
    int: partial(gr.Number, precision=0),
    bool: gr.Checkbox,
    dict: gr.JSON,
    File: gr.File,
}
#: Parameters whose default is the policy's, and what the policy calls it.
_BY_POLICY = {"keep": "keeps_people"}


def endpoint(how: Mapping[str, Any], withdrawn: Callable[[], Any] | None = None) -> Callable[[Any], Any]:
    """Marks a method as an endpoint. how: it is queued. withdrawn: gives its result if it is stopped while it waits."""

    def mark(method: Any) -> Any:
        method.how = how
        return of_kind(method, "", withdrawn) if withdrawn else method

    return mark


def register(service: Service) -> None:
    """Adds the endpoints to the `gr.Blocks` under construction."""
    endpoints = Endpoints(service)
    for name, method in vars(Endpoints).items():
        if hasattr(method, "how"):
            _add(getattr(endpoints, name), name.rstrip("_"), service)


def _add(call: Any, name: str, service: Service) -> None:
    signature = inspect.signature(call)
    taken = {one.name: one for one in signature.parameters.values() if one.annotation is not gr.Request}
    if not any(get_origin(one.annotation) is Annotated for one in taken.values()):
        gr.api(call, api_name=name, **call.how)
        return
    inputs = []
    for parameter in taken.values():
        value = None if parameter.default is parameter.empty else parameter.default
        if parameter.name in _BY_POLICY:
            value = getattr(service.policy, _BY_POLICY[parameter.name])
        inputs.append(_component(parameter.annotation, value))
    given = signature.return_annotation
    if get_origin(given) is Iterator:
        (given,) = get_args(given)
    parts = get_args(given) if get_origin(given) is tuple else [given]
    gr.Button(visible=False).click(call, inputs, [_component(part) for part in parts], api_name=name, **call.how)


def _component(annotation: Any, value: Any = None) -> Any:
    """What carries a value of a type such as `Annotated[float | None, "Label"]`; without a label for a bare type."""
    kind, *label = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if isinstance(kind, UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    return _COMPONENTS[kind](value, label=next(iter(label), None), visible=False)


# --- what is given ----------------------------------------------------------------------------------------------


def row(entry: store.Entry) -> dict[str, Any]:
    """What /library says of an entry."""
    run = entry.run if entry.from_run else None
    facts = {
        "target": entry.target,
        "source": entry.source,
        "method": run and run.config.method,
        "seed": run and run.config.seed,
        "stopped": run and run.stopped,
        "seconds": run.seconds if run else 0.0,
        "created": entry.record.created,
    }
    return {
        "name": entry.name,
        "title": entry.title,
        "shipped": entry.shipped,
        **facts,
        "steps": entry.steps(),
        "bytes": entry.bytes,
    }


def person_row(inverted: Kept) -> dict[str, Any]:
    """What /people says of an inverted person."""
    record = inverted.record
    return {
        "name": inverted.path.name,
        "title": record.title,
        "model": record.model,
        "distances": record.distances,
        "identity": record.identity,
        "stopped": record.origin.stopped if isinstance(record.origin, Found) else None,
        "created": record.created,
    }


def _why(stop: Stop, stopped: str | None) -> str | None:
    """Why a job ended early; files call it "asked" whoever did so."""
    return "time" if stopped == "asked" and stop.why == "time" else stopped


def _end(entry: store.Entry | None, stopped: str | None) -> dict[str, Any]:
    return {"stage": "done", "entry": entry and entry.name, "stopped": stopped}


def _nobody(stopped: str | None = "asked") -> tuple[dict[str, Any], None, None]:
    """What /invert gives last where it was stopped before its first step."""
    return {"stage": "done", "person": None, "stopped": stopped}, None, None


def _progress(step: Step) -> dict[str, Any]:
    """What is said of a step."""
    names = ("step", "total", "losses", "seconds", "remaining")
    return {"stage": step.phase, **{name: getattr(step, name) for name in names}}


# --- endpoints --------------------------------------------------------------------------------------------------


class Endpoints:
    """The endpoints of one app."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @endpoint(MODEL_JOB, withdrawn=lambda: _end(None, "asked"))
    def adapt(
        self,
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
        what the CLIP model reads. Both left out, they are what suits the CLIP model. vocabulary: what prompts of words
        and described prompts are made of: auto, faces, animals, or a list such as "smiling, frowning; bald, curly". The
        last dictionary has the stage "done" and the name of the library entry, which /sample takes; None if the run was
        stopped before the generator had changed. A run that exists already is given at once. /stop ends it early and
        keeps what has been reached; "stopped" then says why: asked, time (the most that this app allows one job), or
        not finite.
        """
        settings = {name: value for name, value in locals().items() if name not in ("self", "request")}
        yield from _adapt(self._service, settings, request.session_hash)

    @endpoint(MODEL_JOB, withdrawn=lambda: _end(None, "asked"))
    def resume(self, request: gr.Request, entry: str, steps: int = 100) -> dict:
        """Goes on with the run of a library entry for `steps` more steps and yields how far it is, as /adapt does.

        Exactly so if the run kept its optimiser (keep_state), else from its weights. What comes of it is an entry of
        its own. /stop ends it early and keeps what has been reached.
        """
        stop = self._service.stops.running(request.session_hash)
        _, _, updates = go_on(self._service, entry, steps, stop)
        yield from _steps(updates, stop)

    @endpoint({"queue": False})
    def stop(self, request: gr.Request) -> bool:
        """Ends the jobs of the same client session: what runs after the step under way, what waits at once.

        False if there is none.
        """
        return self._service.stops.stop(request.session_hash)

    @endpoint(MODEL_JOB, withdrawn=list)
    def nearest(
        self, request: gr.Request, entry: str, seed: int, among: int = 256, count: int = 11, psi: float = 0.7
    ) -> list[dict]:
        """Finds the people who look most like that of `seed` among the seeds from 0, as its CLIP model sees them.

        Gives a list of seed and likeness (−1 to 1), the nearest first. `entry` is a library entry whose source model
        draws them, by a name that /library gave, or "source NAME". /stop ends it early, with an empty list.
        """
        stop = self._service.stops.running(request.session_hash)
        found: list[tuple[int, float]] = []
        for _, _, found in nearest(self._service, chosen(entry).source, seed, among, psi, count, stop):  # noqa: B007
            pass
        return [{"seed": other, "likeness": cosine} for other, cosine in found]

    @endpoint(MODEL_JOB)
    def mix(self, domains: str, parts: str = "", strength: float = 1.0, title: str = "") -> dict:
        """Keeps a mix of library entries as an entry of its own and gives its row, as /library does.

        domains: names of entries of one model, with commas between them. parts: a number for each, relative to their
        sum, such as "2,1"; nothing for equal ones. strength: 0 the source, 1 as adapted, up to 2.
        """
        names = named(domains)
        return row(keep_mix(self._service, domains_mixed(names, numbers(parts, len(names)), strength), title))

    @endpoint(A_LIST)
    def library(self) -> list[dict]:
        """What the library keeps, the newest first, and the finished models that come with the app.

        Each has a name (for /sample and all else), title, shipped (whether it comes with the app), target, source,
        method, seed, stopped (why, if it was), steps (those kept beside the last), bytes, seconds and created.
        """
        return [row(entry) for entry in store.list_entries()]

    @endpoint(A_LIST)
    def people(self) -> list[dict]:
        """The inverted people whom the client may see, the newest first.

        Each has a name (for /restyle), title, model, distances, identity, stopped (why, if it was) and created.
        """
        return [person_row(inverted) for inverted in self._service.roles.list_people()]

    @endpoint(A_LIST)
    def rename(self, entry: str, title: str) -> dict:
        """Gives a library entry a title that no other has, and gives its row as /library does.

        "" takes a title away.
        """
        return row(store.rename(self._service.roles.check_change(find_entry(entry)), title))

    @endpoint(A_MOMENT)
    def pick(self, entry: str, step: int) -> dict:
        """Makes an earlier step that a run kept a library entry of its own, and gives its row as /library does."""
        return row(self._service.roles.pick(find_entry(entry), whole(step, "The step", 1, MAX_STEP)))

    @endpoint(A_LIST)
    def delete(self, entry: str) -> str:
        """Deletes a library entry for good, and gives its name; nothing brings it back."""
        self._service.roles.delete(find_entry(entry))
        return entry

    @endpoint({"queue": False})
    def admin(self, token: str) -> bool:
        """Allows everything to the client's session, until it ends, for the token of whoever runs the app.

        It is printed when a shared app starts, unless IPL_ADMIN says it. Gives true; a wrong token is an error.
        """
        self._service.roles.let_in(token)
        return True

    @endpoint(MODEL_JOB)
    def export(
        self,
        entry: Annotated[str, "Library entry"],
        suffix: Annotated[str, "Suffix"] = ".safetensors",
        step: Annotated[int, "Step"] = 0,
    ) -> Iterator[Annotated[File, "Generator"]]:
        """Gives the whole adapted generator of a library entry as a file that needs nothing else.

        suffix: ".safetensors" of this program, or ".pt" as rosinality's stylegan2-pytorch writes and reads. step: an
        earlier step that the run kept, see /library; 0 is the last.
        """
        with handed_out() as folder:
            yield str(exported(entry, suffix, step, folder))

    @endpoint(MODEL_JOB)
    def import_(
        self,
        request: gr.Request,
        file: Annotated[File, "Generator"],
        model: Annotated[str, "Adapted from"] = "studio",
        target: Annotated[str, "Target"] = "",
    ) -> Annotated[dict, "Library entry"]:
        """Takes an adapted generator from a file into the library and gives its row, as /library does.

        file: .safetensors as /export gives, rosinality's .pt or NVIDIA's .pkl. model: the name of the model that it was
        adapted from, which it has to fit. target: what it draws, in words; a file of /export knows it by itself.
        /stop ends it with an error while the file is read.
        """
        return row(taken_in(self._service, file, model, target, self._service.stops.running(request.session_hash)))

    @endpoint(MODEL_JOB)
    def sample(
        self,
        request: gr.Request,
        entry: Annotated[str, "Library entry"],
        seeds: Annotated[str, "Seeds"] = "0-11",
        psi: Annotated[float, "Truncation"] = 0.7,
        fine: Annotated[float | None, "Seed of the fine layers"] = None,
        crossover: Annotated[float, "First fine layer"] = 4,
    ) -> Iterator[tuple[Annotated[File, "Picture of all pairs"], Annotated[File, "Zip of all"]]]:
        """Draws seeds (such as "0-11" or "3, 7, 20-25") by a library entry and by its source.

        Gives a PNG of all pairs, source before adapted, four pairs in a row, and a zip of single PNGs. `entry` is a
        name that /adapt or /library gave, or "source NAME" for a model as it is, which is drawn alone; psi, the
        truncation, goes from 0 to 1.5. fine: a seed whose fine layers all of them get, from the layer `crossover` on,
        counted from 0 at the coarsest. /stop ends it with an error, as nothing is kept.
        """
        check = self._service.checkpoint(request.session_hash)
        who = parse_seeds(seeds, MAX_COUNT)
        drawing = draw_seeds(self._service, chosen(entry), who, psi, fine, crossover, between=check)
        with handed_out() as folder:
            yield str(save_sheet(drawing, folder)), str(save_zip(drawing, folder))

    @endpoint(MODEL_JOB)
    def interpolate(
        self,
        request: gr.Request,
        model: Annotated[str, "Model"],
        seeds: Annotated[str, "Seeds"] = "0, 7, 12",
        to: Annotated[str, "To"] = "",
        frames: Annotated[float, "Frames"] = 48,
        rate: Annotated[float, "Frames a second"] = 24,
        loop: Annotated[bool, "Back to the start"] = True,
        side_by_side: Annotated[bool, "Beside the source"] = False,
        space: Annotated[str, "Space"] = "w",
        easing: Annotated[str, "Easing"] = "smooth",
        psi: Annotated[float, "Truncation"] = 0.7,
        suffix: Annotated[str, "Suffix"] = ".webp",
    ) -> Iterator[Annotated[File, "Animation"]]:
        """Animates people who turn into each other, or, with `to`, the first of them on the way to another model.

        model, to: a library entry, or "source NAME" for a model as it is. suffix: .webp, .mp4 or .gif. space: w for
        straight lines, z for great circles. easing: smooth, slow or even. Gives the file. /stop ends it
        with an error, as nothing is kept.
        """
        asked = dict(model=model, seeds=seeds, persons=[], sitters=[], to=to, frames=frames, loop=loop)
        asked.update(side_by_side=side_by_side, space=space, easing=easing, psi=psi)
        suffix = ending(suffix)
        journey = plan(self._service, asked, rate, self._service.stops.running(request.session_hash))
        pictures = [frame.picture for frame in journey.frames]
        self._service.checkpoint(request.session_hash)()  # there may be fewer than were asked for
        with handed_out() as folder:
            path = inside(folder, journey.name + suffix)
            yield str(save_animation(pictures, path, rate, journey.note, journey.enlarge))

    @endpoint(MODEL_JOB, withdrawn=lambda: _nobody())
    def invert(
        self,
        request: gr.Request,
        picture: Annotated[File, "Picture"],
        name: Annotated[str, "Name"] = "picture",
        model: Annotated[str, "Model"] = "",
        preset: Annotated[str, "Preset"] = "good",
        space: Annotated[str, "Space"] = "",
        crop: Annotated[str, "Crop"] = "auto",
        steps: Annotated[float | None, "Steps of the latent"] = None,
        tune_steps: Annotated[float | None, "Steps of tuning"] = None,
        seed: Annotated[float, "Seed"] = 0,
        face: Annotated[float, "Face"] = 1,
        right: Annotated[float, "Right"] = 0,
        down: Annotated[float, "Down"] = 0,
        zoom: Annotated[float, "Zoom"] = 1,
        turn: Annotated[float, "Turn"] = 0,
        start: Annotated[str, "Start"] = "auto",
        view: Annotated[str, "View"] = "critic",
        keep: Annotated[bool | None, "Keep this person on the server"] = None,
        aim: Annotated[str, "Aim"] = "auto",
        sitter: Annotated[str, "Sitter"] = "",
    ) -> Iterator[tuple[dict, Annotated[File, "Latent"], Annotated[File, "Picture"]]]:
        """Finds the latent of a picture and yields how far it is; the last time with two files, the latent and a PNG.

        A step has stage, step, total, losses, seconds and remaining. The last dictionary has the stage "done", the
        name of the person (which /restyle takes), crop (how it was found), distances, identity and stopped. crop is
        auto, center or none; right, down, zoom and turn move it. What is left out comes from the preset: fast, good
        or best, the last two of which tune on where a picture is still far off; tune_steps are meant exactly, 0 for
        none. start: where the search begins: auto, encoder, random or mean. view: what compares pictures as people see
        them: critic, lpips-alex or lpips-vgg, whose files must be on the server. keep: whether the person stays on the
        server when the session ends; None for what the app does by default. /stop ends it early and keeps what has
        been reached; "stopped" then says why, as for /adapt. aim: portrait draws whom the model's reader sees, pixels
        follows the picture, auto takes the portrait of what is no picture of the model's world; the last dictionary
        says aim and why, and of a portrait its sitter. sitter: what is said of whom the picture shows, over what is
        read, such as “hair_cut=bun, glasses=none”.
        """
        settings = dict(model=model, preset=preset, space=space, steps=steps, seed=seed, start=start, view=view)
        settings.update(aim=aim, sitter=sitter)
        if tune_steps is not None:
            settings.update(tune=tune_steps != 0, tune_steps=tune_steps or None, tune_further=0)
        where = (crop, face, right, down, zoom, turn)
        yield from _invert(self._service, picture, name, settings, where, request.session_hash, keep)

    @endpoint(MODEL_JOB)
    def restyle(
        self,
        request: gr.Request,
        person: Annotated[str, "Person"],
        domains: Annotated[str, "Library entries"] = "",
        strength: Annotated[float, "Strength"] = 1.0,
        mix: Annotated[str, "Shares"] = "",
    ) -> Iterator[Annotated[File, "Picture"]]:
        """Draws an inverted person in domains of the library as one labelled PNG.

        `person` is a name that /invert or /people gave. domains: names of library entries with commas between them,
        nothing for all that fit. strength: 0 the inversion as it is, 1 the domain, up to 2. mix: a share for each of
        the domains, such as "0.5,0.5", to draw one picture of them together. /stop ends it with an error.
        """
        check = self._service.checkpoint(request.session_hash)
        restyler = self._service.restylers.get(person)
        entries = [find_entry(name) for name in named(domains)] or fitting_entries(restyler.inverted)
        mixes = weighted(entries, strength, mix)
        with handed_out() as folder:
            for collage in collages(restyler, mixes):  # noqa: B007 – the last has them all
                check()
            yield str(collage.save(folder))


def _adapt(service: Service, settings: Mapping[str, Any], session: str) -> Iterator[dict[str, Any]]:
    stop = service.stops.running(session)
    config = make_config(settings, service.device)
    for _ in service.fetched(config, stop):
        pass
    if stop.is_set():  # while the model was fetched
        yield _end(None, _why(stop, "asked"))
    else:
        yield from _steps(find_or_run(service, config, stop), stop)


def _steps(updates: Iterator[Any], stop: Stop) -> Iterator[dict[str, Any]]:
    """What is said of a run's steps, every now and then, and of how it ended."""
    entry, stopped, throttle = None, None, Throttle()
    with closing(updates):
        for update in updates:
            if isinstance(update, store.Entry):
                entry, stopped = update, update.run.stopped
            elif isinstance(update, Result):
                stopped = update.stopped
            elif throttle.passes():
                yield {**_progress(update), "diversity": update.pictures and update.pictures.diversity}
    yield _end(entry, _why(stop, stopped))


def _invert(
    service: Service,
    path: str | None,
    name: str,
    settings: Mapping[str, Any],
    where: tuple[Any, ...],
    session: str,
    keep: bool | None,
) -> Iterator[tuple[dict[str, Any], str | None, str | None]]:
    stop, throttle = service.stops.running(session), Throttle()
    config = invert_config(settings, service.device)
    seen_by(service, path)  # before models are fetched for it
    name = called(name, path)
    for _ in service.fetched(config, stop):
        pass
    if stop.is_set():
        yield _nobody(_why(stop, "asked"))
        return
    aligned, crop = align(service, path, config.model, *where)
    with closing(service.inversion(config, aligned, name, crop, stop, keep)) as updates:
        for update in updates:
            if isinstance(update, Inverted):
                last = {"stage": "done", "person": update.path.name, "crop": crop.note}
                last.update(distances=update.record.distances, identity=update.record.identity)
                last.update({fact: update.settings.get(fact) for fact in ("aim", "why", "sitter")})
                last["stopped"] = _why(stop, update.record.origin.stopped)
                with handed_out() as folder:
                    yield last, *(str(file) for file in copies(update, folder))
            elif isinstance(update, Step) and throttle.passes():
                yield _progress(update), None, None
