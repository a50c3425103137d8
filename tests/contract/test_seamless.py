"""A texture that tiles knows no edge: turn its start round, and the result is turned round."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from katazome.api import Session
from katazome.methods.wiring import Wiring
from tests.contract.test_methods import PAINTING
from tests.tiny import tiny_vgg

BY = 64
"""Pixels at the last scale: 32 at the coarser one, a multiple of the deepest stride at both octaves."""


@pytest.mark.parametrize(
    ("seamless", "dim", "tile"), [("y", 2, "off"), ("x", 3, "64"), ("both", 2, "64"), ("both", 3, "off")]
)
def test_a_turned_start_gives_the_turned_texture(
    seamless: str, dim: int, tile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Wiring._noise
    results = []
    with Session(weights=tiny_vgg(), device="cpu", heap=False) as session:
        for turned_by in (0, BY):

            def turned(self: Wiring, size: tuple[int, int], by: int = turned_by // 2) -> Tensor:
                return torch.roll(noise(self, size), by, dim)

            monkeypatch.setattr(Wiring, "_noise", turned)
            done = session.texture(
                PAINTING,
                seamless=seamless,
                size="256x256",
                scales=2,
                octaves=2,
                iterations=4,
                precision="float32",
                tile=tile,
            )
            results.append(done.tensor)
    assert _distance(*results) > 0.05
    # Rounding alone gives 1e-7; a walk whose resizing saw the edge gave 8e-3.
    assert _distance(torch.roll(results[0], BY, dim), results[1]) < 1e-3


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())
