"""Averaged weights: what the steps' weights come to, without the last steps' noise.

Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992, in the usual form
of an exponential moving average. Warmed up: a step keeps no more of the average than index / (index + 9), so
that it spans about a ninth of the steps so far, until it spans what was asked for. A short training is thus
not spoilt by its beginning, and the first step's average is its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_WARM_UP = 9


class Average:
    """The moving average of a module's parameters; buffers are the module's own, never averaged."""

    def __init__(self, module: nn.Module, keep: float, begun: Mapping[str, Tensor]) -> None:
        """Average with ``keep`` in [0, 1), 0 for none; ``begun`` is an average to go on from, or empty."""
        self._keep = keep
        self._live = {n: p for n, p in module.named_parameters() if p.requires_grad} if keep else {}
        self._tensors = {n: begun.get(n, p).detach().clone().to(p.device) for n, p in self._live.items()}

    def follow(self, index: int) -> None:
        """Take in the parameters after a step, which is counted from 0."""
        keep = min(self._keep, index / (index + _WARM_UP))
        with torch.no_grad():
            for name, average in self._tensors.items():
                average.lerp_(self._live[name], 1 - keep)

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the averaged parameters by name; empty where none are averaged."""
        return {name: tensor.clone() for name, tensor in self._tensors.items()}

    def settle(self) -> None:
        """Set the module's parameters to their average, for good."""
        with torch.no_grad():
            for name, average in self._tensors.items():
                self._live[name].copy_(average)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the module have its average for a while."""
        kept = {name: p.detach().clone() for name, p in self._live.items()}
        self.settle()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in kept.items():
                    self._live[name].copy_(tensor)
