"""The catalog of models: names and paths are resolved to files, checked, and loaded.

Names come from two lists: `registry.json` in the folder of embedded weights, and `hub_models.json` beside this file.
Models of the second list are fetched from the Hugging Face hub when they are first needed. A path works wherever a
name does. This module knows nothing about training; `generators`, `clip` and the judge's module build the networks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clip.ensemble import members
from ..clip.model import load_critic as read_critic
from ..devices import usable_device
from ..errors import InputError
from ..generators.encoder import load_encoder as read_encoder
from ..generators.files import load_generator as read_generator
from ..library import domain_folder, shipped
from ..memory import enough_memory
from ..methods.config import AdaptConfig
from ..storage.digests import file_digest
from ..storage.folders import home
from ..storage.paths import as_path, exists, is_file, is_folder
from ..storage.words import MAX_QUOTED_PATH, quoted, size_words
from ..studio.judge import load_judge as read_judge
from ..studio.reading import load_reader as read_reader
from . import fetching
from .fetching import Offer
from .hub import HubFile, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from ..clip.model import Critic
    from ..generators.encoder import Guesser
    from ..generators.stylegan2.network import Generator, GeneratorConfig
    from ..studio.judge import Judge
    from ..studio.reading import AttributeReader

REGISTRY = "registry.json"
HUB_MODELS = Path(__file__).resolve().parent / "hub_models.json"


@dataclass(frozen=True)
class GeneratorEntry:
    """A generator in the catalog: its files, its default CLIP model, what it draws, and its licence.

    file: the file of an embedded generator; None for one from the hub. sources: its places on the hub, in the order
    to try. page: a web page to get it from by hand. title: its full name. size: approximate size of the file in bytes.
    memory: expected memory for adapting it, in GB. Unknown values are None.

    encoder: name of the encoder that predicts its latents, "" if there is none. faces: whether it draws faces.
    framing: the shift (right, down) and zoom from FFHQ's face crop to this generator's, as arguments of
    `faces.Crop.moved`; {} for FFHQ's crop.
    """

    name: str
    file: Path | None
    critic: str
    source: str
    licence: str
    sha256: str | None
    title: str = ""
    sources: tuple[HubFile, ...] = ()
    page: str = ""
    resolution: int | None = None
    size: int | None = None
    memory: float | None = None
    encoder: str = ""
    faces: bool = True
    framing: Mapping[str, float] = field(default_factory=dict)

    @property
    def offer(self) -> Offer | None:
        """The files to fetch for it; None for an embedded one."""
        return None if self.file else Offer(self.name, self.sources, self.page, "--model /path/to/the/file")


@dataclass(frozen=True)
class CriticEntry:
    """A CLIP model in the catalog: a folder with an open_clip configuration and weights, or one of open_clip's models.

    folder: the folder of an embedded model; None for one from the hub. open_clip: open_clip's name and pretraining
    tag. image_size: side of its input in pixels. needs: a Python package that its tokeniser needs. The other fields
    are those of GeneratorEntry.
    """

    name: str
    folder: Path | None
    licence: str
    sha256: str | None
    title: str = ""
    sources: tuple[HubFile, ...] = ()
    page: str = ""
    open_clip: str = ""
    image_size: int | None = None
    size: int | None = None
    needs: str = ""

    @property
    def offer(self) -> Offer | None:
        """The files to fetch for it; None for an embedded one."""
        own_copy = f"--critic {self.open_clip.partition(':')[0]}:/path/to/the/file"
        return None if self.folder else Offer(self.name, self.sources, self.page, own_copy)


@dataclass(frozen=True)
class EncoderEntry:
    """An encoder in the catalog: it maps pictures to latents of one generator. The fields are GeneratorEntry's."""

    name: str
    file: Path | None
    licence: str
    sha256: str | None
    title: str = ""
    sources: tuple[HubFile, ...] = ()
    page: str = ""
    size: int | None = None

    @property
    def offer(self) -> Offer | None:
        """The files to fetch for it; None for an embedded one."""
        return None if self.file else Offer(self.name, self.sources, self.page, "--encoder /path/to/the/file")


