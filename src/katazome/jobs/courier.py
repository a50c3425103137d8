"""Pictures made by machines that see none of our folders: files travel there, and the picture back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from katazome.errors import KatazomeError
from katazome.jobs.inputs import renamed
from katazome.jobs.local import Painter
from katazome.jobs.manifest import Case, Figures
from katazome.pictures.write import plain_name


@dataclass(frozen=True)
class PictureCourier:
    """Carries a painter's cases; what its methods do: :class:`katazome.jobs.crew.Courier`."""

    painter: Painter

    def files(self, case: Case) -> list[Path]:
        """Return the content, the styles, and the files that options name."""
        places = [case.places["content"], *case.places["styles"]]
        return [*map(self.painter.input, places), *map(Path, case.values["files"])]

    def do(self, case: Case, files: Sequence[bytes]) -> tuple[Figures, bytes]:
        """Make a case's picture in a folder of its own; return its figures and its file."""
        names = [case.places["content"], *case.places["styles"], *case.values["files"]]
        with tempfile.TemporaryDirectory(prefix="katazome-") as folder:
            here: list[str] = []
            for number, (name, data) in enumerate(zip(names, files, strict=True)):
                file = Path(folder, str(number), plain_name(PurePath(name).stem) + PurePath(name).suffix)
                file.parent.mkdir()
                file.write_bytes(data)
                here.append(str(file))
            # its session, and so the network and the looks, stay warm from case to case
            painter = replace(self.painter, folder=Path(folder, "made"))
            try:
                made = painter.make(_moved(case, here), lambda: False)
            except KatazomeError as error:
                text = str(error)
                for file_here, name in zip(here, names, strict=True):
                    text = text.replace(file_here, name)
                raise type(error)(text) from error
            assert made is not None, "stopped, which nothing does"
            return made

    def take_in(self, case: Case, figures: Figures, made: bytes) -> Figures:
        """Write the picture that has come back, then its record; return the figures."""
        return self.painter.keep(case, figures, made)


def _moved(case: Case, here: Sequence[str]) -> Case:
    """Return a case whose files, in the order of :meth:`PictureCourier.files`, lie elsewhere."""
    content, *others = here
    count = len(case.places["styles"])
    now = dict(zip(case.values["files"], others[count:], strict=True))
    values = {
        **case.values,
        "options": renamed(case.values["options"], lambda _, file: now[file]),
        "files": {now[name]: sha256 for name, sha256 in case.values["files"].items()},
    }
    return Case(case.name, values, {"content": content, "styles": others[:count]})
