"""``make gallery``, second part: the pictures of the page that explains the parameters.

Small and few. Each picture is made once and kept under out/gallery, as those of ``make_gallery.py`` are;
``docs/make_parameters.py NAME`` makes one sheet.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from make_gallery import KEPT, SHEETS, kept, picture, save

from katazome import Session
from katazome.api import DEFAULT_METHOD, drain

CELL = 256


@dataclass(frozen=True)
class Row:
    """A sheet: one pair of pictures, one parameter, some values."""

    content: str
    styles: Sequence[str]
    parameter: str
    values: Sequence[Any]
    options: dict[str, Any]
    """What is the same in all of them."""
    cell: int = CELL
    """Side of a picture's place on the sheet, px."""

    @property
    def flag(self) -> str:
        """The parameter on the command line."""
        return "--" + self.parameter.replace("_", "-")


SMALL = {"size": CELL, "iterations": 30}
SMALLER = {**SMALL, "size": 192}
QUICK = {"size": CELL, "method": "adain"}
LOOK = ("wheat_field",)
ROWS = {
    "iterations": Row("chelsea", LOOK, "iterations", (5, 20, 50, 200), SMALL),
    "init": Row("coffee", LOOK, "init", ("content", "random", "style"), SMALL),
    "blend": Row("coffee", ("wheat_field", "old_plum"), "blend", ("3,1", "1,1", "1,3"), QUICK),
    "feather": Row("coffee", LOOK, "feather", (0, 10, 40), {**QUICK, "where": "salient"}),
    "material": Row(
        "coffee", ("old_plum",), "method", ("gatys", "material"), {"size": 400, "where": "salient"}, 400
    ),
    "style-layers": Row(
        "coffee", LOOK, "style_layers", ("relu1_1,relu2_1", "relu3_1", "relu4_1,relu5_1"), SMALLER
    ),
    "moment-weight": Row("chelsea", ("apples",), "moment_weight", (0.0, 0.3, 3.0), {"size": 400}, 300),
    "octaves": Row("chelsea", ("apples",), "octaves", (1, 3), {**SMALLER, "method": "multiscale"}),
    "content-layers": Row("chelsea", LOOK, "content_layers", ("relu2_2", "relu4_2", "relu5_2"), SMALLER),
}


def make(session: Session, name: str) -> None:
    """Make what is missing of a row, and its sheet."""
    row = ROWS[name]
    cells = []
    for value in row.values:

        def made(value: Any = value) -> Any:
            options = {"method": DEFAULT_METHOD, **row.options, row.parameter: value}
            return drain(
                session.prepare(picture(row.content), [picture(s) for s in row.styles], **options)
            ).tensor

        cells.append((f"{row.flag} {value}", kept(f"{name}-{value}", made)))
    save(name, [cells], row.cell)


def main() -> None:
    """Make the sheets named on the command line, all by default."""
    KEPT.mkdir(parents=True, exist_ok=True)
    SHEETS.mkdir(exist_ok=True)
    session = Session()
    for name in sys.argv[1:] or ROWS:
        make(session, name)


if __name__ == "__main__":
    main()
