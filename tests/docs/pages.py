"""The pages of the documentation as the tests read them: code, commands, links, headings."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
TUTORIALS = tuple(sorted((DOCS / "tutorials").glob("*.md")))

_FENCE = re.compile(r"( *)```(\w*)\s*$")
_ENDS = {">", ">>", "|", "&&", ";"}
"""What a shell reads as the end of a command's own words."""


@dataclass(frozen=True)
class Block:
    """A block of code: its language, empty where none is said, and where it begins."""

    page: Path
    line: int
    language: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command line of the program: where it stands, variables set for it, words after its name."""

    line: int
    environment: Mapping[str, str]
    words: Sequence[str]


def name_of(page: Path) -> str:
    """Return a page's name as a person would say it."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the fenced and the indented blocks of code of a page."""
    found = list[Block]()
    text = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(text):
        opening = _FENCE.match(text[number])
        begin = number + 1
        if opening:
            number = begin
            while not text[number].strip().startswith("```"):
                number += 1
            lines = [line.removeprefix(opening[1]) for line in text[begin:number]]
            found.append(Block(page, begin + 1, opening[2], tuple(lines)))
        elif text[number].startswith("    ") and (number == 0 or not text[number - 1].strip()):
            while number < len(text) and (text[number].startswith("    ") or not text[number].strip()):
                number += 1
            found.append(Block(page, begin, "", tuple(line[4:] for line in text[begin - 1 : number])))
            continue
        number += 1
    return found


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in blocks(page):
        for number in range(block.line - 1, block.line - 1 + len(block.lines)):
            lines[number] = ""
    return "\n".join(lines)


def commands(page: Path) -> list[Command]:
    """Return the command lines of the program in a page's code."""
    found = []
    for block in blocks(page):
        if block.language in ("", "sh", "bash", "console"):
            for number, line in _joined("\n".join(block.lines)):
                if (command := command_in(line)) is not None:
                    found.append(replace(command, line=block.line + number))
    return found


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with those that end in a backslash joined to the next."""
    begin, held = 0, ""
    for number, line in enumerate(text.split("\n")):
        begin, held = (begin, held + line) if held else (number, line)
        if held.endswith("\\"):
            held = held[:-1]
            continue
        yield begin, held
        held = ""


def command_in(line: str) -> Command | None:
    """Return the command of the program that a line is, None where it is none."""
    if not re.match(r"(\w+=\S+ )*(\S*/)?katazome ", line):
        return None
    words = shlex.split(line, comments=True)
    begin = next(number for number, word in enumerate(words) if "=" not in word)
    end = next((number for number, word in enumerate(words) if word in _ENDS), None)
    return Command(0, dict(word.split("=", 1) for word in words[:begin]), words[begin + 1 : end])


def links(page: Path) -> list[str]:
    """Return where a page's links and pictures point to."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page)))


def pictures(page: Path) -> set[Path]:
    """Return the files of the pictures that a page shows."""
    shown = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", prose(page))
    return {(page.parent / link).resolve() for link in shown}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site has them."""
    return {_slug(heading) for heading in re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)}


def _slug(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())
