"""Small ranks for the tests: pictures of noise, and ranks made up of numbers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from katazome.collections.folders import Source
from katazome.filters.rank import SHARD, Progress, begin
from katazome.filters.record import Folder, Rank
from katazome.filters.settings import Network, RankOptions
from katazome.weights.flavours import VGGWeights

OPTIONS = RankOptions(layers=("relu2_1", "relu3_1"), side=32, precision="float32")
NETWORK = Network("tiny", "normalised", "0" * 64)


def draw(folder: Path, names: Sequence[str], seed: int = 0, size: tuple[int, int] = (40, 48)) -> None:
    """Write pictures of coarse noise, (width, height) ``size``."""
    noise = np.random.default_rng(seed)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(noise.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path)


def rank(
    weights: VGGWeights,
    folders: Sequence[Path],
    output: str | Path,
    options: RankOptions | None = None,
    *,
    shard: int = SHARD,
    **given: Any,
) -> Generator[Progress]:
    """Begin a rank, or go on with it, in shards of so many pictures; see :func:`begin`."""
    work = begin(weights, folders, output, options, **given)
    return work.run(work.missing(shard))


def recorded(
    folder: Path,
    maxima: Tensor,
    *,
    shard: int = 4,
    first: int = 0,
    layer: str = "relu3_1",
    names: Sequence[str] = (),
    overlap: Tensor | None = None,
    mask: Tensor | None = None,
) -> Rank:
    """Write a rank of made-up maxima (pictures, C), in shards; pictures are numbered from ``first``."""
    names = names or [f"{n:04d}.png" for n in range(first, first + len(maxima))]
    made = Folder(
        path=folder,
        network=NETWORK,
        options=RankOptions(layers=(layer,), side=32, precision="float32"),
        masks=None if mask is None else folder,
        pictures=tuple(Source(Path("/nowhere"), name) for name in names),
    )
    made.create()
    for start in range(0, len(maxima), shard):
        rows = slice(start, start + shard)
        tensors = {f"{layer}.maxima": maxima[rows].float(), f"{layer}.places": places(maxima[rows])}
        if mask is not None and overlap is not None:
            tensors |= {"mask": mask[rows].float(), f"{layer}.overlap": overlap[rows].float()}
        tensors = {name: t.contiguous() for name, t in tensors.items()}
        made.write(start, range(start, min(start + shard, len(maxima))), tensors, [])
    return Rank.open(folder)


def places(maxima: Tensor) -> Tensor:
    """Places that follow from the values, so that they can be told from others'."""
    return (maxima * 7).int() % 64


def equal(one: Rank, other: Rank, k: int = 9) -> bool:
    """Whether two ranks have the same pictures, maxima and best pictures."""
    same = one.pictures == other.pictures and one.options == other.options
    for layer in one.options.names:
        same &= torch.equal(one.maxima(layer), other.maxima(layer))
        first, second = one.top(layer, k), other.top(layer, k)
        for name in ("values", "pictures", "places"):
            same &= torch.equal(getattr(first, name), getattr(second, name))
    return same
