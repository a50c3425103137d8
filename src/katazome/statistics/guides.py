"""Guides: a soft map of the picture carried to the resolution of a layer.

Source: Gatys et al. 2017 (see :mod:`katazome.statistics.gram`), section 4.1, and the authors' published
code, which has two ways. ``simple``: area averages, halved as often as the network pools, so that position
and guide agree. ``inside``: only positions that see nothing but the region, grown again by three positions,
or a small region would be left with none.

Departures: the authors feed noise through the network to learn what a position sees; here it follows from
the layers' sizes, and maps stay soft. Growing never goes beyond ``simple``, so shallow layers are the same
in both. Where ``inside`` would leave less than a quarter of the region at a layer, it is eroded less there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from katazome.networks.vgg import Tap, tap

Guides = Mapping[str, Tensor]
"""A map (1, 1, h, w) in [0, 1] for each tap."""

GROWN = 3
"""Positions by which ``inside`` grows again (k = 3 in the authors' settings for one style picture)."""

_LEAST = 0.25


def carry(region: Tensor, taps: Sequence[str], *, inside: bool = False) -> dict[str, Tensor]:
    """Carry ``region`` (1, 1, H, W) in [0, 1] to each tap: (1, 1, H // stride, W // stride)."""
    levels = {1: region}
    for name in taps:
        stride = tap(name).stride
        for s in (2**k for k in range(1, stride.bit_length())):
            if s not in levels:
                levels[s] = F.avg_pool2d(levels[s // 2], 2)
    found = {tap(name).name: levels[tap(name).stride] for name in taps}
    return {name: eroded(guide, tap(name)) for name, guide in found.items()} if inside else found


def eroded(guide: Tensor, layer: Tap) -> Tensor:
    """Return a guide (1, 1, h, w) without the positions that see far beyond it.

    What lies beyond the picture's border is no part of anything, and takes nothing away.
    """
    least = _LEAST * float(guide.sum())
    for positions in range(max(0, math.ceil(layer.radius / layer.stride) - GROWN), 0, -1):
        smaller = -F.max_pool2d(-guide, 2 * positions + 1, 1, positions)
        if float(smaller.sum()) >= least:
            return smaller
    return guide
