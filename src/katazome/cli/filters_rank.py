"""The command ``katazome filters rank``, and what its two sisters share with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from katazome.cli import declare
from katazome.cli.crew import (
    check_crew,
    on_option,
    outcomes,
    shared_out,
    threads_option,
    workers_option,
)
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.settings import Machine, WithNetwork
from katazome.cli.show import Count
from katazome.device import keep_heap, resolve_device
from katazome.errors import MethodError, OptionError, OutputError, PictureError
from katazome.filters.rank import Pass, begin, decoders
from katazome.filters.record import Rank, merge
from katazome.filters.settings import RankOptions
from katazome.jobs.ranking import Ranker
from katazome.objective.plan import duration
from katazome.options import option

_NAMED = 10
"""So many skipped pictures are named with the reason; all are in the rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSettings(WithNetwork):
    """A pass over pictures."""

    images: tuple[str, ...] = option(
        (), help="Folder of pictures, and all below it; may be given several times", repeats=True
    )
    output: str | None = option(
        None, help="Folder of the rank; one that was begun is gone on with", group="Output"
    )
    masks: str | None = option(
        None,
        help="Folder of masks of the object, named as the pictures: for the rule overlap, and as labels",
        group="Where",
    )
    workers: int = workers_option()
    on: str = on_option()
    threads: int = threads_option()


def _rank(**given: Any) -> int:
    settings = RankSettings.from_json(declare.values_of(RankSettings, given))
    check_crew(settings)
    if not settings.images:
        raise OptionError("no pictures were named; give a folder of them by --images DIR")
    if settings.output is None:
        raise OptionError("no folder for the rank was named; give one by -o RANK")
    device = resolve_device(settings.device)
    options = RankOptions.from_json(declare.values_of(RankOptions, given))
    began = time.perf_counter()
    with (
        Interrupt(quiet=settings.quiet, keeping="this batch, then keeping what was ranked") as interrupt,
        Count("pictures", quiet=settings.quiet) as count,
    ):
        work = begin(
            settings.network(),
            settings.images,
            settings.output,
            options,
            masks=settings.masks,
            device=device,
            workers=decoders(settings.workers),
        )
        failed = _ranked(work, settings, interrupt, count)
        found = Rank.open(settings.output)
        _tell_skipped(found, count)
        total = len(found.pictures) + len(found.skipped) + found.waiting
        if failed and found.waiting:
            raise MethodError(
                f"{found.waiting} of {total} pictures are still to be ranked: {failed}; "
                "the same command tries them again"
            )
        if interrupt.asked and found.waiting:
            count.note(
                f"interrupted at {total - found.waiting} of {total} pictures, which are kept in "
                f"{settings.output}. To go on: the same command again"
            )
            return INTERRUPTED
        if not found.pictures:
            raise PictureError(f"none of the {len(found.skipped)} pictures could be read")
        filters = ", ".join(f"{found.channels(layer)} filters of {layer}" for layer in found.options.names)
        took = duration(time.perf_counter() - began)
        count.note(f"{settings.output}: {len(found.pictures)} pictures, {filters}, after {took}")
    return 0


def _ranked(work: Pass, settings: RankSettings, interrupt: Interrupt, count: Count) -> str:
    """Rank what is missing, here or by workers, until the user interrupts; return why some could not be."""
    threads = settings.threads or shared_out(settings.workers)
    if not settings.on and settings.workers == 1:
        torch.set_num_threads(threads)
        keep_heap()
        with closing(work.run(work.missing())) as steps:
            for progress in steps:
                count(progress.done, progress.total)
                if interrupt.asked:
                    break
        return ""
    ranker, failed = Ranker(work), ""
    cases, total = ranker.cases(threads), len(work.folder.pictures)
    done = total - sum(case.values["stop"] - case.values["first"] for case in cases)
    count(done, total)
    for outcome in outcomes(ranker, cases, lambda: interrupt.asked, settings):
        if outcome.hopeless:
            raise OutputError(f"{outcome.failed}. What was ranked is whole; the same command goes on")
        if outcome.figures is not None:
            done += outcome.figures["pictures"]
        failed = outcome.failed or failed
        count(done, total)
    return failed


def _tell_skipped(found: Rank, count: Count) -> None:
    for one in found.skipped[:_NAMED]:
        count.note(f"skipped: {one.reason}")
    if len(found.skipped) > _NAMED:
        count.note(f"skipped: {len(found.skipped) - _NAMED} more")


def open_ranks(folders: Sequence[str], settings: Machine) -> Rank:
    """Open one rank, or several as one; say so when pictures are still waiting."""
    if not folders:
        raise OptionError("no rank was named; give the folder that `katazome filters rank` made")
    found = merge([Rank.open(folder) for folder in folders])
    if not found.pictures:
        raise OptionError(
            f"no picture of {', '.join(folders)} has been ranked; `katazome filters rank` goes on with it"
        )
    if found.waiting and not settings.quiet:
        total = len(found.pictures) + len(found.skipped) + found.waiting
        print(
            f"the rank is not finished: {total - found.waiting} of {total} pictures; "
            "`katazome filters rank` goes on with it",
            file=sys.stderr,
            flush=True,
        )
    return found


rank = declare.command(_rank, [], {"": RankSettings, "rank": RankOptions})
