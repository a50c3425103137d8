"""Studies whose cases are shared out among processes."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from katazome.cli import (
    study_attributes,
    study_filters,
    study_materials,
    study_regions,
    study_wae,
)
from katazome.errors import OptionError
from tests.studying import squares


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def kept(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text())["result"] for path in folder.glob("cases/*.json")]
    return sorted(found, key=lambda row: int(row["square"]))


def test_the_cases_are_measured_by_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert squares(1, 2, 3, 4, output=str(tmp_path), workers=2, threads=1) == 0
    out, err = capsys.readouterr()
    assert out == "1 4 9 16\n"
    assert "cases: 4 of 4" in err
    rows = kept(tmp_path)
    assert os.getpid() not in {row["process"] for row in rows}
    assert {row["threads"] for row in rows} == {1}
    assert len(list(tmp_path.glob("pictures/*"))) == 4
    # nothing is measured twice; what is added is
    assert squares(1, 2, 3, 4, 5, output=str(tmp_path), threads=1) == 0
    assert kept(tmp_path)[:4] == rows
    assert kept(tmp_path)[4]["process"] == os.getpid()


def test_a_part_is_shared_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert squares(1, 2, 3, 4, 5, output=str(tmp_path), part="2/2", workers=2) == 0
    assert capsys.readouterr().out == "4 16\n"


def test_a_worker_that_dies_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert squares(1, 2, 3, output=str(tmp_path), deadly=2, workers=2) == 0
    out, err = capsys.readouterr()
    assert out == "1 4 9\n"
    assert "tried here" not in err
    assert (tmp_path / "met").exists()
    assert os.getpid() not in {row["process"] for row in kept(tmp_path)}


def test_what_no_worker_can_measure_is_measured_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert squares(1, 2, 3, output=str(tmp_path), deadly=2, always=True, workers=2) == 0
    out, err = capsys.readouterr()
    assert out == "1 4 9\n"
    assert "of-2: the process that did it died 2 times, killed" in err
    assert [row["process"] == os.getpid() for row in kept(tmp_path)] == [False, True, False]


def test_what_fails_there_fails_here_and_the_rest_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="-1 is below 0"):
        squares(-1, 2, 3, output=str(tmp_path), workers=2)
    assert "of--1: something went wrong" in capsys.readouterr().err
    assert [row["square"] for row in kept(tmp_path)] == [4, 9]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"threads": -1}, "threads -1"),
        ({"on": "kubernetes"}, "on is 'kubernetes'"),
        ({"on": "ray", "workers": 2}, "both say who does the work"),
    ],
)
def test_who_measures_is_said_rightly(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        squares(1, output=str(tmp_path / "report"), **given)
    assert not (tmp_path / "report").exists()


def test_the_studies_with_cases_have_it() -> None:
    commands = (
        study_attributes.attributes,
        study_filters.filters,
        study_materials.materials,
        study_regions.regions,
        study_wae.wae,
    )
    for command in commands:
        assert {"workers", "on", "threads", "part", "output"} <= inspect.signature(command).parameters.keys()
