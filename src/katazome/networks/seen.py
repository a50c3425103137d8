"""What the network has seen in a picture, held by whoever wants it again.

Nothing here is kept behind the caller's back: a :class:`Seen` is made by the caller, handed over, and gone
when the caller lets it go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor


class Seen:
    """Features of one picture: the last that were made, under a key of all that decides them."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._features: Tensor | None = None

    def features(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return the features that were made under ``key``, or make them and keep these instead."""
        if self._features is None or key != self._key:
            self._features = None  # before the next are made: of a huge picture two would be a burden
            self._key, self._features = key, make()
        return self._features
