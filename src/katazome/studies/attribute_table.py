"""What ``study attributes`` measures of an edited face, and its table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from katazome.faces.align import frame_of
from katazome.jobs.manifest import Figures

MOUTH = (0.33, 0.63, 0.67, 0.80)
"""left, top, right, bottom of the mouth, as shares of the frame."""

MEASURED = 144
"""Side (px) of the frame in which changes are measured."""


def change(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return the mean absolute change (0 to 255) at the mouth, and elsewhere, of faces in their frames."""
    moved = (after - before).abs().mean(1)[0] * 255
    side = moved.shape[0]
    left, top, right, bottom = (round(share * side) for share in MOUTH)
    inside = torch.zeros_like(moved, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    return float(moved[inside].mean()), float(moved[~inside].mean())


def frame_share(marks: Tensor, size: tuple[int, int]) -> float:
    """Return the frame's area over the picture's (height, width)."""
    frame = frame_of(marks, MEASURED)
    return float(torch.linalg.det(frame.matrix[:, :2])) * MEASURED**2 / (size[0] * size[1])


def summary(rows: Sequence[Figures], threshold: float) -> list[Figures]:
    """Return a line for each arm: shares in per cent, the others means over its faces.

    ``elsewhere`` and ``ratio`` are of the frame; ``ratio, picture`` takes the change outside the mouth over
    the whole picture, of which nothing beyond the frame changes.
    """
    groups: dict[str, list[Figures]] = {}
    for row in rows:
        groups.setdefault(row["arm"], []).append(row)
    found = []
    for name, group in groups.items():

        def mean(key: str, group: Sequence[Figures] = group) -> float:
            return statistics.mean(float(row[key]) for row in group)

        def share(key: str, least: float, group: Sequence[Figures] = group) -> int:
            return round(100 * statistics.mean(float(row[key] > least) for row in group))

        found.append(
            {
                "arm": name,
                "faces": len(group),
                "told before %": share("told before", 0.5),
                "told %": share("told", 0.5),
                "blended %": share("told, blended", 0.5),
                "mouth": round(mean("mouth"), 1),
                "elsewhere": round(mean("elsewhere"), 1),
                "ratio": round(mean("mouth") / mean("elsewhere"), 1),
                "ratio, blended": round(mean("mouth, blended") / mean("elsewhere, blended"), 1),
                "ratio, picture": round(_over_picture(group, ""), 1),
                "ratio, picture, blended": round(_over_picture(group, ", blended"), 1),
                "same person %": share("likeness", threshold),
                "likeness": round(mean("likeness"), 2),
                "seconds": round(mean("seconds, sets") + mean("seconds, edit")),
            }
        )
    return found


def _over_picture(group: Sequence[Figures], which: str) -> float:
    """Return the mean change at the mouth over that in all of the picture but the mouth."""
    left, top, right, bottom = MOUTH
    small = (right - left) * (bottom - top)
    shares = [float(row["frame"]) for row in group]
    elsewhere = [
        float(row[f"elsewhere{which}"]) * (1 - small) * share / (1 - small * share)
        for row, share in zip(group, shares, strict=True)
    ]
    mouth = [float(row[f"mouth{which}"]) for row in group]
    return statistics.mean(mouth) / statistics.mean(elsewhere)
