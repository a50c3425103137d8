"""The command ``katazome study styles``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.api import Session
from katazome.cli.show import Count
from katazome.cli.study import Device, Output, Part, Size, part_of
from katazome.jobs.inputs import pictures
from katazome.networks.classifier import open_classifier
from katazome.studies.styles import StyleStudy


def styles(
    *,
    contents: Annotated[list[str], Parameter(help="Photographs: a folder or a file; may be repeated")],
    styles: Annotated[list[str], Parameter(help="Style pictures: a folder or a file; may be repeated")],
    methods: Annotated[
        str,
        Parameter(help="Methods with commas; NAME=MODEL names a model of its own; open: all that there are"),
    ] = "",
    output: Output = "report",
    size: Size = 512,
    iterations: Annotated[
        int | None, Parameter(help="Iterations of the descents at the last scale; open: each method's own")
    ] = None,
    seed: Annotated[int, Parameter(help="Seed of the methods that draw")] = 0,
    few: Annotated[int, Parameter(help="Contents that have the tests of identity and of tiles too")] = 2,
    part: Part = "1/1",
    device: Device = "auto",
) -> int:
    """Measure every method on contents x styles; a study that was stopped goes on where it was."""
    session, folder = Session(device=device), Path(output)
    photographs, paintings = pictures(contents, folder, "content"), pictures(styles, folder, "style")
    with Count("pictures", quiet=False) as count:
        study = StyleStudy(
            session=session,
            classifier=open_classifier(session.device),
            contents=photographs,
            styles=paintings,
            folder=folder,
            methods=[name.strip() for name in methods.split(",") if name.strip()],
            size=size,
            iterations=iterations,
            seed=seed,
            few=few,
            part=part_of(part),
            say=count.note,
            progress=count,
        )
        report = study.run()
    print(report)
    return 0
