"""A manifest: the cases of a study or a long job, and which of them are done.

A case is a name and plain values; its result is a file of plain values. So work stops anywhere and goes on,
is looked at while it runs, and is shared: machines that see the same folder take a part each.

A manifest may itself be a file, one case a line, to be looked at before, edited, and run as it stands. Its
first line says of what kind it is and has a hash of the others, by which an edited one is known.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from katazome import __version__
from katazome.errors import OptionError, OutputError, PictureError

Figures = dict[str, Any]

FORMAT = 1
"""Version of the file of a manifest."""

_NAME = re.compile(r"[\w.()+-]+")


@dataclass(frozen=True)
class Case:
    """One piece of work. ``values`` are plain JSON values: all that decides what comes out."""

    name: str
    values: Mapping[str, Any]
    places: Mapping[str, Any] = field(default_factory=dict)
    """Where its inputs lie now, which decides nothing: plain JSON values."""


@dataclass(frozen=True)
class Manifest:
    """Cases, and the folder of their results."""

    folder: Path
    cases: Sequence[Case]

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        for name in names:
            if not _NAME.fullmatch(name):
                raise OptionError(
                    f"a case is called '{name}'; letters, digits and . ( ) + - _ make a file's name"
                )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise OptionError(f"two cases are called '{twice}'")

    def part(self, number: int, parts: int, together: Callable[[Case], str] | None = None) -> Manifest:
        """Return every ``parts``-th case from the ``number``-th, counted from 1: one machine's share.

        Cases for which ``together`` says the same are dealt as one, so that they are done on one machine.
        Raises :class:`OptionError` unless 1 <= number <= parts.
        """
        if not 1 <= number <= parts:
            raise OptionError(f"part is {number}/{parts}; it must be 1/{parts} to {parts}/{parts}")
        if together is None:
            return Manifest(self.folder, self.cases[number - 1 :: parts])
        own = set(list(dict.fromkeys(together(case) for case in self.cases))[number - 1 :: parts])
        return Manifest(self.folder, [case for case in self.cases if together(case) in own])

    def result(self, case: Case) -> Figures | None:
        """Return a case's result, or None when there is none, or it is of other values."""
        try:
            kept = json.loads(self._file(case).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(kept, dict) or kept.get("case") != json.loads(json.dumps(dict(case.values))):
            return None
        return dict(kept["result"])

    def missing(self) -> list[Case]:
        """Return the cases without a result."""
        return [case for case in self.cases if self.result(case) is None]

    def results(self) -> list[Figures]:
        """Return the results there are, each with its case's values, in the order of the cases."""
        found = ((case, self.result(case)) for case in self.cases)
        return [{**case.values, **result} for case, result in found if result is not None]

    def run(self, measure: Callable[[Case], Figures], say: Callable[[str], None] = lambda _: None) -> None:
        """Do the missing cases one by one; a result is kept as soon as it is there.

        Raises :class:`OutputError` when it cannot be written.
        """
        waiting = self.missing()
        for number, case in enumerate(waiting, 1):
            say(f"{case.name} ({number} of {len(waiting)})")
            self.keep(case, measure(case))

    def keep(self, case: Case, result: Figures) -> None:
        """Write a case's result, whole or not at all; :class:`OutputError` when it cannot be."""
        text = json.dumps({"case": dict(case.values), "result": result}, indent=1, ensure_ascii=False)
        write_text(self._file(case), text + "\n", "the case")

    def write(self, path: Path) -> None:
        """Write the cases to a file of JSON lines; :class:`OutputError` when it cannot be written."""
        lines = [
            json.dumps(
                {"name": c.name, "values": dict(c.values), "places": dict(c.places)}, ensure_ascii=False
            )
            for c in self.cases
        ]
        head = {"katazome": __version__, "format": FORMAT, "cases": len(lines), "sha256": _digest(lines)}
        write_text(path, "\n".join([json.dumps(head), *lines, ""]), "the manifest")

    @classmethod
    def read(cls, path: Path, folder: Path) -> tuple[Manifest, bool]:
        """Return the manifest of a file, with ``folder`` for its results, and whether it was edited.

        Raises :class:`PictureError` for a file that is none, and names the line.
        """
        try:
            head, *lines = path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            raise PictureError(f"there is no manifest {path}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise PictureError(f"the manifest {path} cannot be read: {error}") from error
        first = _parsed(head, path, 1)
        if first.get("format") != FORMAT:
            raise PictureError(
                f"{path} is no manifest of format {FORMAT}: its first line is {head[:60]!r}; "
                "it must be as `katazome batch` wrote it"
            )
        cases = [_case(line, path, number) for number, line in enumerate(lines, 2) if line.strip()]
        if not cases:
            raise PictureError(f"the manifest {path} has no cases")
        return cls(folder, cases), first.get("sha256") != _digest([line for line in lines if line.strip()])

    def _file(self, case: Case) -> Path:
        return self.folder / f"{case.name}.json"


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _parsed(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PictureError(f"line {number} of {path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise PictureError(f"line {number} of {path} is a JSON {type(values).__name__}; expected an object")
    return values


def _case(line: str, path: Path, number: int) -> Case:
    values = _parsed(line, path, number)
    kinds = {"name": str, "values": dict, "places": dict}
    if values.keys() != kinds.keys() or not all(isinstance(values[k], kind) for k, kind in kinds.items()):
        raise PictureError(
            f"line {number} of {path} is no case: it has {', '.join(values) or 'nothing'}; "
            "expected a name, and the objects values and places"
        )
    return Case(**values)


def write_text(file: Path, text: str, what: str) -> None:
    """Write a text whole or not at all; :class:`OutputError`, by the name ``what``, when it cannot be."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise OutputError(f"{what} {file} cannot be written: {error.strerror}") from error
