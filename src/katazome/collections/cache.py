"""What the network sees in pictures, kept on disk: computed once, memory-mapped ever after.

A cache is a folder under ``KATAZOME_HOME``: rows of equal shape in half precision, one after another, and an
index of which file's row stands where. A picture is known by its path, size and time of change, so a changed
file is computed again; other weights, layers or crops have a folder of their own. Rows are written before the
index names them: a kill at any moment loses the rows at hand, and nothing else. Programs that fill the same
cache at the same time share the pictures: none is computed that another has written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from katazome.collections.folders import Source, load
from katazome.errors import OutputError
from katazome.weights.store import home

Found = TypeVar("Found")

FORMAT = 1
"""Goes up when the same picture and key give other rows."""

BATCH = 8
"""Pictures that go through the network together, and the most that a kill can lose."""


@dataclass(frozen=True)
class Progress:
    """Where filling stands: pictures dealt with, of how many."""

    done: int
    total: int


@dataclass(frozen=True)
class Features:
    """Rows of features, row i of ``sources[i]``; ``skipped`` are pictures that cannot be read, and why."""

    sources: tuple[Source, ...]
    skipped: Mapping[Source, str]
    _rows: NDArray[np.float16]
    _places: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row."""
        return tuple(self._rows.shape[1:])

    def __len__(self) -> int:
        return len(self.sources)

    def only(self, indices: Sequence[int]) -> Features:
        """Return some of the rows, in this order."""
        return replace(
            self,
            sources=tuple(self.sources[i] for i in indices),
            _places=tuple(self._places[i] for i in indices),
        )

    def rows(self, indices: Sequence[int]) -> Tensor:
        """Return rows (len(indices), *shape) float32, read from the disk now."""
        return torch.from_numpy(self._rows[[self._places[i] for i in indices]].astype(np.float32))

    def heads(self, indices: Sequence[int], length: int) -> Tensor:
        """Return the first ``length`` numbers of rows (D,): (len(indices), length) float32."""
        rows = self._rows[[self._places[i] for i in indices], :length]
        return torch.from_numpy(rows.astype(np.float32))


