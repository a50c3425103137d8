"""The command ``katazome study filters``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.api import Session
from katazome.errors import OptionError
from katazome.studies.filters import FilterStudy


def filters(
    *sets: Annotated[str, Parameter(help="Folders with images, and masks beside them")],
    filters: Annotated[str, Parameter(help="Selection of filters, of `katazome filters select`")],
    word: Annotated[str, Parameter(name="--object", help="What the things in the pictures are called")],
    style: Annotated[
        list[str], Parameter(help="Style picture; may be given several times", negative_iterable="")
    ],
    pictures: Annotated[
        tuple[str, ...],
        Parameter(
            help="Pattern of the names of the pictures, such as *dog*; may be given several times",
            negative_iterable="",
        ),
    ] = ("*",),
    output: Annotated[str, Parameter(name=["--output", "-o"], help="Folder of the report")] = "report",
    size: Annotated[int, Parameter(help="Longest side, px")] = 256,
    iterations: Annotated[int, Parameter(help="Iterations at the last scale")] = 50,
    part: Annotated[
        str, Parameter(help="Which part of the cases to measure here: 2/5 is the second of five")
    ] = "1/1",
    device: Annotated[str, Parameter(help="Where to compute: auto, cpu, cuda, cuda:N or mps")] = "auto",
) -> int:
    """Measure style on one thing by eight ways; a study that was stopped goes on where it was."""
    study = FilterStudy(
        session=Session(device=device),
        filters=filters,
        word=word,
        sets=[Path(path) for path in sets],
        pictures=pictures,
        styles=[Path(path) for path in style],
        folder=Path(output),
        size=size,
        iterations=iterations,
        part=part_of(part),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(study.run())
    return 0


def part_of(text: str) -> tuple[int, int]:
    """Return the two numbers of ``2/5``; :class:`OptionError` for anything else."""
    asked = re.fullmatch(r"(\d+)/(\d+)", text)
    if not asked:
        raise OptionError(f"part is '{text}'; it must be two numbers, such as 2/5")
    return int(asked[1]), int(asked[2])
