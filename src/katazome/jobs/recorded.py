"""What recipes say, in words: one by itself, and several beside each other.

A recipe may come from a stranger: what it holds is shown as text, without control characters, and cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from katazome.api import list_methods
from katazome.recipe import Recipe

_LONGEST = 160
_SHORT_HASH = 8
_DECIDED = {"tile": "off"}
"""What stands in a recipe where an option was left to the program, and is worth no word."""


def told(recipe: Recipe) -> list[tuple[str, str]]:
    """Return a recipe as lines for a person: label and text."""
    lines = [
        ("method", recipe.method),
        ("options", ", ".join(f"{name} {text}" for name, text in chosen(recipe).items()) or "its defaults"),
        *((one.role, f"{one.width} x {one.height} px, SHA-256 {one.sha256}") for one in recipe.inputs),
        *(("weights", f"{one.name}, SHA-256 {one.sha256}") for one in recipe.weights),
        (
            "arithmetic",
            f"{recipe.precision} on {recipe.device}, {_machinery(recipe)}, seed {recipe.seed}",
        ),
        ("made by", f"katazome {recipe.katazome}, torch {recipe.torch}"),
    ]
    return [(label, plain(text)) for label, text in lines]


def chosen(recipe: Recipe) -> dict[str, str]:
    """Return the size and the options that are not the method's defaults; all of an unknown method."""
    usual: Mapping[str, Any] = {}
    for method in list_methods():
        if method.name == recipe.method:
            usual = {**method.options().to_json(), **_DECIDED}
    return {
        name: _typed(value)
        for name, value in recipe.options.items()
        if name == "size" or name not in usual or usual[name] != value
    }


def facts(recipe: Recipe) -> dict[str, str]:
    """Return all that a recipe says as short texts by name; an input's is the start of its hash."""
    found = {"method": recipe.method}
    found |= {name: _typed(value) for name, value in recipe.options.items() if name != "precision"}
    counts: Counter[str] = Counter()
    for one in recipe.inputs:
        counts[one.role] += 1
        name = f"{one.role} {'map' if one.role.endswith('where') else 'picture'}"
        name += f" {counts[one.role]}" if counts[one.role] > 1 else ""
        found[name] = one.sha256[:_SHORT_HASH]
    found |= {f"weights {one.name}": one.sha256[:_SHORT_HASH] for one in recipe.weights}
    found |= {
        "seed": str(recipe.seed),
        "threads": str(recipe.threads),
        "processes": str(recipe.processes),
        "precision": recipe.precision,
        "device": recipe.device,
        "katazome": recipe.katazome,
        "torch": recipe.torch,
    }
    return {plain(name): plain(text) for name, text in found.items()}


def differing(recipes: Sequence[Recipe]) -> list[dict[str, str]]:
    """Return of each recipe what is not the same in all of them; what it does not say is ``none``."""
    all_facts = [facts(recipe) for recipe in recipes]
    names = dict.fromkeys(name for found in all_facts for name in found)
    rows = [{name: found.get(name, "none") for name in names} for found in all_facts]
    return [{name: row[name] for name in names if len({other[name] for other in rows}) > 1} for row in rows]


def plain(text: str) -> str:
    """Return a text that may be printed whatever it holds, and is no longer than a line or two."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _typed(value: Any) -> str:
    if value is None or value in ("", []):
        return "open"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(_typed(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _machinery(recipe: Recipe) -> str:
    threads = _many(recipe.threads, "thread")
    return threads if recipe.processes == 1 else f"{recipe.processes} processes with {threads} each"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
