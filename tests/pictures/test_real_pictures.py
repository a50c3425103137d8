"""Real photographs through the real network: what one would see, as far as numbers can say it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session, drain
from katazome.methods.base import Descent
from katazome.methods.options import STYLE_LAYERS
from katazome.networks.vgg import Encoder
from katazome.pictures.colour import luma
from katazome.pictures.read import read
from katazome.pictures.resize import resize
from katazome.studies.metrics import content_distance, gram_distance, seam
from katazome.weights.flavours import VGGWeights

EXAMPLES = Path(__file__).parents[2] / "examples/pictures"
COFFEE, WHEAT, APPLES = (EXAMPLES / f"{name}.jpg" for name in ("coffee", "wheat_field", "apples"))
SIZE = 192

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session(vgg: VGGWeights) -> Iterator[Session]:
    with Session(weights=vgg, device="cpu") as made:
        yield made


@cache
def restyled(session: Session, **options: Any) -> Tensor:
    """The coffee cup after van Gogh, (1, 3, H, W)."""
    given = {"method": "gatys", "size": SIZE, **options}
    return drain(session.prepare(COFFEE, [WHEAT], **given)).tensor


def at(file: Path, size: tuple[int, int]) -> Tensor:
    return resize(read(file).pixels, size)


@pytest.fixture(scope="module")
def encoder(session: Session) -> Encoder:
    return session.encoder


@pytest.mark.parametrize("method", ["gatys", "multiscale"])
def test_the_look_is_the_styles_and_the_things_are_the_contents(
    session: Session, encoder: Encoder, method: str
) -> None:
    made = restyled(session, method=method)
    size = (made.shape[2], made.shape[3])
    content, style = at(COFFEE, size), at(WHEAT, size)
    look = gram_distance(encoder, made, style, STYLE_LAYERS, 0)
    assert look < 0.5 * gram_distance(encoder, content, style, STYLE_LAYERS, 0)
    kept, unrelated = (content_distance(encoder, x, content) for x in (made, style))
    assert kept < 0.75 * unrelated


def test_strength_leads_from_the_photograph_to_the_style(session: Session, encoder: Encoder) -> None:
    made = [restyled(session, strength=s) for s in (0.2, 0.5, 0.8)]
    size = (made[0].shape[2], made[0].shape[3])
    content, style = at(COFFEE, size), at(WHEAT, size)
    away = [content_distance(encoder, x, content) for x in made]
    far = [gram_distance(encoder, x, style, STYLE_LAYERS, 0) for x in made]
    assert away[0] < 0.8 * away[1] < away[2]
    assert far[0] > 1.2 * far[1] > far[2]


def test_luma_keeps_every_hue(session: Session) -> None:
    made = restyled(session, color="luma")
    content = at(COFFEE, (made.shape[2], made.shape[3]))
    inside = (made > 0.02) & (made < 0.98)  # what was clipped has lost its hue
    chroma = [(x - luma(x))[inside.all(1, keepdim=True).expand_as(x)] for x in (made, content)]
    assert float((chroma[0] - chroma[1]).abs().max()) < 0.02
    assert float((luma(made) - luma(content)).abs().mean()) > 0.03


def test_no_frame_along_the_border(session: Session) -> None:
    """A border that the network sees wrongly becomes a stripe: its line stands out of its neighbours."""
    made = restyled(session)
    for dim in (2, 3):
        steps = torch.diff(made, dim=dim).abs().movedim(dim, 0).flatten(1).mean(1)
        inside = steps[16:-16]
        for edge in (steps[:2], steps[-2:]):
            assert float(edge.max()) < 1.25 * float(inside.max())
        lines = made.movedim(dim, 0).flatten(1).mean(1)
        content = at(COFFEE, (made.shape[2], made.shape[3])).movedim(dim, 0).flatten(1).mean(1)
        moved = (lines - content).abs()
        assert float(moved[[0, 1, -2, -1]].max()) < 1.5 * float(moved[8:-8].max())


def test_bfloat16_first_and_float32_last_reach_the_objective_of_float32(session: Session) -> None:
    last = {}
    for precision in ("float32", "auto"):
        work = session.prepare(COFFEE, [WHEAT], method="gatys", size=SIZE, precision=precision)
        last[precision] = list(work.steps())[-1].loss
    assert last["auto"] < 1.02 * last["float32"]


def test_tiles_make_the_gradient_of_the_whole(session: Session) -> None:
    """Float32, real network, 320 px: relative difference over all pixels and along the tiles' borders."""
    whole, tiled = (
        session.prepare(COFFEE, [WHEAT], method="multiscale", size=320, precision="float32", tile=tile)
        for tile in ("off", "96")
    )
    descents = [work.task for work in (whole, tiled) if isinstance(work.task, Descent)]
    stage = descents[0].walk[-1]
    size = (stage.height, stage.width)
    picture = 0.5 * (at(COFFEE, size) + at(WHEAT, size))
    a, b = (descent.problem.objective(stage)(picture) for descent in descents)
    assert float(a.total) == pytest.approx(float(b.total), rel=1e-5)
    assert float((a.gradient - b.gradient).norm()) < 1e-4 * float(a.gradient.norm())
    border = slice(88, 104)
    parts = [g[:, :, border] for g in (a.gradient, b.gradient)]
    assert float((parts[0] - parts[1]).norm()) < 1e-4 * float(parts[0].norm())


def test_a_seamless_texture_has_no_seam(session: Session) -> None:
    made = session.texture(APPLES, size="192x192", seamless="both", iterations=30).tensor
    cut = session.texture(APPLES, size="192x192", iterations=30).tensor
    for dim in (2, 3):
        assert seam(made, dim, lattice=16) < 1.5 < seam(cut, dim, lattice=16)


def test_a_preview_foretells_the_large_picture(session: Session) -> None:
    small, large = restyled(session, size=128), restyled(session, size=384)
    shrunk = resize(large, (small.shape[2], small.shape[3]))
    smooth = [resize(x, (21, 32)) for x in (small, shrunk)]
    a, b = (x - x.mean((2, 3), keepdim=True) for x in smooth)
    assert float((a * b).sum() / (a.norm() * b.norm())) > 0.9
