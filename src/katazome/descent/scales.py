"""The walk from coarse to fine: sizes, iterations and precision of each stage.

Coarse scales settle the large forms at a fraction of the cost and give the next scale its start.
The ladder always begins near the same small size, whatever the final one, so that a preview and
a large picture take the same path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

COARSEST = 128
"""Smallest side (px), about, of the first scale when the number of scales is left open."""

ITERATIONS_GROW = 1.5
"""A scale of half the side costs a quarter for each iteration, and gets this many times more of them."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the descent at one size and one precision.

    ``first`` is the index of its first iteration within the scale, ``count`` the iterations of
    the whole scale; ``scale`` counts from 0. ``wrap`` says whether (rows, columns) are periodic.
    """

    scale: int
    scales: int
    height: int
    width: int
    dtype: torch.dtype
    first: int
    iterations: int
    count: int
    wrap: tuple[bool, bool] = (False, False)


def scale_sizes(
    height: int, width: int, scales: int | None, *, smallest: int, multiple: tuple[int, int] = (1, 1)
) -> list[tuple[int, int]]:
    """Return (height, width) of each scale, coarse to fine, each half of the next.

    ``scales`` None means as many as keep the smaller side at ``COARSEST`` px or more; a number is
    limited so that it stays at ``smallest`` px or more. ``multiple`` (rows, columns) rounds sizes
    of periodic pictures to whole strides.
    """
    sizes = [(height, width)]
    while scales is None or len(sizes) < scales:
        factor = 2.0 ** -len(sizes)
        h, w = (
            max(m, round(side * factor / m) * m) for side, m in zip((height, width), multiple, strict=True)
        )
        if min(h, w) < (max(COARSEST * 0.75, smallest) if scales is None else smallest):
            break
        sizes.append((h, w))
    return sizes[::-1]


def stages(
    sizes: Sequence[tuple[int, int]],
    iterations: int,
    coarse: torch.dtype,
    fine: torch.dtype,
    fine_share: float,
    wrap: tuple[bool, bool] = (False, False),
) -> list[Stage]:
    """Lay out the walk: ``coarse`` precision, then ``fine`` for that share of the last scale."""
    walk: list[Stage] = []
    last = len(sizes) - 1
    for scale, (height, width) in enumerate(sizes):
        count = round(iterations * ITERATIONS_GROW ** (last - scale))
        fine_count = round(count * fine_share) if scale == last and coarse != fine else 0
        place = (scale, len(sizes), height, width)
        if count - fine_count:
            walk.append(Stage(*place, coarse, 0, count - fine_count, count, wrap))
        if fine_count:
            walk.append(Stage(*place, fine, count - fine_count, fine_count, count, wrap))
    return walk
