"""The log of a training as a picture: a line for each term over the steps, on a logarithmic axis, as SVG."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from katazome.errors import OutputError

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 168, 16, 40
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, which those who see few colours can tell apart."""

_NO_TERMS = ("step", "seconds", "rate")


def write_plot(table: Path, picture: Path) -> None:
    """Draw the log ``table`` (CSV) into ``picture`` (SVG).

    Raises :class:`OutputError` when it cannot be read or written.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        steps = [int(row["step"]) for row in rows]
        names = [name for name in (rows[0] if rows else {}) if name not in _NO_TERMS]
        terms = {name: [float(row[name]) for row in rows] for name in names}
        picture.write_text(drawn(steps, terms), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the log cannot be drawn into {picture}: {error.strerror}") from error


def drawn(steps: Sequence[int], terms: Mapping[str, Sequence[float]]) -> str:
    """Return a plot (SVG) of terms, each as long as ``steps``, by name.

    What is not above zero has no place on a logarithmic axis: the line has a gap there.
    """
    values = [v for line in terms.values() for v in line if v > 0] or [1.0]
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = low - 0.04 * (high - low) - 0.01, high + 0.04 * (high - low) + 0.01
    last = max([*steps, 1])
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(step: float) -> float:
        return _LEFT + (right - _LEFT) * step / last

    def down(value: float) -> float:
        return bottom - (bottom - _TOP) * (math.log10(value) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for value in _marks(low, high):
        y = down(value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    every = _round(last / 5)
    for step in range(0, last + 1, every):
        x = across(step)
        parts.append(f'<path d="M{x:.1f} {bottom}v5" stroke="black"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{step}</text>')
    parts.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="black"/>')
    parts.append(f'<text x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">step</text>')
    for number, (name, line) in enumerate(terms.items()):
        colour, y = _COLOURS[number % len(_COLOURS)], _TOP + 12 + 18 * number
        path, pen = "", "M"
        for step, value in zip(steps, line, strict=True):
            if value > 0:
                path += f"{pen}{across(step):.1f} {down(value):.1f}"
            pen = "L" if value > 0 else "M"
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-linejoin="round"/>')
        told = f"{escape(name)} {line[-1]:.3g}" if line else escape(name)
        parts.append(f'<text x="{right + 12}" y="{y}" fill="{colour}">{told}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _marks(low: float, high: float) -> list[float]:
    """Return round values between powers of ten: each power, of few powers 2 and 5 too, of none nine."""
    digits = (1, 2, 5) if high - low < 3 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    found = [d * 10.0**p for p in powers for d in digits if low <= math.log10(d * 10.0**p) <= high]
    if len(found) < 2:
        every = _step(10**high - 10**low)
        first = math.ceil(10**low / every)
        found = [every * n for n in range(first, math.floor(10**high / every) + 1)]
    return found


def _step(span: float) -> float:
    """Return a round distance of which four to ten make a span."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(power * part for part in (0.2, 0.5, 1.0) if span / (power * part) <= 10)


def _round(count: float) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50, ... that is no smaller."""
    power = 10 ** max(0, math.ceil(math.log10(max(count, 1))) - 1)
    return next(int(power * part) for part in (1, 2, 5, 10) if power * part >= count)
