"""Cases done on this machine: one after another in this process, or by several processes.

A :class:`Painter` keeps the network, and the process's heap, from picture to picture. It writes each result
whole or not at all, then the case's record: what is recorded is there. Failures are results too, so that
one picture does not stop the rest; only where no result could be written any more does the work end.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from katazome.api import Session
from katazome.descent.checkpoint import checkpoint_path, read_header
from katazome.descent.loop import Step
from katazome.errors import KatazomeError, OutputError, PictureError, sentence
from katazome.jobs.batch import BOOKS
from katazome.jobs.inputs import hash_of
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.pictures.write import SUFFIXES, encode, write
from katazome.weights.flavours import VGGWeights
from katazome.work import Work

RECORDS = "done"
"""Folder of the records, beside the manifest."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_TRIES = 2
_LOOK = 0.2
"""Seconds between looks at whether the user has interrupted."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case: figures, or why there are none, or neither when it was stopped."""

    case: Case
    figures: Figures | None = None
    failed: str = ""
    hopeless: bool = False
    """Whether no other case could be written either."""


@dataclass(frozen=True)
class Painter:
    """All that makes pictures of cases: it can be sent to another process."""

    folder: Path
    """Of the results."""
    weights: VGGWeights
    device: str = "auto"
    overwrite: bool = False
    save_every: int = 0
    _warm: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # As arrays: tensors would be sent through shared memory, of which a container has little.
        pairs = (self.weights.colour, *self.weights.convs.values())
        plain = [(matrix.numpy(), bias.numpy()) for matrix, bias in pairs]
        bare = replace(self.weights, colour=(torch.empty(0), torch.empty(0)), convs={})
        return {**self.__dict__, "weights": bare, "_warm": {}, "plain": (list(self.weights.convs), plain)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        names, plain = state.pop("plain")
        colour, *convs = [(torch.tensor(matrix), torch.tensor(bias)) for matrix, bias in plain]
        weights = replace(state["weights"], colour=colour, convs=dict(zip(names, convs, strict=True)))
        self.__dict__.update(state, weights=weights)

    @property
    def session(self) -> Session:
        """The session, opened at the first case."""
        if "session" not in self._warm:
            self._warm["session"] = Session(device=self.device, weights=self.weights, keep_looks=True)
        found: Session = self._warm["session"]
        return found

    @property
    def books(self) -> Path:
        """The folder of manifest and records."""
        return self.folder / BOOKS

    def manifest(self, cases: Sequence[Case]) -> Manifest:
        """Return cases with the place of their records."""
        return Manifest(self.books / RECORDS, cases)

    def output(self, case: Case) -> Path:
        """Return where a case's picture goes."""
        return self.folder / str(case.values["output"])

    def input(self, place: str) -> Path:
        """Return where an input lies, from the manifest's folder on, as a person would say it from here."""
        path = os.path.normpath(self.books.resolve() / place)
        with suppress(ValueError):  # on another drive
            path = os.path.relpath(path)
        return Path(path)

    def missing(self, cases: Sequence[Case]) -> list[Case]:
        """Return the cases whose record or picture is not there."""
        kept = self.manifest(cases)
        return [c for c in cases if kept.result(c) is None or not self.output(c).exists()]

    def prepare(self, case: Case) -> Work:
        """Lay out a case's work, with its own threads and its inputs held against their hashes."""
        values = case.values
        torch.set_num_threads(int(values["threads"]))
        options: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values["options"].items()
        }
        for name, sha256 in values["files"].items():
            self._unchanged(name, sha256)
        work = self.session.prepare(
            self.input(case.places["content"]),
            [self.input(place) for place in case.places["styles"]],
            method=values["method"],
            preset=values["preset"] or None,
            preview=values["preview"],
            **options,
        )
        content, *styles = [p for role, p in work.inputs.named() if role in ("content", "style")]
        for picture, sha256 in zip([content, *styles], [values["content"], *values["styles"]], strict=False):
            if picture.sha256 != sha256:
                raise PictureError(
                    f"'{picture.name}' is not the picture that the manifest has: it was changed since; "
                    "give the command again"
                )
        return work

    def attempt(self, case: Case, stopped: Callable[[], bool]) -> Outcome:
        """Do a case, whatever comes of it."""
        try:
            figures = self._do(case, stopped)
            if figures is not None:
                self.manifest([case]).keep(case, figures)
            return Outcome(case, figures)
        except Exception as error:  # of one picture; the others are to be made
            cause = error.__cause__
            full = isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in _FULL
            return Outcome(case, failed=sentence(error), hopeless=full)

    def _do(self, case: Case, stopped: Callable[[], bool]) -> Figures | None:
        state = checkpoint_path(self.books / RECORDS / case.name)
        facts = {"case": dict(case.values)}
        work, checkpoint = self._begun(state, facts) or (self.prepare(case), None)
        for number, step in enumerate(work.steps(checkpoint)):
            if step.last:
                return self._finish(case, work, step, state)
            if stopped() or (self.save_every and number and number % self.save_every == 0):
                state.parent.mkdir(parents=True, exist_ok=True)
                work.save(state, step.checkpoint(), facts)
            if stopped():
                return None
        raise AssertionError("the stream ended without a last step")

    def _begun(self, state: Path, facts: dict[str, Any]) -> tuple[Work, Any] | None:
        """Take up a case that was stopped; None where there is none, or it was of other values."""
        try:
            header = read_header(state)
            if header["caller"] != facts:
                return None
            torch.set_num_threads(int(facts["case"]["threads"]))
            work, checkpoint, _ = self.session.resume(state)
        except (KatazomeError, KeyError):  # a checkpoint that cannot be used: from the start, then
            return None
        return work, checkpoint

    def _finish(self, case: Case, work: Work, step: Step, state: Path) -> Figures:
        target = self.output(case)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder '{target.parent}' cannot be made: {error.strerror}") from error
        metadata = work.recipe.to_xmp() if case.values["recipe"] else None
        depth = case.values["depth"]
        try:
            write(step.picture, target, depth=depth, metadata=metadata, overwrite=self.overwrite)
        except OutputError:
            # Ours, of a worker that died before it could record it?
            kind = SUFFIXES[target.suffix.lower()]
            same = target.is_file() and target.read_bytes() == encode(
                step.picture, kind, depth=depth, metadata=metadata
            )
            if not same:
                raise
        state.unlink(missing_ok=True)
        return {
            "sha256": hash_of(target),
            "width": step.width,
            "height": step.height,
            "seconds": round(step.seconds, 2),
        }

    def _unchanged(self, name: str, sha256: str) -> None:
        known = self._warm.setdefault("files", {})
        if name not in known:
            known[name] = hash_of(Path(name))
        if known[name] != sha256:
            raise PictureError(f"'{name}' was changed since the manifest was written; give the command again")


def in_turn(painter: Painter, cases: Sequence[Case], stopped: Callable[[], bool]) -> Iterator[Outcome]:
    """Do cases in this process and yield what came of each, until one is stopped."""
    for case in cases:
        if stopped():
            return
        yield painter.attempt(case, stopped)


def in_processes(
    painter: Painter, cases: Sequence[Case], stopped: Callable[[], bool], workers: int
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
        process = context.Process(target=_serve, args=(painter, there, stop), daemon=True)
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
                    yield Outcome(case, failed=f"the process that made it died {_TRIES} times{hand.why()}")
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


def _serve(painter: Painter, wire: Connection, stop: Any) -> None:
    """Be a process that does what comes over the wire, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to hear; it sets ``stop``
    while True:
        try:
            case = wire.recv()
        except EOFError:
            return
        wire.send(painter.attempt(case, stop.is_set))
