"""The page of the Python names has each of them, once."""

from __future__ import annotations

import re

import katazome
from tests.docs.pages import DOCS


def test_every_public_name_is_there() -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: katazome\.(\w+)$", text, re.MULTILINE)) == sorted(katazome.__all__)
