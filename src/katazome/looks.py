"""From a word to a look: which pictures stand for stone.

A collection is a folder of class folders; a word names a class, in any script (:func:`spelling`). The look is
that of the most typical picture, or of all, blended.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from katazome.collections.cache import Progress
from katazome.collections.folders import Source, classes_in
from katazome.collections.typical import by_typicality, style_vectors
from katazome.errors import OptionError, PictureError, nearest
from katazome.networks.vgg import Encoder
from katazome.regions.materials import spelling


def pictures_of(folders: Sequence[str], word: str) -> tuple[Source, ...]:
    """Return the pictures of the class that a word names.

    Raises :class:`OptionError` for a word that names none, :class:`PictureError` as
    :func:`katazome.collections.folders.classes_in`.
    """
    classes = classes_in(folders)
    named: Mapping[str, str] = {spelling(name): name for name in classes}
    if spelling(word) not in named:
        raise OptionError(
            f"there are no looks of '{word}'{nearest(word, classes)} (there are: {', '.join(classes)})"
        )
    return classes[named[spelling(word)]]


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