@dataclass(frozen=True)
class NetworkEntry:
    """A published network that metrics compute features with.

    file: its usual file name; the user's copy is looked for under that name in the library's folder `models` and in
    torchvision's cache. sha256: hash of that file, None if unknown. The other fields are those of GeneratorEntry.
    """

    name: str
    file: str
    licence: str
    sha256: str | None
    title: str
    sources: tuple[HubFile, ...]
    page: str
    size: int

    @property
    def own_copies(self) -> tuple[Path, ...]:
        """The paths where the user may have put a copy."""
        torchs = as_path(os.environ.get("TORCH_HOME", "~/.cache/torch")) / "hub" / "checkpoints"
        return home() / "models" / self.file, torchs / self.file

    @property
    def offer(self) -> Offer:
        """The files to fetch for it."""
        return Offer(self.name, self.sources, self.page, f"put it into {home() / 'models'} as {self.file}")


#: Any entry of the catalog.
Entry = GeneratorEntry | CriticEntry | EncoderEntry | NetworkEntry


def pretrained_folder() -> Path:
    """The folder of embedded weights: `IPL_PRETRAINED` if that is set, else `pretrained` beside this package."""
    chosen = os.environ.get("IPL_PRETRAINED")
    return as_path(chosen) if chosen else Path(__file__).resolve().parents[2] / "pretrained"


def registry() -> dict[str, Any]:
    """The content of registry.json: kind of model → name → fields of its entry.

    Raises InputError if the file is missing or can't be read as JSON.
    """
    path = pretrained_folder() / REGISTRY
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"The list of models {path} can't be read ({error.strerror or error}): restore the folder "
            "“pretrained”, or set IPL_PRETRAINED to where it is."
        ) from error
    except ValueError as error:
        raise InputError(f"The list of models {path} is damaged ({error}): restore it.") from error
    if not isinstance(known, Mapping):
        raise InputError(f"The list of models {path} is damaged (not an object): restore it.")
    return dict(known)


@lru_cache(maxsize=1)
def hub_models() -> dict[str, Any]:
    """The content of hub_models.json: kind of model → name → fields of its entry."""
    return json.loads(HUB_MODELS.read_text(encoding="utf-8"))


def _with_those_of_the_hub(entries: dict[str, Any], kind: str, entry: Callable[..., Any]) -> dict[str, Any]:
    """The embedded entries, followed by those of the hub; on a name conflict the embedded entry wins."""
    for name, facts in hub_models()[kind].items():
        rest = {key: value for key, value in facts.items() if key != "sources"}
        sources = fetching.sources_from(facts["sources"])
        entries.setdefault(name, entry(**{"name": name, "sha256": None, "sources": sources, **rest}))
    return entries


def generators() -> dict[str, GeneratorEntry]:
    """All generators of the catalog by name, embedded ones first."""
    entries = {}
    for name, facts in registry().get("generators", {}).items():
        entries[name] = GeneratorEntry(
            name=name,
            file=_file(name, facts, "file"),
            critic=facts.get("critic", ""),
            source=facts.get("source", "photo"),
            licence=facts.get("licence", ""),
            sha256=facts.get("sha256"),
            title=facts.get("title", name),
            resolution=facts.get("resolution"),
            encoder=facts.get("encoder", ""),
            faces=facts.get("faces", True),
            framing=facts.get("framing", {}),
        )
    return _with_those_of_the_hub(entries, "generators", partial(GeneratorEntry, file=None))


def critics() -> dict[str, CriticEntry]:
    """All CLIP models of the catalog by name, embedded ones first; open_clip has more."""
    entries = {
        name: CriticEntry(
            name, _file(name, facts, "dir"), facts.get("licence", ""), facts.get("sha256"), facts.get("title", name)
        )
        for name, facts in registry().get("critics", {}).items()
    }
    return _with_those_of_the_hub(entries, "critics", partial(CriticEntry, folder=None))


def encoders() -> dict[str, EncoderEntry]:
    """All encoders of the catalog by name, embedded ones first."""
    entries = {
        name: EncoderEntry(
            name, _file(name, facts, "file"), facts.get("licence", ""), facts.get("sha256"), facts.get("title", name)
        )
        for name, facts in registry().get("encoders", {}).items()
    }
    return _with_those_of_the_hub(entries, "encoders", partial(EncoderEntry, file=None))


