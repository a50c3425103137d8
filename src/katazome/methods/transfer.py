"""Feature transforms: an affine map of channels, made of sums over positions.

AdaIN and WCT differ in one thing: whether the map is a number for each channel or a matrix between them. What
they need of a picture is a sum over its positions, so it is gathered in tiles, under a soft map, and is
exactly the whole picture's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.losses.base import Features, Sums, Window, counted, guide_of
from katazome.statistics.guides import Guides
from katazome.statistics.moments import covariance_sums, guide_sum, mean_and_deviation, moment_sums


@dataclass(frozen=True)
class ChannelStatistics:
    """Gathers the sums that a transform needs at ``taps``: moments of the channels, or their covariances."""

    taps: tuple[str, ...]
    covariances: bool
    guides: Guides | None = None

    def partial(self, features: Features, window: Window) -> Sums:
        """Return this window's share of the sums."""
        gathered = covariance_sums if self.covariances else moment_sums
        sums: Sums = {}
        for tap in self.taps:
            guide = guide_of(self.guides, tap, window)
            sums |= counted(tap, gathered(features[tap], guide), guide_sum(features[tap], guide))
        return sums


@dataclass(frozen=True)
class Affine:
    """Takes features F to M F + b. ``matrix`` is (C, C), or (C,) for one number a channel; ``shift`` (C,)."""

    matrix: Tensor
    shift: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Map features (1, C, h, w), at least in float32; the result is in their own type."""
        f = features if features.dtype == torch.float64 else features.float()
        matrix, shift = self.matrix.to(f), self.shift.to(f)
        if matrix.ndim == 1:
            made = f * matrix.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        else:
            made = (f.permute(0, 2, 3, 1) @ matrix.t() + shift).permute(0, 3, 1, 2)
        return made.to(features.dtype)

    def at(self, strength: float) -> Affine:
        """Return the map that goes only so far from the identity."""
        one = torch.ones_like(self.shift)
        identity = one if self.matrix.ndim == 1 else torch.diag(one)
        return Affine(strength * self.matrix + (1 - strength) * identity, strength * self.shift)

    @staticmethod
    def blend(maps: Sequence[Affine], shares: Sequence[float]) -> Affine:
        """Return the weighted mean of several maps: that of their results. ``shares`` need not sum to 1."""
        parts = [share / sum(shares) for share in shares]
        matrices = [p * m.matrix for p, m in zip(parts, maps, strict=True)]
        shifts = [p * m.shift for p, m in zip(parts, maps, strict=True)]
        return Affine(torch.stack(matrices).sum(0), torch.stack(shifts).sum(0))


Transform = Callable[[Tensor, Tensor], Affine]
"""From the content's statistics per position at a layer, and a style's, to the map between them."""


ADAIN_LAYERS = ("relu4_1",)


def normalised(content: Tensor, style: Tensor) -> Affine:
    """Return AdaIN's map from moments (2, C) of content and style: deviation for deviation, mean for mean."""
    (mean, deviation), (target, wanted) = mean_and_deviation(content), mean_and_deviation(style)
    scale = wanted / deviation
    return Affine(scale, target - scale * mean)


def mixed(features: Tensor, maps: Sequence[Affine], weights: Sequence[Tensor | None]) -> Tensor:
    """Map features (1, C, h, w), each map where its weight (1, 1, h, w) in [0, 1] says; None = everywhere.

    Where weights sum to more than 1 they share the place; where to less, the rest stays as it was.
    """
    if len(maps) == 1 and weights[0] is None:
        return maps[0](features)
    one = torch.ones_like(features[:, :1], dtype=torch.float32)
    shares = [one if w is None else w.to(one) for w in weights]
    total = torch.stack(shares).sum(0).clamp_min(1)
    f = features if features.dtype == torch.float64 else features.float()
    made = f.clone()
    for share, found in zip(shares, maps, strict=True):
        made += (share / total).to(f) * (found(f) - f)
    return made.to(features.dtype)
