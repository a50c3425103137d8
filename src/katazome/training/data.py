"""What networks learn from: squares cut out of the pictures of folders, decoded by workers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from katazome.collections.folders import Source
from katazome.errors import KatazomeError, PictureError
from katazome.pictures.composite import composite
from katazome.pictures.read import read
from katazome.pictures.resize import resize

HELD_OUT = 20
"""One picture in so many is not learnt from, but measured at the end."""

_LARGER = 2
"""Pictures are made no smaller than so many sides of a square, where they are large enough."""

_KEPT_BYTES = 1 << 29
"""So much of what was decoded is kept for the next time."""


def split(sources: Sequence[Source], least: int = 1) -> tuple[list[Source], list[Source]]:
    """Return the pictures to learn from and those that are measured at the end, at least so many.

    Which is which a picture's name alone decides, whatever others there are, but for those few.

    Raises :class:`PictureError` where none would be left to learn from.
    """
    if len(sources) <= least:
        there = "is one picture" if len(sources) == 1 else f"are {len(sources)} pictures"
        raise PictureError(f"there {there}; a network learns from many, and is measured on others")
    drawn = held_first(sources)
    held = max(least, min(len(drawn) - 1, sum(_drawn(s) * HELD_OUT < 1 for s in drawn)))
    return drawn[held:], drawn[:held]


def held_first(sources: Sequence[Source]) -> list[Source]:
    """Return pictures in the order in which :func:`split` holds them out."""
    return sorted(sources, key=_drawn)


def few(sources: Sequence[Source], most: int | None) -> list[Source]:
    """Return at most so many pictures of each folder, told by their names alone; None = all."""
    by_folder: dict[Path, list[Source]] = {}
    for source in sorted(sources, key=lambda s: _drawn(s, "few ")):
        by_folder.setdefault(source.folder, []).append(source)
    return [source for some in by_folder.values() for source in some[:most]]


def _drawn(source: Source, salt: str = "") -> float:
    """Return a number in [0, 1) that a picture's name decides."""
    return int(hashlib.sha256((salt + source.name).encode()).hexdigest()[:12], 16) / 16**12


class Squares:
    """Squares cut out of pictures by chance; what cannot be read is passed over and noted in ``skipped``.

    Nothing is decoded ahead of the step that draws it. Eight squares of 96 px take 0.02 seconds of processor
    time when first read and 0.001 afterwards; the decoder's step that learns from them takes 1.6.
    """

    def __init__(self, sources: Sequence[Source], side: int, workers: int = 2) -> None:
        self.skipped: dict[Source, str] = {}
        self._sources, self._side = tuple(sources), side
        self._kept: dict[Source, Tensor] = {}
        self._room = _KEPT_BYTES
        self._pool = ThreadPoolExecutor(workers, "katazome-decode")

    def draw(self, count: int, draw: torch.Generator, part: slice = slice(None)) -> Tensor:
        """Return ``part`` of ``count`` squares (count, 3, side, side), sRGB in [0, 1], half of them mirrored.

        The others are not even decoded; what is drawn does not depend on the part.

        Raises :class:`PictureError` when no picture can be read.
        """
        first = torch.randint(len(self._sources), (count,), generator=draw).tolist()[part]
        chances = torch.rand(count, 3, generator=draw).tolist()[part]
        pictures = self._pool.map(self._from, first)
        return torch.stack([self._square(p, c) for p, c in zip(pictures, chances, strict=True)])

    def middles(self, most: int) -> list[Tensor]:
        """Return the squares (3, side, side) in the middle of the first readable pictures."""
        found: list[Tensor] = []
        for source in self._sources:
            picture = self._read(source) if len(found) < most else None
            if picture is not None:
                found.append(self._square(picture, (0.5, 0.5, 1.0)))
        return found

    def _from(self, number: int) -> Tensor:
        """Return a picture (3, H, W), bytes: the one of a number, or the next that can be read."""
        for step in range(len(self._sources)):
            picture = self._read(self._sources[(number + step) % len(self._sources)])
            if picture is not None:
                return picture
        raise PictureError("no picture of the folders can be read")

    def _read(self, source: Source) -> Tensor | None:
        if source in self._kept or source in self.skipped:
            return self._kept.get(source)
        try:
            picture = read(source.path, longest=4 * self._side)
            pixels = picture.pixels
            if picture.alpha is not None:
                pixels = composite(pixels, torch.ones_like(pixels), picture.alpha)
        except KatazomeError as error:
            self.skipped[source] = str(error)
            return None
        height, width = pixels.shape[2:]
        shorter = min(height, width)
        wanted = max(self._side, min(shorter, _LARGER * self._side))
        size = (max(wanted, round(height * wanted / shorter)), max(wanted, round(width * wanted / shorter)))
        small = (resize(pixels, size)[0] * 255).round().to(torch.uint8)
        if small.numel() <= self._room:
            self._room -= small.numel()
            self._kept[source] = small
        return small

    def _square(self, picture: Tensor, chance: Sequence[float]) -> Tensor:
        side = self._side
        top, left = (
            min(int(c * (s - side + 1)), s - side) for c, s in zip(chance, picture.shape[1:], strict=False)
        )
        square = picture[:, top : top + side, left : left + side].float() / 255
        return square.flip(2) if chance[2] < 0.5 else square
