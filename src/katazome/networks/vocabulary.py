"""What the 1,000 classes of ImageNet are called, in English and Japanese, and plain words for many at once.

The names are data: ``imagenet.tsv`` has the classes in the order of a classifier's outputs,
``groups.tsv`` a small tree of plain words (animal > bird > water bird). There is no group for
people: of persons ImageNet knows only a baseball player, a bridegroom and a scuba diver.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib.resources import files
from types import MappingProxyType

_ENDINGS = {
    "mice": "mouse", "geese": "goose", "knives": "knife", "ves": "f", "ies": "y",
    "ses": "s", "xes": "x", "ches": "ch", "shes": "sh", "oes": "o", "s": "",
}  # fmt: skip
"""English plurals, and what they are plurals of."""
_HIRAGANA = {katakana: katakana - 0x60 for katakana in range(ord("ァ"), ord("ヶ") + 1)}
_ALIKE = 0.65
"""How like a misspelt word a name must be to be suggested; 1 is the same."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a word means: classes, and the usual name for them together."""

    name: str
    japanese: str
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What something is called, the most usual name first."""

    english: tuple[str, ...]
    japanese: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Class(Names):
    """One class of ImageNet: its number in WordNet and the groups it is in, the nearest first."""

    wnid: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group(Names):
    """A plain word for many classes."""

    parent: str
    """The group it is in, or nothing."""
    plainer: bool
    """Whether it says what a class in it is more plainly than the class's own name (dog for Chihuahua)."""


@functools.cache
def classes() -> Sequence[Class]:
    """Return the classes in the order of a classifier's outputs."""
    return tuple(
        Class(_parted(english), _parted(japanese, "、"), wnid, _parted(around))
        for wnid, english, japanese, around in _rows("imagenet.tsv")
    )


@functools.cache
def groups() -> Mapping[str, Group]:
    """Return the groups by name."""
    return MappingProxyType(
        {
            name: Group((name, *_parted(others)), _parted(japanese, "、"), parent, plainer == "yes")
            for name, others, japanese, parent, plainer in _rows("groups.tsv")
        }
    )


def meaning(word: str) -> Meaning | None:
    """Return what a word means, or None when it names nothing here.

    Capitals, spaces, hyphens, plurals, articles and which kana do not matter. A group means the
    classes in it and in the groups within it, and any class of the same name; a name that several
    classes share means them all; a WNID means its class.
    """
    known, folded = _meanings(), _folded(word)
    singular = (folded.removesuffix(end) + one for end, one in _ENDINGS.items() if folded.endswith(end))
    return next((known[name] for name in (folded, *singular) if name in known), None)


def suggestions(word: str, count: int = 3) -> list[str]:
    """Return the known names most like a misspelt word, the likest first, in the script it is written in."""
    folded = _folded(word)
    known = _spellings(any(c.isalpha() and "LATIN" not in unicodedata.name(c, "") for c in word))
    order, letters = SequenceMatcher(b=folded), SequenceMatcher(b=sorted(folded))

    def likeness(name: str) -> float:
        # Which letters there are counts as much as their order: "dgo" is dog rather than dingo.
        order.set_seq1(name)
        letters.set_seq1(sorted(name))
        return (order.ratio() + letters.ratio()) / 2

    likest = sorted(((likeness(name), spelt) for name, spelt in known.items()), key=lambda pair: -pair[0])
    return [spelt for alike, spelt in likest[:count] if alike >= _ALIKE]


def name_of(index: int) -> str:
    """Return the usual English name of a class."""
    return classes()[index].english[0]


def named(index: int) -> str:
    """Return the usual names of a class, English and Japanese: ``Chihuahua (チワワ)``."""
    return f"{name_of(index)} ({classes()[index].japanese[0]})"


def plain_name(index: int) -> str:
    """Return what anyone would call a class: ``dog`` for a Chihuahua, ``banana`` for a banana."""
    return next((group.english[0] for group in _around(classes()[index]) if group.plainer), name_of(index))


def _around(one: Class) -> list[Group]:
    """Return the groups a class is in, from each of the nearest outwards."""
    found: list[Group] = []
    for name in one.groups:
        while name:
            found.append(groups()[name])
            name = found[-1].parent
    return found


@functools.cache
def _meanings() -> Mapping[str, Meaning]:
    """Return the meanings of all folded names and WNIDs."""
    indices: dict[str, set[int]] = {}
    for index, one in enumerate(classes()):
        for name in (one.wnid, *_all([one, *_around(one)])):
            indices.setdefault(_folded(name), set()).add(index)
    group_of = {_folded(name): group for group in groups().values() for name in _all([group])}

    def meant(name: str, found: Sequence[int]) -> Meaning:
        by: list[Names] = [group_of[name]] if name in group_of else [classes()[index] for index in found]
        english, japanese = [each.english for each in by], [each.japanese for each in by]
        return Meaning(_together(english, ", "), _together(japanese, "、"), tuple(found))

    return MappingProxyType({name: meant(name, sorted(found)) for name, found in indices.items()})


def _all(things: Sequence[Names]) -> list[str]:
    return [name for thing in things for name in (*thing.english, *thing.japanese)]


def _together(names: Sequence[tuple[str, ...]], comma: str) -> str:
    """Return the most usual name that all have, or else the most usual name of each."""
    shared = (name for name in names[0] if all(name in others for others in names))
    return next(shared, comma.join(usual for usual, *_ in names))


@functools.cache
def _spellings(japanese: bool) -> Mapping[str, str]:
    """Return how the folded names of one language are spelt, those of groups first."""
    things: list[Names] = [*groups().values(), *classes()]
    names = [name for thing in things for name in (thing.japanese if japanese else thing.english)]
    return MappingProxyType({_folded(name): name for name in names})


def _folded(word: str) -> str:
    """Return a word without what does not matter, see :func:`meaning`."""
    text = unicodedata.normalize("NFKC", word).casefold().replace("_", " ").strip()
    article, _, rest = text.partition(" ")
    text = rest if rest and article in ("a", "an", "the") else text
    letters = "".join(c for c in text.translate(_HIRAGANA) if c.isalnum())
    return (
        letters.rstrip("ー") if len(letters) > 3 else letters
    )  # コンピューター, コンピュータ; but not スキー


def _rows(file: str) -> list[list[str]]:
    text = (files("katazome.networks") / file).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def _parted(text: str, comma: str = ", ") -> tuple[str, ...]:
    return tuple(text.split(comma)) if text else ()
