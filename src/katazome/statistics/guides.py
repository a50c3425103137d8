"""Guides: a soft map of the picture carried to the resolution of a layer.

Source: Gatys et al. 2017 (see :mod:`katazome.statistics.gram`), section 4.1. A guide is carried
by area averages, halved as often as the network pools, so that position and guide agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from katazome.networks.vgg import tap

Guides = Mapping[str, Tensor]
"""A map (1, 1, h, w) in [0, 1] for each tap."""


def carry(region: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
    """Carry ``region`` (1, 1, H, W) in [0, 1] to each tap: (1, 1, H // stride, W // stride)."""
    levels = {1: region}
    for name in taps:
        stride = tap(name).stride
        for s in (2**k for k in range(1, stride.bit_length())):
            if s not in levels:
                levels[s] = F.avg_pool2d(levels[s // 2], 2)
    return {tap(name).name: levels[tap(name).stride] for name in taps}
