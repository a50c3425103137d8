"""The command ``katazome study scales``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.api import Session
from katazome.errors import PictureError
from katazome.pictures.read import read
from katazome.studies.scales import Study


def scales(
    content: Annotated[str, Parameter(help="Photograph for the transfers")],
    style: Annotated[str, Parameter(help="Style for the transfers")],
    *textures: Annotated[str, Parameter(help="Sources for the textures, files or folders")],
    output: Annotated[str, Parameter(name=["--output", "-o"], help="Folder of the report")] = "report",
    size: Annotated[int, Parameter(help="Longest side of the transfers, px")] = 800,
    texture_size: Annotated[int, Parameter(help="Side of the textures, px")] = 512,
    iterations: Annotated[int, Parameter(help="Iterations of the transfers at the last scale")] = 60,
    device: Annotated[str, Parameter(help="Where to compute: auto, cpu, cuda, cuda:N or mps")] = "auto",
) -> int:
    """Measure what the pyramid gains; a study that was stopped goes on where it was."""
    study = Study(
        session=Session(device=device),
        content=read(content),
        style=read(style),
        textures=[read(file) for given in textures for file in _files(Path(given))],
        folder=Path(output),
        size=size,
        texture_size=texture_size,
        iterations=iterations,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(study.run())
    return 0


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        p for p in path.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp", ".tif"}
    )
    if not files:
        raise PictureError(f"the folder {path} has no pictures in it")
    return files
