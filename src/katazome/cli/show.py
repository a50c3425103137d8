"""What a person sees of long work on standard error: a bar, plain lines, or nothing.

They are told of steps and look at few of them: reading a step's terms makes a GPU wait.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from katazome.collections.cache import Progress as Seen
from katazome.descent.loop import Step
from katazome.objective.plan import Plan, duration

_BAR_EVERY = 0.2
_LINE_EVERY = 5.0
_LINES_IN_ALL = 50
"""About so many plain lines are enough for work of any length."""


Found = TypeVar("Found")


class Interrupted(Protocol):
    """Knows whether the user has interrupted; see :class:`katazome.cli.drive.Interrupt`."""

    asked: bool


class Show(Protocol):
    """A consumer of steps that talks."""

    def note(self, text: str) -> None:
        """Say a sentence."""

    def step(self, step: Step) -> None:
        """Be told of a step."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Forecast:
    """How much is done and how long the rest will take: at first as planned, then as it goes.

    The unit of work is one pixel in one iteration.
    """

    def __init__(self, plan: Plan, seconds: float) -> None:
        self._units: dict[tuple[int, int], int] = {}
        for leg in plan.legs:
            size = (leg.width, leg.height)
            self._units[size] = self._units.get(size, 0) + leg.evaluations * leg.width * leg.height
        self._total = sum(self._units.values())
        self._planned = seconds
        self._began: tuple[float, float] | None = None

    def look(self, step: Step) -> tuple[float, float]:
        """Return the share of all work that is done at a step, and the seconds left."""
        here = (step.width, step.height)
        area = step.width * step.height
        done = float(sum(units for (w, h), units in self._units.items() if w * h < area))
        done += min(step.index * area, self._units.get(here, 0))
        now = time.perf_counter()
        if self._began is None:
            self._began = (now, done)
        share = 1.0 if step.last else done / self._total
        worked = done - self._began[1]
        rate = self._planned / self._total
        if worked:
            trust = worked / (self._total - self._began[1])
            rate += trust * ((now - self._began[0]) / worked - rate)
        return share, rate * (self._total - done) * (not step.last)


def describe(step: Step, left: float) -> str:
    """Return a step in words: scale, iteration, time left, terms (which a narrow terminal cuts off)."""
    terms = " ".join(f"{name} {value:.3g}" for name, value in step.terms.items())
    if not terms:
        return f"{step.width} x {step.height}  {step.place}  {duration(left)} left"
    return (
        f"scale {step.scale + 1}/{step.scales}  {step.width} x {step.height}  "
        f"iteration {step.index + 1}/{step.count}  {duration(left)} left  {terms}"
    )


class Silent(AbstractContextManager["Silent"]):
    """Says nothing."""

    def note(self, text: str) -> None:
        """See :class:`Show`."""

    def step(self, step: Step) -> None:
        """See :class:`Show`."""

    def __exit__(self, *_: object) -> None: ...


class Lines(AbstractContextManager["Lines"]):
    """Plain lines, some seconds apart, and one at the start of every scale."""

    def __init__(self, forecast: Forecast, seconds: float) -> None:
        self._forecast = forecast
        self._every = max(_LINE_EVERY, seconds / _LINES_IN_ALL)
        self._said = (-1, 0.0)

    def note(self, text: str) -> None:
        """See :class:`Show`."""
        print(text, file=sys.stderr, flush=True)

    def step(self, step: Step) -> None:
        """See :class:`Show`."""
        _, left = self._forecast.look(step)
        now = time.perf_counter()
        scale, when = self._said
        if step.scale != scale or step.last or now - when >= self._every:
            self._said = (step.scale, now)
            self.note(describe(step, left))

    def __exit__(self, *_: object) -> None: ...


class Bar(AbstractContextManager["Bar"]):
    """A bar that stays in its line of the terminal."""

    def __init__(self, forecast: Forecast, console: Console) -> None:
        self._forecast = forecast
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            console=console,
            transient=True,
            expand=True,
        )
        self._task: TaskID | None = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("starting", total=1.0)
        return self

    def note(self, text: str) -> None:
        """See :class:`Show`."""
        self._progress.console.print(escape(text), highlight=False, soft_wrap=True)

    def step(self, step: Step) -> None:
        """See :class:`Show`."""
        share, left = self._forecast.look(step)
        now = time.perf_counter()
        if self._task is not None and (step.last or now - self._drawn >= _BAR_EVERY):
            self._drawn = now
            self._progress.update(self._task, completed=share, description=describe(step, left))

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def show_for(plan: Plan, seconds: float, *, quiet: bool) -> Show:
    """Return what fits: a bar where there is a terminal, else lines, else silence."""
    if quiet:
        return Silent()
    forecast = Forecast(plan, seconds)
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return Bar(forecast, console)
    return Lines(forecast, seconds)


class Count(AbstractContextManager["Count"]):
    """How many of many are done: a bar where there is a terminal, else lines some seconds apart."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._began: tuple[float, int] | None = None
        self._said = 0.0
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if not quiet and console.is_terminal and not console.is_dumb_terminal:
            self._bar = Progress(
                BarColumn(bar_width=20),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.description}", markup=False),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task(self._what)
        return self

    def note(self, text: str) -> None:
        """Say a sentence, unless nothing is to be said."""
        if self._bar is not None:
            self._bar.console.print(escape(text), highlight=False, soft_wrap=True)
        elif not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def __call__(self, done: int, total: int) -> None:
        """Be told of how many are done of how many."""
        now = time.perf_counter()
        if self._began is None:
            self._began = (now, done)
        every = _LINE_EVERY if self._bar is None else _BAR_EVERY
        if self._quiet or (now - self._said < every and done < total):
            return
        self._said = now
        began, first = self._began
        left = (now - began) / (done - first) * (total - done) if done > first else 0.0
        text = f"{self._what}: {done} of {total}" + (f"  {duration(left)} left" if left else "")
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=text)
        else:
            self.note(text)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def counted(
    work: Generator[Seen, None, Found], what: str, interrupt: Interrupted, *, quiet: bool
) -> Found | None:
    """Drain work that counts pictures, with a bar, and return what it found; None when interrupted."""
    with Count(what, quiet=quiet) as count:
        try:
            while True:
                progress = next(work)
                count(progress.done, progress.total)
                if interrupt.asked and progress.done < progress.total:
                    work.close()
                    return None
        except StopIteration as end:
            found: Found = end.value
            return found


def tell(text: str, *, quiet: bool = False) -> None:
    """Say a sentence where no bar is."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)
