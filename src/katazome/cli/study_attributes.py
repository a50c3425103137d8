"""The command ``katazome study attributes``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.api import Session
from katazome.cli.study import Device, Iterations, Output, Part, Size, part_of
from katazome.cli.study_crew import measured
from katazome.errors import OptionError
from katazome.networks.classifier import open_classifier
from katazome.networks.faces import open_faces
from katazome.studies.attributes import AttributeStudy


@measured
def attributes(
    *,
    faces: Annotated[str, Parameter(help="Folder of a collection of faces with a table of attributes")],
    table: Annotated[
        str | None, Parameter(name="--attributes", help="The table; open: the one in or beside the folder")
    ] = None,
    output: Output = "report",
    many: Annotated[int, Parameter(help="Faces in the arms that matter most")] = 50,
    few: Annotated[int, Parameter(help="Faces in the others")] = 5,
    size: Size = 96,
    iterations: Iterations = 100,
    judge_steps: Annotated[int, Parameter(help="Steps in which the judge learns")] = 1500,
    arms: Annotated[
        str,
        Parameter(help="Arms to measure, such as 'layer 0.4,pixels x2'; open: all"),
    ] = "",
    part: Part = "1/1",
    device: Device = "auto",
) -> AttributeStudy:
    """Measure edited faces by a judge of smiles and one of people; a study that was stopped goes on."""
    if min(many, few, judge_steps) < 1:
        raise OptionError("many, few and judge_steps must be at least 1")
    return AttributeStudy(
        session=Session(device=device),
        networks=open_faces(),
        classifier=open_classifier(),
        faces=Path(faces),
        folder=Path(output),
        table=None if table is None else Path(table),
        many=many,
        few=few,
        size=size,
        iterations=iterations,
        judge_steps=judge_steps,
        arms=tuple(name.strip() for name in arms.split(",") if name.strip()),
        part=part_of(part),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
