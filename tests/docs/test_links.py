"""Links lead somewhere, pictures are there and are shown, and every page has its place in the site."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, links, name_of, pictures


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue  # not asked: the tests need no network
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken, "these lead nowhere"


def test_every_picture_is_shown() -> None:
    shown = set().union(*(pictures(page) for page in PAGES))
    kept = {path.resolve() for path in (DOCS / "pictures").iterdir()}
    assert sorted(path.name for path in kept - shown) == []


def _named(entry: object) -> list[str]:
    """Return the pages under an entry of the site's contents."""
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    assert not isinstance(values, int)
    return [page for value in values for page in _named(value)]  # type: ignore[attr-defined]


def test_every_page_has_its_place() -> None:
    contents = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    there = [page.relative_to(DOCS).as_posix() for page in PAGES if page.is_relative_to(DOCS)]
    assert sorted(_named(contents)) == sorted(there)