def networks() -> dict[str, NetworkEntry]:
    """The published networks that metrics compute features with, by name."""
    return _with_those_of_the_hub({}, "networks", NetworkEntry)


def find_network(name: str) -> Path:
    """The file of a published network: the user's copy, or the one fetched from the hub. Fetches nothing itself.

    Raises InputError if the file isn't on this machine (the message says where to get it), or if its hash is wrong.
    """
    entry = networks()[name]
    path = next((copy for copy in entry.own_copies if copy.is_file()), None)
    if path is None and (found := fetching.here(entry.offer)) is not None:
        fetching.verify(entry.offer, *found, trust_unchanged=True)
        path = found[1]
    if path is None:
        fetch = f"python -m ipl_core models fetch {name}, or " if entry.sources else ""
        raise InputError(
            f"{entry.title}: its weights are not here. Fetch them: {fetch}get {entry.file} "
            f"({size_words(entry.size)}) from {entry.page} and put it into {home() / 'models'}."
        )
    _verify(path, entry.sha256)
    return path


def is_here(entry: Entry) -> bool:
    """Whether a model's weights are on this machine; neither the network nor the files' content is read."""
    if isinstance(entry, NetworkEntry) and any(copy.is_file() for copy in entry.own_copies):
        return True
    if entry.offer is not None:
        return fetching.here(entry.offer) is not None
    return (entry.folder if isinstance(entry, CriticEntry) else entry.file).exists()


def where(entry: Entry) -> str:
    """Where a model's weights are, in a few words, such as "embedded", "here" or "133 MB to fetch"."""
    if entry.offer is None:
        return "embedded"
    if is_here(entry):
        return "here"
    return f"{size_words(entry.size)} to fetch" if entry.sources else f"to be had by hand, from {entry.page}"


def find_generator(model: str, progress: Progress | None = None) -> Path:
    """The path of a generator: a model file, or the folder of an adapted domain.

    model: a name in the catalog, a path, or the name of a finished model that comes with the app. A model of the hub
    is fetched first if necessary; progress: called with the bytes fetched so far and the total. Raises InputError if
    there is no such model, if its file is missing or can't be fetched, or if its hash isn't the registered one.
    """
    known = generators()
    if model in known:
        entry = known[model]
        if entry.offer is not None:
            return fetching.obtain(entry.offer, progress)
        if not entry.file.is_file():
            raise InputError(
                f"The weights of the model “{model}” are missing: {entry.file} doesn't exist. "
                "Restore the folder “pretrained”, or give the path of a copy."
            )
        _verify(entry.file, entry.sha256)
        return entry.file
    path = as_path(model)
    if is_folder(model) and not (path / domain_folder.ADAPTED).is_file():
        raise InputError(f"The folder {path} holds no adapted domain: {domain_folder.ADAPTED} is missing there.")
    if not exists(model):
        if (finished := shipped.find(model)) is not None:
            return finished
        raise InputError(
            f"There is no model {quoted(model, MAX_QUOTED_PATH)}: use one of {_listed(known)}, or the path of a model "
            "file or of an adapted domain's folder."
        )
    return path


@enough_memory()
def load_generator(model: str | os.PathLike[str], device: str = "cpu", progress: Progress | None = None) -> Generator:
    """Load a generator, in evaluation mode with frozen weights.

    model: a name in the catalog, a model file, the folder of an adapted domain, or the weights in such a folder. A
    model of the hub is fetched first if necessary, see `find_generator`. Raises InputError if it can't be found or
    read.
    """
    where = usable_device(str(device))
    path = find_generator(os.fspath(model), progress)
    if domain_folder.is_adapted(path):
        return load_adapted(path, device)
    return read_generator(path, where).eval().requires_grad_(False)


