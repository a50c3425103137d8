"""What a loss is: sums gathered over windows of features, and a small function of their total.

A loss never sees how the picture was cut. ``partial`` is called once for each window with the
features of its core (each position of the picture is in exactly one core), the results are
added up, and ``value`` makes a number of the total. So the same loss serves a whole picture,
tiles, and several machines, with the same value and gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from katazome.networks.vgg import tap
from katazome.statistics.guides import Guides

Features = Mapping[str, Tensor]
"""Features by tap, each (B, C, h, w)."""

Sums = dict[str, Tensor]
"""Named sums over positions; sums of several windows are added name by name."""

_POSITIONS = "/positions"


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the picture (px): rows ``top`` to ``bottom``, columns ``left`` to ``right``.

    Its edges lie on multiples of the deepest stride, or at the picture's border.
    """

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, whole: Tensor, name: str) -> Tensor:
        """Return this window's part of a map (B, C, h, w) that belongs to the whole picture at a tap."""
        stride = tap(name).stride
        rows = slice(self.top // stride, -(-self.bottom // stride))
        return whole[:, :, rows, self.left // stride : -(-self.right // stride)]


class Term(Protocol):
    """A weighted part of the objective."""

    @property
    def name(self) -> str:
        """Name under which it is reported."""

    @property
    def weight(self) -> float:
        """Its factor in the objective."""


@runtime_checkable
class Loss(Term, Protocol):
    """A loss on features, with its target. Frozen: it is made anew at each scale."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Layers whose features it needs."""

    def partial(self, features: Features, window: Window) -> Sums:
        """Return this window's share of the sums; differentiable with respect to the features."""

    def value(self, sums: Sums) -> Tensor:
        """Return the unweighted loss, shape (), from the sums over the whole picture."""


@runtime_checkable
class PixelLoss(Term, Protocol):
    """A loss on the picture itself, which needs no network; with weight 0 it is left out."""

    @property
    def on_iterate(self) -> bool:
        """Whether it sees the iterate even where a region mixes that with the original at its edge."""

    def of(self, picture: Tensor) -> Tensor:
        """Return the unweighted value for a picture (B, 3, H, W); shape ()."""


def guide_of(guides: Guides | None, name: str, window: Window) -> Tensor | None:
    """Return a window's part of the guide at a tap, or None where there are no guides."""
    return None if guides is None else window.cut(guides[name], name)


def counted(name: str, total: Tensor, positions: Tensor) -> Sums:
    """Name a sum, and beside it what it is to be divided by."""
    return {name: total, name + _POSITIONS: positions}


def per_position(sums: Mapping[str, Tensor], name: str) -> Tensor:
    """Divide a sum by its :func:`counted` positions.

    A guide that is zero at every position of a layer makes 0, not 0 / 0: the layer then has
    nothing to say, and no gradient.
    """
    positions = sums[name + _POSITIONS]
    divisor = torch.where(positions > 0, positions, torch.ones_like(positions))
    return sums[name] / divisor.to(sums[name])


def names_of(sums: Mapping[str, Tensor]) -> list[str]:
    """Return the names of :func:`counted` sums."""
    return [name for name in sums if not name.endswith(_POSITIONS)]
