"""Tables of attributes: which picture shows what, in the layouts in which such tables are handed round.

* the classic one of LFW: comments, a header ``# person imagenum NAME ...`` and rows, parted by tabs;
* CelebA's ``list_attr_celeba.txt``: a count, a line of names, rows ``000001.jpg 1 -1 ...``;
* CSV with a header, whose first column is the picture's file.

Any of them may be gzipped. What a number means depends on the table (:data:`KINDS`).
"""

from __future__ import annotations

import csv
import gzip
import io
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from katazome.collections.names import called
from katazome.errors import OptionError, PictureError, nearest

KINDS: Mapping[str, tuple[float, float]] = {
    "probability": (0.7, 0.3),
    "signed": (0.5, -0.5),
    "real": (0.5, -0.5),
    "binary": (1.0, 0.0),
}
"""An attribute is there from the first value on, and absent down from the second.

``probability``: all values lie in [0, 1]. ``signed``: -1 and 1 alone (CelebA). ``real``: scores of any size;
the thresholds are the second source document's. ``binary``: 0 and 1 alone; where 0 means "not asserted", the
opposite attribute, if the table has it, must be 1 besides.
"""

OPPOSITES = (
    ("Male", "Female"),
    ("Mouth Closed", "Mouth Slightly Open"),
    ("Eyeglasses", "No Eyewear"),
)
"""Pairs of which the one is exactly what the other is not; tables often have one of the two."""

CONTRARIES = (*OPPOSITES, ("Smiling", "Frowning"), ("Mustache", "No Beard"), ("Senior", "Youth"))
"""Pairs that exclude each other: what surely has the one surely lacks the other."""

_PERSON, _NUMBER = ("person", "name"), ("imagenum", "image number", "number")