@dataclass(frozen=True)
class FeatureCache:
    """A cache of what ``compute`` makes of squares of ``side`` px.

    ``key`` is all that decides the result besides the picture: plain JSON values, such as the weights' hash
    and the layer. ``compute`` takes (B, 3, side, side), sRGB in [0, 1], to (B, *shape).
    """

    key: Mapping[str, Any]
    side: int
    shape: tuple[int, ...]
    compute: Callable[[Tensor], Tensor]
    under: Path | None = None
    """The folder of all caches; None for that in ``KATAZOME_HOME``."""

    @property
    def folder(self) -> Path:
        """This cache's folder."""
        text = json.dumps(
            {"format": FORMAT, **self.key, "side": self.side, "shape": self.shape}, sort_keys=True
        )
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        return (self.under or home() / "features") / name

    def fill(
        self, sources: Sequence[Source], *, workers: int | None = None
    ) -> Generator[Progress, None, Features]:
        """Compute what is missing, and return the rows of all; closing keeps what was computed.

        Raises :class:`OutputError` when the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            skipped = yield from self._fill(sources, workers or max(1, min(8, (os.cpu_count() or 2) - 1)))
        except OSError as error:
            raise OutputError(
                f"the features cannot be kept in {self.folder} ({error.strerror}); make room, or name "
                "another place by KATAZOME_HOME"
            ) from error
        return self._read(sources, skipped)

    def _fill(self, sources: Sequence[Source], workers: int) -> Generator[Progress, None, dict[Source, str]]:
        there = set(self._index())
        missing = [n for n, source in enumerate(sources) if known(source) not in there]
        rest = [missing[n : n + BATCH] for n in range(0, len(missing), BATCH)][::-1]
        skipped: dict[Source, str] = {}
        done = len(sources) - len(missing)
        yield Progress(done, len(sources))

        def dealt() -> Iterator[tuple[int, Source]]:
            nonlocal done
            while rest:
                for n in rest.pop():
                    if known(sources[n]) in there:
                        done += 1  # by another program
                    else:
                        yield n, sources[n]

        pictures = load(dealt(), self.side, {}, workers=workers, ahead=2 * BATCH)
        while together := list(islice(pictures, BATCH)):
            waiting: list[tuple[str, Tensor]] = []
            for loaded in together:
                source = sources[loaded.index]
                if loaded.pixels is None:
                    skipped[source] = loaded.reason
                elif (name := known(source)) not in there:
                    waiting.append((name, loaded.pixels))
            if waiting:
                before = self._append(waiting)
                if len(before) > len(there):
                    # Another program is at it too. In an order that each has drawn, they seldom meet.
                    Random().shuffle(rest)
                there |= {*before, *(name for name, _ in waiting)}
            done += len(together)
            yield Progress(done, len(sources))
        return skipped

    def _append(self, waiting: Sequence[tuple[str, Tensor]]) -> dict[str, int]:
        """Compute and write rows; return the index before that, with what other programs have written."""
        with torch.no_grad():
            made = self.compute(torch.cat([pixels for _, pixels in waiting]))
        rows = made.float().cpu().reshape(len(waiting), *self.shape).numpy().astype(np.float16)
        # Locked for this alone: another program that fills the same cache need not wait for all of ours.
        with FileLock(self.folder / ".lock"):
            return self._write(rows, [name for name, _ in waiting])

    def _write(self, rows: NDArray[np.float16], names: Sequence[str]) -> dict[str, int]:
        index = self._index()
        first = max(index.values(), default=-1) + 1
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.seek(first * self._bytes)  # over what a kill left unnamed
            file.write(rows.tobytes())
            file.flush()
            os.fsync(file.fileno())
        # Begun on a new line: a kill may have left half of one.
        lines = [json.dumps([first + n, name]) for n, name in enumerate(names)]
        with self._lines.open("a", encoding="utf-8") as file_of_lines:
            file_of_lines.write("\n" + "\n".join(lines) + "\n")
        return index

    @property
    def _file(self) -> Path:
        return self.folder / "rows.bin"

    @property
    def _lines(self) -> Path:
        return self.folder / "index.jsonl"

    @property
    def _bytes(self) -> int:
        return 2 * int(np.prod(self.shape))

    def _index(self) -> dict[str, int]:
        """Return where each known picture's row stands."""
        held = self._file.stat().st_size // self._bytes if self._file.exists() else 0
        owner: dict[int, str] = {}  # of a place that was written twice, the last is the owner
        for line in self._lines.read_text(encoding="utf-8").splitlines() if self._lines.exists() else []:
            try:
                place, name = json.loads(line)
            except ValueError:
                continue
            if place < held:
                owner[place] = name
        return {name: place for place, name in owner.items()}

    def _read(self, sources: Sequence[Source], skipped: Mapping[Source, str]) -> Features:
        index = self._index()
        there = [(source, index[name]) for source in sources if (name := known(source)) in index]
        count = self._file.stat().st_size // self._bytes if self._file.exists() else 0
        rows: NDArray[np.float16] = np.zeros((0, *self.shape), np.float16)
        if count:
            rows = np.memmap(self._file, np.float16, "r", shape=(count, *self.shape))
        return Features(tuple(s for s, _ in there), skipped, rows, tuple(place for _, place in there))


def drained(work: Generator[Progress, None, Found]) -> Found:
    """Run work to its end and return what it found."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found


def known(source: Source) -> str:
    """Return what a picture is known by: its path, size and time of change; nothing where it is gone."""
    try:
        facts = source.path.stat()
    except OSError:
        return ""
    return f"{source.path}|{facts.st_size}|{facts.st_mtime_ns}"