def load_adapted(path: str | os.PathLike[str], device: str = "cpu", step: int | None = None) -> Generator:
    """Load an adapted generator, in evaluation mode with frozen weights.

    path: the folder of an adapted domain, a file of weights in it (of the last or of an earlier step), or the file of
        a finished model. step: an earlier step; None loads what `path` names.
    Raises InputError if the folder is damaged, if that step wasn't kept, or if the source model's weights aren't those
    that were adapted.
    """
    path = as_path(path)
    folder = domain_folder.place(path)
    changed = changed_weights(folder, domain_folder.step_of(path) if step is None else step)
    generator = load_generator(domain_folder.read_domain(folder).domain.model, device)
    try:
        domain_folder.apply_weights(generator, changed)
    except ValueError as error:
        raise domain_folder.KIND.damaged(folder, str(error)) from error
    return generator


def changed_weights(folder: Path, step: int | None = None) -> dict[str, Tensor]:
    """The generator's tensors that an adaptation changed: float32, by state-dict name, on the CPU.

    folder: the folder of an adapted domain, or the file of a finished model, whose tensors were quantised. step: an
    earlier step; None is the last. Raises InputError as `load_adapted` does.
    """
    record = domain_folder.read_domain(folder)
    model = record.domain.model
    if generator_digest(model) != record.model_sha256:
        raise InputError(
            f"The adapted domain in {folder} was made from other weights of the model “{model}” than those here: "
            "adapt again, or restore the model's file."
        )
    if not shipped.is_one(folder):
        return domain_folder.tensors_of(folder, record, domain_folder.GENERATOR, step)
    if step is not None:
        raise InputError(f"The finished model “{folder.stem}” has no earlier steps, so there is no step {step}.")
    source = load_generator(model).state_dict()
    changes = domain_folder.read_shipped(folder, shipped.read_changes, source)
    return {name: source[name] + change for name, change in changes.items()}


def find_critic(critic: str) -> str:
    """The folder of a CLIP model given by name or path, or the name itself if open_clip has to resolve it.

    Raises InputError if a registered model's files are missing or a path holds no CLIP model.
    """
    known = critics()
    if critic in known:
        entry = known[critic]
        if entry.folder is None:
            return entry.open_clip
        if not entry.folder.is_dir():
            raise InputError(
                f"The weights of the CLIP model “{critic}” are missing: {entry.folder} doesn't exist. "
                "Restore the folder “pretrained”, or name another CLIP model such as ViT-B-32."
            )
        return str(entry.folder)
    path = as_path(critic)
    return str(path) if is_folder(critic) else critic


def fetch_critic(critic: str, progress: Progress | None = None) -> None:
    """Fetch the weights of the catalog's CLIP models if they are missing; open_clip fetches its other models itself.

    critic: one CLIP model or an ensemble, see clip/ensemble.py. Raises InputError if weights can't be fetched, or if
    a model needs a Python package that isn't installed.
    """
    for name, _ in members(critic):
        entry = critics().get(name)
        if entry is None or entry.offer is None:
            continue
        if entry.needs and find_spec(entry.needs) is None:
            raise InputError(
                f"The CLIP model “{name}” needs the Python package {entry.needs}: pip install {entry.needs}, "
                "or name another CLIP model such as ViT-B-32."
            )
        fetching.obtain(entry.offer, progress)


@enough_memory()
def load_critic(critic: str, device: str = "cpu", progress: Progress | None = None) -> Critic:
    """Load a frozen CLIP model.

    critic: a name in the catalog, a folder, or an open_clip name. A model of the hub is fetched first if necessary.
    Raises InputError if it can't be found or read.
    """
    usable_device(str(device))
    fetch_critic(critic, progress)
    return read_critic(find_critic(critic), device)


def critic_of(model: str) -> str:
    """The CLIP model registered for `model`; for an adapted domain, the CLIP model or ensemble it was made with.

    Raises InputError for a model file that doesn't name one.
    """
    known = generators()
    if model in known and known[model].critic:
        return known[model].critic
    path = find_generator(model)
    if domain_folder.is_adapted(path):
        return domain_folder.read_domain(path).critic
    raise InputError(
        f"Say which CLIP model goes with the model {model}: none is registered for it. "
        f"Use one of {_listed(critics())}, or an open_clip name such as ViT-B-32."
    )


