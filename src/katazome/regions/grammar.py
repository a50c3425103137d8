"""The grammar of regions: words on a command line, in a recipe, in Python.

    region  =  part { "and" part } { "or" part { "and" part } }
    part    =  "not:" part  |  "not" part  |  "(" region ")"  |  word  |  word ":" name
    name    =  characters without spaces, quotes, brackets, "=" and ","  |  "..."  |  '...'

``and`` binds closer than ``or``. Words without a name: everything, face, salient, transparent. An error
shows the text and points at the character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NoReturn

from katazome.errors import OptionError, nearest
from katazome.filters.select import in_words
from katazome.networks.segmenter import Segmenter
from katazome.regions.region import (
    PLAIN,
    Both,
    Either,
    Everything,
    Faces,
    Filters,
    Mask,
    Material,
    Not,
    Object,
    Region,
    Salient,
    Transparent,
)

_WORD = re.compile(r"[^\W\d]+")
_WORDS = re.compile(r"(?: +(?!and\b|or\b)[\w-]+)+")

WORDS: Mapping[str, Callable[[], Region]] = {
    "everything": Everything,
    "face": Faces,
    "salient": Salient,
    "transparent": Transparent,
}
"""Words that are a region by themselves."""

NAMED: Mapping[str, Callable[..., Region]] = {
    "face": Faces,
    "object": Object,
    "mask": Mask,
    "filters": Filters,
    "material": Material,
}
"""Words that take a name or a file: ``mask:FILE``."""


def parse(text: str, name: str = "region", segmenter: Segmenter | None = None) -> Region:
    """Return the region that a text says; ``name`` is what errors call it.

    ``segmenter`` is the model that ``material:NAME`` asks.

    Raises :class:`OptionError` that points at the character where it stops making sense.
    """
    reader = _Reader(text, name, segmenter)
    region = reader.region()
    reader.end()
    return region


def parse_list(
    text: str,
    name: str = "regions",
    segmenter: Segmenter | None = None,
    files: Callable[[str], str] = str,
) -> list[Region]:
    """Return the regions of a text in which commas part them; ``files`` gives files their names."""
    reader = _Reader(text, name, segmenter, files)
    regions = [reader.region()]
    while reader.takes(","):
        regions.append(reader.region())
    reader.end()
    return regions


def parse_placement(
    text: str,
    name: str = "placement",
    segmenter: Segmenter | None = None,
    files: Callable[[str], str] = str,
) -> tuple[Region, str]:
    """Return the region and the rest of ``REGION=REST``, the form that ``--at`` takes.

    ``files`` gives the region's files their names.
    """
    reader = _Reader(text, name, segmenter, files)
    region = reader.region()
    if not reader.takes("=") or not text[reader.at :]:
        reader.fail("expected = and a style picture after the region")
    return region, text[reader.at :]


def parse_recorded(text: str, name: str, masks: Iterator[str]) -> list[Region]:
    """Return the regions of a text from a recipe, in which commas part them.

    A recipe names no file, and none that it names is opened: each ``mask:file`` takes the next of ``masks``.

    Raises :class:`OptionError` as :func:`parse`, and for a file's name.
    """
    reader = _Recorded(text, name, masks)
    regions = [reader.region()]
    while reader.takes(","):
        regions.append(reader.region())
    reader.end()
    return regions


class _Reader:
    """Reads a text from left to right."""

    def __init__(
        self, text: str, name: str, segmenter: Segmenter | None, files: Callable[[str], str] = str
    ) -> None:
        self.text = text
        self.name = name
        self.segmenter = segmenter
        self.files = files
        self.at = 0

    def region(self) -> Region:
        found = self._every()
        while self._word("or"):
            found = Either(found, self._every())
        return found

    def _every(self) -> Region:
        found = self._part()
        while self._word("and"):
            found = Both(found, self._part())
        return found

    def _part(self) -> Region:
        if self.takes("("):
            inner = self.region()
            if not self.takes(")"):
                self.fail("expected ) here")
            return inner
        self._skip()
        start = self.at
        match = _WORD.match(self.text, self.at)
        if not match:
            self.fail("expected a region here")
        word = match[0].lower()
        self.at = match.end()
        if word == "not":
            self._here(":")
            return Not(self._part())
        if word in WORDS and not (word in NAMED and self.text.startswith(":", self.at)):
            return WORDS[word]()
        if word not in NAMED:
            self.at = start
            known = [*dict.fromkeys([*WORDS, *NAMED]), "not"]
            self.fail(f"there is no region '{match[0]}'{nearest(word, known)} (known: {', '.join(known)})")
        if not self._here(":"):
            self.fail(f"expected :NAME after {word}")
        start = self.at
        name = self._name(word)
        try:
            return self._named(word, name)
        except OptionError as error:
            whole = self._longer(word, name)
            self.at = start
            self.fail(f"a name with spaces is put in quotes: {word}:'{whole}'" if whole else str(error))

    def _longer(self, word: str, name: str) -> str:
        """Return the name with words after it with which it is one, or nothing."""
        more = _WORDS.match(self.text, self.at)
        whole = name + more[0] if more else ""
        with suppress(OptionError):
            return whole if whole and self._named(word, whole) else ""
        return ""

    def _named(self, word: str, name: str) -> Region:
        if word == "material":
            return Material(name, self.segmenter)
        if word == "mask" or (word == "filters" and not in_words(name)):
            name = self.files(name)
        return NAMED[word](name)

    def _name(self, word: str) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote in {'"', "'"}:
            end = self.text.find(quote, self.at + 1)
            if end < 0:
                self.fail("this quote is not closed")
            name, self.at = self.text[self.at + 1 : end], end + 1
        else:
            match = PLAIN.match(self.text, self.at)
            name = match[0] if match else ""
            self.at += len(name)
        if not name:
            self.fail(f"expected a name after {word}:")
        return name

    def _word(self, word: str) -> bool:
        self._skip()
        match = _WORD.match(self.text, self.at)
        if match and match[0].lower() == word:
            self.at = match.end()
            return True
        return False

    def takes(self, sign: str) -> bool:
        self._skip()
        return self._here(sign)

    def _here(self, sign: str) -> bool:
        found = self.text.startswith(sign, self.at)
        self.at += len(sign) if found else 0
        return found

    def _skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def end(self) -> None:
        self._skip()
        if self.at < len(self.text):
            self.fail('expected "and", "or" or the end; a name with spaces, = or brackets is put in quotes')

    def fail(self, what: str) -> NoReturn:
        raise OptionError(f"{self.name}: {what}\n  {self.text}\n  {' ' * self.at}^")


class _Recorded(_Reader):
    """Reads a text of a recipe."""

    def __init__(self, text: str, name: str, masks: Iterator[str]) -> None:
        super().__init__(text, name, None)
        self.masks = masks

    def _named(self, word: str, name: str) -> Region:
        if word == "mask":
            if name != "file":
                raise OptionError("a recipe names no file of a mask, only 'mask:file'; this one was changed")
            mask = next(self.masks, None)
            if mask is None:
                raise OptionError("the recipe has a mask here; give its file by --mask")
            return Mask(mask)
        if word == "filters" and not in_words(name):
            raise OptionError("a recipe has filters in words, such as relu5_1:3, not in a file")
        return super()._named(word, name)
