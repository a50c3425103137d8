"""Consuming a stream of steps: files written on the way, interruptions, the end."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from katazome.api import Work
from katazome.cli.settings import Caller
from katazome.cli.show import Show
from katazome.descent.checkpoint import checkpoint_path
from katazome.descent.loop import Checkpoint, Step
from katazome.errors import OutputError
from katazome.objective.plan import duration
from katazome.pictures.write import write
from katazome.processes import in_any

INTERRUPTED = 130
"""Exit code of work that was stopped, with the picture kept."""

_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))
"""What is taken as an interruption; the last comes when a terminal or a connection is closed."""


class Interrupt:
    """Lets the step at hand end when the user interrupts; a second time, nothing is waited for."""

    def __init__(self, *, quiet: bool, keeping: str = "this step, then keeping the picture") -> None:
        self.asked = False
        self._quiet = quiet
        self._keeping = keeping
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # under nohup a closed terminal is to be ignored
                if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.asked:
            self._restore()
            raise KeyboardInterrupt
        self.asked = True
        if not self._quiet:
            # not print: the signal may have come in the middle of one
            with suppress(OSError):
                os.write(2, f"\nending {self._keeping}; Ctrl-C again ends at once\n".encode())


@dataclass
class Sink:
    """Where the picture goes, and the checkpoint beside it."""

    output: str
    overwrite: bool
    settings: Caller
    work: Work

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint's file; None where the picture goes to standard output."""
        return None if self.output == "-" else checkpoint_path(Path(self.output))

    def picture(self, step: Step) -> None:
        """Write a step's picture; once one is there it is ours to replace."""
        metadata = self.work.recipe.to_xmp() if self.settings.recipe else None
        write(
            step.picture,
            self.output,
            depth=self.settings.depth,
            metadata=metadata,
            overwrite=self.overwrite,
        )
        self.overwrite = True

    def state(self, step: Step) -> None:
        """Write where the work stands."""
        if self.checkpoint is not None:
            self.work.save(self.checkpoint, step.checkpoint(), self.settings.to_json())

    def keep(self, step: Step) -> None:
        """Write both: the state first, so that there is never a picture that cannot be gone on from."""
        self.state(step)
        self.picture(step)

    def finish(self, step: Step) -> None:
        """Write the result and remove the checkpoint; where it cannot be written, leave the state.

        Where that cannot be written either, the picture is kept in the folder for temporary files.
        """
        try:
            self.picture(step)
        except OutputError as error:
            if self.output == "-":
                raise
            try:
                self.state(step)
                where = f"`katazome resume {self.checkpoint} -o FILE` writes it elsewhere"
            except OutputError:
                kept = self._elsewhere(step)
                if kept is None:
                    raise error from error.__cause__
                where = f"the picture is in {kept}"
            raise OutputError(f"{error}. The work is not lost: {where}") from error.__cause__
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)

    def _elsewhere(self, step: Step) -> Path | None:
        """Keep the picture in the folder for temporary files; None where that cannot be written either."""
        try:
            number, name = tempfile.mkstemp(prefix="katazome-", suffix=".png")
        except OSError:
            return None
        os.close(number)
        try:
            write(step.picture, name, overwrite=True)
        except OutputError:
            Path(name).unlink(missing_ok=True)
            return None
        return Path(name)


def drive(sink: Sink, show: Show, resume: Checkpoint | None = None, *, quiet: bool = False) -> int:
    """Run the work to its end or to an interruption, and return the exit code."""
    every = sink.settings.save_every
    with Interrupt(quiet=quiet) as interrupt, show, _last_saved(sink, show):
        for number, step in enumerate(sink.work.steps(resume)):
            stop = in_any(interrupt.asked)
            show.step(step)
            if step.note:
                show.note(step.note)
            if step.last:
                sink.finish(step)
                show.note(_done(sink.output, step))
                return 0
            if stop:
                sink.keep(step)
                show.note(_stopped(sink, step))
                return INTERRUPTED
            if every and number and number % every == 0:
                try:
                    sink.keep(step)
                except OutputError as error:
                    show.note(f"{error}; going on, what was saved before still stands")
    raise AssertionError("the stream ended without a last step")


def finished(steps: Iterator[Step], show: Show, interrupt: Interrupt) -> Step | None:
    """Run steps to their end and return the last; None where they were interrupted."""
    for step in steps:
        show.step(step)
        if step.last:
            return step
        if interrupt.asked:
            return None
    raise AssertionError("the stream ended without a last step")


@contextmanager
def _last_saved(sink: Sink, show: Show) -> Iterator[None]:
    """Where the work is ended at once, say what there is to go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if sink.checkpoint is not None and sink.checkpoint.exists():
            show.note(f"ended at once; to go on from what was saved last: katazome resume {sink.checkpoint}")
        raise


def _done(output: str, step: Step) -> str:
    where = "standard output" if output == "-" else output
    height, width = step.picture.shape[2:]
    return f"{where}: {width} x {height} px after {duration(step.seconds)}"


def _stopped(sink: Sink, step: Step) -> str:
    if sink.checkpoint is None:
        return f"interrupted at {step.place}; the picture so far went to standard output"
    return (
        f"interrupted at {step.place}; the picture so far is in {sink.output}. "
        f"To go on: katazome resume {sink.checkpoint}"
    )
