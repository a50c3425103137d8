"""Options: declared once, as frozen dataclasses.

The command line, Python keywords, JSON recipes and the reference page of the docs are all
read from these declarations. A field is declared with :func:`option`; its metadata holds the
help text, the unit, the range, the choices and the names that users of other programs know
it by. Unknown keys are errors, everywhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Self

from katazome.errors import OptionError, nearest

_META = "katazome"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionInfo:
    """What is known of one option besides its name, type and default."""

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """Hidden names, as other programs spell them; ``name=value`` fixes the value too."""
    group: str = "Picture"
    repeats: bool = False
    """A list whose items are given one at a time, each by the option again."""

    @property
    def range_text(self) -> str:
        """The allowed values in words: ``0..1``, ``at least 1``, ``lbfgs | adam`` or an empty string."""
        if self.choices:
            return " | ".join(self.choices)
        if self.low is not None and self.high is not None:
            return f"{self.low:g}..{self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return ""


def option(default: Any, **info: Any) -> Any:
    """Declare a field of an :class:`Options` class; keywords are those of :class:`OptionInfo`."""
    return field(default=default, metadata={_META: OptionInfo(**info)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Base of every option class: checks values, goes to JSON and back, has a fingerprint."""

    def __post_init__(self) -> None:
        hints = type_hints(type(self))
        for f in fields(self):
            _check(f.name, getattr(self, f.name), hints[f.name], info_of(f))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; tuples become lists."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build from JSON values or keywords; an unknown key or a wrong value is an :class:`OptionError`."""
        return cls(**cls.coerce(values))

    @classmethod
    def coerce(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``values`` in the declared types (lists to tuples, whole numbers to floats)."""
        hints, known = type_hints(cls), {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise OptionError(
                    f"unknown option '{key}'{nearest(key, known)} (known: {', '.join(sorted(known))})"
                )
        return {key: _coerce(value, hints[key]) for key, value in values.items()}

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any value."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]


def info_of(f: dataclasses.Field[Any]) -> OptionInfo:
    """Return what :func:`option` declared for a dataclass field."""
    info = f.metadata.get(_META)
    if not isinstance(info, OptionInfo):
        raise TypeError(f"field {f.name} was not declared with option()")
    return info


def type_hints(cls: type[Options]) -> dict[str, Any]:
    """Return the resolved annotations of an option class."""
    return typing.get_type_hints(cls)


def _members(hint: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(hint)
    return typing.get_args(hint) if origin in (UnionType, typing.Union) else (hint,)


def _coerce(value: Any, hint: Any) -> Any:
    members = _members(hint)
    if isinstance(value, Sequence) and not isinstance(value, str):
        for member in members:
            if typing.get_origin(member) is tuple:
                return tuple(_coerce(v, typing.get_args(member)[0]) for v in value)
    if isinstance(value, int) and not isinstance(value, bool) and float in members and int not in members:
        return float(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and str in members and int not in members and float not in members:
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str) and str not in members:
        items = next((m for m in members if typing.get_origin(m) is tuple), None)
        if items is not None:
            return tuple(_parse(v.strip(), typing.get_args(items)[0]) for v in value.split(",") if v.strip())
    return value


def _parse(text: str, hint: Any) -> Any:
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            return text
    return text


def _is(value: Any, member: Any) -> bool:
    if typing.get_origin(member) is tuple:
        item = typing.get_args(member)[0]
        return isinstance(value, tuple) and all(_is(v, item) for v in value)
    if member is float:
        return isinstance(value, float) and math.isfinite(value)
    if member is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, member)


def _name(member: Any) -> str:
    if member is NoneType:
        return "nothing"
    if typing.get_origin(member) is tuple:
        return "a list of numbers" if typing.get_args(member)[0] in (int, float) else "a list of names"
    plain = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return plain.get(member) or str(member.__name__)


def _check(name: str, value: Any, hint: Any, info: OptionInfo) -> None:
    members = _members(hint)
    if not any(_is(value, m) for m in members):
        wanted = " or ".join(_name(m) for m in members if m is not NoneType)
        raise OptionError(f"{name} is {value!r}; it must be {wanted}")
    if value is None:
        return
    for item in value if isinstance(value, tuple) else (value,):
        if info.choices and isinstance(item, str) and item not in info.choices:
            raise OptionError(
                f"{name} is '{item}'{nearest(item, info.choices)} (one of: {', '.join(info.choices)})"
            )
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            low, high = info.low, info.high
            if (low is not None and item < low) or (high is not None and item > high):
                raise OptionError(f"{name} is {item:g}; it must be {info.range_text}")
