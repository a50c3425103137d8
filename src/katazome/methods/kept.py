"""Statistics of looks kept from picture to picture, by those who paint many in one look.

They are known by all that decides them: the pixels at their size, the guides, the network and how it is run.
So what is kept is what would be gathered, to the bit, and nothing need be told of when it goes stale.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from katazome.losses.style import Look, LookStatistics
from katazome.networks.vgg import Encoder

_MOST = 48
"""Looks kept, the last used ones: of five layers each has 2.4 MB."""


class KeptLooks:
    """Looks by what they are of."""

    def __init__(self) -> None:
        self._looks: OrderedDict[Hashable, Look] = OrderedDict()

    def get(
        self,
        encoder: Encoder,
        pixels: Tensor,
        statistics: LookStatistics,
        tile: int | None,
        gather: Callable[[], Look],
    ) -> Look:
        """Return the look of a style's ``pixels`` (1, 3, H, W), gathered when it is not kept."""
        key = (
            encoder.weights.sha256,
            encoder.settings,
            str(encoder.device),
            torch.get_num_threads(),
            statistics.gram_taps,
            statistics.moment_taps,
            tile,
            _digest([pixels, *(statistics.guides or {}).values()]),
        )
        if key not in self._looks:
            self._looks[key] = gather()
            if len(self._looks) > _MOST:
                self._looks.popitem(last=False)
        self._looks.move_to_end(key)
        return self._looks[key]


def _digest(tensors: list[Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(repr(tuple(tensor.shape)).encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
