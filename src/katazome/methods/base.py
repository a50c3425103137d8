"""What a method is, and the register of methods.

A method is an option class, presets (data), and one function that turns inputs, options and an
engine into a :class:`Task`: what is to be done, foretold and ready to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from katazome.descent.loop import Checkpoint, Problem, Step, descend
from katazome.descent.optimisers import Optimiser
from katazome.descent.scales import Stage
from katazome.errors import MethodError, OptionError, nearest
from katazome.methods.kept import KeptLooks
from katazome.networks.decoders import Decoders
from katazome.networks.seen import Seen
from katazome.networks.segmenter import Segmenter
from katazome.networks.vgg import Encoder
from katazome.objective.plan import Plan
from katazome.objective.sharing import ALONE, Partners
from katazome.options import Options
from katazome.pictures.read import Picture, PictureLike
from katazome.regions.region import Region
from katazome.statistics.direction import Direction
from katazome.weights.shelf import Learnt, Shelf


@dataclass(frozen=True)
class Style:
    """A style picture, and a map, as a grey picture, of the part the look is taken from; None = all."""

    picture: Picture
    region: Picture | None = None


@dataclass(frozen=True)
class Placement:
    """Styles, blended, and a map, as a grey picture, of where in the content they act; None = everywhere."""

    styles: tuple[Style, ...]
    region: Picture | None = None


@dataclass(frozen=True)
class Inputs:
    """The pictures of one piece of work. Only the first placement may be without a region."""

    content: Picture | None
    placements: tuple[Placement, ...]
    start: Picture | None = None
    segmenter: Segmenter | None = None
    """The model that tells materials apart, for methods that ask it."""
    network: Learnt | None = None
    """The network that has learnt the look, for the method that asks it."""
    direction: Direction | None = None
    """The way from one set of pictures to another, for methods that go it."""
    seen: Seen | None = field(default=None, compare=False)
    """Where what the network sees in the content is kept; None keeps nothing."""

    @property
    def styles(self) -> tuple[Style, ...]:
        """The styles of all placements, in order."""
        return tuple(style for placement in self.placements for style in placement.styles)

    def named(self) -> Iterator[tuple[str, Picture]]:
        """Yield (role, picture) in an order that :meth:`of` reads back; maps of regions as pictures."""
        if self.content is not None:
            yield "content", self.content
        for placement in self.placements:
            if placement.region is not None:
                yield "where", placement.region
            for style in placement.styles:
                yield "style", style.picture
                if style.region is not None:
                    yield "style-where", style.region
        if self.start is not None:
            yield "init", self.start

    @staticmethod
    def of(named: Sequence[tuple[str, Picture]]) -> Inputs:
        """The inverse of :meth:`named`."""
        one: dict[str, Picture] = {}
        placements: list[Placement] = []
        for role, picture in named:
            if role == "where":
                placements.append(Placement((), picture))
            elif role == "style":
                last = placements.pop() if placements else Placement(())
                placements.append(replace(last, styles=(*last.styles, Style(picture))))
            elif role == "style-where":
                last = placements.pop()
                styles = (*last.styles[:-1], replace(last.styles[-1], region=picture))
                placements.append(replace(last, styles=styles))
            else:
                one[role] = picture
        return Inputs(one.get("content"), tuple(placements), one.get("init"))


@dataclass(frozen=True)
class Photograph:
    """A content picture, and what the network has seen in it so far; see :meth:`Session.photograph`."""

    source: PictureLike
    seen: Seen


@dataclass(frozen=True)
class Engine:
    """The networks and the machine that a method works with."""

    encoder: Encoder
    device: torch.device
    decoders: Decoders
    looks: KeptLooks | None = None
    """Statistics of styles, where they are to be kept between pieces of work."""
    partners: Partners = ALONE
    """The processes that share the tiles of a picture."""


class Task(Protocol):
    """What a method laid out, foretold and ready: a :class:`Descent`, or a picture made in one pass."""

    @property
    def plan(self) -> Plan:
        """What is going to happen."""

    @property
    def networks(self) -> Sequence[tuple[str, str]]:
        """Name and hash of each network's file that is used beside VGG-19."""

    def steps(self, resume: Checkpoint | None = None) -> Iterator[Step]:
        """Run and yield the steps; the last one holds the result."""


@dataclass(frozen=True)
class Descent:
    """A descent that is ready to run. ``finish`` makes the final picture (1, 3|4, H, W) of an iterate."""

    problem: Problem
    walk: Sequence[Stage]
    optimiser: Callable[[], Optimiser]
    finish: Callable[[Tensor], Tensor]
    plan: Plan
    networks: Sequence[tuple[str, str]] = ()

    def steps(self, resume: Checkpoint | None = None) -> Iterator[Step]:
        """Run and yield the steps."""
        return descend(self.problem, self.walk, self.optimiser, self.finish, resume)


