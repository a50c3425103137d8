"""The tables of ``study styles``, of the rows of its cases."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from katazome.jobs.manifest import Figures

STYLE, IDENTITY, TILES = "style", "identity", "tiles"
"""The tests."""

COPY, PAINTING = "(copy)", "(style)"
"""The baselines."""

_MEASURED = {
    "Content kept and style taken": ("content distance", "relu4_2", "style after", "to others", "own style"),
    "The same in a network that nothing optimises": (
        "content distance, lite0",
        "style after, lite0",
        "to others, lite0",
        "own style, lite0",
    ),
}
_PREFIXED = {
    "Gram distance by network and scale": "Gram, ",
    "Sliced Wasserstein distance by network and scale": "SWD, ",
    "Patterns of the pixel grid, over the content's own": "pattern ",
}


def head_of(rows: Sequence[Figures], asked: int, left_out: Mapping[str, str]) -> str:
    """Return what a reader must know first: what is there, what is not, and what not to trust."""
    failed = sum("failed" in row for row in rows)
    style = [row for row in rows if row["test"] == STYLE]
    counts = [len({row[key] for row in style}) for key in ("content", "style")]
    machines = sorted(
        {f"{r['precision']}, {r['threads']} thread{'s' * (r['threads'] > 1)}" for r in rows if "threads" in r}
    )
    parts = [
        f"{len(rows)} of {asked} cases, {failed} failed: {counts[0]} contents x {counts[1]} styles"
        + (f" ({'; '.join(machines)})." if machines else "."),
        "Every picture was made in a process of its own; seconds are those of the work, from networks opened "
        "and pictures read to the picture finished.",
        "Methods that descend on VGG-19 are near to the style there by making: believe the other networks.",
    ]
    parts += [f"{name} is left out: {reason.rstrip('.')}." for name, reason in left_out.items()]
    return " ".join(parts)


def tables_of(rows: Sequence[Figures]) -> dict[str, list[Figures]]:
    """Return the tables by title; those of which there is nothing are left out."""
    good = [row for row in rows if "failed" not in row]
    of = {test: [row for row in good if row["test"] == test] for test in (STYLE, IDENTITY, TILES)}
    tables = {"What it costs": costs(of[STYLE])}
    for title, names in _MEASURED.items():
        tables[title] = means(of[STYLE], names)
    for title, prefix in _PREFIXED.items():
        found = dict.fromkeys(name for row in of[STYLE] for name in row if name.startswith(prefix))
        tables[title] = means(of[STYLE], tuple(found))
    tables["Identity: the content as its own style"] = means(
        of[IDENTITY], ("RMSE", "PSNR", "content distance", "content distance, lite0", "relu4_2")
    )
    tables["Tiles against the whole"] = means(of[TILES], ("seam", "difference"))
    shown = ("test", "content", "style", "method", "failed")
    tables["Failed"] = [{key: row[key] for key in shown} for row in rows if "failed" in row]
    return {title: table for title, table in tables.items() if table}


def costs(rows: Sequence[Figures]) -> list[Figures]:
    """Return a row for each method: medians of seconds, the most memory.

    ``times the quickest`` is the median over pairs of a content and a style: of what was made in turn.
    """
    timed = [row for row in rows if "seconds" in row]
    quickest: dict[tuple[Any, Any], float] = {}
    for row in timed:
        pair = (row["content"], row["style"])
        quickest[pair] = min(quickest.get(pair, row["seconds"]), row["seconds"])
    found = []
    for method, group in _by_method(timed).items():
        ratios = [r["seconds"] / max(quickest[r["content"], r["style"]], 1e-9) for r in group]
        line: Figures = {
            "method": method,
            "pictures": len(group),
            "seconds": statistics.median(r["seconds"] for r in group),
            "times the quickest": round(statistics.median(ratios), 1),
            "opening": statistics.median(r["opening"] for r in group),
            "peak MB": max(r["peak MB"] for r in group),
        }
        if any("card MB" in r for r in group):
            line["card MB"] = max(r.get("card MB", 0) for r in group)
        found.append(line)
    return found


def means(rows: Sequence[Figures], names: Sequence[str]) -> list[Figures]:
    """Return a row for each method: means over the rows that have the figure; ``own style`` in per cent."""
    names = [name for name in names if any(name in row for row in rows)]
    found = []
    for method, group in _by_method(rows).items():
        line: Figures = {"method": method, "pictures": len(group)}
        for name in names:
            values = [row[name] for row in group if name in row]
            share = name.startswith("own style")
            mean = statistics.mean(values) if values else None
            line[f"{name} %" if share else name] = (
                "" if mean is None else round(100 * mean) if share else round(mean, 3)
            )
        found.append(line)
    return found if names else []


def _by_method(rows: Sequence[Figures]) -> dict[str, list[Figures]]:
    groups: dict[str, list[Figures]] = {}
    for row in rows:
        groups.setdefault(row["method"], []).append(row)
    return groups
