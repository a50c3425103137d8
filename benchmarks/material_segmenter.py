"""How good is a segmenter of materials: on other pictures, on sources it never saw, and at saying where.

    python benchmarks/material_segmenter.py where SET MODEL...      # where the given material is, four maps
    python benchmarks/material_segmenter.py sources SET [--grey]    # pictures of sources that were left out

``SET`` is what ``material_set.py`` made. ``where`` asks models about ``SET/filled`` (to choose by) and
``SET/filled-too`` (to report): mean intersection over union of the given material's refined map with the true
mask. ``sources`` learns from ``SET/learn`` and asks about ``SET/judge``: once with all sources, and once for
each source without it, asking about that source alone, for classes that another source taught. ``--own`` asks
about ``learn`` itself, of each source without it, where a second half would take too long.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from katazome.api import Session
from katazome.collections.cache import drained
from katazome.collections.folders import Source, classes_in
from katazome.networks.segmenter import Head, open_segmenter, pooled
from katazome.pictures.read import read
from katazome.pictures.resize import resize
from katazome.regions.evidence import Sight, distinct, gradient, located
from katazome.regions.materials import class_called, sight_of
from katazome.regions.refine import refined
from katazome.studies.materials import contents_in
from katazome.studies.metrics import mean_iu
from katazome.training.steps.segmenter import SegmenterLesson, SegmenterOptions, features
from katazome.training.trainer import train

SOURCES = ("swatch", "object", "crop", "grey", "photo", "thing")


def places(sight: Sight, pixels: Tensor, classes: Sequence[int]) -> Tensor:
    """Return the head's own probability by place: (1, 1, H, W)."""
    total = torch.zeros_like(pixels[:, :1])
    for picture in sight.sizes(pixels):
        with torch.no_grad():
            scores, _ = sight.network(picture)
        found = scores.softmax(1)[:, list(classes)].sum(1, keepdim=True)
        total += resize(found, (pixels.shape[2], pixels.shape[3]))
    return total


MAPS: Mapping[str, Callable[[Sight, Tensor, Sequence[int]], Tensor]] = {
    "located": located,
    "distinct": distinct,
    "gradient": gradient,
    "scores": places,
}


def where(folder: Path, models: Sequence[Path], only: Sequence[str]) -> None:
    """Print the mean IU of each map of each model, on both sets of filled pictures."""
    weights = Session().encoder.weights
    for model in models:
        segmenter = open_segmenter(model, weights)
        for part in ("filled", "filled-too"):
            found: dict[str, list[float]] = {name: [] for name in only}
            for content in contents_in(folder / part):
                pixels = read(content.picture).pixels
                true = (read(content.mask).pixels[:, :1] > 0.5).float()
                number = class_called(segmenter, content.material)
                for name in only:
                    rough = MAPS[name](sight_of(segmenter), pixels, [number])
                    found[name].append(mean_iu(refined(pixels, rough), true))
            told = ", ".join(f"{name} {statistics.mean(v):.2f}" for name, v in found.items())
            print(f"{model.stem} {part} ({len(next(iter(found.values())))}): {told}", flush=True)


def sources(folder: Path, options: SegmenterOptions, *, own: bool) -> None:
    """Print how many pictures are told, of each source, with and without it."""
    encoder = Session().encoder
    halves = [classes_in([folder / half]) for half in ("learn", "learn" if own else "judge")]
    names = tuple(halves[0])
    lots = [[(s, n) for n, name in enumerate(names) for s in half.get(name, ())] for half in halves]
    seen = drained(features(encoder, options, [s for lot in lots for s, _ in lot]))
    place = {source: number for number, source in enumerate(seen.sources)}

    def learnt(without: str) -> tuple[Head, list[int]]:
        lot = [(s, n) for s, n in lots[0] if _source(s) != without]
        taught = sorted({n for _, n in lot})
        rows = seen.only([place[s] for s, _ in lot])
        lesson = SegmenterLesson(rows, [taught.index(n) for _, n in lot], len(taught), options)
        for _ in train(lesson, options):
            pass
        return lesson.module, taught

    def told(learnt: tuple[Head, list[int]], asked: Sequence[tuple[Source, int]]) -> list[tuple[int, int]]:
        head, taught = learnt
        with torch.no_grad():
            scores = [(n, pooled(head(seen.only([place[s]]).rows([0])))) for s, n in asked]
        return [(n, taught[int(found.argmax())]) for n, found in scores]

    print(f"{options.layer}{', grey' if options.grey else ''}", flush=True)
    whole = None if own else learnt("")
    if whole is not None:
        answers = told(whole, lots[1])
        print(f"learnt: {sum(n == t for n, t in answers)} of {len(answers)}", flush=True)
        for number, name in enumerate(names):
            mine = [t for n, t in answers if n == number]
            wrong = {names[t]: mine.count(t) for t in set(mine) if t != number}
            print(f"  {name}: {mine.count(number)} of {len(mine)}, else {wrong}", flush=True)
    for source in SOURCES:
        if not any(_source(s) == source for s, _ in lots[0]):
            continue
        without = learnt(source)
        asked = [(s, n) for s, n in lots[1] if _source(s) == source and n in without[1]]
        if not asked:
            continue
        answers = told(without, asked)
        known = "" if whole is None else f", learnt {sum(n == t for n, t in told(whole, asked))}"
        print(f"{source}: never seen {sum(n == t for n, t in answers)} of {len(asked)}{known}", flush=True)
        for number in sorted({n for _, n in asked}):
            mine = [t for n, t in answers if n == number]
            print(f"  {names[number]}: never seen {mine.count(number)} of {len(mine)}", flush=True)


def _source(picture: Source) -> str:
    return picture.path.name.split("-")[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("where", "sources"))
    parser.add_argument("set", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--maps", nargs="+", choices=MAPS, default=list(MAPS))
    parser.add_argument("--grey", action="store_true")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--layer", default="relu5_3")
    parser.add_argument("--steps", type=int, default=SegmenterOptions().steps)
    given = parser.parse_args()
    if given.what == "where":
        where(given.set, given.models, given.maps)
    else:
        options = SegmenterOptions(layer=given.layer, grey=given.grey, steps=given.steps)
        sources(given.set, options, own=given.own)
