"""What training leaves on disk on the way: a checkpoint, and a log of its terms."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from katazome.errors import OutputError, PictureError
from katazome.training.trainer import TrainingState, TrainingStep
from katazome.weights.tensorfile import Damaged, read_tensors, write_tensors

FORMAT = 1
_MODULE, _OPTIMISER, _AVERAGE = "module.", "optimiser.", "average."


def write_state(path: Path, state: TrainingState, header: Mapping[str, Any]) -> None:
    """Write where training stands; ``header`` is all that decides what it learns, as JSON values.

    Raises :class:`OutputError` when it cannot be written; the last whole one then still stands.
    """
    tensors = {_MODULE + name: tensor for name, tensor in state.module.items()}
    tensors |= {_OPTIMISER + name: tensor for name, tensor in state.optimiser.items()}
    tensors |= {_AVERAGE + name: tensor for name, tensor in state.average.items()}
    place = {"format": FORMAT, "done": state.done, "seconds": state.seconds, "header": dict(header)}
    write_tensors(path, tensors, place, what="the checkpoint")


def read_state(path: Path) -> tuple[TrainingState, dict[str, Any]]:
    """Read a checkpoint and its header back.

    Raises :class:`PictureError` when it is damaged or none.
    """
    try:
        tensors, place = read_tensors(path)
        if place["format"] != FORMAT:
            raise Damaged(f"its format is {place['format']}, this version reads {FORMAT}")
        parts = [_below(tensors, prefix) for prefix in (_MODULE, _OPTIMISER, _AVERAGE)]
        state = TrainingState(int(place["done"]), float(place["seconds"]), *parts)
        return state, dict(place["header"])
    except (Damaged, KeyError, TypeError, ValueError) as error:
        raise PictureError(
            f"{path} is not a whole checkpoint of training ({error}); delete it to begin anew"
        ) from error


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


class Log:
    """A table (CSV) of steps, one row every so many; training that goes on cuts off what it repeats."""

    def __init__(self, path: Path, every: int, done: int = 0) -> None:
        """Open the table at ``path``, of which the rows up to step ``done`` are kept.

        Raises :class:`OutputError` when it cannot be written.
        """
        self._path, self._every = path, every
        rows: list[list[str]] = []
        if done and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                head, *rest = [row for row in csv.reader(file) if row] or [[]]
            whole = [
                row for row in rest if len(row) == len(head) and row[0].isdigit() and int(row[0]) <= done
            ]
            rows = [head, *whole] if head else []
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        self._write(beside, "w", rows)
        beside.replace(path)
        self._titled = bool(rows)

    def step(self, step: TrainingStep) -> None:
        """Note a step if it is its turn; the last always is."""
        if step.index % self._every and step.index != step.count:
            return
        terms = step.terms
        rows = [] if self._titled else [["step", "seconds", "rate", *terms]]
        self._titled = True
        values = [f"{value:.6g}" for value in terms.values()]
        self._write(
            self._path, "a", [*rows, [str(step.index), f"{step.seconds:.1f}", f"{step.rate:.3g}", *values]]
        )

    def _write(self, path: Path, mode: str, rows: list[list[str]]) -> None:
        try:
            with path.open(mode, encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)
        except OSError as error:
            raise OutputError(f"the log {self._path} cannot be written: {error.strerror}") from error
