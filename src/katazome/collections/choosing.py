"""Two sets of pictures near one: those that have an attribute, and those that lack it.

A :class:`Collection` is pictures with rows of a table; a :class:`Wish` says what is to be added and removed,
and what both sets must be besides. From the candidates the nearest to the input are taken, by attributes or
by features, those of the same pose first; never the input itself, never another picture of the same person.
Sources: Upchurch et al. 2016 (K nearest of each side, the query left out); sheet 2, 2.4 (four times K are
kept by attributes or features only after the pose has had its say, the other way round than there: a face
that is turned otherwise can never be brought onto the input, one that looks otherwise can).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from katazome.collections.attributes import AttributeTable, find_table, key_of, read_table
from katazome.collections.folders import Source, find
from katazome.errors import OptionError, PictureError

POSED = 4
"""So many times as many as are taken in the end are first taken by pose."""

FEWEST = 5
"""Fewer pictures than this on a side have no mean worth the name."""

TANGLED = 0.3
"""Attributes that go with the wished one more closely (correlation) have no say in what is near."""

_NAMED = 5


@dataclass(frozen=True)
class Collection:
    """Pictures of one folder, with their rows in a table and who they show."""

    folder: Path
    sources: tuple[Source, ...]
    table: AttributeTable
    rows: NDArray[np.int64]
    """For each picture its row in the table."""
    people: tuple[str, ...]
    notes: tuple[str, ...]
    """What is missing on either side, in sentences."""

    def values(self) -> NDArray[np.float32]:
        """Return the attributes (pictures, names)."""
        return self.table.values[self.rows]

    def has(self, word: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which pictures surely have an attribute, and which surely lack it."""
        there, absent = self.table.has(word)
        return there[self.rows], absent[self.rows]

    def number_of(self, path: Path) -> int | None:
        """Return which picture a file is, or is a copy of; None where it is none of them."""
        try:
            size, resolved = path.stat().st_size, path.resolve()
        except OSError:
            return None
        data: bytes | None = None
        for number, source in enumerate(self.sources):
            if source.path == resolved:
                return number
            if source.path.name == path.name and source.path.stat().st_size == size:
                data = path.read_bytes() if data is None else data
                if source.path.read_bytes() == data:
                    return number
        return None


def collection(folder: Path, table: Path | None = None) -> Collection:
    """Return the pictures of a folder that have rows in a table; None looks for one in and beside the folder.

    Raises :class:`PictureError` when there is no table, or nothing that both know.
    """
    sources = find([folder])
    path = table or find_table(folder)
    if path is None:
        raise PictureError(
            f"there is no table of attributes in '{folder}' or beside it (*attr*.txt, *.csv, also gzipped); "
            "name one by --attributes FILE, or give two sets by --target DIR --source DIR"
        )
    known = read_table(path)
    place = {key: number for number, key in enumerate(known.keys)}
    there = [(source, place[key]) for source in sources if (key := key_of(source.name)) in place]
    if not there:
        raise PictureError(
            f"none of the {len(sources)} pictures in '{folder}' has a row in '{path}' "
            f"(the first picture is '{sources[0].name}', the first row '{known.keys[0]}')"
        )
    found, rows = (tuple(part) for part in zip(*there, strict=True))
    without = [source.name for source in sources if key_of(source.name) not in place]
    missing = sorted(set(known.keys) - {key_of(source.name) for source in sources})
    notes = [*_told(without, f"pictures have no row in {path.name}"), *_told(missing, "rows have no picture")]
    people = tuple(known.people[row] or person_of(source) for source, row in zip(found, rows, strict=True))
    return Collection(folder, found, known, np.array(rows), people, tuple(notes))


def person_of(source: Source) -> str:
    """Return who a picture shows by its name, ``Person_Name_0001.jpg``; empty where it is not said."""
    stem = Path(source.name).stem
    found = re.fullmatch(r"([^\W\d].*?)_\d+", stem)
    return found[1].casefold() if found else ""


