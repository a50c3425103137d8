"""Which pictures show the object: from their names, their folders, a table, masks, or the classifier.

Everything here works on names and a :class:`Thing`, so that what a word means (``dog``: 118 classes) is
looked up elsewhere and handed in.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import or_
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from katazome.collections.folders import Source, load
from katazome.errors import OptionError
from katazome.filters.record import Rank
from katazome.networks.classifier import SIDE, Classifier

_WNID = re.compile(r"n\d{8}(?=\D|$)")
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Thing:
    """What is looked for."""

    name: str
    """As it was asked for."""
    wnids: frozenset[str] = frozenset()
    """WordNet's numbers of its ImageNet classes, as ``n02085620``."""
    classes: tuple[int, ...] = ()
    """Their numbers among the classifier's classes."""
    classes_of: Callable[[str], Collection[int]] = lambda _: ()
    """What a word means, in classes; nothing for a word that is not known."""
    hint: str = ""
    """What to say when it is not found: ``; did you mean 'dog'?``."""

    def called(self, text: str) -> bool:
        """Whether a name in a file or a folder is this thing's, or that of a kind of it."""
        if text in self.wnids or _plain(text) == _plain(self.name):
            return True
        meant = set(self.classes_of(text))
        return bool(meant) and meant <= set(self.classes)


def _plain(text: str) -> str:
    """``Japanese_spaniel`` and ``japanese spaniel`` are one word."""
    return " ".join(text.replace("_", " ").replace("-", " ").split()).casefold()


@dataclass(frozen=True, eq=False, slots=True)
class Labels:
    """For each ranked picture, how probably it shows the thing."""

    thing: Thing
    shows: Tensor
    """(pictures,) float64 in [0, 1]; 0 and 1 but for the classifier's."""
    source: str
    """In words, for messages: ``the pictures' names``, ..."""

    def __post_init__(self) -> None:
        """Raise :class:`OptionError` when there is nothing to tell apart."""
        count, most = len(self.shows), self.count
        if most == 0:
            raise OptionError(
                f"by {self.source} none of the {count} ranked pictures shows '{self.thing.name}'; "
                f"rank pictures of it too, or say by --labels where to look{self.thing.hint}"
            )
        if most == count:
            raise OptionError(
                f"by {self.source} all {count} ranked pictures show '{self.thing.name}': nothing tells its "
                "filters from those of other things; rank pictures without it too"
            )

    @property
    def count(self) -> int:
        """Pictures that show it more probably than not."""
        return int((self.shows > 0.5).sum())


def labels(rank: Rank, thing: Thing, source: str = "auto") -> Labels | None:
    """Return which pictures of a rank show ``thing``; None where only the classifier can say.

    Args:
        rank: the pictures.
        thing: what is looked for.
        source: ``names`` (``n02085620_Chihuahua.jpg``, or in a folder ``n02085620``), ``folders``
            (named as the thing), ``masks`` (a picture that has a mask shows it), ``classifier``, the
            path of a CSV (picture, label), or ``auto``: names and folders together, else masks,
            whichever has something to say.

    Raises:
        OptionError: no picture shows it, or all do; the source is none of these.
    """
    pictures = rank.pictures
    names = [picture.name for picture in pictures]
    if source == "auto":
        numbered = any(_WNID.match(part) for name in names for part in PurePosixPath(name).parts)
        either = list(map(or_, from_names(names, thing), from_folders(pictures, thing)))
        if numbered or any(either):
            return _told(thing, either, "the names of pictures and folders")
        source = "masks" if rank.masked else "classifier"
    if source == "classifier":
        return None
    if source == "names":
        found, told = from_names(names, thing), "the pictures' names"
    elif source == "folders":
        found, told = from_folders(pictures, thing), "the folders' names"
    elif source == "masks":
        if not rank.masked:
            raise OptionError("the rank was made without masks; rank again with --masks DIR")
        found, told = (rank.mask_share() > 0).tolist(), "the masks"
    elif source.lower().endswith(".csv"):
        found, told = from_csv(names, Path(source), thing), f"'{source}'"
    else:
        raise OptionError(
            f"labels is '{source}'; it must be auto, names, folders, masks, classifier or a .csv file"
        )
    return _told(thing, found, told)


def _told(thing: Thing, found: Sequence[bool], source: str) -> Labels:
    return Labels(thing, torch.tensor(found, dtype=torch.float64), source)


def from_names(names: Sequence[str], thing: Thing) -> list[bool]:
    """Tell by ImageNet's file names: a class's number, or its name after it; also a folder's number."""
    return [any(_is(part, thing) for part in _parts(name)) for name in names]


def _parts(name: str) -> Iterator[str]:
    path = PurePosixPath(name)
    return iter((*path.parent.parts, path.stem))


def _is(part: str, thing: Thing) -> bool:
    number = _WNID.match(part)
    if number is None:
        return False
    return number[0] in thing.wnids or thing.called(part[number.end() :].lstrip("_-"))


def from_wnids(names: Sequence[str], wnids: Collection[str]) -> list[bool]:
    """Tell by ImageNet's numbers alone."""
    return from_names(names, Thing("", wnids=frozenset(wnids)))


def from_folders(pictures: Sequence[Source], thing: Thing) -> list[bool]:
    """Tell by the folder a picture lies in, at any depth below, and including, the one that was asked for."""
    return [
        any(thing.called(part) for part in (p.folder.name, *PurePosixPath(p.name).parent.parts))
        for p in pictures
    ]


def from_csv(names: Sequence[str], file: Path, thing: Thing) -> list[bool]:
    """Tell by a table of two columns, picture and label; a picture may have several rows, or none.

    Pictures are named as in the rank, or by the bare file name. Raises :class:`OptionError` when the
    file cannot be read as such a table, or names none of the pictures.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"the labels '{file}' cannot be read: {reason}") from error
    if any(len(row) < 2 for row in rows):
        bad = next(n for n, row in enumerate(rows, 1) if len(row) < 2)
        raise OptionError(f"row {bad} of '{file}' has one column; expected were picture and label")
    told = {row[0].strip() for row in rows}
    shown = {row[0].strip() for row in rows if thing.called(row[1].strip())}
    keys = [{name, PurePosixPath(name).name} for name in names]
    if not any(key & told for key in keys):
        raise OptionError(
            f"'{file}' names none of the ranked pictures; its first column must hold names as '{names[0]}'"
        )
    return [bool(key & shown) for key in keys]


def classify(rank: Rank, thing: Thing, classifier: Classifier, *, workers: int = 1) -> Iterator[Tensor]:
    """Yield, some pictures at a time, how probably each shows the thing: (n,) float64.

    Raises :class:`OptionError` when the thing is none of the classifier's.
    """
    if not thing.classes:
        raise OptionError(
            f"the classifier does not know '{thing.name}'; give labels by --labels: "
            f"names, folders, masks or a .csv file{thing.hint}"
        )
    device = classifier.weight.device
    waiting: list[Tensor] = []
    stream = load(enumerate(rank.pictures), SIDE, {}, workers=workers, ahead=2 * _BATCH)
    for one in stream:
        if one.pixels is None:
            raise OptionError(f"a ranked picture is no longer there: {one.reason}")
        waiting.append(one.pixels)
        if len(waiting) == _BATCH or one.index + 1 == len(rank.pictures):
            scores = classifier.scores(torch.cat(waiting).to(device)).double().cpu()
            waiting.clear()
            yield scores[:, list(thing.classes)].sum(1).clamp(0, 1)
