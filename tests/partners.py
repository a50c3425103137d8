"""Objectives, statistics and pictures with shared tiles; as a program, by the processes it is started in.

``python -m torch.distributed.run ... -m tests.partners FOLDER`` leaves what it came to in files of a folder,
one of each process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from katazome import processes
from katazome.api import Session
from katazome.losses.base import Loss
from katazome.losses.content import Content
from katazome.losses.gamut import Gamut
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics
from katazome.networks.vgg import Encoder
from katazome.objective.sharing import ALONE, Partners
from katazome.objective.whole import Held, Objective, Octave, feature_maps, gather
from katazome.pictures.resize import shrink_five_tap
from katazome.statistics.guides import carry
from tests.tiny import tiny_decoders, tiny_vgg

TAPS = ("relu1_1", "relu3_1", "relu4_2")
SIZE = (256, 320)


def evaluated(dtype: torch.dtype, tile: int | None, partners: Partners) -> dict[str, Tensor]:
    """Return value, terms and gradient at two octaves, within a region."""
    draw = torch.Generator().manual_seed(3)
    picture, original, style = (torch.rand(1, 3, *SIZE, generator=draw, dtype=dtype) for _ in range(3))
    region = torch.zeros(1, 1, *SIZE, dtype=dtype)
    region[:, :, 40:200, 64:] = 1
    region[:, :, 40:200, 64:100] = 0.5
    encoder = Encoder(tiny_vgg()).with_(dtype=dtype)
    octaves, guides = [], region
    for halvings in range(2):
        if halvings:
            style, guides = shrink_five_tap(style), shrink_five_tap(guides)
        look = Look.of(gather(encoder, style, LookStatistics(TAPS), tile, partners))
        losses: list[Loss] = [GramStyle(look.grams, dict.fromkeys(TAPS, 0.5), 100.0, carry(guides, TAPS))]
        if not halvings:
            targets = feature_maps(encoder, original, TAPS[2:], tile, partners)
            losses.append(Content(targets, {TAPS[2]: 1.0}, 0.3, carry(guides, TAPS[2:])))
        octaves.append(Octave(halvings, tuple(losses)))
    found = Objective(
        encoder,
        octaves,
        shrink_five_tap,
        (Smoothness(0.1, as_sum=False, wrap=(False, False)), Gamut(1.0)),
        tile,
        Held(region, original),
        partners,
    )(picture)
    return {"total": found.total, "gradient": found.gradient, **found.terms}


def painted(method: str, partners: Partners) -> Tensor:
    """Return a small picture that a method makes, in float32."""
    draw = torch.Generator().manual_seed(4)
    content, style = torch.rand(3, 160, 224, generator=draw), torch.rand(3, 160, 160, generator=draw)
    session = Session(
        device="cpu", weights=tiny_vgg(), decoders=tiny_decoders(), heap=False, partners=partners
    )
    # Pooling by the average: a maximum may flip by rounding, and noise of 1e-7 in the content then makes a
    # difference of 0.006 in one process, too.
    more = {"iterations": 4, "scales": 2, "pooling": "average"} if method == "gatys" else {}
    result = session.stylize(content, style, method=method, size="320", precision="float32", **more)
    return result.tensor


def found(partners: Partners) -> dict[str, dict[str, Tensor]]:
    """Return all of it by name."""
    made = {
        f"{dtype} {tile}": evaluated(dtype, tile, partners)
        for dtype in (torch.float32, torch.float64)
        for tile in (None, 96)
    }
    return made | {name: {"picture": painted(name, partners)} for name in ("gatys", "adain", "wct")}


if __name__ == "__main__":
    processes.join("cpu")
    torch.set_num_threads(1)
    partners = Partners(processes.rank(), processes.size())
    torch.save(found(partners), Path(sys.argv[1]) / f"{processes.rank()}.pt")
    assert partners != ALONE
