"""Pictures with what VGG-19 says of their looks, for networks that learn from both.

A picture is seen through a fixed set of crops and mirrorings (:func:`views`), so that what VGG-19 says of its
look is computed once and cached.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.collections.cache import FeatureCache, Features, Progress
from katazome.collections.folders import Source, load_square
from katazome.device import supports_bfloat16
from katazome.networks.vgg import Encoder
from katazome.networks.wae import STYLE_TAPS, WAE

VIEWS = 4
"""Squares that a picture is seen through."""

_TOGETHER = 64
_KEPT_BYTES = 3 << 29
"""So much of what was decoded is kept for the next time."""


def views(square: Tensor, side: int) -> list[Tensor]:
    """Return the :data:`VIEWS` squares (B, 3, side, side) that pictures (B, 3, S, S) are seen through.

    The whole, the whole mirrored, the middle twice as large, a corner twice as large and mirrored: a picture
    that is used later may show its things at any scale.
    """
    whole = F.interpolate(square, (side, side), mode="bilinear", antialias=True)
    edge = (square.shape[2] - side) // 2
    middle = square[:, :, edge : edge + side, edge : edge + side]
    return [whole, whole.flip(3), middle, square[:, :, :side, :side].flip(3)]


def larger(side: int) -> int:
    """Return the side (px) of the square that views are cut out of."""
    return 2 * side


def descriptions(
    encoder: Encoder, net: WAE, side: int, sources: Sequence[Source], under: Path | None = None
) -> Generator[Progress, None, Features]:
    """Compute what the trunk says of each picture's look, or take it from the cache: rows (VIEWS, width)."""
    trunk = trunk_of(encoder)

    def compute(pixels: Tensor) -> Tensor:
        seen = [trunk(v.to(trunk.device), STYLE_TAPS) for v in views(pixels, side)]
        return torch.stack([net.describer(features) for features in seen], 1)

    key = {
        "network": encoder.weights.sha256,
        "what": "projected Gram matrices of a whole, its mirror, middle and corner",
        "view": side,
        "precision": str(trunk.settings.dtype),
    }
    return FeatureCache(key, larger(side), (VIEWS, net.describer.width), compute, under).fill(sources)


def trunk_of(encoder: Encoder) -> Encoder:
    """Return the network as the codes know it."""
    dtype = torch.bfloat16 if supports_bfloat16(encoder.device) else torch.float32
    return encoder.with_(pooling="max", padding=("reflect", "reflect"), dtype=dtype)


class Pairs:
    """Views of pictures with the descriptions of their looks; each folder is drawn from alike often."""

    def __init__(self, described: Features, side: int, workers: int = 2) -> None:
        self._described, self._side = described, side
        self._by_folder: dict[Path, list[int]] = {}
        for number, source in enumerate(described.sources):
            self._by_folder.setdefault(source.folder, []).append(number)
        self._kept: dict[int, Tensor] = {}
        self._room = _KEPT_BYTES
        self._pool = ThreadPoolExecutor(workers, "katazome-decode")

    def __len__(self) -> int:
        return len(self._described)

    def draw(self, count: int, draw: torch.Generator, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return ``part`` of ``count`` pictures (count, 3, side, side) and descriptions (count, width)."""
        folders = list(self._by_folder.values())
        chances = torch.rand(count, 3, generator=draw).tolist()
        picked = [folders[int(a * len(folders))] for a, _, _ in chances]
        numbers = [rows[int(b * len(rows))] for rows, (_, b, _) in zip(picked, chances, strict=True)]
        return self._of(numbers[part], [int(c * VIEWS) for _, _, c in chances][part])

    def whole(self, most: int) -> tuple[Tensor, Tensor]:
        """Return at most so many pictures, whole, from all over, and their descriptions."""
        count = min(most, len(self))
        numbers = [n * len(self) // count for n in range(count)]
        return self._of(numbers, [0] * len(numbers))

    def spread(self) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the descriptions' numbers, each (width,), over all pictures."""
        rows = range(len(self))
        parts = [self._described.rows(rows[n : n + _TOGETHER]).flatten(0, 1) for n in rows[::_TOGETHER]]
        count = sum(len(p) for p in parts)
        mean = torch.stack([p.double().sum(0) for p in parts]).sum(0) / count
        square = torch.stack([(p.double() - mean).square().sum(0) for p in parts]).sum(0)
        return mean.float(), (square / count).sqrt().float()

    def _of(self, numbers: Sequence[int], chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        squares = self._pool.map(self._square, numbers)
        pixels = [
            views(square[None].float() / 255, self._side)[view][0]
            for square, view in zip(squares, chosen, strict=True)
        ]
        rows = self._described.rows(list(numbers))
        return torch.stack(pixels), rows[torch.arange(len(rows)), torch.tensor(chosen)]

    def _square(self, number: int) -> Tensor:
        """Return the picture (3, S, S), bytes."""
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        pixels = load_square(self._described.sources[number], larger(self._side))
        made = (pixels[0] * 255).round().clamp(0, 255).to(torch.uint8)
        if made.numel() <= self._room:
            self._room -= made.numel()
            self._kept[number] = made
        return made
