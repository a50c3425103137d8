"""What excites a filter, to be looked at: its most exciting pictures with a box, and what it saw of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from katazome.collections.folders import Source, load_square
from katazome.errors import OptionError
from katazome.filters.record import Rank, Top
from katazome.networks.vgg import tap
from katazome.pictures.sheet import sheet

SMALL, MIDDLE, LARGE = 72, 112, 224
"""Sides of a picture on a sheet (px): of many filters, of a few, of one."""

_FEW = 12
_FRAME = 2  # px: a black, a yellow and a black line of this width
_HELD = 256  # squares kept in memory; the same picture excites many filters
_YELLOW, _BLACK = (1.0, 0.85, 0.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels: rows ``top`` to ``bottom``, columns ``left`` to ``right``, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    def cut(self, picture: Tensor) -> Tensor:
        """Return this part of a picture (1, C, H, W)."""
        return picture[..., self.top : self.bottom, self.left : self.right]

    def within(self, pixels: int) -> Box:
        """Return the box smaller by so many pixels on every side."""
        return Box(self.top + pixels, self.left + pixels, self.bottom - pixels, self.right - pixels)

    def drawn(self, picture: Tensor, width: int) -> Tensor:
        """Return a picture (1, 3, H, W) with a frame inside the rectangle's edge, seen on any ground."""
        framed = picture.clone()
        for pixels, ink in ((0, _BLACK), (width, _YELLOW), (2 * width, _BLACK)):
            self.within(pixels).cut(framed)[:] = torch.tensor(ink).view(1, 3, 1, 1)
        inside = self.within(3 * width)
        inside.cut(framed)[:] = inside.cut(picture)
        return framed


def field_of(layer: str, row: int, column: int, side: int) -> Box:
    """Return what a position of a layer sees of a picture of ``side`` px: its cell and the radius around."""
    at = tap(layer)
    edges = [
        (max(0, at.stride * n - at.radius), min(side, at.stride * (n + 1) + at.radius)) for n in (row, column)
    ]
    return Box(edges[0][0], edges[1][0], edges[0][1], edges[1][1])


@dataclass(frozen=True, eq=False, slots=True)
class Excited:
    """A picture that excites a filter."""

    value: float
    source: Source
    whole: Tensor
    """(1, 3, side, side), as the network saw it, with a box around what the filter saw."""
    crop: Tensor
    """(1, 3, h, w): what the filter saw."""


def exciting(
    rank: Rank, layer: str, filters: Sequence[int], k: int = 9, *, cell: int = LARGE
) -> Iterator[tuple[int, list[Excited]]]:
    """Yield each filter with its ``k`` most exciting pictures, best first; silent ones are left out.

    ``cell`` is the side (px) they will be shown at: frames are drawn so wide that they are seen there.

    Raises :class:`PictureError` when a picture is no longer there.
    """
    name = rank.layer(layer)
    check_filters(rank, name, filters)
    top, side = rank.top(name, k), rank.options.side
    load = lru_cache(_HELD)(partial(load_square, side=side))
    width = max(_FRAME, round(side / cell))
    for number in filters:
        yield number, list(_excited(rank, name, top, number, load, width))


def _excited(
    rank: Rank, layer: str, top: Top, number: int, load: Callable[[Source], Tensor], width: int
) -> Iterator[Excited]:
    side = rank.options.side
    for value, picture, (row, column) in zip(
        top.values[number].tolist(), top.pictures[number].tolist(), top.places[number].tolist(), strict=True
    ):
        if value > 0:
            source = rank.pictures[picture]
            square, box = load(source), field_of(layer, row, column, side)
            yield Excited(value, source, box.drawn(square, width), box.cut(square))


def check_filters(rank: Rank, layer: str, filters: Sequence[int]) -> None:
    """Raise :class:`OptionError` for a filter that the layer does not have."""
    count = rank.channels(layer)
    for number in filters:
        if not 0 <= number < count:
            raise OptionError(f"filter is {number}; {layer} has the filters 0..{count - 1}")


def filter_sheet(
    rank: Rank,
    layer: str,
    filters: Sequence[int] = (),
    k: int = 9,
    *,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Tensor:
    """Return a sheet (1, 3, H, W): a filter a row, its most exciting pictures and then what it saw of them.

    With none named, all filters of the layer; a single one is shown large, in two rows. ``progress`` is
    told of filters done and filters in all.
    """
    name = rank.layer(layer)
    wanted = list(filters) or list(range(rank.channels(name)))
    cell = LARGE if len(wanted) == 1 else MIDDLE if len(wanted) <= _FEW else SMALL
    found = exciting(rank, name, wanted, k, cell=cell)
    if len(wanted) == 1:
        number, pictures = next(found)
        if not pictures:
            raise OptionError(f"filter {number} of {name} is silent on all ranked pictures; show another")
        wholes = [(f"{e.value:.3g} {_shortened(e.source.name)}", e.whole) for e in pictures]
        return sheet([wholes, [("", e.crop) for e in pictures]], cell=cell)
    rows = []
    for number, pictures in found:
        rows.append(_row(number, pictures))
        progress(len(rows), len(wanted))
    return sheet(rows, cell=cell, gap=4)


def _row(number: int, pictures: Sequence[Excited]) -> list[tuple[str, Tensor]]:
    if not pictures:
        return [(f"{number}: silent", torch.full((1, 3, 8, 8), 0.9))]
    values = [f"{e.value:.3g}" for e in pictures]
    values[0] = f"{number}: {values[0]}"
    wholes = [(value, e.whole) for value, e in zip(values, pictures, strict=True)]
    return [*wholes, *(("", e.crop) for e in pictures)]


def strip(pictures: Sequence[Excited], cell: int = SMALL) -> Tensor:
    """Return a filter's pictures in a row above what it saw of them, without captions: (1, 3, H, W)."""
    if not pictures:
        return torch.full((1, 3, cell, cell), 0.9)
    return sheet([[("", e.whole) for e in pictures], [("", e.crop) for e in pictures]], cell=cell, gap=3)


def _shortened(name: str) -> str:
    """Return a file's name, in words that a caption can wrap."""
    return name.rpartition("/")[2].rpartition(".")[0].replace("_", " ")[:60]
