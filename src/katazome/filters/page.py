"""Contact sheets for a browser: a page a layer, a tick for each filter, a button that saves a selection.

Nothing is served and nothing is fetched: the pages are files, and the file that the button saves is what
:meth:`katazome.filters.select.Selection.read` reads. Ticks are kept in the browser's storage, so
that a layer's page knows what was ticked on the others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from katazome.errors import OutputError
from katazome.filters.record import Rank
from katazome.filters.select import Selection
from katazome.filters.show import SMALL, Excited, exciting, strip
from katazome.pictures.write import to_image

INDEX = "index.html"
_QUALITY = 80

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 0 1rem 4rem; background: #fff; color: #222 }
header { position: sticky; top: 0; background: #fff; padding: .6rem 0; border-bottom: 1px solid #ccc }
header * { font: inherit } header a { margin-right: .8rem } header b { margin-right: .8rem }
main { display: flex; flex-wrap: wrap; gap: 1rem; padding-top: 1rem }
figure { margin: 0; padding: .3rem; border-radius: 6px; border: 2px solid #ddd; max-width: 100% }
figure:has(:checked) { border-color: #06c; background: #eef5ff }
figure img { display: block; max-width: 100%; height: auto } label { cursor: pointer; display: block }
"""

SCRIPT = """
function chosen(skeleton, object, ticks) {
  const layers = {};
  for (const layer of Object.keys(skeleton.layers)) {
    layers[layer] = [...(ticks[layer] || [])].sort((a, b) => a - b).map(filter => ({filter, score: null}));
  }
  return {...skeleton, object, layers};
}
"""

_WIRING = """
const page = JSON.parse(document.getElementById("page").textContent);
const boxes = [...document.querySelectorAll("input[data-filter]")];
const object = document.getElementById("object"), count = document.getElementById("count");
const key = name => "katazome." + page.rank + "." + name;
const stored = (name, otherwise) => {
  try { return JSON.parse(localStorage.getItem(key(name))) ?? otherwise } catch { return otherwise }
};
const store = (name, value) => { try { localStorage.setItem(key(name), JSON.stringify(value)) } catch {} };
function ticks() {
  const all = {};
  for (const layer of Object.keys(page.skeleton.layers)) all[layer] = stored(layer, []);
  all[page.layer] = boxes.filter(b => b.checked).map(b => Number(b.dataset.filter));
  return all;
}
function tell() {
  const all = ticks();
  count.textContent = Object.keys(all).map(layer => layer + ": " + all[layer].length).join(", ");
  return all;
}
for (const box of boxes) box.checked = stored(page.layer, []).includes(Number(box.dataset.filter));
object.value = stored("object", "");
document.addEventListener("change", () => {
  store(page.layer, tell()[page.layer]);
  store("object", object.value);
});
document.getElementById("save").addEventListener("click", () => {
  const all = tell(), name = object.value.trim();
  if (!name || !Object.values(all).some(some => some.length)) {
    alert("Name the object and tick at least one filter first.");
    return;
  }
  const text = JSON.stringify(chosen(page.skeleton, name, all), null, 1) + "\\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = name.replace(/[^\\p{L}\\p{N}_-]+/gu, "-") + ".json";
  link.click();
  URL.revokeObjectURL(link.href);
});
tell();
"""


def pages(
    rank: Rank, folder: str | os.PathLike[str], *, k: int = 9, overwrite: bool = False
) -> Iterator[tuple[int, int]]:
    """Write the pages of all ranked layers; yields filters done and filters in all.

    ``folder/index.html`` is the entry. Raises :class:`OutputError` when pages are there already or
    cannot be written, :class:`PictureError` when a picture is no longer there.
    """
    target = Path(folder)
    if not overwrite and (target / INDEX).exists():
        raise OutputError(
            f"'{target}' has pages already; choose another folder, or --overwrite to replace them"
        )
    layers = {name: rank.channels(name) for name in rank.options.names}
    total, done = sum(layers.values()), 0
    skeleton = Selection(
        network=rank.network, rule="by eye", object="", layers=dict.fromkeys(layers, ())
    ).to_json()
    try:
        for name, count in layers.items():
            (target / name).mkdir(parents=True, exist_ok=True)
            figures = []
            for number, pictures in exciting(rank, name, range(count), k, cell=SMALL):
                image = to_image(strip(pictures))
                file = f"{name}/{number:03d}.jpg"
                image.save(target / file, quality=_QUALITY)
                figures.append(_figure(file, number, pictures, image.size))
                done += 1
                yield done, total
            told = {"rank": _identity(rank), "layer": name, "skeleton": skeleton}
            (target / f"{name}.html").write_text(_page(name, list(layers), figures, told), encoding="utf-8")
        (target / INDEX).write_text(_index(rank, layers), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the pages in '{target}' cannot be written: {error.strerror or error}") from error


def _identity(rank: Rank) -> str:
    """Twelve digits that tell one rank's ticks from another's."""
    told = [rank.network.sha256, *(picture.name for picture in rank.pictures)]
    return hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()[:12]


def _figure(file: str, number: int, pictures: list[Excited], size: tuple[int, int]) -> str:
    names = escape(", ".join(e.source.name for e in pictures).encode(errors="replace").decode(), quote=True)
    best = f"{pictures[0].value:.3g}" if pictures else "silent"
    return (
        f'<figure><label><input type="checkbox" data-filter="{number}"> filter {number} ({best})'
        f'<img src="{file}" width="{size[0]}" height="{size[1]}" loading="lazy" title="{names}" '
        f'alt="{names}"></label></figure>'
    )


def _page(layer: str, layers: list[str], figures: list[str], told: Mapping[str, object]) -> str:
    links = "".join(f"<b>{n}</b>" if n == layer else f'<a href="{n}.html">{n}</a>' for n in layers)
    data = json.dumps(told).replace("<", "\\u003c")
    shown = "\n".join(figures)
    return _document(
        f"Filters of {layer}",
        f'<header>{links}<label style="display: inline">object <input id="object" size="16"></label> '
        '<button id="save">save the selection</button> <span id="count"></span></header>\n'
        f"<main>\n{shown}\n</main>\n"
        f'<script type="application/json" id="page">{data}</script>\n<script>{SCRIPT}{_WIRING}</script>',
    )


def _index(rank: Rank, layers: dict[str, int]) -> str:
    items = "".join(f'<li><a href="{n}.html">{n}</a>: {count} filters</li>' for n, count in layers.items())
    told = f"{len(rank.pictures)} pictures, network {rank.network}, {len(rank.skipped)} pictures skipped."
    return _document("Filters", f"<h1>Filters</h1><p>{escape(told)}</p><ul>{items}</ul>")


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
