"""Feature target: features as they are to become, whole maps or their direction alone.

A target at full length is what content is (:class:`katazome.losses.content.Content`); :class:`UnitTarget` is
that of features divided by their norm over all layers together, as Upchurch et al. 2016 put it in words.
The norm is a sum over positions, so it is gathered like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.device import exact_dtype
from katazome.losses.base import Features, Sums, Window


@dataclass(frozen=True)
class UnitTarget:
    """Squared distance of features over their norm to ``targets``, whole maps (1, C, h, w)."""

    targets: Mapping[str, Tensor]
    weight: float = 1.0
    name: str = "target"

    @property
    def taps(self) -> tuple[str, ...]:
        """Layers of the targets."""
        return tuple(self.targets)

    def partial(self, features: Features, window: Window) -> Sums:
        """Sums of squares, of products with the target, and of the target's squares."""
        own, with_target, target = [], [], []
        exact = exact_dtype(next(iter(features.values())).device)
        for tap in self.taps:
            found, wanted = features[tap].to(exact), window.cut(self.targets[tap], tap).to(exact)
            own.append(found.square().sum())
            with_target.append((found * wanted).sum())
            target.append(wanted.square().sum())
        sums = {"own": own, "with target": with_target, "target": target}
        return {name: torch.stack(values).sum() for name, values in sums.items()}

    def value(self, sums: Sums) -> Tensor:
        """|f / |f| - t|^2; shape ()."""
        length = sums["own"].clamp_min(torch.finfo(sums["own"].dtype).tiny).sqrt()
        return 1 - 2 * sums["with target"] / length + sums["target"]
