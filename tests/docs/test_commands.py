"""Every command line of the documentation is one that the program takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App, CycloptsError

from katazome.api import DEFAULT_METHOD
from katazome.cli import declare
from katazome.cli.main import app, classes_named, rewritten
from katazome.errors import KatazomeError
from katazome.regions.grammar import parse, parse_placement
from tests.docs.pages import PAGES, Command, command_in, commands, name_of, prose

PEERS = ("docs/coming-from.md",)
"""Pages that name other programs' options, too."""


def told(command: Command) -> str:
    """Return what the program would say of a command before it opens a file; nothing if all is well."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in command.environment.items():
            patch.setenv(name, value)
        try:
            return _wrong(command.words)
        except (CycloptsError, KatazomeError) as error:
            return " ".join(str(error).split())


def _wrong(words: Sequence[str]) -> str:
    _, bound, _ = app.parse_args(rewritten(words), print_error=False, exit_on_error=False)
    given = {name: value for name, value in bound.arguments.items() if value is not None}
    with _though_missing():
        parse(given.get("where", "everything"), "where")
    for text in given.get("at", ()):
        with _though_missing():
            parse_placement(text, "at")
    return _other_option(classes_named(words) or {}, given)


@contextmanager
def _though_missing() -> Iterator[None]:
    """Let pass that a file which a region names is not there."""
    try:
        yield
    except KatazomeError as error:
        if "No such file" not in str(error):
            raise


def _other_option(classes: declare.Classes, given: Mapping[str, Any]) -> str:
    """Check the values of options, and return which of them the method has not."""
    options = {name: value for name, value in given.items() if name in declare.declared(classes)}
    method = options.get("method", DEFAULT_METHOD)
    if method not in classes or {"recipe", "manifest"} & set(given):
        asked = list(classes.values())  # one of them, which the file says
    else:
        asked = [cls for name, cls in classes.items() if name in ("", method)]
    known = set[str]()
    for cls in asked:
        values = declare.values_of(cls, options)
        cls.from_json(values)
        known |= set(values)
    return "".join(f"{method} has no {name}" for name in sorted(set(options) - known))


def _every_command(app: App = app, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    for name in app:
        if not name.startswith("-"):
            below = [*_every_command(app[name], (*words, name))]
            yield from below or [((*words, name), app[name])]


COMMANDS = dict(_every_command())


@cache
def _flags() -> frozenset[str]:
    """Return every option of every command, and other programs' names that are taken for them."""
    found = {"--help", "--version"}
    for words, command in COMMANDS.items():
        found |= {name for one in command.assemble_argument_collection() for name in one.names}
        if (classes := classes_named(words)) is not None:
            found |= set(declare.aliases(classes)) | {o.flag for o in declare.declared(classes).values()}
    return frozenset(found)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_command_lines_are_understood(page: Path) -> None:
    found = [(command.line, shlex.join(command.words), told(command)) for command in commands(page)]
    assert [one for one in found if one[-1]] == []


@pytest.mark.parametrize("words", list(COMMANDS), ids=" ".join)
def test_the_examples_of_the_help_are_understood(words: tuple[str, ...]) -> None:
    epilogue = COMMANDS[words].help_epilogue or ""
    examples = [one for line in epilogue.splitlines() if (one := command_in(line.strip()))]
    assert examples, "the help has no example"
    assert [wrong for one in examples if (wrong := told(one))] == []


@pytest.mark.parametrize("words", list(COMMANDS), ids=" ".join)
def test_commands_with_declared_options_take_other_names_for_them(words: tuple[str, ...]) -> None:
    body = COMMANDS[words].default_command
    assert body is not None
    with suppress(KeyError):
        assert classes_named(words) is declare.classes_of(body)


@pytest.mark.parametrize("page", [page for page in PAGES if name_of(page) not in PEERS], ids=name_of)
def test_options_in_the_text_are_options(page: Path) -> None:
    ours = re.findall(r"`(--[^`\n]+|katazome [^`\n]+)`", prose(page))
    spoken = {flag for code in ours for flag in _flags_in(code)}
    assert sorted(spoken - _flags()) == []


def _flags_in(code: str) -> list[str]:
    return re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", code)


def test_options_for_those_who_come_from_elsewhere() -> None:
    """The last column of each table is ours."""
    for name in PEERS:
        page = next(page for page in PAGES if name_of(page) == name)
        rows = [
            re.split(r"(?<!\\)\|", line)[1:-1] for line in prose(page).splitlines() if line.startswith("|")
        ]
        ours = {flag for row in rows for flag in _flags_in(row[-1])}
        assert len(ours) > 20
        assert sorted(ours - _flags()) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("stylize a.jpg b.jpg --strenght 1", "--strenght"),
        ("stylize a.jpg b.jpg --strength 2", "strength is 2"),
        ("stylize a.jpg b.jpg --color lama", "did you mean 'luma'"),
        ("stylize a.jpg b.jpg --octaves 2", "gatys has no octaves"),
        ("stylize a.jpg b.jpg --where obect:dog", "object"),
        ("stylize", "CONTENT"),
        ("study scales a.jpg", "requires an argument"),
        ("train segmenter --images a/ --schedule cosin", "cosine"),
        ("stilize a.jpg b.jpg", "did you mean 'stylize'"),
    ],
)
def test_what_is_wrong_would_be_found(line: str, what: str) -> None:
    command = command_in(f"katazome {line}")
    assert command is not None
    assert what in told(command)
