"""The command ``katazome study materials``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.api import Session
from katazome.cli.study import Device, Iterations, Output, Part, Size, part_of
from katazome.cli.study_crew import measured
from katazome.collections.folders import classes_in
from katazome.collections.names import called
from katazome.errors import OptionError
from katazome.networks.classifier import open_classifier
from katazome.networks.segmenter import open_segmenter
from katazome.studies.materials import MaterialStudy, contents_in


@measured
def materials(
    *,
    set_: Annotated[
        list[str],
        Parameter(name="--set", help="Folder of image/MATERIAL and mask/MATERIAL; may be repeated"),
    ],
    looks: Annotated[
        list[str], Parameter(help="Folder of class folders: looks, and what the judge learns from")
    ],
    model: Annotated[str, Parameter(help="The segmenter, trained on other pictures")],
    output: Output = "report",
    styles: Annotated[int, Parameter(help="How many looks of each material, the most typical first")] = 2,
    size: Size = 256,
    iterations: Iterations = 50,
    part: Part = "1/1",
    device: Device = "auto",
) -> MaterialStudy:
    """Measure changed materials by segmenting again; a study that was stopped goes on where it was."""
    if styles < 1:
        raise OptionError(f"styles is {styles}; it must be at least 1")
    session, known = Session(device=device), classes_in(looks)
    segmenter = open_segmenter(Path(model), session.encoder.weights)
    return MaterialStudy(
        session=session,
        model=segmenter,
        classifier=open_classifier(),
        contents=[content for folder in set_ for content in contents_in(Path(folder))],
        looks={name: some for name, some in known.items() if called(name, segmenter.classes)},
        folder=Path(output),
        styles=styles,
        size=size,
        iterations=iterations,
        part=part_of(part),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
