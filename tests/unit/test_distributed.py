"""Two processes on parts of the batches against one with the whole: the same weights, one end for all."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from katazome import processes
from katazome.training import distributed
from tests.cli.conftest import environment, several
from tests.several import learnt, lessons


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures below ``in``."""
    made = tmp_path_factory.mktemp("several")
    (made / "in").mkdir()
    draw = np.random.default_rng(0)
    for number in range(9):
        coarse = draw.integers(0, 255, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((90, 80)).save(made / "in" / f"{number}.png")
    return made


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes came to."""
    done = subprocess.run(
        several("tests.several", folder), env=environment(), capture_output=True, timeout=900
    )
    assert done.returncode == 0, done.stderr.decode()
    return [torch.load(folder / f"{number}.pt") for number in (0, 1)]


@pytest.mark.slow
def test_two_processes_come_to_what_one_does(two: list[dict[str, Any]]) -> None:
    alone = learnt()
    assert set(alone) == set(two[0]["learnt"])
    for name, tensor in alone.items():
        torch.testing.assert_close(two[0]["learnt"][name], tensor, rtol=2e-5, atol=1e-6)
        assert torch.equal(two[0]["learnt"][name], two[1]["learnt"][name])


@pytest.mark.slow
def test_what_fails_in_one_ends_all_with_its_name(two: list[dict[str, Any]]) -> None:
    for found in two:
        assert found["failure"].startswith("training failed at step 5 of 12: points is inf")
        assert found["refused"] == "batch is 7; it must be a multiple of the 2 processes"
        assert found["any"] == [True, True, False]


@pytest.mark.slow
def test_the_lessons_of_the_networks_are_shared_out(two: list[dict[str, Any]], folder: Path) -> None:
    """Gradients as a whole, which weights that are rounded otherwise (6e-8 of each) move by 1e-4.

    Rows compared with others than each one's own next move them by 0.5.
    """
    for name, alone in lessons(folder).items():
        assert set(alone) == set(two[0][name])
        whole, parts = (torch.cat([f[key].flatten() for key in alone]) for f in (alone, two[0][name]))
        assert float((parts - whole).norm()) < 2e-3 * float(whole.norm()), name


def test_one_process_is_alone() -> None:
    assert (processes.size(), processes.rank(), processes.leads()) == (1, 0, True)
    assert distributed.part(7) == slice(0, 7)
    rows = torch.rand(3, 2)
    assert distributed.gathered(rows) is rows
    distributed.average([rows])
    assert processes.from_first(lambda: 4) == 4
    assert processes.join("cpu") == torch.device("cpu")
