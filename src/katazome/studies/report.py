"""Reports: a case a file, so that a study stops and goes on; tables and sheets of what is there."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from katazome.jobs.manifest import Case, Figures, Manifest

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .2rem .5rem; text-align: right }
figure { margin: 1rem 0 } img { max-width: 100% }
"""


def case(folder: Path, name: str, measure: Callable[[], Figures]) -> Figures:
    """Return the figures of a case: read from its file, or measured and written there."""
    one = Case(name, {})
    manifest = Manifest(folder, [one])
    manifest.run(lambda _: measure())
    figures = manifest.result(one)
    assert figures is not None
    return figures


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table in Markdown; columns are those of the first row."""
    if not rows:
        return ""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_text(row.get(c, "")) for c in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; columns are those of the first row."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else [], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_page(
    file: Path,
    title: str,
    head: str,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    pictures: Sequence[Path],
) -> None:
    """Write a page for a browser: tables and pictures, which lie below the page's folder."""
    parts = [f"<!doctype html><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"]
    parts.append(f"<h1>{escape(title)}</h1><p>{escape(head)}</p>")
    for name, rows in tables.items():
        if rows:
            heads = "".join(f"<th>{escape(column)}" for column in rows[0])
            lines = "".join("<tr>" + "".join(f"<td>{escape(_text(v))}" for v in row.values()) for row in rows)
            parts.append(f"<h2>{escape(name)}</h2><table><tr>{heads}{lines}</table>")
    for picture in pictures:
        place = quote(picture.relative_to(file.parent).as_posix())
        shown = f"<img loading='lazy' src='{place}'><figcaption>{escape(picture.stem)}</figcaption>"
        parts.append(f"<figure>{shown}</figure>")
    file.write_text("\n".join(parts), encoding="utf-8")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
