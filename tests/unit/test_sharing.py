"""The tiles of a picture shared by two processes: what one comes to, within rounding."""

from __future__ import annotations

import subprocess

import pytest
import torch
from torch import Tensor

from katazome.objective.sharing import ALONE, Partners, busiest
from tests.cli.conftest import environment, several
from tests.partners import found

Found = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """What each of two processes came to."""
    folder = tmp_path_factory.mktemp("partners")
    done = subprocess.run(
        several("tests.partners", folder), env=environment(), capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    return [torch.load(folder / f"{number}.pt") for number in (0, 1)]


@pytest.fixture(scope="module")
def one() -> Found:
    """What one process comes to."""
    return found(ALONE)


@pytest.mark.slow
def test_two_processes_come_to_what_one_does(two: list[Found], one: Found) -> None:
    assert set(two[0]) == set(one)
    for case, tensors in one.items():
        for name, tensor in tensors.items():
            together = two[0][case][name]
            longest = float(tensor.abs().max())
            # A descent carries the rounding of its first steps on.
            near = 1e-10 if tensor.dtype == torch.float64 and "float64" in case else 1e-5
            near = 2e-4 if name == "picture" else near
            torch.testing.assert_close(together, tensor, rtol=near, atol=near * longest)


@pytest.mark.slow
def test_both_processes_have_the_same_bits(two: list[Found]) -> None:
    for case, tensors in two[0].items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, two[1][case][name]), (case, name)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("core", [None, 256])
@pytest.mark.parametrize("size", [(512, 512), (1024, 640)])
def test_all_have_work_and_less_of_it(size: tuple[int, int], core: int | None, count: int) -> None:
    taps = ("relu4_2",)
    grid = Partners(0, count).grid(*size, taps, core)
    parts = [Partners(rank, count).own(grid) for rank in range(count)]
    assert all(parts)
    assert sorted(t.core.top * 10000 + t.core.left for part in parts for t in part) == sorted(
        t.core.top * 10000 + t.core.left for t in grid
    )
    seen = torch.zeros(size)
    for tile in grid:
        seen[tile.core.top : tile.core.bottom, tile.core.left : tile.core.right] += 1
        if core is not None:
            assert max(tile.core.bottom - tile.core.top, tile.core.right - tile.core.left) <= core
    assert bool((seen == 1).all())
    assert busiest(grid, count) < busiest(ALONE.grid(*size, taps, core), 1)


def test_what_is_too_small_to_gain_is_seen_whole() -> None:
    (tile,) = Partners(1, 2).grid(96, 96, ("relu4_2",), None)
    assert (tile.core.bottom, tile.core.right) == (96, 96)
    assert Partners(1, 2).own([tile]) == [tile]


def test_a_seamless_side_that_cannot_be_cut_is_not() -> None:
    grid = Partners(0, 2).grid(512, 520, ("relu5_1",), None, (True, True))
    assert all(tile.core.right - tile.core.left == 520 for tile in grid)
