"""A setting is declared once, where its dataclass has it: default, range, choices, label, help, and what depends on it.

    steps: int | None = field(None, low=1, high=5000, label="Steps", help="steps of stage 2")

A configuration checks its values by these declarations (`Setting.checked`), the command line makes options of them,
forms take title, range and choices, and a run's key takes the settings that are part of it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .errors import InputError
from .storage import values
from .storage.paths import exists, path_text
from .storage.words import clean_line, quoted, readable

MAX_TEXT = 300  # characters of one text; a CLIP model's own limit is in tokens and is checked when it is loaded
MAX_PATH = 4096  # characters of a path, the most that Linux opens; what it names may be called anything

_KEY = "setting"
_LACKING = object()


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is declared about one setting.

    name, default: those of its dataclass. label: what errors call it, such as “Learning rate (learning_rate)”.
    help: what it is, in a few words. note: what else to know. hint: what an error advises where a text is blank.
    low, high: range of a number. choices: the texts that it may be, which may be a registry that grows.
    kind: "whole", "number", "choice", "flag", "words" (domain words, whose case doesn't count) or "path"; "other" with
        `check`, which gives the value as it is kept or raises InputError.
    optional: whether it may be None. left_out: what stands for it where a request leaves it out.
    stage: the stage that alone reads it; None for no single one. in_key: whether it decides the result, and so is part
        of a run's key. earlier: what runs kept before there was this setting mean; that is no part of their key.
    option: its option on the command line, "" for none. in_form: whether the app's forms offer it. titles: what a form
        calls the choices whose names say too little.
    """

    label: str
    help: str = ""
    note: str = ""
    hint: str = ""
    low: float | None = None
    high: float | None = None
    choices: Collection[str] | None = None
    kind: str = "number"
    check: Callable[[Any, Setting], Any] | None = None
    optional: bool = False
    left_out: str = ""
    stage: int | str | None = None
    in_key: bool = True
    earlier: Any = _LACKING
    option: str | None = None
    in_form: bool = False
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    name: str = ""
    default: Any = None

    @property
    def title(self) -> str:
        """The label as a form shows it: without article and without the name behind it."""
        plain = self.label.removesuffix(f" ({self.name})").removeprefix("The ")
        return plain[:1].upper() + plain[1:]

    @property
    def came_later(self) -> bool:
        """Whether there are runs that were kept before there was this setting."""
        return self.earlier is not _LACKING

    @property
    def range(self) -> str:
        """The range of a number in words, such as “1 to 5000”; "" where it has none."""
        if self.low is None:
            return ""
        return " to ".join(str(end) if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))

    @property
    def described(self) -> str:
        """Its help with choices, range and default, in one line."""
        words = self.help
        if self.choices is not None:
            words += f": {', '.join(self.choices)}"
        if self.note:
            words += f"; {self.note}"
        if self.left_out:
            return f"{words}; left out, {self.left_out}"
        unsaid = self.default is None or self.default == "" or isinstance(self.default, bool)
        facts = "; ".join(fact for fact in (self.range, "" if unsaid else str(self.default)) if fact)
        return f"{words} ({facts})" if facts else words

    def checked(self, value: Any) -> Any:
        """The value as it is kept. Raises InputError for one that it can't have, naming it, the value and the range."""
        if value is None and self.optional:
            return None
        if self.check is not None:
            return self.check(value, self)
        if self.kind == "choice":
            return values.choice(value, self.label, self.choices)
        if self.kind == "flag":
            return values.flag(value, self.label)
        if self.kind == "words":
            return _words(value, self)
        if self.kind == "path":
            return name_or_path(value, self)
        kind = values.whole if self.kind == "whole" else values.number
        return kind(value, self.label, self.low, self.high)


