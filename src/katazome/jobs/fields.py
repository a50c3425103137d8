"""Names with fields in them, such as ``{content}``: of results, and of the files that belong to each picture.

A result's name has them tidied, so that every file system takes it; a file that is there already is called
what it is called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from katazome.errors import OptionError, nearest
from katazome.jobs.inputs import renamed

FIELDS = ("content", "style", "folder", "number", "method", "ext")
_OWN = ("where", "style_where", "at", "init")
"""Options whose files may be each picture's own."""

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

    def filled(name: str, file: str) -> str:
        # tidied only where there was a field: {folder} may be "."
        own = name in _OWN and has_fields(file)
        return Path(fill(file, words, name)).as_posix() if own else file

    return renamed(options, filled)
