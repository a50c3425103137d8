"""Which methods ``study styles`` can compare: those that make a picture of a content and a style alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from katazome.api import Session
from katazome.errors import KatazomeError, OptionError, nearest, sentence
from katazome.methods.base import Method, get_method, list_methods


@dataclass(frozen=True)
class Contender:
    """A method; ``style`` is the name of the only one that it knows, None for one that takes any."""

    method: Method
    style: str | None = None

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name

    def takes(self, style: str) -> bool:
        """Whether it makes pictures in a style."""
        return self.style in (None, style)

    def styles(self, path: Path) -> tuple[Path, ...]:
        """Return what it is given for a style picture: nothing, where it has learnt that."""
        return (path,) if self.style is None else ()

    def has(self, option: str) -> bool:
        """Whether it has an option."""
        return any(one.name == option for one in fields(self.method.options))

    def options(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return those options that it has; of None its own default holds."""
        return {name: value for name, value in asked.items() if value is not None and self.has(name)}


def asked_for(names: Sequence[str], styles: Sequence[str]) -> list[Contender]:
    """Return the methods of names, ``NAME`` or ``NAME=STYLE``; of no names, all that restyle a picture.

    ``NAME=STYLE`` is a method that has learnt one style, and which of ``styles`` that is. Raises
    :class:`OptionError` for an unknown method or style, or a method named twice.
    """
    if not names:
        return [Contender(method) for method in list_methods() if method.content]
    found: dict[str, Contender] = {}
    for text in names:
        name, _, style = text.partition("=")
        method = get_method(name)
        if style and method.styled:
            raise OptionError(f"{name} takes any style; leave '={style}' out")
        if style and style not in styles:
            raise OptionError(
                f"no style is called '{style}'{nearest(style, styles)} (given: {', '.join(styles)})"
            )
        if name in found:
            raise OptionError(f"the method {name} is named twice")
        found[name] = Contender(method, style or None)
    return list(found.values())


def sifted(
    contenders: Sequence[Contender], session: Session, content: Path, style: Path, asked: Mapping[str, Any]
) -> tuple[list[Contender], dict[str, str]]:
    """Return those who can lay out the work, and, by name, why others cannot.

    Raises :class:`OptionError` when nobody is left.
    """
    able: list[Contender] = []
    left: dict[str, str] = {}
    for one in contenders:
        if not one.method.styled and one.style is None:
            left[one.name] = (
                "it takes no style; if it has learnt one of these, "
                f"say which in --methods, as {one.name}=STYLE"
            )
            continue
        try:
            session.prepare(content, one.styles(style), method=one.name, **one.options(asked))
            able.append(one)
        except KatazomeError as error:
            left[one.name] = sentence(error)
    if not able:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left.items())
        raise OptionError(f"no method is left to study ({reasons})")
    return able, left
