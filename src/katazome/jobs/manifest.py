"""A manifest: the cases of a study or a long job, and which of them are done.

A case is a name and plain values; its result is a file of plain values. So work stops anywhere and goes on,
is looked at while it runs, and is shared: machines that see the same folder take a part each.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from katazome.errors import OptionError, OutputError

Figures = dict[str, Any]

_NAME = re.compile(r"[\w.()+-]+")


@dataclass(frozen=True)
class Case:
    """One piece of work. ``values`` are plain JSON values: all that decides what comes out."""

    name: str
    values: Mapping[str, Any]


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

    def part(self, number: int, parts: int) -> Manifest:
        """Return every ``parts``-th case from the ``number``-th, counted from 1: one machine's share.

        Raises :class:`OptionError` unless 1 <= number <= parts.
        """
        if not 1 <= number <= parts:
            raise OptionError(f"part is {number}/{parts}; it must be 1/{parts} to {parts}/{parts}")
        return Manifest(self.folder, self.cases[number - 1 :: parts])

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
            self._keep(case, measure(case))

    def _file(self, case: Case) -> Path:
        return self.folder / f"{case.name}.json"

    def _keep(self, case: Case, result: Figures) -> None:
        file = self._file(case)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        text = json.dumps({"case": dict(case.values), "result": result}, indent=1, ensure_ascii=False)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside.write_text(text + "\n", encoding="utf-8")
            beside.replace(file)
        except OSError as error:
            raise OutputError(f"the case {file} cannot be written: {error.strerror}") from error