@dataclass(frozen=True)
class Preset:
    """Named settings. ``options`` are for the normalised network; ``caffe`` replaces some for the raw one."""

    summary: str
    options: Mapping[str, Any]
    caffe: Mapping[str, Any] = field(default_factory=dict)

    def for_flavour(self, flavour: str) -> dict[str, Any]:
        """Return the options for weights of a flavour."""
        return {**self.options, **(self.caffe if flavour == "caffe" else {})}


RAW = 57.0
"""Activations of the raw Caffe network on pixels 0..255, over those of the normalised one.

Presets of programs made for the raw one are translated with it, over the whole objective: content
terms shrink by RAW^2 and style terms by RAW^4, so against content kept as it is, style weights grow
by RAW^2. Exact it cannot be: normalising rescaled the filters one by one.
"""


def smoothness_of_bytes(weight: float) -> tuple[float, float]:
    """Translate a weight of summed squared differences on pixels 0..255.

    Returns the weights on [0, 1] for the normalised network and for the raw one.
    """
    return weight * (255 / RAW) ** 2, weight * 255**2


def seed0(summary: str, **more: Any) -> Preset:
    """Return the weights of the first source document (its section on settings), as a preset of a method."""
    common = {
        "precondition": False,
        "gamut_weight": 0.0,
        "content_weight": 5.0,
        "style_weight": 0.002 * RAW**2,
        "smoothness": smoothness_of_bytes(0.001)[0],
        "smoothness_as_sum": True,
        "iterations": 1000,
        "scales": 1,
    }
    raw = {"style_weight": 0.002, "smoothness": smoothness_of_bytes(0.001)[1]}
    return Preset(summary, {**common, **more}, raw)


Build = Callable[[Inputs, Any, Engine], Task]

Where = Callable[[Any, Engine], Region | None]
"""From a method's options to the region that it is limited to by itself; None = what was asked for."""


def _anywhere(options: Any, engine: Engine) -> None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Method:
    """A registered method. ``content`` says whether it changes a picture, ``styled`` whether by styles.

    ``learnt`` is where the network is found that ``model`` names, for methods that paint by one: if not
    ``styled``, it has learnt the look itself.
    """

    name: str
    summary: str
    options: type[Options]
    build: Build
    content: bool
    presets: Mapping[str, Preset]
    styled: bool = True
    where: Where = _anywhere
    learnt: Shelf[Any] | None = None

    @property
    def restyles(self) -> bool:
        """Whether it gives a picture a look, of styles or a learnt one: what ``katazome stylize`` does."""
        return self.content and (self.styled or self.learnt is not None)

    def resolve(self, explicit: Mapping[str, Any], preset: str | None, flavour: str) -> Any:
        """Return the options: the method's defaults, under the preset's, under those given."""
        values: dict[str, Any] = {}
        if preset is not None:
            if preset not in self.presets:
                known = ", ".join(self.presets) or "none"
                raise OptionError(
                    f"{self.name} has no preset '{preset}'{nearest(preset, self.presets)} (known: {known})"
                )
            values = self.presets[preset].for_flavour(flavour)
        explicit = self.options.coerce(explicit)
        values = self.options.coerce(values)
        # A strength given by hand replaces a preset's raw weights, and the other way round.
        if explicit.get("strength") is not None:
            values = {k: v for k, v in values.items() if k not in ("content_weight", "style_weight")}
        return self.options(**{**values, **explicit})


_METHODS: dict[str, Method] = {}


def register(
    name: str,
    *,
    summary: str,
    options: type[Options],
    content: bool = True,
    styled: bool = True,
    presets: Mapping[str, Preset] | None = None,
    where: Where = _anywhere,
    learnt: Shelf[Any] | None = None,
) -> Callable[[Build], Build]:
    """Register the decorated function as a method; a second one of the same name is an error."""

    def add(build: Build) -> Build:
        if name in _METHODS:
            raise MethodError(f"a method named '{name}' is registered already")
        _METHODS[name] = Method(name, summary, options, build, content, presets or {}, styled, where, learnt)
        return build

    return add


def get_method(name: str) -> Method:
    """Return a method by name; an unknown name is an :class:`OptionError` that offers the nearest."""
    if name not in _METHODS:
        raise OptionError(
            f"no method is called '{name}'{nearest(name, _METHODS)} (known: {', '.join(_METHODS)})"
        )
    return _METHODS[name]


def list_methods() -> list[Method]:
    """Return all methods in order of registration."""
    return list(_METHODS.values())