@dataclass(frozen=True)
class AttributeTable:
    """Values (rows, names) float32 of pictures, NaN where none is given.

    ``keys`` are the pictures' names without suffix, ``people`` who is shown, empty where it is not said.
    """

    name: str
    """The file's name."""
    kind: str
    names: tuple[str, ...]
    keys: tuple[str, ...]
    people: tuple[str, ...]
    values: NDArray[np.float32]

    def column(self, word: str) -> tuple[int, bool]:
        """Return the column of an attribute, and whether it is to be read the other way round.

        Capitals, ``_``, ``-`` and apostrophes do not matter, and ``Mouth Closed`` is found in a table that
        has ``Mouth_Slightly_Open``. Raises :class:`OptionError` that offers the nearest.
        """
        found = called(word, self.names)
        if found is not None:
            return self.names.index(found), False
        for pair in OPPOSITES:
            for one, other in (pair, pair[::-1]):
                there = called(other, self.names)
                if called(word, [one]) and there is not None:
                    return self.names.index(there), True
        raise OptionError(
            f"the table '{self.name}' has no attribute '{word}'{nearest(word, self.names)} "
            f"(it has {len(self.names)}; `katazome attribute --list` names them)"
        )

    def has(self, word: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows surely have an attribute, and which surely lack it; see :data:`KINDS`."""
        number, turned = self.column(word)
        there, absent = self._has(number)
        return (absent, there) if turned else (there, absent)

    def _has(self, number: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        high, low = KINDS[self.kind]
        column = self.values[:, number]
        there, absent = column >= high, column <= low
        contrary = self._contrary(number) if self.kind == "binary" else None
        if contrary is not None:
            other = self.values[:, contrary] >= high
            there, absent = there & ~other, absent & other
        return there, absent

    def _contrary(self, number: int) -> int | None:
        for pair in CONTRARIES:
            for one, other in (pair, pair[::-1]):
                there = called(other, self.names)
                if called(self.names[number], [one]) and there is not None:
                    return self.names.index(there)
        return None


def key_of(name: str) -> str:
    """Return what a picture is known by in a table: its file's name without folder and suffix."""
    return unicodedata.normalize("NFC", PurePosixPath(name.replace("\\", "/")).stem).casefold()


def read_table(path: Path) -> AttributeTable:
    """Read a table; its layout and what its numbers mean are told from what it holds.

    Raises :class:`PictureError` when it cannot be read, or is laid out otherwise.
    """
    text = _text(path)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise PictureError(f"the table of attributes '{path}' is empty")
    try:
        names, rows = _rows(lines)
        keys, people, values = zip(*rows, strict=True) if rows else ((), (), ())
        table = np.array(values, np.float32).reshape(len(keys), len(names))
    except (ValueError, IndexError) as error:
        raise PictureError(
            f"'{path}' is no table of attributes that can be read: {error}. It may be laid out as LFW's "
            "(# person imagenum NAME ...), CelebA's list_attr_celeba.txt, or CSV with the file first"
        ) from error
    if not keys or not names:
        raise PictureError(f"the table of attributes '{path}' has no rows")
    return AttributeTable(path.name, _kind(table), tuple(names), tuple(keys), tuple(people), table)


def find_table(folder: Path) -> Path | None:
    """Return the table in or beside a folder, None where there is none.

    Of several, one of probabilities or scores is taken before one of 0 and 1, which says less.
    """
    patterns = ("*attr*.txt", "*attr*.txt.gz", "*attr*.csv", "*attr*.csv.gz")
    for place in (folder, folder.resolve().parent):
        found = sorted({file for pattern in patterns for file in place.glob(pattern)})
        if len(found) > 1:
            found.sort(key=lambda file: (read_table(file).kind in ("binary", "signed"), file.name))
        if found:
            return found[0]
    return None


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise PictureError(f"there is no table of attributes '{path}'; check the path") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise PictureError(f"the table of attributes '{path}' cannot be read: {error}") from error


_Row = tuple[str, str, tuple[float, ...]]


def _rows(lines: Sequence[str]) -> tuple[list[str], list[_Row]]:
    """Return the attributes' names, and (key, person, values) of each row."""
    comments = [line for line in lines if line.startswith("#")]
    if comments:
        header = [cell.strip() for cell in comments[-1].lstrip("#").strip().split("\t")]
        plain = [line.split("\t") for line in lines if not line.startswith("#")]
        return _of_people(header, plain)
    if lines[0].strip().isdigit():
        names = lines[1].split()
        cells = [line.split() for line in lines[2:]]
        return names, [(key_of(c[0]), "", _numbers(c[1:], len(names), c[0])) for c in cells]
    header, *plain = list(csv.reader(io.StringIO("\n".join(lines))))
    header = [cell.strip() for cell in header]
    if header[0].casefold() in _PERSON and header[1].casefold() in _NUMBER:
        return _of_people(header, plain)
    names = header[1:]
    return names, [(key_of(c[0]), "", _numbers(c[1:], len(names), c[0])) for c in plain]


def _of_people(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[_Row]]:
    if len(header) < 3 or header[0].casefold() not in _PERSON or header[1].casefold() not in _NUMBER:
        raise ValueError("its header does not begin with person and imagenum")
    names = list(header[2:])
    return names, list(_people_rows(names, rows))


def _people_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[_Row]:
    for cells in rows:
        person = cells[0].strip().replace(" ", "_")
        key = key_of(f"{person}_{int(cells[1]):04d}.jpg")
        yield key, person, _numbers(cells[2:], len(names), person)


def _numbers(cells: Sequence[str], count: int, who: str) -> tuple[float, ...]:
    if len(cells) != count:
        raise ValueError(f"the row of '{who}' has {len(cells)} values for {count} attributes")
    return tuple(float(cell) if cell.strip() else float("nan") for cell in cells)


def _kind(values: NDArray[np.float32]) -> str:
    given = values[~np.isnan(values)]
    if np.isin(given, (0, 1)).all():
        return "binary"
    if np.isin(given, (-1, 1)).all():
        return "signed"
    return "probability" if given.min() >= 0 and given.max() <= 1 else "real"
