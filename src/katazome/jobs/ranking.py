"""A rank made by several workers: each takes ranges of the pictures, and writes a shard for each.

Where the workers have as many threads, the rank is that of one process, bit by bit: a picture goes through
the network beside the same others.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch

from katazome.device import keep_heap
from katazome.filters.rank import Pass
from katazome.jobs.manifest import Case, Figures

RANGE = 64
"""Pictures in a range, a multiple of every batch: what a worker that dies can lose, and what the others wait
for at the end."""


@dataclass(frozen=True)
class Ranker:
    """Ranks ranges of pictures; a :class:`katazome.jobs.crew.Worker`."""

    work: Pass

    def cases(self, threads: int) -> list[Case]:
        """Return the ranges that are missing, each to be ranked by as many threads."""
        return [
            Case(
                f"{part.start}-{part.stop - 1}", {"first": part.start, "stop": part.stop, "threads": threads}
            )
            for part in self.work.missing(RANGE)
        ]

    def do(self, case: Case, stopped: Callable[[], bool]) -> Figures | None:
        """Rank a range, or what comes before the stop, into a shard."""
        torch.set_num_threads(case.values["threads"])
        keep_heap()
        part = range(case.values["first"], case.values["stop"])
        with closing(self.work.run([part])) as work:
            for progress in work:
                if stopped() and progress.done < progress.total:
                    return None
        return {"pictures": len(part)}
