"""From declared options to the command line: parameters, their help, and names of other programs.

Nothing is said twice: an option's name, type, default, range and help come from its declaration in
an option class. A command's parameters are the union over the classes it is given.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from cyclopts import Group, Parameter

from katazome.errors import OptionError
from katazome.options import OptionInfo, Options, info_of, type_hints

STREAM = "\x00-"
"""Stands for a lone ``-`` while the arguments are parsed; the parser would take that for an option."""

_GROUPS = {
    name: Group(name, sort_key=place)
    for place, name in enumerate(("Output", "Picture", "Look", "Where", "Work", "Weights", "Machine"))
}
_SHORT = {"output": "-o"}
HUGE = 1e9
"""A limit above this is none that a person need be told of."""

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}

Classes = Mapping[str, type[Options]]
"""Option classes by whose they are: a method's name, or an empty string for the command's own."""

_CLASSES: dict[Callable[..., int], Classes] = {}


def flag_of(name: str) -> str:
    """Return an option's name on the command line: of ``from_`` it is ``--from``."""
    return "--" + name.rstrip("_").replace("_", "-")


@dataclass(frozen=True, slots=True)
class Declared:
    """One option of a command, as one or several classes declare it."""

    name: str
    kind: type
    """``int``, ``float``, ``bool``, ``str``, or ``tuple`` for a list."""
    info: OptionInfo
    defaults: Mapping[str, Any]
    """The default by owner."""
    owners: tuple[str, ...]

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return flag_of(self.name)

    @property
    def values(self) -> str:
        """The allowed values in words; empty where the help has named them, or none is worth a word."""
        words = re.findall(r"\w[\w-]*", self.info.help)
        if self.info.choices:
            named = [c for c in self.info.choices if c]
            return "" if all(c in words for c in named) else " | ".join(named)
        at_least_nothing = self.info.low == 0 and (self.info.high is None or self.info.high > HUGE)
        return "" if at_least_nothing else self.info.range_text

    def default_text(self) -> str:
        """Return the default as one would type it; an empty string where there is none."""
        texts = {owner: _typed(value) for owner, value in self.defaults.items()}
        first = next(iter(texts.values()))
        others = [f"{text or 'open'} ({owner})" for owner, text in texts.items() if text != first]
        return ", ".join([first or "open", *others]) if others else first


