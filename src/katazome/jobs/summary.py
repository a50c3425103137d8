"""What came of many pictures: a table, and a contact sheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from katazome.errors import OutputError, PictureError
from katazome.jobs.batch import Unfit
from katazome.jobs.compare import opaque
from katazome.jobs.local import Painter
from katazome.jobs.manifest import Case, write_text
from katazome.pictures.read import read
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write

TABLE, SHEET = "table.csv", "sheet.jpg"
MOST = 120
"""So many results are shown on a sheet; of more, the first."""

_CELL = 192
_ACROSS = 8
_COLUMNS = ("output", "state", "content", "styles", "width", "height", "seconds", "sha256", "why")


def name_of(what: str, part: tuple[int, int] = (1, 1)) -> str:
    """Return the name of a table or a sheet: each part has its own, as it knows what failed in it alone."""
    stem, suffix = what.split(".")
    return what if part == (1, 1) else f"{stem}-{part[0]}-of-{part[1]}.{suffix}"


def write_table(
    painter: Painter,
    cases: Sequence[Case],
    failed: Mapping[str, str],
    unfit: Sequence[Unfit] = (),
    name: str = TABLE,
) -> Path:
    """Write the table, a line for each picture, and return its path; ``failed`` are sentences by case."""
    text = io.StringIO()
    rows = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    rows.writeheader()
    for case in cases:
        figures = painter.manifest([case]).result(case)
        row = {"output": case.values["output"], **_places(case), **(figures or {})}
        if case.name in failed:
            row |= {"state": "failed", "why": failed[case.name]}
        else:
            row["state"] = "waiting" if figures is None else "done"
        rows.writerow(row)
    for one in unfit:
        rows.writerow({"output": one.output, **_places(one), "state": "failed", "why": one.why})
    path = painter.books / name
    write_text(path, text.getvalue(), "the table")
    return path


def write_sheet(painter: Painter, cases: Sequence[Case], name: str = SHEET) -> Path | None:
    """Write the contact sheet of what is done, and return its path; None where nothing is.

    Where a picture has several results they stand in its row, after itself; else they fill the rows.

    Raises :class:`OutputError` when it cannot be written.
    """
    done = [case for case in cases if painter.output(case).exists()][:MOST]
    by_content: dict[str, list[Case]] = {}
    for case in done:
        by_content.setdefault(str(case.places["content"]), []).append(case)
    rows: list[list[tuple[str, Tensor]]] = []
    if any(len(group) > 1 for group in by_content.values()):
        for place, group in by_content.items():
            row = [*_cell(painter.input(place), Path(place).name)]
            for case in group:
                row += _cell(painter.output(case), Path(case.values["output"]).name)
            rows += [row[n : n + _ACROSS] for n in range(0, len(row), _ACROSS)]
    else:
        cells = [
            one for case in done for one in _cell(painter.output(case), Path(case.values["output"]).name)
        ]
        rows += [cells[n : n + _ACROSS] for n in range(0, len(cells), _ACROSS)]
    if not rows:
        return None
    path = painter.books / name
    write(sheet(rows, cell=_CELL), path, overwrite=True)
    return path


def _places(one: Case | Unfit) -> dict[str, str]:
    return {"content": one.places["content"], "styles": " ".join(one.places["styles"])}


def _cell(file: Path, caption: str) -> list[tuple[str, Tensor]]:
    try:
        return [(caption, opaque(read(file, longest=_CELL)))]
    except (PictureError, OutputError):  # gone, or changed by someone since
        return []
