"""Studies whose cases are shared out: ``--workers``, ``--on`` and ``--threads`` of their commands.

The workers measure, this process keeps what they send; then it measures what is still missing and writes the
report. So a worker that dies costs time alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from cyclopts import Parameter

from katazome.cli.crew import check_crew, outcomes, shared_out
from katazome.cli.show import Count
from katazome.errors import OptionError
from katazome.jobs.manifest import Case, Figures, Manifest

Workers = Annotated[int, Parameter(help="Processes on this machine, which measure a case each")]
On = Annotated[
    str,
    Parameter(
        help="Measure on a cluster: ray, or ray:ADDRESS (auto, HOST:PORT); all machines must reach the "
        "folders under the same path"
    ),
]
Threads = Annotated[int, Parameter(help="Threads of each; 0: the processors shared out")]


class Study(Protocol):
    """Cases, and how one of them is measured."""

    @property
    def folder(self) -> Path:
        """Of the report; the cases put what they show into its ``pictures``."""

    @property
    def part(self) -> tuple[int, int]:
        """Which part of the cases is measured here, of how many."""

    @property
    def manifest(self) -> Manifest:
        """All cases."""

    def measure(self, case: Case) -> Figures:
        """Measure a case."""

    def run(self) -> str:
        """Measure what is missing of this part; return the report (Markdown) of all there is."""


@dataclass(frozen=True)
class _Shared:
    """Who measures; a :class:`katazome.cli.crew.Crew`."""

    workers: int
    on: str
    threads: int


@dataclass(frozen=True)
class _Measurer:
    """A :class:`katazome.jobs.crew.Worker` that opens the study by the command's own arguments."""

    command: Callable[..., int]
    given: tuple[Any, ...]
    named: Mapping[str, Any]
    _opened: list[Study] = field(default_factory=list, repr=False)

    def do(self, case: Case, stopped: Callable[[], bool]) -> Figures:  # noqa: ARG002
        torch.set_num_threads(case.values["threads"])
        if not self._opened:
            self._opened.append(inspect.unwrap(self.command)(*self.given, **self.named))
        return self._opened[0].measure(Case(case.name, case.values["case"]))


def measured(opened: Callable[..., Study]) -> Callable[..., int]:
    """Return the command of a study: ``opened`` has its options; it measures and prints the report."""

    @wraps(opened)
    def command(*given: Any, workers: int = 1, on: str = "", threads: int = 0, **named: Any) -> int:
        if workers < 1 or threads < 0:
            raise OptionError(f"workers is {workers} and threads {threads}; give at least one worker")
        crew = _Shared(workers, on, threads or shared_out(workers))
        check_crew(crew)
        study = opened(*given, **named)
        if on or workers > 1:
            _share(study, _Measurer(command, given, named), crew)
        torch.set_num_threads(crew.threads)
        print(study.run())
        return 0

    kinds = {"workers": (Workers, 1), "on": (On, ""), "threads": (Threads, 0)}
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in kinds.items()
    ]
    known = inspect.signature(opened)
    command.__signature__ = known.replace(parameters=[*known.parameters.values(), *more])  # type: ignore[attr-defined]
    command.__annotations__ = {
        **opened.__annotations__,
        **{p.name: p.annotation for p in more},
        "return": int,
    }
    return command


def _share(study: Study, measurer: _Measurer, crew: _Shared) -> None:
    """Have the missing cases measured, and keep what comes of them."""
    (study.folder / "pictures").mkdir(parents=True, exist_ok=True)
    missing = {case.name: case for case in study.manifest.part(*study.part).missing()}
    sent = [Case(name, {"case": dict(c.values), "threads": crew.threads}) for name, c in missing.items()]
    with Count("cases", quiet=False) as count:
        count(0, len(sent))
        for done, outcome in enumerate(outcomes(measurer, sent, lambda: False, crew), 1):
            if outcome.figures is not None:
                study.manifest.keep(missing[outcome.case.name], outcome.figures)
            else:
                count.note(f"{outcome.case.name}: {outcome.failed}; it will be tried here")
            count(done, len(sent))
