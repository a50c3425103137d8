"""Reports: a case a file, so that a study stops and goes on; tables and sheets of what is there."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from katazome.jobs.manifest import Case, Figures, Manifest


def case(folder: Path, name: str, measure: Callable[[], Figures]) -> Figures:
    """Return the figures of a case: read from its file, or measured and written there."""
    one = Case(name, {})
    manifest = Manifest(folder, [one])
    manifest.run(lambda _: measure())
    figures = manifest.result(one)
    assert figures is not None
    return figures


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table in Markdown; columns are those of the first row."""
    if not rows:
        return ""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_text(row.get(c, "")) for c in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; columns are those of the first row."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else [], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
