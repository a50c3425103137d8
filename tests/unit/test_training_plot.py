"""The plot of a training's log: lines where the values are, round marks, gaps where nothing can be."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as Tree
from pathlib import Path

import pytest

from katazome.errors import OutputError
from katazome.training.plot import drawn, write_plot

SVG = "{http://www.w3.org/2000/svg}"


def _pair(text: str) -> tuple[float, float]:
    x, y = map(float, text.split())
    return x, y


def lines(picture: str) -> dict[str, list[list[tuple[float, float]]]]:
    """The unbroken parts of each coloured line, by colour."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for path in Tree.fromstring(picture).iter(f"{SVG}path"):
        if path.get("stroke-linejoin"):
            parts = [part for part in path.get("d", "").split("M") if part]
            points = [[_pair(p) for p in part.split("L")] for part in parts]
            found[path.get("stroke", "")] = points
    return found


def test_equal_factors_are_equal_distances_and_gaps_are_left() -> None:
    found = lines(drawn([10, 20, 30, 40], {"a": [1.0, 0.1, 0.01, 0.001], "b & c": [0.5, -0.1, 0.5, 0.5]}))
    (first,), second = found["#0072b2"], found["#d55e00"]
    falls = [b[1] - a[1] for a, b in itertools.pairwise(first)]
    assert falls[0] > 20
    assert falls == pytest.approx([falls[0]] * 3, abs=0.2)
    assert [len(part) for part in second] == [1, 2]
    assert second[1][0][0] == pytest.approx(first[2][0])


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([1.0, 1000.0], ["1", "10", "100", "1000"]),
        ([0.9, 21.0], ["1", "2", "5", "10", "20"]),
        ([0.31, 0.33], ["0.305", "0.31", "0.315", "0.32", "0.325", "0.33", "0.335"]),
    ],
)
def test_marks_are_round(values: list[float], marks: list[str]) -> None:
    texts = re.findall(r'text-anchor="end">([^<]+)<', drawn([1, 2], {"a": values}))
    assert texts == marks


@pytest.mark.parametrize("factor", [1.0, 1.1, 1.7, 40.0, 1e6])
def test_there_are_marks_whatever_the_values(factor: float) -> None:
    for number in range(-60, 60):
        value = 10 ** (number / 17)
        marks = re.findall(r'text-anchor="end">([^<]+)<', drawn([1, 2], {"a": [value, value * factor]}))
        assert 2 <= len(marks) <= 11


def test_a_log_becomes_a_picture(tmp_path: Path) -> None:
    table, picture = tmp_path / "m.csv", tmp_path / "m.svg"
    table.write_text("step,seconds,rate,a<b,other\n5,1.0,0.1,0.5,2\n10,2.0,0.05,0.25,1\n")
    write_plot(table, picture)
    text = picture.read_text()
    assert len(lines(text)) == 2
    assert "a&lt;b 0.25" in text
    assert [t.text for t in Tree.fromstring(text).iter(f"{SVG}text")][-2:] == ["a<b 0.25", "other 1"]
    with pytest.raises(OutputError, match="cannot be drawn"):
        write_plot(table, tmp_path / "none" / "m.svg")
    table.write_text("")
    write_plot(table, picture)
    assert not lines(picture.read_text())
