"""The reference page says what the declarations say."""

from __future__ import annotations

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
            flag = option.flag if option.defaults[""] is not True else f"--no-{option.name}"
            assert f"| `{flag}` | {option.info.help} |".replace("\\|", "|") in text
    assert all(f"| {strength:g} | " in text for strength in STRENGTHS)


def test_the_page_has_every_command() -> None:
    titles = [line for line in reference().splitlines() if line.startswith("## The command line: ")]
    for name in (name for name in app if not name.startswith("-")):
        below = [f"{name} {other}" for other in app[name] if not other.startswith("-")]
        for words in below or [name]:
            assert sum(f"`{words}`" in title for title in titles) == 1, words
