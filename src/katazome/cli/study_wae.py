"""The command ``katazome study wae``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.api import Session
from katazome.cli.study import Device, Output, Part, part_of
from katazome.cli.study_crew import measured
from katazome.collections.folders import Source, find
from katazome.errors import OptionError, PictureError
from katazome.networks.wae_model import SHELF, WAEWeights
from katazome.studies.wae import MANY, WAEStudy


@measured
def wae(
    *models: Annotated[str, Parameter(help="Models of `katazome train wae`: files, or names; open: its own")],
    set_: Annotated[
        list[str],
        Parameter(
            name="--set",
            help="Pictures by name, as NAME=FOLDER, such as faces=lfw/; may be repeated",
        ),
    ],
    output: Output = "report",
    part: Part = "1/1",
    device: Device = "auto",
) -> WAEStudy:
    """Measure codes of style and content on pictures nothing was learnt from; a stopped study goes on."""
    session = Session(device=device)
    opened: dict[str, WAEWeights] = {}
    for model in models or SHELF.names():
        name = Path(model).stem
        if name in opened:
            raise OptionError(f"two models are called '{name}'; name one of the files otherwise")
        opened[name] = SHELF.opened(model).fitting(session.encoder.weights)
    return WAEStudy(
        session=session,
        models=opened,
        sets=dict(_set(text) for text in set_),
        folder=Path(output),
        part=part_of(part),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )


def _set(text: str) -> tuple[str, tuple[Source, ...]]:
    name, equals, folder = text.partition("=")
    if not equals or not name:
        raise OptionError(f"set is '{text}'; it must be NAME=FOLDER, such as faces=lfw/")
    sources = find([Path(folder)])
    if len(sources) < 2 * MANY:
        raise PictureError(f"the set '{name}' has {len(sources)} pictures; it needs at least {2 * MANY}")
    return name, sources
