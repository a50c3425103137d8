"""From words to a look and a place: which pictures stand for stone, and what is to become it.

A collection is a folder of class folders; a word names a class, in any script
(:func:`katazome.collections.names.called`). The look is that of the most typical picture, or of several,
blended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from katazome.collections.cache import Progress
from katazome.collections.folders import Source, classes_in
from katazome.collections.names import called
from katazome.collections.typical import by_typicality, style_vectors
from katazome.errors import OptionError, PictureError, nearest
from katazome.networks.vgg import Encoder
from katazome.pictures.read import PictureLike
from katazome.regions.region import quoted


def place_of(from_: str, where: Any) -> Any:
    """Return the region that is to change: that of a material, or one that was said; None where neither was.

    Raises :class:`OptionError` when both were.
    """
    if from_ and where:
        raise OptionError("from and where both say what is to change; give one of them")
    return f"material:{quoted(from_)}" if from_ else where


def check_place(from_: str, where: Any) -> None:
    """Raise :class:`OptionError` where nothing says what is to change."""
    if not from_ and not where:
        raise OptionError("what is to change was not said; give --from MATERIAL, or --where REGION")


def look_of(
    open_encoder: Callable[[], Encoder],
    *,
    to: str,
    looks: Sequence[str | os.PathLike[str]],
    look: PictureLike | None,
    blended: int = 1,
) -> Generator[Progress, None, tuple[PictureLike, ...]]:
    """Find the pictures of a look: ``look`` itself, or the ``blended`` most typical of ``to`` in ``looks``.

    Raises :class:`OptionError` when it was said in no way or in two, or the word names no class;
    :class:`PictureError` as :func:`katazome.collections.folders.classes_in`.
    """
    if look is not None:
        if looks:
            raise OptionError("look and looks both say what the look is; give a file, or --to and --looks")
        return (look,)
    if blended < 0:
        raise OptionError(f"blended is {blended}; it must be 0 (all) or more")
    if not to or not looks:
        raise OptionError("what it is to become was not said; give --to MATERIAL --looks DIR, or --look FILE")
    sources = pictures_of(looks, to)
    found = yield from typical(open_encoder(), sources, blended)
    return tuple(found)


def pictures_of(folders: Sequence[str | os.PathLike[str]], word: str) -> tuple[Source, ...]:
    """Return the pictures of the class that a word names.

    Raises :class:`OptionError` for a word that names none.
    """
    classes = classes_in(folders)
    found = called(word, list(classes))
    if found is None:
        raise OptionError(
            f"there are no looks of '{word}'{nearest(word, classes)} (there are: {', '.join(classes)})"
        )
    return classes[found]


def typical(
    encoder: Encoder, sources: Sequence[Source], count: int = 1
) -> Generator[Progress, None, tuple[Path, ...]]:
    """Find the ``count`` most typical pictures, the most typical first; 0 for all.

    Raises :class:`PictureError` when none can be read.
    """
    rows = yield from style_vectors(encoder, sources)
    if not len(rows):
        reason = next(iter(rows.skipped.values()), "there are none")
        raise PictureError(f"none of the {len(sources)} pictures of looks can be read: {reason}")
    order = by_typicality(rows.rows(range(len(rows))))
    return tuple(rows.sources[n].path for n in order[: count or None])