def suited_to(critic: str) -> dict[str, str]:
    """The default "method", and the default of what IPL's mapper gives ("prompts"), with a CLIP model.

    The registry names them for the models that come with the app; for any other CLIP model they are the paper's IPL.
    """
    facts = registry().get("critics", {}).get(critic, {})
    return {"method": AdaptConfig.method, "prompts": AdaptConfig.prompts, **facts.get("suits", {})}


def vocabulary_of(model: str) -> str:
    """The vocabulary that describes what `model` draws, “faces” or “animals”; see clip/vocabulary.py.

    An adapted domain has the vocabulary of its source model; a model that the catalog doesn't list has “faces”.
    """
    known = generators()
    if model in known:
        return "faces" if known[model].faces else "animals"
    path = find_generator(model)
    return vocabulary_of(domain_folder.read_domain(path).domain.model) if domain_folder.is_adapted(path) else "faces"


def find_encoder(encoder: str, progress: Progress | None = None) -> Path:
    """The file of an encoder given by name or path; an encoder of the hub is fetched first if necessary.

    Raises InputError if there is no such encoder, if it can't be fetched, or if its hash isn't the registered one.
    """
    known = encoders()
    if encoder in known:
        entry = known[encoder]
        if entry.offer is not None:
            return fetching.obtain(entry.offer, progress)
        if not entry.file.is_file():
            raise InputError(
                f"The weights of the encoder “{encoder}” are missing: {entry.file} doesn't exist. "
                "Restore the folder “pretrained”, or choose another start."
            )
        _verify(entry.file, entry.sha256)
        return entry.file
    path = as_path(encoder)
    if not is_file(encoder):
        raise InputError(
            f"There is no encoder {quoted(encoder, MAX_QUOTED_PATH)}: use one of {_listed(known)}, or a file."
        )
    return path


def starting_encoder(model: str, start: str = "auto", encoder: str | None = None) -> str | None:
    """The name or path of the encoder that an inversion with `model` starts from; None if it starts without one.

    start, encoder: as in InvertConfig. "auto" uses the model's own encoder only if it is on this machine, because a
    large one shouldn't be fetched unasked. Raises InputError if an encoder is asked for and none is registered.
    """
    if start not in ("auto", "encoder"):
        return None
    if encoder is not None:
        return encoder
    known = generators().get(model)
    own = known.encoder if known is not None else ""
    if start == "auto":
        return own if own and is_here(_encoder_entry(own)) else None
    if not own:
        raise InputError(
            f"No encoder is known for the model “{model}”: name one (encoder), or start from random latents."
        )
    return own


@enough_memory()
def load_encoder(encoder: str, model: str, shape: GeneratorConfig, device: str = "cpu") -> Guesser:
    """Load an encoder by name or path; its latents must have the given shape, that of `model`'s latents.

    An encoder of the hub is fetched first if necessary. Raises InputError if it can't be found or read, or was
    trained for another generator.
    """
    guesser = read_encoder(find_encoder(encoder), usable_device(str(device)))
    guesser.check(shape.num_layers, shape.w_dim, generator_digest(model), encoder, model)
    return guesser


def encoder_digest(encoder: str) -> str:
    """Sha256 of an encoder's file, whichever name or path is given; raises and fetches as `find_encoder` does."""
    path = find_encoder(encoder)
    entry = encoders().get(encoder)
    return fetching.digest(entry.offer) if entry is not None and entry.offer is not None else file_digest(path)


def _encoder_entry(encoder: str) -> EncoderEntry:
    known = encoders()
    if encoder not in known:
        raise InputError(f"The list of models is damaged: it names an encoder “{encoder}” that isn't in it.")
    return known[encoder]


def judge_of(model: str) -> str:
    """The name of the judge registered for `model`. Raises InputError if there is none."""
    facts = registry().get("generators", {}).get(model, {})
    if not facts.get("judge"):
        raise InputError(
            f"There is no judge for the model “{model}”: only pictures of the portrait studio can be judged."
        )
    return facts["judge"]


def own_judge(model: str) -> Judge | None:
    """The judge of `model`; None if none is registered for it. Raises InputError as `load_judge` does."""
    named = registry().get("generators", {}).get(model, {}).get("judge")
    return load_judge(named) if named else None


