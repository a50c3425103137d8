"""``make gallery``: the pictures of README and docs, made by the program itself from examples/pictures.

Each picture is made once and kept under out/gallery; delete it there to have it made again. Sheets
of them, as JPEG, go to docs/pictures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome import Session
from katazome.api import DEFAULT_METHOD, drain
from katazome.pictures.read import read
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "examples" / "pictures"
KEPT = ROOT / "out" / "gallery"
SHEETS = ROOT / "docs" / "pictures"

STYLIZED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "coffee": ("coffee", "wheat_field", {}),
    "coffee-multiscale": ("coffee", "wheat_field", {"method": "multiscale"}),
    "chelsea": ("chelsea", "apples", {}),
    "chelsea-multiscale": ("chelsea", "apples", {"method": "multiscale"}),
    "rocket": ("rocket", "toledo", {}),
    "rocket-multiscale": ("rocket", "toledo", {"method": "multiscale"}),
    "strength-0.25": ("chelsea", "wheat_field", {"strength": 0.25, "size": 384}),
    "strength-0.5": ("chelsea", "wheat_field", {"strength": 0.5, "size": 384}),
    "strength-0.75": ("chelsea", "wheat_field", {"strength": 0.75, "size": 384}),
    "color-style": ("coffee", "sunday", {"size": 384}),
    "color-content": ("coffee", "sunday", {"size": 384, "color": "content"}),
    "color-luma": ("coffee", "sunday", {"size": 384, "color": "luma"}),
    "scale-0.5": ("rocket", "trees", {"size": 384, "style_scale": 0.5}),
    "scale-1": ("rocket", "trees", {"size": 384}),
    "scale-2": ("rocket", "trees", {"size": 384, "style_scale": 2.0}),
    "preview": ("coffee", "wheat_field", {"preview": "small", "size": 2048}),
    "final": ("coffee", "wheat_field", {"size": 1024}),
    "final-2048": ("coffee", "wheat_field", {"size": 2048}),
    "where-cat": ("chelsea", "apples", {"size": 384, "where": "object:cat"}),
    "where-not-cat": ("chelsea", "apples", {"size": 384, "where": "not:object:cat"}),
    "where-salient": ("coffee", "wheat_field", {"size": 384, "where": "salient"}),
    "where-not-salient": ("coffee", "wheat_field", {"size": 384, "where": "not:salient"}),
    "adain": ("coffee", "wheat_field", {"method": "adain"}),
    "wct": ("coffee", "wheat_field", {"method": "wct"}),
    "adain-cat": ("chelsea", "apples", {"method": "adain"}),
    "wct-cat": ("chelsea", "apples", {"method": "wct"}),
    "wae": ("coffee", "wheat_field", {"method": "wae"}),
    "wae-cat": ("chelsea", "apples", {"method": "wae"}),
    "feedforward": ("coffee", "", {"method": "feedforward"}),
    "feedforward-cat": ("chelsea", "", {"method": "feedforward"}),
    "peer-neural-style": ("coffee", "wheat_field", {"size": 256, "preset": "neural-style"}),
    "peer-gatys-release": ("coffee", "wheat_field", {"size": 256, "preset": "gatys-release"}),
    "peer-ours": ("coffee", "wheat_field", {"size": 256}),
}


def stylized(session: Session, name: str) -> Tensor:
    """Make a picture of the table, or read the one that is kept."""
    content, style, options = STYLIZED[name]
    options = {"method": DEFAULT_METHOD, **options}

    def make() -> Tensor:
        styles = [picture(style)] if style else []  # feedforward has learnt its own
        work = session.prepare(picture(content), styles, **options)
        return drain(work).tensor

    return kept(name, make)


def picture(name: str) -> Path:
    """Path of an example picture."""
    return SOURCES / f"{name}.jpg"


def kept(name: str, make: Callable[[], Tensor]) -> Tensor:
    """Return a picture from out/gallery, made first if it is not there."""
    file = KEPT / f"{name}.png"
    if not file.exists():
        began = time.perf_counter()
        write(make(), file, overwrite=True)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    return read(file).pixels


def fitted(pixels: Tensor, height: int) -> Tensor:
    """Scale a picture to a height, for a row of a sheet."""
    width = round(pixels.shape[3] * height / pixels.shape[2])
    return F.interpolate(pixels, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def save(name: str, rows: list[list[tuple[str, Tensor]]], cell: int) -> None:
    """Write a sheet to docs/pictures."""
    write(sheet(rows, cell=cell), SHEETS / f"{name}.jpg", overwrite=True)


def texture(session: Session) -> Tensor:
    """A seamless texture."""
    source = picture("old_plum")
    return kept(
        "texture", lambda: session.texture(source, size="384x384", seamless="both", style_scale=1.0).tensor
    )


def main() -> None:
    """Make what is missing, then the sheets named on the command line (all by default)."""
    KEPT.mkdir(parents=True, exist_ok=True)
    SHEETS.mkdir(exist_ok=True)
    session = Session()

    def source(name: str) -> Tensor:
        return read(picture(name)).pixels

    def made(name: str) -> Tensor:
        return stylized(session, name)

    def readme() -> None:
        height = 340
        row = [fitted(x, height) for x in (source("coffee"), source("wheat_field"), made("coffee"))]
        gap = torch.ones(1, 3, height, 12)
        write(torch.cat([row[0], gap, row[1], gap, row[2]], 3), SHEETS / "readme.jpg", overwrite=True)

    def methods() -> None:
        rows = [
            [
                (content, source(content)),
                (style, source(style)),
                ("gatys", made(content)),
                ("multiscale", made(f"{content}-multiscale")),
            ]
            for content, style in (("coffee", "wheat_field"), ("chelsea", "apples"), ("rocket", "toledo"))
        ]
        save("methods", rows, 480)

    def strength() -> None:
        save("strength", [[(s, made(f"strength-{s}")) for s in ("0.25", "0.5", "0.75")]], 384)

    def colour() -> None:
        row = [("content", source("coffee")), ("style", source("sunday"))]
        row += [(f"--color {c}", made(f"color-{c}")) for c in ("style", "content", "luma")]
        save("colour", [row], 384)

    def scale() -> None:
        save("scale", [[(f"--style-scale {s}", made(f"scale-{s}")) for s in ("0.5", "1", "2")]], 384)

    def preview() -> None:
        row = [("--preview", made("preview")), ("--size 1024", made("final"))]
        save("preview", [[*row, ("--size 2048", made("final-2048"))]], 640)

    def regions() -> None:
        cat = [("content", source("chelsea")), ("--where object:cat", made("where-cat"))]
        cup = [("content", source("coffee")), ("--where salient", made("where-salient"))]
        cat.append(("--where not:object:cat", made("where-not-cat")))
        cup.append(("--where not:salient", made("where-not-salient")))
        save("regions", [cat, cup], 480)

    def instant() -> None:
        rows = [
            [
                (content, source(content)),
                (style, source(style)),
                *((name, made(f"{name}{ending}")) for name in ("adain", "wct", "wae")),
                ("feedforward wheat-field", made(f"feedforward{ending}")),
            ]
            for content, style, ending in (("coffee", "wheat_field", ""), ("chelsea", "apples", "-cat"))
        ]
        save("instant", rows, 400)

    def seamless() -> None:
        tile = texture(session)
        save("seamless", [[("one tile", tile), ("2 x 2", tile.repeat(1, 1, 2, 2))]], 512)

    def peers() -> None:
        row = [("our default", made("peer-ours"))]
        row += [(n, made(f"peer-{n}")) for n in ("neural-style", "gatys-release")]
        save("peers", [row], 512)

    sheets = (readme, methods, strength, colour, scale, seamless, peers, preview, regions, instant)
    asked = sys.argv[1:]
    for one in sheets:
        if not asked or one.__name__ in asked:
            one()


if __name__ == "__main__":
    main()
