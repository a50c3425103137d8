"""Who does the cases of a command: this process, several of this machine, or a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch

from katazome.errors import OptionError
from katazome.jobs.cluster import RAY, on_ray
from katazome.jobs.crew import Outcome, Worker, in_processes, in_turn
from katazome.jobs.manifest import Case
from katazome.options import option


class Crew(Protocol):
    """The settings of a command whose cases are shared out."""

    @property
    def workers(self) -> int:
        """Processes on this machine."""

    @property
    def on(self) -> str:
        """The cluster; empty for none."""


def workers_option() -> Any:
    """Declare ``workers``."""
    return option(1, help="Processes on this machine", low=1, high=1024, group="Machine")


def on_option(otherwise: str = "") -> Any:
    """Declare ``on``; ``otherwise`` says what can be done where the folders are not reached."""
    return option(
        "",
        help="Do it on a cluster: ray, or ray:ADDRESS (auto, HOST:PORT); all machines must reach the folders "
        f"under the same path{otherwise}",
        group="Machine",
    )


def threads_option(otherwise: str = "") -> Any:
    """Declare ``threads``; ``otherwise`` says where else its value may come from."""
    return option(
        0,
        help=f"Threads of each; 0: {otherwise}the processors shared out",
        low=0,
        high=1024,
        group="Machine",
    )


def check_crew(crew: Crew) -> None:
    """Raise :class:`OptionError` where it is not said rightly who does the work."""
    if crew.on and crew.on.partition(":")[0] != RAY:
        raise OptionError(f"on is '{crew.on}'; it must be {RAY} or {RAY}:ADDRESS")
    if crew.on and crew.workers > 1:
        raise OptionError(
            "on and workers both say who does the work; a cluster's machines have workers of their own"
        )


def shared_out(workers: int) -> int:
    """Return the threads of each of several processes on this machine."""
    return torch.get_num_threads() if workers == 1 else max(1, (os.cpu_count() or 1) // workers)


def address_of(crew: Crew) -> str:
    """Return the cluster's address; empty for one to be started here."""
    return crew.on.partition(":")[2]


def outcomes(
    worker: Worker, cases: Sequence[Case], stopped: Callable[[], bool], crew: Crew
) -> Iterator[Outcome]:
    """Do the cases here, in processes, or on a cluster, and yield what came of each."""
    if crew.on:
        return on_ray(worker, cases, stopped, address_of(crew))
    if crew.workers > 1:
        return in_processes(worker, cases, stopped, crew.workers)
    return in_turn(worker, cases, stopped)
