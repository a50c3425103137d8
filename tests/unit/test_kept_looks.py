"""Statistics of looks that are kept are those that would be gathered."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from katazome.api import Session, drain
from katazome.methods import wiring
from katazome.objective.whole import gather
from katazome.regions.region import Mask
from tests.tiny import tiny_vgg

QUICK: dict[str, Any] = {"method": "multiscale", "size": "128", "iterations": 2, "octaves": 2}


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The sizes of pictures whose sums were gathered."""
    sizes: list[tuple[int, ...]] = []
    plain = gather

    def counting(encoder: Any, pixels: Any, *more: Any) -> Any:
        sizes.append(tuple(pixels.shape[2:]))
        return plain(encoder, pixels, *more)

    monkeypatch.setattr(wiring, "gather", counting)
    return sizes


def test_the_second_picture_gathers_nothing_and_is_the_same(gathered: list[tuple[int, ...]]) -> None:
    draw = torch.Generator().manual_seed(3)
    one, two, look = (torch.rand(3, 128, 128, generator=draw) for _ in range(3))
    fresh = drain(Session(weights=tiny_vgg(), heap=False).prepare(two, [look], **QUICK)).tensor
    gathered.clear()
    with Session(weights=tiny_vgg(), heap=False, keep_looks=True) as session:
        drain(session.prepare(one, [look], **QUICK))
        assert gathered
        gathered.clear()
        assert torch.equal(drain(session.prepare(two, [look], **QUICK)).tensor, fresh)
        assert not gathered
        # whatever decides them makes others
        half = torch.zeros(3, 128, 128)
        half[..., :64] = 1
        others: list[dict[str, Any]] = [
            {"pooling": "average"},
            {"style_where": [Mask(half)]},
            {"color": "content"},
            {"moment_weight": 0.0},
        ]
        for more in others:
            gathered.clear()
            drain(session.prepare(two, [look], **{**QUICK, **more}))
            assert gathered
        gathered.clear()
        drain(session.prepare(two, [look.flip(2)], **QUICK))
        assert gathered


def test_the_looks_kept_do_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("katazome.methods.kept._MOST", 2)
    draw = torch.Generator().manual_seed(3)
    with Session(weights=tiny_vgg(), heap=False, keep_looks=True) as session:
        for _ in range(3):
            drain(
                session.prepare(
                    torch.rand(3, 64, 64, generator=draw),
                    [torch.rand(3, 64, 64, generator=draw)],
                    method="gatys",
                    size="64",
                    iterations=1,
                )
            )
        assert session._looks is not None
        assert len(session._looks._looks) == 2