def load_judge(judge: str) -> Judge:
    """Load a judge by name, in evaluation mode. Raises InputError if it is unknown, missing or damaged."""
    return read_judge(_judge_file(judge))


def judge_digest(judge: str) -> str:
    """Sha256 of a judge's file; raises as `load_judge`."""
    return file_digest(_judge_file(judge))


def _judge_file(judge: str) -> Path:
    known = registry().get("judges", {})
    if judge not in known:
        raise InputError(f"There is no judge “{judge}”: use one of {_listed(known)}.")
    path = _file(judge, known[judge], "file")
    _verify(path, known[judge].get("sha256"))
    return path


def reader_of(model: str) -> str | None:
    """The reader of attributes that the registry names for `model`, None where it names none."""
    return registry().get("generators", {}).get(model, {}).get("reader")


def load_reader(reader: str) -> AttributeReader:
    """The reader of that name, in evaluation mode. Raises InputError if it is unknown, missing or damaged."""
    path = _reader_file(reader)
    _verify(path, registry()["readers"][reader].get("sha256"))
    return read_reader(path)


def reader_digest(reader: str) -> str:
    """Sha256 of a reader's file; raises as `load_reader` does."""
    return file_digest(_reader_file(reader))


def _reader_file(reader: str) -> Path:
    known = registry().get("readers", {})
    if reader not in known:
        raise InputError(f"There is no reader of attributes “{reader}”: use one of {_listed(known)}.")
    path = _file(reader, known[reader], "file")
    if not path.is_file():
        raise InputError(f"The weights of the reader “{reader}” are missing: {path} doesn't exist. Restore the folder.")
    return path


def generator_digest(model: str) -> str:
    """Sha256 of a generator's file, whichever name or path is given; raises as `find_generator` does."""
    path = find_generator(model)
    entry = generators().get(model)
    if entry is not None and entry.offer is not None:
        return fetching.digest(entry.offer)
    return file_digest(path / domain_folder.ADAPTED if path.is_dir() else path)


def critic_digest(critic: str) -> str:
    """Sha256 of the files in a CLIP model's folder; a model that only open_clip knows is identified by its name.

    The digest of an ensemble covers its members and their weights, in order; raises as `digested_members` does.
    """
    parts = digested_members(critic)
    if len(parts) == 1:
        return parts[0][2]
    return hashlib.sha256(json.dumps([(digest, weight) for _, weight, digest in parts]).encode()).hexdigest()


def digested_members(critic: str) -> list[tuple[str, float, str]]:
    """Name, weight and digest of each CLIP model in `critic`: a single model or an ensemble.

    Raises InputError if one of them can't be found, or if two names stand for the same weights.
    """
    parts = [(name, weight, _critic_digest(name)) for name, weight in members(critic)]
    if len({digest for _, _, digest in parts}) < len(parts):
        raise InputError(f"Two CLIP models of “{critic}” have the same weights: name each CLIP model once.")
    return parts


def _critic_digest(critic: str) -> str:
    found = find_critic(critic)
    folder = as_path(found)
    if not is_folder(found):
        name, _, weights = critic.partition(":")
        own = as_path(weights)
        there = weights and is_file(weights)
        return f"open_clip:{name}:{file_digest(own)}" if there else f"open_clip:{critic}"
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin", ".pt"):
            digest.update(f"{path.name}:{file_digest(path)}\n".encode())
    return digest.hexdigest()


def _verify(path: Path, expected: str | None) -> None:
    found = file_digest(path)
    if expected and found != expected:
        raise InputError(
            f"{path} isn't the file it should be (sha256 {found[:12]}…, expected {expected[:12]}…): "
            "it is damaged or was changed. Restore it."
        )


def _file(name: str, facts: Any, field: str) -> Path:
    if not isinstance(facts, Mapping) or not isinstance(facts.get(field), str):
        raise InputError(f"The list of models is damaged: “{name}” has no “{field}”. Restore {REGISTRY}.")
    return pretrained_folder() / facts[field]


def _listed(known: Mapping[str, Any]) -> str:
    return ", ".join(known) if known else "none (the list of models is empty)"