def field(
    default: Any = dataclasses.MISSING,
    low: float | None = None,
    high: float | None = None,
    choices: Collection[str] | None = None,
    *,
    label: str,
    kind: str | None = None,
    **declared: Any,
) -> Any:
    """A field of a dataclass with a Setting, whose further facts are `declared`.

    kind: left out, it is a choice where there are choices, a whole number where the range is of ints, a number where it
        is of floats, and else what `check` says.
    """
    if kind is None and choices is None and low is None:
        kind = "other"
    elif kind is None:
        whole = isinstance(low, int) and isinstance(high, int)
        kind = "choice" if choices is not None else "whole" if whole else "number"
    setting = Setting(label, low=low, high=high, choices=choices, kind=kind, **declared)
    return dataclasses.field(default=default, metadata={_KEY: setting})


@functools.cache
def settings(kind: type) -> dict[str, Setting]:
    """The settings of a configuration, by name, in the order in which it declares them."""
    found = {}
    for one in dataclasses.fields(kind):
        declared = one.metadata[_KEY]
        default = None if one.default is dataclasses.MISSING else one.default
        option = f"--{one.name.replace('_', '-')}" if declared.option is None else declared.option
        found[one.name] = dataclasses.replace(declared, name=one.name, default=default, option=option)
    return found


def settle(config: Any) -> None:
    """Replaces each value of a frozen configuration by its checked one; for its `__post_init__`. Raises InputError."""
    for name, setting in settings(type(config)).items():
        object.__setattr__(config, name, setting.checked(getattr(config, name)))


def earlier_values(kind: type) -> dict[str, Any]:
    """The settings that came later, with what runs kept from before them mean."""
    return {name: setting.earlier for name, setting in settings(kind).items() if setting.came_later}


def key_settings(config: Any) -> dict[str, Any]:
    """The settings that decide a result, by name; those that came later only where they differ from what was before."""
    found = {}
    for name, setting in settings(type(config)).items():
        value = getattr(config, name)
        if setting.in_key and not (setting.came_later and value == setting.earlier):
            found[name] = value
    return found


def known_settings(kind: type, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """`given` as it is, if each is a setting of the configuration `kind`; else InputError."""
    if not isinstance(given, Mapping):
        raise InputError(f"Settings must be given by name, not as {type(given).__name__}.")
    known = list(settings(kind))
    unknown = [name for name in given if name not in known]
    if unknown:
        few = ", ".join(quoted(name) for name in unknown[:5]) + (" and others" if len(unknown) > 5 else "")
        raise InputError(f"There is no setting named {few}. The settings are: {', '.join(known)}.")
    return given


# ----------------------------------------------------------------------------------------------------------------------
# Checks of text. Those of numbers, choices and flags are in storage.values.


def _words(value: Any, setting: Setting) -> str:
    """Words as a person would say them, with single blanks between them."""
    typed = readable(value) if isinstance(value, str) else value
    clean_line(typed, setting.label, MAX_TEXT)  # refuses what is no text, or too long, or can't be written
    text = " ".join(typed.split())
    if not text:
        raise InputError(f"{setting.label} is blank: {setting.hint}.")
    if not text.isprintable() or "\ufffd" in text:
        raise InputError(
            f"{setting.label} contains characters that can't be shown: {quoted(text)}. Type it as plain words."
        )
    return text


def words_or_none(value: Any, setting: Setting) -> str:
    """Words, or "" for none."""
    return _words(value, setting) if value else ""


def name_or_path(value: Any, setting: Setting, keep: bool = False) -> str:
    """A path isn't words: it is kept letter by letter, blanks included. A name loses the blanks around it.

    keep: leave a path that no text can hold as it is.
    """
    label, hint = setting.label, setting.hint
    if not isinstance(value, str):
        raise InputError(f"{label} must be text, not {quoted(value)}.")
    if not value.strip():
        raise InputError(f"{label} is blank: {hint}.")
    if len(value) > MAX_PATH:
        raise InputError(f"{label} has {len(value)} characters; a path has at most {MAX_PATH}: {hint}.")
    if "\0" in value:
        raise InputError(f"{label} {quoted(value)} has a character in it that no path can have: {hint}.")
    text = value if exists(value) else value.strip()
    return text if keep else path_text(text)
