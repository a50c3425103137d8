"""What goes into many pictures: files found, and the files that options name."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from katazome.collections.folders import SUFFIXES, Source, find
from katazome.errors import OptionError, PictureError, nearest
from katazome.filters.select import in_words
from katazome.methods.options import STARTS
from katazome.networks.feedforward import SHELF as FEEDFORWARDS
from katazome.networks.wae_model import SHELF as AUTOENCODERS
from katazome.pictures.read import file_bytes
from katazome.regions.grammar import parse_list, parse_placement


def pictures(given: Sequence[str], results: Path, what: str) -> list[Source]:
    """Return the pictures of files, folders (and those below) and patterns, each once, in order.

    What lies in ``results``, and what is hidden, is no input.

    Raises :class:`PictureError` for what is not there, or holds no picture.
    """
    found: dict[Path, Source] = {}
    apart = results.resolve()
    for text in given:
        path = Path(text)
        if path.is_dir():
            some = [s for s in find([path]) if not _hidden(s.name)]
        elif path.is_file():
            some = [Source(path.parent.resolve(), path.name)]
        elif glob.has_magic(text):
            files = [Path(f) for f in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207  (not from a folder)
            files = [f for f in files if f.suffix.lower() in SUFFIXES and f.is_file()]
            some = [Source(f.parent.resolve(), f.name) for f in files]
        else:
            near = nearest(path.name, (f.name for f in path.parent.iterdir())) if path.parent.is_dir() else ""
            raise PictureError(f"there is no {what} '{text}'{near}; give files, folders or patterns")
        some = [s for s in some if apart not in s.path.parents]
        if not some:
            raise PictureError(f"there is no {what} in '{text}' ({', '.join(SUFFIXES)})")
        for source in some:
            found.setdefault(source.path, source)
    if not found:
        raise OptionError(f"no {what} was given; name files, folders or patterns")
    return list(found.values())


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a picture's file; :class:`PictureError` when it cannot be read."""
    return hashlib.sha256(file_bytes(path)[0]).hexdigest()


def files_of(options: Mapping[str, Any]) -> set[str]:
    """Return the files that options name: masks, styles of regions, a model, filters, a start."""
    found: set[str] = set()

    def noted(_: str, file: str) -> str:
        found.add(file)
        return file

    renamed(options, noted)
    return found


def renamed(options: Mapping[str, Any], new: Callable[[str, str], str]) -> dict[str, Any]:
    """Return options with another name for each file that they name.

    Args:
        options: as the command line has them: regions and placements as text.
        new: from the option and the file's name to its new one. A text whose files keep their names stays
            as it is, to the letter.
    """
    found = dict(options)
    for name in ("where", "style_where"):
        if found.get(name):
            names = _Names(name, new)
            after = ", ".join(map(str, parse_list(str(found[name]), name, files=names)))
            found[name] = after if names.changed else found[name]
    if found.get("at"):
        found["at"] = [_placement(str(text), _Names("at", new)) for text in found["at"]]
    known = (*FEEDFORWARDS.names(), *AUTOENCODERS.names())
    if found.get("model") and found["model"] not in known:  # a name is of what comes with the program
        found["model"] = new("model", str(found["model"]))
    if found.get("filters") and not in_words(str(found["filters"])):
        found["filters"] = new("filters", str(found["filters"]))
    if found.get("init") not in (None, *STARTS):
        found["init"] = new("init", str(found["init"]))
    return found


def _placement(text: str, names: _Names) -> str:
    region, style = parse_placement(text, "at", files=names)
    style = names(style)
    return f"{region}={style}" if names.changed else text


@dataclass
class _Names:
    """The new names of an option's files, and whether any is another."""

    option: str
    new: Callable[[str, str], str]
    changed: bool = False

    def __call__(self, file: str) -> str:
        name = self.new(self.option, file)
        self.changed |= name != file
        return name
