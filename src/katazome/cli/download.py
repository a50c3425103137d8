"""What a person sees of a download, on standard error. Apart from the other bars, which need torch."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn


class Download(AbstractContextManager["Download"]):
    """Tells of a download; begins to speak when the first bytes come."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._tenth = -1

    def __call__(self, done: int, total: int | None) -> None:
        """Be told of bytes so far and in all; see :data:`katazome.weights.catalogue.Progress`."""
        if self._quiet:
            return
        if self._tenth < 0:
            self._begin(total)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        tenth = done * 10 // total if total else 0
        if self._bar is None and tenth > self._tenth:
            print(f"{self._what}: {done / 1e6:.0f} MB, {10 * tenth} %", file=sys.stderr, flush=True)
        self._tenth = max(tenth, self._tenth)

    def _begin(self, total: int | None) -> None:
        console = Console(stderr=True)
        if console.is_terminal and not console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(self._what, total=total)
            self._bar.start()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
