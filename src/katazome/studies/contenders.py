"""Which methods ``study styles`` can compare: those that make a picture of a content and a style alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from katazome.api import Session
from katazome.errors import KatazomeError, OptionError, sentence
from katazome.jobs.inputs import hash_of
from katazome.methods.base import Method, get_method, list_methods
from katazome.networks.feedforward import FeedForwardWeights


@dataclass(frozen=True)
class Contender:
    """A method, and for one that paints by a model, which: a name or a file; "" is its own."""

    method: Method
    model: str = ""
    style: str | None = None
    """The only style that it knows; None for one that takes any."""
    networks: tuple[str, ...] = ()
    """Hashes of what it asks beside VGG-19."""

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name

    def takes(self, style: str) -> bool:
        """Whether it makes pictures in a style."""
        return self.style in (None, style)

    def given(self, style: Path) -> tuple[Path, ...]:
        """Return the style pictures that it is given: none, where it has learnt one."""
        return (style,) if self.method.styled else ()

    def has(self, option: str) -> bool:
        """Whether it has an option."""
        return any(one.name == option for one in fields(self.method.options))

    def options(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return those options that it has; of None its own default holds."""
        return {name: value for name, value in asked.items() if value is not None and self.has(name)}


def asked_for(names: Sequence[str]) -> list[Contender]:
    """Return the methods of names; of no names, all that give a picture a look.

    ``NAME=MODEL`` is a method that paints by a model, and which. Raises :class:`OptionError` for an
    unknown method, or one that takes no model.
    """
    if not names:
        return [Contender(method) for method in list_methods() if method.content]
    found = []
    for text in names:
        name, _, model = text.partition("=")
        method = get_method(name)
        if model and not method.learnt:
            raise OptionError(f"{name} takes no model; leave '={model}' out")
        found.append(Contender(method, model))
    return found


def sifted(
    contenders: Sequence[Contender],
    session: Session,
    content: Path,
    styles: Mapping[str, Path],
    asked: Mapping[str, Any],
) -> tuple[list[Contender], dict[str, str]]:
    """Return those who can lay out the work, and, by name, why others cannot.

    ``styles`` are pictures by name. Raises :class:`OptionError` when nobody is left.
    """
    able: list[Contender] = []
    left: dict[str, str] = {}
    for one in contenders:
        name = f"{one.name}={one.model}" if one.model else one.name
        try:
            able.append(_laid_out(one, session, content, styles, asked))
        except KatazomeError as error:
            left[name] = sentence(error)
    if not able:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left.items())
        raise OptionError(f"no method is left to study ({reasons})")
    return able, left


def _laid_out(
    one: Contender, session: Session, content: Path, styles: Mapping[str, Path], asked: Mapping[str, Any]
) -> Contender:
    method = one.method
    if not method.styled and not method.learnt:
        raise OptionError("it takes no style")
    model: dict[str, Any] = {"model": one.model} if one.model else {}
    given = one.given(next(iter(styles.values())))
    work = session.prepare(content, given, method=method.name, **model, **one.options(asked))
    networks = tuple(sha256[:12] for _, sha256 in work.task.networks)
    if method.styled or not isinstance(work.inputs.network, FeedForwardWeights):
        return replace(one, networks=networks)
    learnt = work.inputs.network.facts.style
    for name, path in styles.items():
        if hash_of(path) == learnt.get("sha256"):
            return replace(one, style=name, networks=networks)
    raise OptionError(f"it has learnt '{learnt['name']}', which is none of the styles")
