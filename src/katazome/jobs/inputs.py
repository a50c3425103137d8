"""What goes into many pictures: files found, and the files that options name."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Mapping, Sequence
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
from katazome.regions.region import Both, Either, Filters, Mask, Not, Region


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
    for name in ("where", "style_where"):
        if options.get(name):
            found |= {file for region in parse_list(str(options[name]), name) for file in _files_in(region)}
    for text in options.get("at") or ():
        region, style = parse_placement(str(text), "at")
        found |= {*_files_in(region), style}
    known = (*FEEDFORWARDS.names(), *AUTOENCODERS.names())
    if options.get("model") and options["model"] not in known:  # a name is of what comes with the program
        found.add(str(options["model"]))
    if options.get("filters") and not in_words(str(options["filters"])):
        found.add(str(options["filters"]))
    if options.get("init") not in (None, *STARTS):
        found.add(str(options["init"]))
    return found


def _files_in(region: Region) -> Iterator[str]:
    if isinstance(region, Mask):
        yield str(region.file)
    elif isinstance(region, Filters):
        if not in_words(region.file):
            yield region.file
    elif isinstance(region, Not):
        yield from _files_in(region.inner)
    elif isinstance(region, Both | Either):
        yield from _files_in(region.one)
        yield from _files_in(region.other)
