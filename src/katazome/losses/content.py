"""Content: mean squared difference of features.

Source: Gatys 2016, eq. 1, as a mean (the first source document's eq. 1), so that the weight
means the same at every size and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.losses.base import Features, Sums, Window, counted, guide_of, per_position
from katazome.statistics.guides import Guides
from katazome.statistics.moments import guide_sum


@dataclass(frozen=True)
class Content:
    """Weighted sum over layers of the mean squared difference to the content's features.

    ``targets`` are whole feature maps (1, C, h, w); ``layer_weights`` by tap; ``guides`` weigh
    the positions (None = all alike).
    """

    targets: Mapping[str, Tensor]
    layer_weights: Mapping[str, float]
    weight: float = 1.0
    guides: Guides | None = None
    name: str = "content"

    @property
    def taps(self) -> tuple[str, ...]:
        """Layers of the targets."""
        return tuple(self.targets)

    def partial(self, features: Features, window: Window) -> Sums:
        """Sums of squared differences and of positions for each layer."""
        sums: Sums = {}
        for tap in self.taps:
            guide = guide_of(self.guides, tap, window)
            difference = features[tap] - window.cut(self.targets[tap], tap)
            difference = difference if difference.dtype == torch.float64 else difference.float()
            squares = difference.square()
            total = (squares if guide is None else squares * guide.to(squares)).sum()
            sums |= counted(tap, total, guide_sum(difference, guide))
        return sums

    def value(self, sums: Sums) -> Tensor:
        """Sum over layers of weight times the mean over positions and channels; shape ()."""
        terms = [
            self.layer_weights[tap] * per_position(sums, tap) / self.targets[tap].shape[1]
            for tap in self.taps
        ]
        return torch.stack(terms).sum()
