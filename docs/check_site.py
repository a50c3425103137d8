"""Check the built site: every link, picture and anchor leads somewhere, and nothing is asked of other hosts.

The generator checks the links that stand in the pages' Markdown; this checks what it made of them, with the
contents, the docstrings, and the files that pages include.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href"}
_STAYS = {"canonical", "alternate", "edit"}
"""Links in a page's head that a browser does not fetch."""


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        target = given.get(_LOADED.get(tag, ""))
        if target is not None and given.get("rel", "") not in _STAYS:
            self.loaded.append(target)


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with a site, a sentence each."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"there are no pages in {site}; build it first: make docs"
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # shown at any address, with links from the root
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    yield f"{path}: {link} is loaded from another host"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{path}: {link} leads nowhere"
            elif parts.fragment and target.suffix == ".html":
                there = next(other for name, other in pages.items() if name.resolve() == target)
                if unquote(parts.fragment) not in {*there.anchors, "__skip"}:
                    yield f"{path}: {link} has no such anchor"


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1])))
    print("\n".join(found) or f"{sys.argv[1]}: all links lead somewhere", file=sys.stderr if found else None)
    sys.exit(1 if found else 0)
