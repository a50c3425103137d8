"""Names with fields in them, such as ``{content}``: of results, and of the files that belong to each picture.

A result's name has them tidied, so that every file system takes it; a file that is there already is called
what it is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from katazome.errors import OptionError, nearest
from katazome.methods.options import STARTS
from katazome.regions.grammar import parse_list, parse_placement
from katazome.regions.region import Both, Either, Mask, Not, Region

FIELDS = ("content", "style", "folder", "number", "method", "ext")

_FIELD = re.compile(r"\{([^{}]*)\}")


def has_fields(text: str) -> bool:
    """Whether a text has a field in it."""
    return bool(_FIELD.search(text))


def fill(text: str, words: Mapping[str, str], name: str) -> str:
    """Return a text with each field's word in its place; ``name`` is what errors call it.

    Raises :class:`OptionError` for a field that ``words`` has not.
    """
    for field in _FIELD.findall(text):
        if field in FIELDS and field not in words:
            raise OptionError(
                f"{name} has {{{field}}}, and a picture here has not one {field} but several or none; "
                "leave it out"
            )
        if field not in words:
            raise OptionError(f"{name} has {{{field}}}{nearest(field, FIELDS)} (known: {', '.join(FIELDS)})")
    return _FIELD.sub(lambda found: words[found[1]], text)


def fill_files(options: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """Return options with the fields filled of the files in ``where``, ``style_where``, ``at`` and ``init``.

    A text without fields stays as it is. Raises :class:`OptionError` as :func:`fill`.
    """
    found = dict(options)
    for name in ("where", "style_where"):
        if has_fields(str(found.get(name) or "")):
            found[name] = _regions(parse_list(str(found[name]), name), words, name)
    if found.get("at"):
        found["at"] = [_placement(str(text), words) for text in found["at"]]
    if found.get("init") not in (None, *STARTS):
        found["init"] = _file(str(found["init"]), words, "init")
    return found


def _placement(text: str, words: Mapping[str, str]) -> str:
    if not has_fields(text):
        return text
    region, style = parse_placement(text, "at")
    return f"{_regions([region], words, 'at')}={_file(style, words, 'at')}"


def _regions(regions: Iterable[Region], words: Mapping[str, str], name: str) -> str:
    return ", ".join(str(_filled(region, words, name)) for region in regions)


def _filled(region: Region, words: Mapping[str, str], name: str) -> Region:
    if isinstance(region, Mask):
        return Mask(_file(str(region.file), words, name))
    if isinstance(region, Not):
        return Not(_filled(region.inner, words, name))
    if isinstance(region, Both | Either):
        return type(region)(_filled(region.one, words, name), _filled(region.other, words, name))
    return region


def _file(text: str, words: Mapping[str, str], name: str) -> str:
    # tidied only where there was a field: {folder} may be "."
    return Path(fill(text, words, name)).as_posix() if has_fields(text) else text
