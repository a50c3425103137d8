"""The reference page says what the declarations say."""

from __future__ import annotations

import re
from pathlib import Path

from katazome.api import list_methods
from katazome.cli import declare
from katazome.cli.main import app
from katazome.cli.reference import STRENGTHS, reference

PAGE = Path(__file__).parents[2] / "docs/reference.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make reference`"


def test_the_page_has_everything() -> None:
    text = reference()
    for method in list_methods():
        assert f"## `{method.name}`" in text
        assert all(f"`{preset}`" in text for preset in method.presets)
        for option in declare.declared({"": method.options}).values():
            on = option.defaults[""] is True
            flag = f"--no-{option.name}" if on else option.flag
            said = declare.switched_off(option.info.help) if on else option.info.help
            assert f"| `{flag}` | {said} |".replace("\\|", "|") in text
    assert all(f"| {strength:g} | " in text for strength in STRENGTHS)


def test_the_page_has_every_command() -> None:
    titles = [line for line in reference().splitlines() if line.startswith("## The command line: ")]
    for name in (name for name in app if not name.startswith("-")):
        below = [f"{name} {other}" for other in app[name] if not other.startswith("-")]
        for words in below or [name]:
            assert sum(f"`{words}`" in title for title in titles) == 1, words


def test_usages_name_options_that_there_are() -> None:
    sections = reference().split("\n## ")
    groups = ("filters", "study", "train", "weights")
    for words in ((group, name) for group in groups for name in app[group] if not name.startswith("-")):
        (section,) = (s for s in sections if s.startswith(f"The command line: `{' '.join(words)}`"))
        usage = str(app[words[0]][words[1]].usage)
        below = section.replace(usage.removeprefix("Usage: "), "")
        for flag in re.findall(r"--[a-z-]+", usage):
            assert flag in below, (words, flag)
