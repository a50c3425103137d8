"""Pictures made by machines that see none of our folders: files travel there, and the picture back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from katazome.jobs.inputs import renamed
from katazome.jobs.local import Painter
from katazome.jobs.manifest import Case, Figures
from katazome.pictures.write import plain_name


@dataclass(frozen=True)
class PictureCourier:
    """Carries a painter's cases; what its methods do: :class:`katazome.jobs.crew.Courier`."""

    painter: Painter

    def files(self, case: Case) -> dict[str, Path]:
        """Return the files that a case needs, by what its places and options call them."""
        places = [case.places["content"], *case.places["styles"]]
        return {place: self.painter.input(place) for place in places} | {
            name: Path(name) for name in case.values["files"]
        }

    def do(self, case: Case, files: Mapping[str, bytes]) -> tuple[Figures, bytes]:
        """Make a case's picture in a folder of its own; return its figures and its file."""
        with tempfile.TemporaryDirectory(prefix="katazome-") as folder:
            here: dict[str, str] = {}
            for number, (name, data) in enumerate(files.items()):
                file = Path(folder, str(number), plain_name(Path(name).stem) + Path(name).suffix)
                file.parent.mkdir()
                file.write_bytes(data)
                here[name] = str(file)
            moved = Case(
                case.name,
                {
                    **case.values,
                    "options": renamed(case.values["options"], lambda _, file: here[file]),
                    "files": {here[name]: sha256 for name, sha256 in case.values["files"].items()},
                },
                {
                    "content": here[case.places["content"]],
                    "styles": [here[place] for place in case.places["styles"]],
                },
            )
            # its session, and so the network and the looks, stay warm from case to case
            made = replace(self.painter, folder=Path(folder, "made")).make(moved, lambda: False)
            assert made is not None, "stopped, which nothing does"
            return made

    def take_in(self, case: Case, figures: Figures, made: bytes) -> Figures:
        """Write the picture that has come back, then its record; return the figures."""
        return self.painter.keep(case, figures, made)
