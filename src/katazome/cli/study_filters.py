"""The command ``katazome study filters``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.api import Session
from katazome.cli.study import Device, Iterations, Output, Part, Size, part_of
from katazome.cli.study_crew import measured
from katazome.studies.filters import FilterStudy


@measured
def filters(
    *sets: Annotated[str, Parameter(help="Folders with images, and masks beside them")],
    filters: Annotated[str, Parameter(help="Selection of filters, of `katazome filters select`")],
    word: Annotated[str, Parameter(name="--object", help="What the things in the pictures are called")],
    style: Annotated[list[str], Parameter(help="Style picture; may be given several times")],
    pictures: Annotated[
        tuple[str, ...],
        Parameter(
            help="Pattern of the names of the pictures, such as *dog*; may be given several times",
        ),
    ] = ("*",),
    output: Output = "report",
    size: Size = 256,
    iterations: Iterations = 50,
    part: Part = "1/1",
    device: Device = "auto",
) -> FilterStudy:
    """Measure style on one thing by eight ways; a study that was stopped goes on where it was."""
    return FilterStudy(
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
