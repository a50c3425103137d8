"""Cases done on this machine: one after another in this process, or by several processes.

A :class:`Worker` does them. It writes each result whole or not at all: its process may die at any moment.
Failures are results too, so that one case does not stop the rest; only where no result could be written any
more does the work end. On several machines: :mod:`katazome.jobs.cluster`.
"""

from __future__ import annotations

import errno
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Protocol

from katazome.errors import OutputError, sentence
from katazome.jobs.manifest import Case, Figures

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_TRIES = 2
_LOOK = 0.2
"""Seconds between looks at whether the user has interrupted."""


class Worker(Protocol):
    """Does cases; it can be sent to another process (pickled), where it does one after another."""

    def do(self, case: Case, stopped: Callable[[], bool]) -> Figures | None:
        """Do a case, to its end or until it is stopped, and return its figures; None when it was stopped."""


class Courier(Protocol):
    """Has cases done where none of our folders is seen; it can be sent there (pickled)."""

    def files(self, case: Case) -> Sequence[Path]:
        """Return what must travel with a case."""

    def do(self, case: Case, files: Sequence[bytes]) -> tuple[Figures, bytes]:
        """Do a case there, with the bytes of its files; return its figures and what was made."""

    def take_in(self, case: Case, figures: Figures, made: bytes) -> Figures:
        """Keep here what has come back, whole or not at all; return the figures."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case: figures, or why there are none, or neither when it was stopped."""

    case: Case
    figures: Figures | None = None
    failed: str = ""
    hopeless: bool = False
    """Whether no other case could be written either."""


def attempt(case: Case, work: Callable[[], Figures | None]) -> Outcome:
    """Do a case's work, whatever comes of it."""
    try:
        return Outcome(case, work())
    except Exception as error:  # of one case; the others are to be done
        cause = error.__cause__
        full = isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in _FULL
        return Outcome(case, failed=sentence(error), hopeless=full)


def in_turn(worker: Worker, cases: Sequence[Case], stopped: Callable[[], bool]) -> Iterator[Outcome]:
    """Do cases in this process and yield what came of each, until one is stopped."""
    for case in cases:
        if stopped():
            return
        yield attempt(case, partial(worker.do, case, stopped))


def in_processes(
    worker: Worker, cases: Sequence[Case], stopped: Callable[[], bool], workers: int
) -> Iterator[Outcome]:
    """Do cases in ``workers`` processes and yield what came of each, as they are done.

    A process that dies is replaced, and its case tried once more.
    """
    waiting = list(cases)[::-1]
    tries: dict[str, int] = {}
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    crew: list[_Hand] = []

    def hire() -> None:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(worker, there, stop), daemon=True)
        process.start()
        there.close()
        crew.append(_Hand(process, here))

    try:
        for _ in range(min(workers, len(waiting))):
            hire()
        while True:
            if stopped():
                stop.set()
            for hand in crew:
                if hand.case is None and waiting and not stop.is_set():
                    hand.give(waiting.pop())
            busy = [hand for hand in crew if hand.case is not None]
            if not busy:
                return
            ready = wait([hand.wire for hand in busy], timeout=_LOOK)
            for hand in (h for h in busy if h.wire in ready):
                outcome, case = hand.take(), hand.case
                hand.case = None
                if outcome is not None:
                    yield outcome
                    continue
                crew.remove(hand)
                if case is None or stop.is_set():
                    continue
                tries[case.name] = tries.get(case.name, 0) + 1
                if tries[case.name] < _TRIES:
                    waiting.append(case)
                else:
                    yield Outcome(case, failed=f"the process that did it died {_TRIES} times{hand.why()}")
                if waiting:
                    hire()
    finally:
        for hand in crew:
            hand.process.terminate()
            hand.process.join()


@dataclass(eq=False)
class _Hand:
    """A process and what it is at."""

    process: SpawnProcess
    wire: Connection
    case: Case | None = None

    def give(self, case: Case) -> None:
        self.case = case
        with suppress(OSError):  # it has died meanwhile: then nothing will come back
            self.wire.send(case)

    def take(self) -> Outcome | None:
        """Return what came of its case; None when it has died."""
        try:
            outcome: Outcome = self.wire.recv()
        except (EOFError, OSError):
            self.process.join()
            return None
        return outcome

    def why(self) -> str:
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            return (
                ", killed: there may be too little memory; take fewer --workers, a smaller --size, or --tile"
            )
        return "" if code is None else f" (exit code {code})"


def _serve(worker: Worker, wire: Connection, stop: Any) -> None:
    """Be a process that does what comes over the wire, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to hear; it sets ``stop``
    while True:
        try:
            case = wire.recv()
        except EOFError:
            return
        wire.send(attempt(case, partial(worker.do, case, stop.is_set)))
