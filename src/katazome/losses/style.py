"""Style: distance of Gram matrices, and of means and deviations.

Source: Gatys 2016, eq. 4 and 5. Departures: each picture's Gram matrix is divided by its own
number of positions; the squared difference is averaged over the matrix's entries (the first
source document's eq. 3), where Gatys has the factor 1/4; layer weights sum to 1 by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from katazome.losses.base import Features, Sums, Window, counted, guide_of, names_of, per_position
from katazome.statistics.gram import gram_sum, position_sum
from katazome.statistics.guides import Guides
from katazome.statistics.moments import guide_sum, mean_and_deviation, moment_sums

_GRAM, _MOMENTS = "gram/", "moments/"


def gram_loss(gram: Tensor, target: Tensor, entries: Tensor | None = None) -> Tensor:
    """Mean over entries of the squared difference of two Gram matrices (C, C); shape ().

    ``entries`` (C, C) is what each entry counts instead of 1 / C^2.
    """
    squares = (gram - target.to(gram)).square()
    return squares.mean() if entries is None else (entries.to(squares) * squares).sum()


@dataclass(frozen=True)
class GramStyle:
    """Weighted sum over layers of :func:`gram_loss`.

    ``targets`` are Gram matrices (C, C) per position; ``layer_weights`` by tap; ``guides`` say
    where the picture is to have the style (None = everywhere); ``entries`` (C, C) by tap what each
    entry of a matrix counts (None = all alike).
    """

    targets: Mapping[str, Tensor]
    layer_weights: Mapping[str, float]
    weight: float = 1.0
    guides: Guides | None = None
    entries: Mapping[str, Tensor] | None = None
    name: str = "style"

    @property
    def taps(self) -> tuple[str, ...]:
        """Layers of the targets."""
        return tuple(self.targets)

    def partial(self, features: Features, window: Window) -> Sums:
        """Gram sums and position sums for each layer."""
        sums: Sums = {}
        for tap in self.taps:
            guide = guide_of(self.guides, tap, window)
            sums |= counted(tap, gram_sum(features[tap], guide), position_sum(features[tap], guide))
        return sums

    def value(self, sums: Sums) -> Tensor:
        """Sum over layers of weight times mean squared difference; shape ()."""
        terms = []
        for tap in self.taps:
            entries = None if self.entries is None else self.entries[tap]
            distance = gram_loss(per_position(sums, tap), self.targets[tap], entries)
            terms.append(self.layer_weights[tap] * distance)
        return torch.stack(terms).sum()


@dataclass(frozen=True)
class MomentStyle:
    """Weighted sum over layers of the mean squared differences of means and of deviations.

    ``targets`` are (mean, deviation), each (C,). Gram matrices leave the split between mean and
    covariance open, which shows as patches of wrong contrast; this closes it.
    Source: Li et al., "Demystifying neural style transfer", IJCAI 2017 (batch statistics).
    """

    targets: Mapping[str, tuple[Tensor, Tensor]]
    layer_weights: Mapping[str, float]
    weight: float = 1.0
    guides: Guides | None = None
    name: str = "moments"

    @property
    def taps(self) -> tuple[str, ...]:
        """Layers of the targets."""
        return tuple(self.targets)

    def partial(self, features: Features, window: Window) -> Sums:
        """Moment sums and guide sums for each layer."""
        sums: Sums = {}
        for tap in self.taps:
            guide = guide_of(self.guides, tap, window)
            sums |= counted(tap, moment_sums(features[tap], guide), guide_sum(features[tap], guide))
        return sums

    def value(self, sums: Sums) -> Tensor:
        """Sum over layers of weight times the two mean squared differences; shape ()."""
        terms = []
        for tap in self.taps:
            mean, deviation = mean_and_deviation(per_position(sums, tap))
            target_mean, target_deviation = (t.to(mean) for t in self.targets[tap])
            distance = (mean - target_mean).square().mean() + (deviation - target_deviation).square().mean()
            terms.append(self.layer_weights[tap] * distance)
        return torch.stack(terms).sum()


@dataclass(frozen=True)
class Look:
    """Statistics of one style picture, or of several blended: all that style losses need of it.

    Blending is done on sums per position, which combine linearly: Gram matrices, means and
    second moments, but not deviations.
    """

    grams: Mapping[str, Tensor] = field(default_factory=dict)
    moments: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(sums: Mapping[str, Tensor]) -> Look:
        """Make a look of the sums that :class:`LookStatistics` gathered."""
        means = {name: per_position(sums, name) for name in names_of(sums)}
        return Look(_below(means, _GRAM), _below(means, _MOMENTS))

    @staticmethod
    def blend(looks: Sequence[Look], shares: Sequence[float]) -> Look:
        """Return the weighted mean of several looks; ``shares`` need not sum to 1."""
        total = sum(shares)
        parts = [s / total for s in shares]

        def mixed(maps: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
            return {k: sum_of([p * m[k] for p, m in zip(parts, maps, strict=True)]) for k in maps[0]}

        return Look(mixed([look.grams for look in looks]), mixed([look.moments for look in looks]))

    def deviations(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return (mean, deviation), each (C,), by tap."""
        return {tap: mean_and_deviation(m) for tap, m in self.moments.items()}


def _below(means: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): m for name, m in means.items() if name.startswith(prefix)}


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """Sum tensors of one shape."""
    return torch.stack(list(tensors)).sum(0)


@dataclass(frozen=True)
class LookStatistics:
    """Gathers the sums of a style picture: Gram matrices at ``gram_taps``, moments at ``moment_taps``."""

    gram_taps: tuple[str, ...]
    moment_taps: tuple[str, ...] = ()
    guides: Guides | None = None

    @property
    def taps(self) -> tuple[str, ...]:
        """All layers needed, each once."""
        return tuple(dict.fromkeys(self.gram_taps + self.moment_taps))

    def partial(self, features: Features, window: Window) -> Sums:
        """Return this window's share of the sums."""
        sums: Sums = {}
        for tap in self.gram_taps:
            guide = guide_of(self.guides, tap, window)
            sums |= counted(_GRAM + tap, gram_sum(features[tap], guide), position_sum(features[tap], guide))
        for tap in self.moment_taps:
            guide = guide_of(self.guides, tap, window)
            sums |= counted(
                _MOMENTS + tap, moment_sums(features[tap], guide), guide_sum(features[tap], guide)
            )
        return sums
