"""Names of classes as people write them: capitals, scripts and systems of romaji do not matter."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from katazome.errors import OptionError, require


def called(word: str, names: Sequence[str]) -> str | None:
    """Return which of ``names`` a word means, or None.

    Capitals, ``_`` and ``-`` do not matter. Kana answers to romaji, of any system, and the other way round:
    ``gotugotu`` and ``ゴツゴツ`` mean ``ごつごつ``. Words that are both Latin must be the same.
    """
    plain = {_plain(name): name for name in names}
    asked = _plain(word)
    if asked in plain:
        return plain[asked]
    return next((name for text, name in plain.items() if _sound_alike(asked, text)), None)


def _plain(word: str) -> str:
    return " ".join(
        unicodedata.normalize("NFKC", word)
        .casefold()
        .replace("_", " ")
        .replace("-", " ")
        .replace("'", "")
        .split()
    )


def _sound_alike(one: str, other: str) -> bool:
    if one.isascii() == other.isascii():
        kana = not one.isascii()
        return kana and _hiragana(one) == _hiragana(other)
    latin, kana_word = (one, other) if one.isascii() else (other, one)
    jaconv = require("jaconv", "regions", "romaji for a name in kana", OptionError)
    return bool(jaconv.alphabet2kana(latin) == _hiragana(kana_word))


def _hiragana(word: str) -> str:
    # Katakana stands at one distance from hiragana all along.
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in word)
