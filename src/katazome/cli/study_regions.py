"""The command ``katazome study regions``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.cli.study import Output, Part, part_of
from katazome.cli.study_crew import measured
from katazome.studies.regions import RegionStudy, read_words


@measured
def regions(
    *sets: Annotated[str, Parameter(help="Folders with images, and masks or labels beside them")],
    words: Annotated[
        str | None, Parameter(help="Table (CSV) of pictures and what their thing is called")
    ] = None,
    output: Output = "report",
    part: Part = "1/1",
) -> RegionStudy:
    """Measure regions by name against true masks; a study that was stopped goes on where it was."""
    return RegionStudy(
        sets=[Path(path) for path in sets],
        words=read_words(Path(words)) if words else [],
        folder=Path(output),
        part=part_of(part),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
