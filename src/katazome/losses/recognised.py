"""Recognised: what a segmenter sees is part of what is asked for.

Source: the third source document's future work, one optimisation for style and segmentation together. The
loss is the cross-entropy of the segmenter's own map against the region: inside, every position is to be told
as the new material, outside as anything else. It is differentiated through the segmenter's head and VGG-19,
so what makes stone of fabric and what says where stone is are one network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.losses.base import Features, Sums, Window, counted, guide_of, per_position
from katazome.statistics.guides import Guides
from katazome.statistics.moments import guide_sum


@dataclass(frozen=True)
class Recognised:
    """Mean over positions of the cross-entropy of "is it class ``target``" against a region.

    ``scores`` makes scores (B, K, h, w) of the features at ``tap``; ``guides`` is the region there, None =
    all of the picture.
    """

    scores: Callable[[Tensor], Tensor]
    tap: str
    target: int
    weight: float = 1.0
    guides: Guides | None = None
    name: str = "recognised"

    @property
    def taps(self) -> tuple[str, ...]:
        """The layer that the scores are made of."""
        return (self.tap,)

    def partial(self, features: Features, window: Window) -> Sums:
        """Sum of the cross-entropies and number of positions."""
        found = features[self.tap].float()
        scores = self.scores(found)
        guide = guide_of(self.guides, self.tap, window)
        others = torch.cat([scores[:, : self.target], scores[:, self.target + 1 :]], 1).logsumexp(
            1, keepdim=True
        )
        # log p and log (1 - p) of the class against all others together
        margin = scores[:, self.target : self.target + 1] - others
        inside = torch.ones_like(margin) if guide is None else guide.to(margin)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(margin, inside, reduction="sum")
        return counted(self.tap, entropy, guide_sum(found, None))

    def value(self, sums: Sums) -> Tensor:
        """Mean over positions; shape ()."""
        return per_position(sums, self.tap)
