"""Tiles: a picture cut into cores that do not overlap, each seen with a halo around it.

The halo is as wide as the deepest tap's receptive radius, so the features of a core are exactly
those of the whole picture. Inside the picture the network's own padding touches only the halo's
outer rim, whose features belong to no core; at the picture's border it is what it always is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from katazome.losses.base import Window
from katazome.networks.vgg import deepest, tap

ALIGNMENT = 32
"""Tile edges lie on multiples of this (px): the stride of relu5_1, and four positions of relu4_2,
the size of a Winograd tile, so that tiles and whole round alike."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A core and the rectangle that is encoded for it; the latter may pass the border where it wraps."""

    core: Window
    outer: Window

    def cut(self, picture: Tensor) -> Tensor:
        """Return the outer rectangle of ``picture`` (B, C, H, W)."""
        rows = _span(self.outer.top, self.outer.bottom, picture.shape[2])
        columns = _span(self.outer.left, self.outer.right, picture.shape[3])
        if isinstance(rows, slice) and isinstance(columns, slice):
            return picture[:, :, rows, columns]
        for dim, span in ((2, rows), (3, columns)):
            if not isinstance(span, slice):
                picture = picture.index_select(dim, span.to(picture.device))
            else:
                picture = picture[(slice(None),) * dim + (span,)]
        return picture

    def add(self, total: Tensor, part: Tensor) -> None:
        """Add ``part``, which belongs to the outer rectangle, into ``total`` (the adjoint of :meth:`cut`)."""
        rows = _indices(self.outer.top, self.outer.bottom, total.shape[2], total.device)
        columns = _indices(self.outer.left, self.outer.right, total.shape[3], total.device)
        inside = self.outer.top >= 0 and self.outer.left >= 0
        if inside and self.outer.bottom <= total.shape[2] and self.outer.right <= total.shape[3]:
            total[:, :, self.outer.top : self.outer.bottom, self.outer.left : self.outer.right] += part
            return
        lines = total.new_zeros(*part.shape[:3], total.shape[3]).index_add_(3, columns, part)
        total.index_add_(2, rows, lines)

    def core_of(self, features: Tensor, name: str) -> Tensor:
        """Return the core's part of features (B, C, h, w) encoded from the outer rectangle."""
        stride = tap(name).stride
        top = (self.core.top - self.outer.top) // stride
        left = (self.core.left - self.outer.left) // stride
        height = -(-self.core.bottom // stride) - self.core.top // stride
        width = -(-self.core.right // stride) - self.core.left // stride
        return features[:, :, top : top + height, left : left + width]


def _span(start: int, stop: int, size: int) -> slice | Tensor:
    if start >= 0 and stop <= size:
        return slice(start, stop)
    return _indices(start, stop, size, torch.device("cpu"))


def _indices(start: int, stop: int, size: int, device: torch.device) -> Tensor:
    return torch.arange(start, stop, device=device) % size


def halo(taps: Sequence[str]) -> int:
    """Return the width (px) of the border that a core needs around it, aligned."""
    return _up(max(tap(t).radius for t in taps) if taps else 0, ALIGNMENT)


def tiles(
    height: int,
    width: int,
    taps: Sequence[str],
    core: int | tuple[int, int] | None,
    wrap: tuple[bool, bool] = (False, False),
) -> Iterator[Tile]:
    """Cut a picture of ``height`` x ``width`` px into tiles with cores of about ``core`` px (height, width).

    ``core`` None means one tile, the whole picture; one number is for both sides. ``wrap`` says along which
    axes the picture is periodic: there the halo is taken from the other side.
    """
    rim = halo(taps)
    stride = deepest(taps).stride if taps else 1
    high, wide = core if isinstance(core, tuple) else (core, core)
    for (top, bottom), (outer_top, outer_bottom) in _cut(height, high, rim, stride, wrap[0]):
        for (left, right), (outer_left, outer_right) in _cut(width, wide, rim, stride, wrap[1]):
            yield Tile(
                Window(top, bottom, left, right), Window(outer_top, outer_bottom, outer_left, outer_right)
            )


def _cut(
    size: int, core: int | None, rim: int, stride: int, wraps: bool
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    if core is None or size <= core or (wraps and size % stride):
        # A wrapped axis that is not cut is padded circularly by the network itself. One that is no
        # whole number of strides cannot be cut: its features at depth are not those of a periodic picture.
        yield (0, size), (0, size)
        return
    # Pieces of nearly equal length; a thin rest would cost as much halo as a full one.
    length = _up(-(-size // -(-size // core)), ALIGNMENT)
    edges = [*range(0, size, length), size]
    if size - edges[-2] < stride and len(edges) > 2:
        del edges[-2]
    for start, stop in pairwise(edges):
        if wraps:
            yield (start, stop), (start - rim, stop + rim)
        else:
            yield (start, stop), (max(0, start - rim), min(size, stop + rim))


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