def _told(names: Sequence[str], what: str) -> list[str]:
    if not names:
        return []
    more = ", ..." if len(names) > _NAMED else ""
    return [f"{len(names)} {what}: {', '.join(names[:_NAMED])}{more}"]


@dataclass(frozen=True)
class Wish:
    """Attributes to be added and removed; both sets must have those in ``is_``, lack those in ``is_not``."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    is_: tuple[str, ...] = ()
    is_not: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.add and not self.remove:
            raise OptionError("nothing is to change; name an attribute by --add NAME or --remove NAME")
        for word in (*self.add, *self.remove):
            if sum(word.casefold() == other.casefold() for other in (*self.add, *self.remove)) > 1:
                raise OptionError(f"'{word}' is to be added or removed twice; name it once")

    @property
    def words(self) -> str:
        """What is to change, in words."""
        return ", ".join([*(f"+{word}" for word in self.add), *(f"-{word}" for word in self.remove)])

    def sides(self, pictures: Collection) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which pictures may be in the target's set, and which in the source's.

        The target's have all that is added and lack all that is removed, the source's the other way round.
        """
        target = source = np.ones(len(pictures.sources), np.bool_)
        for words, turned in ((self.add, False), (self.remove, True)):
            for word in words:
                there, absent = pictures.has(word)[:: -1 if turned else 1]
                target, source = target & there, source & absent
        for words, side in ((self.is_, 0), (self.is_not, 1)):
            for word in words:
                wanted = pictures.has(word)[side]
                target, source = target & wanted, source & wanted
        return target, source


def attribute_distance(pictures: Collection, row: NDArray[np.float32], wish: Wish) -> NDArray[np.float64]:
    """Return how far each picture is from one with these attributes: the mean absolute difference.

    Attributes that go with the wished ones are left out: a smile opens the mouth, and a source set of
    people with open mouths who do not smile would be a strange one.
    """
    values = pictures.values().astype(np.float64)
    wished = [pictures.table.column(word)[0] for word in (*wish.add, *wish.remove)]
    spread = values - np.nanmean(values, 0)
    spread /= np.nanstd(spread, 0) + 1e-9
    tangled = np.abs(np.nan_to_num(spread).T @ np.nan_to_num(spread[:, wished])).max(1) / len(values)
    free = tangled <= TANGLED
    if not free.any():
        free = ~free
    found: NDArray[np.float64] = np.nanmean(np.abs(values[:, free] - row[free]), 1)
    return found


def nearest(
    candidates: NDArray[np.bool_], count: int, pose: NDArray[np.float64] | None, away: NDArray[np.float64]
) -> list[int]:
    """Return the ``count`` nearest of the candidates, the nearest first, among those of the best pose.

    ``pose`` and ``away`` are distances by picture; without a pose all candidates are looked at.
    """
    left = np.flatnonzero(candidates & np.isfinite(away))
    if pose is not None:
        left = left[np.argsort(pose[left], kind="stable")[: POSED * count]]
    found: list[int] = left[np.argsort(away[left], kind="stable")[:count]].tolist()
    return found


def check_sides(target: Sequence[int], source: Sequence[int], wish: Wish) -> None:
    """Raise :class:`PictureError` where a side has too few pictures."""
    for side, numbers, turned in (("with", target, False), ("without", source, True)):
        if len(numbers) < FEWEST:
            words = wish.words if not turned else wish.words.translate(str.maketrans("+-", "-+"))
            told = [f"is {w}" for w in wish.is_] + [f"is not {w}" for w in wish.is_not]
            besides = f" that also {' and '.join(told)}" if told else ""
            raise PictureError(
                f"there are only {len(numbers)} pictures {side} the change ({words}){besides}; at least "
                f"{FEWEST} are needed: ask for fewer attributes at once, or give a larger collection"
            )
