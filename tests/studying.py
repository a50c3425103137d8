"""A study of numbers, whose cases can be made to fail or to end the process that measures them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from katazome.cli.study_crew import measured
from katazome.jobs.manifest import Case, Figures, Manifest


@dataclass(frozen=True)
class Squares:
    """Each of some numbers squared; the number ``deadly`` kills its process once, or again and again."""

    folder: Path
    numbers: tuple[int, ...]
    deadly: int
    always: bool
    part: tuple[int, int] = (1, 1)

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest(self.folder / "cases", [Case(f"of-{n}", {"n": n}) for n in self.numbers])

    def measure(self, case: Case) -> Figures:
        n = int(case.values["n"])
        if n == self.deadly and multiprocessing.parent_process() is not None:
            met = self.folder / "met"
            if self.always or not met.exists():
                met.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if n < 0:
            raise ValueError(f"{n} is below 0")
        (self.folder / "pictures" / f"{n}").touch()
        return {"square": n * n, "process": os.getpid(), "threads": torch.get_num_threads()}

    def run(self) -> str:
        self.manifest.part(*self.part).run(self.measure)
        return " ".join(str(row["square"]) for row in self.manifest.results())


@measured
def squares(*numbers: int, output: str, deadly: int = 0, always: bool = False, part: str = "1/1") -> Squares:
    """Square numbers."""
    one, of = part.split("/")
    return Squares(Path(output), numbers, deadly, always, (int(one), int(of)))
