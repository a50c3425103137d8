"""One picture shared out among processes: each takes some of its tiles, and sums make one picture of them.

Every process holds the picture and runs the same descent; an objective takes its own tiles alone. Of each
evaluation three things cross. (a) The sums that losses are made of are added up over all, and all then know
the same value and derivative. (b) The gradient that each has pulled back to its tiles is added up in the
first process, which finishes it: octaves, regions, losses on pixels. (c) Value and gradient are told to all.
So all take the same step from the same numbers, and what a GPU rounds differently from one time to the next
cannot lead them apart. That is two pictures in float32, 24 bytes a pixel, and the sums: 2.5 MB for the Gram
matrices of VGG-19 at an octave.

What each computes by itself, a few products of the optimiser, it must compute by the same instructions: the
processes are to be of one kind, with as many threads. If the first alone held the optimiser, the others would
need less memory, but the descent would have to know of them; so nothing above the objective does.

A picture or an octave too small for a cut to gain anything is seen whole by each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

from katazome.losses.base import Sums
from katazome.objective.tiles import Tile, tiles

FORWARD_SHARE = 0.45
"""Time of encoding without a graph, over that of a whole evaluation; measured."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Partners:
    """The processes that share a picture: how many, and which of them, from 0, this one is.

    Their group is :mod:`katazome.processes`'s.
    """

    rank: int = 0
    size: int = 1

    def grid(
        self,
        height: int,
        width: int,
        taps: Sequence[str],
        core: int | None,
        wrap: tuple[bool, bool] = (False, False),
    ) -> tuple[Tile, ...]:
        """Cut a picture as :func:`katazome.objective.tiles.tiles` does, or finer, so that all have work.

        The same in all processes. One tile means that it is seen whole by each.
        """
        if self.size == 1:
            return tuple(tiles(height, width, taps, core, wrap))
        return _shared_out(height, width, tuple(taps), core, wrap, self.size)

    def own(self, grid: Sequence[Tile]) -> Sequence[Tile]:
        """Return the tiles that are this process's; one that is the whole picture is each one's."""
        return grid if len(grid) == 1 else grid[self.rank :: self.size]

    def add_up(self, grid: Sequence[Tile], sums: Sequence[Sums]) -> None:
        """Set sums over a process's own tiles, in place, to those over all tiles."""
        if self._shares(grid):
            for one in sums:
                for name, value in one.items():
                    one[name] = value.detach().contiguous().clone()
                    dist.all_reduce(one[name])

    def gathered(self, grid: Sequence[Tile], shares: Callable[[Tile], Sequence[Sums]]) -> list[Sums]:
        """Add up what ``shares`` gives of each tile, over the tiles of all processes."""
        totals: list[Sums] = []
        for tile in self.own(grid):
            found = shares(tile)
            totals = totals or [Sums() for _ in found]
            for total, share in zip(totals, found, strict=True):
                for name, value in share.items():
                    total[name] = total[name] + value if name in total else value
        self.add_up(grid, totals)
        return totals

    def add_up_in_first(self, grid: Sequence[Tile], total: Tensor) -> None:
        """Set a sum over a process's own tiles, in place and in the first process, to that over all tiles."""
        if self._shares(grid):
            dist.reduce(total, 0)

    def told_by_first(self, tensor: Tensor) -> Tensor:
        """Return the first process's tensor, in its own memory where that is contiguous."""
        if self.size == 1:
            return tensor
        told = tensor.contiguous()
        dist.broadcast(told, 0)
        return told

    def filled(
        self,
        items: Sequence[Item],
        make: Callable[[Item], Sequence[Tensor]],
        places: Callable[[Item], Sequence[Tensor]],
    ) -> Iterator[Item]:
        """Make something of each item, write it into its places in all processes, and yield the item.

        Each process makes its part of them; what was made is copied.
        """
        for start in range(0, len(items), self.size):
            several = items[start : start + self.size]
            made = make(several[self.rank]) if self.rank < len(several) else ()
            for number, item in enumerate(several):
                for index, place in enumerate(places(item)):
                    if number == self.rank:
                        place.copy_(made[index])
                    if self.size > 1:
                        told = place.contiguous()
                        dist.broadcast(told, number)
                        place.copy_(told)
                yield item

    def _shares(self, grid: Sequence[Tile]) -> bool:
        return self.size > 1 and len(grid) > 1


ALONE = Partners()


@lru_cache(maxsize=64)
def _shared_out(
    height: int,
    width: int,
    taps: tuple[str, ...],
    core: int | None,
    wrap: tuple[bool, bool],
    count: int,
) -> tuple[Tile, ...]:
    """Return, of some ways to cut, the one where the process with most to do has least."""
    ways = [tuple(tiles(height, width, taps, core, wrap))]
    least = [1 if core is None else -(-side // core) for side in (height, width)]
    for rows in range(least[0], least[0] + count):
        for columns in range(least[1], least[1] + count):
            cores = (-(-height // rows), -(-width // columns))
            ways.append(tuple(tiles(height, width, taps, cores, wrap)))
    ways = [way for way in ways if len(way) == 1 or len(way) >= count]
    return min(ways, key=lambda way: busiest(way, count))


def busiest(grid: Sequence[Tile], count: int) -> float:
    """Return the pixels that the process with most to do encodes in an evaluation, of ``count`` processes.

    A single tile is encoded once, with its gradient; several also without one before.
    """
    most = 0.0
    for rank in range(count):
        own = Partners(rank, count).own(grid)
        pixels = sum((t.outer.bottom - t.outer.top) * (t.outer.right - t.outer.left) for t in own)
        most = max(most, pixels * (1 if len(own) <= 1 else 1 + FORWARD_SHARE))
    return most
