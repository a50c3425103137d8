"""Docstrings as the site shows them: roles become links to public names, examples become code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

import katazome

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([\w.]+)`")
_EXAMPLE = re.compile(r"^(?:(?:>>>|\.\.\.) .*\n?)+", re.MULTILINE)


class Docstrings(Extension):
    """Reads the little reStructuredText that our docstrings have."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite an object's docstring as Markdown."""
        if obj.docstring is not None:
            text = _ROLE.sub(_link, obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub(_code, text)


def _link(role: re.Match[str]) -> str:
    name = role[1]
    public = name.partition(".")[0] in katazome.__all__
    return f"[`{name}`][katazome.{name}]" if public else f"`{name}`"


def _code(example: re.Match[str]) -> str:
    lines = [line[4:].removesuffix("# doctest: +SKIP").rstrip() for line in example[0].splitlines()]
    return "\n".join(["```python", *lines, "```", ""])
