"""Pictures made of cases.

A :class:`Painter` keeps the network, and the process's heap, from picture to picture. It writes each result
whole or not at all, then the case's record: what is recorded is there. Who paints, and how many at once, is
the crew's (:mod:`katazome.jobs.crew`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from katazome.api import Session
from katazome.descent.checkpoint import checkpoint_path, read_header
from katazome.descent.loop import Step
from katazome.errors import KatazomeError, OutputError, PictureError
from katazome.jobs.batch import BOOKS
from katazome.jobs.inputs import hash_of
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.pictures.write import encode, kind_of, place
from katazome.weights.flavours import VGGWeights
from katazome.work import Work

RECORDS = "done"
"""Folder of the records, beside the manifest."""
_HASHES = 256
"""Files of options whose hashes are remembered, the last used ones."""


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
        return {**self.__dict__, "_warm": {}}

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
                    f"'{picture.name}' is not the picture that the manifest has: it was changed since, or "
                    "its place in the manifest was; give the command that writes the manifest again"
                )
        return work

    def do(self, case: Case, stopped: Callable[[], bool]) -> Figures | None:
        """Make a case's picture, or go on with it, and keep it; None when it was stopped."""
        made = self.make(case, stopped)
        return None if made is None else self.keep(case, *made)

    def make(self, case: Case, stopped: Callable[[], bool]) -> tuple[Figures, bytes] | None:
        """Make a case's picture, or go on with it; return its figures and its file, None when stopped."""
        state = self._state(case)
        facts = {"case": dict(case.values)}
        work, checkpoint = self._begun(state, facts) or (self.prepare(case), None)
        for number, step in enumerate(work.steps(checkpoint)):
            if step.last:
                return _finished(case, work, step)
            if stopped() or (self.save_every and number and number % self.save_every == 0):
                state.parent.mkdir(parents=True, exist_ok=True)
                work.save(state, step.checkpoint(), facts)
            if stopped():
                return None
        raise AssertionError("the stream ended without a last step")

    def keep(self, case: Case, figures: Figures, file: bytes) -> Figures:
        """Write a case's picture, then its record, each whole or not at all; return the figures.

        Raises :class:`OutputError` when one cannot be written.
        """
        target = self.output(case)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder '{target.parent}' cannot be made: {error.strerror}") from error
        try:
            place(file, target, overwrite=self.overwrite)
        except OutputError:
            # Ours, of a worker that died before it could record it?
            if not target.is_file() or target.read_bytes() != file:
                raise
        self._state(case).unlink(missing_ok=True)
        self.manifest([case]).keep(case, figures)
        return figures

    def _state(self, case: Case) -> Path:
        return checkpoint_path(self.books / RECORDS / case.name)

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

    def _unchanged(self, name: str, sha256: str) -> None:
        hashed = self._warm.setdefault("hashed", lru_cache(maxsize=_HASHES)(hash_of))
        if hashed(Path(name)) != sha256:
            raise PictureError(f"'{name}' was changed since the manifest was written; give the command again")


def _finished(case: Case, work: Work, step: Step) -> tuple[Figures, bytes]:
    depth = case.values["depth"]
    metadata = work.recipe.to_xmp() if case.values["recipe"] else None
    file = encode(step.picture, kind_of(case.values["output"], depth), depth=depth, metadata=metadata)
    figures = {
        "sha256": hashlib.sha256(file).hexdigest(),
        "width": step.width,
        "height": step.height,
        "seconds": round(step.seconds, 2),
    }
    return figures, file