def _typed(value: Any) -> str:
    if value is None or value == "" or value is False:
        return ""
    if isinstance(value, tuple):
        return ",".join(_typed(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def declared(classes: Classes) -> dict[str, Declared]:
    """Return the union of the classes' options by name; of a name in several, the first declares it."""
    found: dict[str, Declared] = {}
    for owner, cls in classes.items():
        hints = type_hints(cls)
        for f in fields(cls):
            if f.name in found:
                before = found[f.name]
                defaults = {**before.defaults, owner: f.default}
                owners = (*before.owners, owner)
                found[f.name] = Declared(f.name, before.kind, before.info, defaults, owners)
            else:
                found[f.name] = Declared(
                    f.name, _kind(hints[f.name]), info_of(f), {owner: f.default}, (owner,)
                )
    return found


def _kind(hint: Any) -> type:
    members = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    member = next(m for m in members if m is not NoneType)
    kind = get_origin(member) or member
    assert isinstance(kind, type)
    return kind


def switched_off(text: str) -> str:
    """Return the help of ``--no-NAME`` from that of an option that is on when nothing is said."""
    return f"Do not {text[0].lower()}{text[1:]}"


def command(
    body: Callable[..., int],
    positional: Sequence[inspect.Parameter],
    classes: Classes,
    more_help: Mapping[str, str] | None = None,
) -> Callable[..., int]:
    """Return ``body`` with a signature made of ``positional`` and the options of ``classes``.

    Those the user gives are passed on by keyword, all others are left out. ``more_help`` is added
    to an option's help by name.
    """

    def called(*args: Any, **given: Any) -> int:
        return body(*(_unmarked(a) for a in args), **{k: _unmarked(v) for k, v in given.items()})

    options = declared(classes)
    methods = [owner for owner in classes if owner]
    keywords = [_parameter(o, methods, (more_help or {}).get(o.name, "")) for o in options.values()]
    called.__signature__ = inspect.Signature([*positional, *keywords])  # type: ignore[attr-defined]
    called.__name__ = called.__qualname__ = body.__name__
    _CLASSES[called] = classes
    return called


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    return "-" if value == STREAM else value


def classes_of(made: Callable[..., int]) -> Classes:
    """Return the option classes that :func:`command` was given for a command."""
    return _CLASSES[made]


def argument(name: str, text: str, *, several: bool = False) -> inspect.Parameter:
    """Return a positional parameter of the command line, one or several."""
    kind = inspect.Parameter.VAR_POSITIONAL if several else inspect.Parameter.POSITIONAL_ONLY
    return inspect.Parameter(name, kind, annotation=Annotated[str, Parameter(help=text)])


def _parameter(option: Declared, methods: Sequence[str], more: str) -> inspect.Parameter:
    text = option.info.help + more
    if option.values:
        text += f" ({option.values})"
    if option.info.unit:
        text += f", in {option.info.unit}"
    without = [method for method in methods if method not in option.owners]
    if option.owners != ("",) and without:
        few = len(without) < len(option.owners)
        text += f"; not {' or '.join(without)}" if few else f"; {' and '.join(option.owners)} only"
    default = option.default_text()
    names = [option.flag, *([_SHORT[option.name]] if option.name in _SHORT else [])]
    if option.kind is bool and next(iter(option.defaults.values())):
        names, default = [f"--no-{option.name}"], ""
        text = switched_off(text)
    words = {int: "N", float: "X", tuple: "LIST", str: "TEXT", bool: ""}
    shown = Parameter(
        name=names,
        help=text,
        group=_GROUPS[option.info.group],
        show_default=(lambda _: default) if default else False,
        metavar="TEXT" if option.info.repeats else words[option.kind] or None,
        consume_multiple=False,
    )
    kind = str if option.kind is tuple else option.kind
    if option.info.repeats:
        kind = list[str]
    annotation = Annotated[kind | None, shown]  # type: ignore[valid-type]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def values_of(cls: type[Options], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of ``given`` that ``cls`` declares, flags that are given by ``--no-`` turned round."""
    switched = {f.name for f in fields(cls) if f.default is True}
    own = {f.name for f in fields(cls)}
    return {k: (not v if k in switched else v) for k, v in given.items() if k in own}


class Alias(NamedTuple):
    """What a name on the command line stands for: a flag, and a value of it or None.

    A flag that stands for a value of its own takes, right after it, one of ``words`` instead.
    """

    flag: str
    value: str | None
    words: Sequence[str] = ()


def aliases(classes: Classes) -> dict[str, Alias]:
    """Return other programs' names, and options that may stand without their value."""
    found: dict[str, Alias] = {}
    options = declared(classes)
    for cls in classes.values():
        for f in fields(cls):
            for alias in info_of(f).aliases:
                name, _, value = alias.partition("=")
                bare = name.replace("-", "_") == f.name
                if bare or name.replace("-", "_") not in options:
                    words = (info_of(f).choices or ()) if bare else ()
                    found.setdefault(f"--{name}", Alias(options[f.name].flag, value or None, words))
    return found


def rewrite(tokens: Iterable[str], names: Mapping[str, Alias]) -> list[str]:
    """Return the arguments with other programs' names replaced and lone ``-`` marked.

    A name that stands for a value is a flag; after it a 0 or 1, as some programs want, is understood.
    """
    rest, out = list(tokens), list[str]()
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*out, token, *rest]
        name, equals, value = token.partition("=")
        name = name.replace("_", "-") if name.startswith("--") else name
        if token == "-":
            out.append(STREAM)
        elif name not in names:
            # -o=- and --output=- too
            out.append(f"{name}={STREAM}" if equals and name.startswith("-") and value == "-" else token)
        else:
            flag, stands_for, words = names[name]
            if stands_for is None or (words and (equals or (rest and rest[0] in words))):
                out.append(flag + equals + value)
                continue
            if not equals and rest and rest[0].lower() in _YES | _NO:
                value = rest.pop(0)
            if value and value.lower() not in _YES | _NO:
                raise OptionError(f"{name} is '{value}'; it is a switch, {flag} {stands_for} in full")
            if value.lower() not in _NO:
                out += [flag, stands_for]
    return out


def spelled(message: str, names: Iterable[str]) -> str:
    """Return a message with the options' names as they are written on the command line."""
    words = {name: flag_of(name) for name in names if "_" in name}
    return re.sub(r"(?<!-)\b\w+", lambda found: words.get(found[0], found[0]), message)
