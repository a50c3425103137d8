"""Where: every method that restyles a picture keeps to a region, on the tiny network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session, Work, drain
from katazome.errors import OptionError, RegionError
from katazome.losses.gamut import WEIGHT
from katazome.methods.base import Descent, Inputs, Method
from katazome.pictures.resize import resize
from katazome.regions.region import Region
from tests.contract.test_methods import (
    DESCENDING,
    NEEDED,
    OTHER,
    PAINTING,
    PHOTO,
    laid_out,
    quick,
    restyling,
    result,
)

restyling_by_descent = pytest.mark.parametrize(
    "method", [m for m in DESCENDING if m.content], ids=lambda m: m.name
)


def descent_of(work: Work) -> Descent:
    """The work's task, which is a descent."""
    assert isinstance(work.task, Descent)
    return work.task


def left(soft: bool = False) -> Tensor:
    """The left half of the photograph, its edge hard or soft."""
    region = torch.zeros(1, 1, 64, 96)
    region[..., :40] = 1
    if soft:
        region[..., 40:56] = torch.linspace(1, 0, 18)[1:-1]
    return region


@restyling_by_descent
@pytest.mark.parametrize(
    "more", [{}, {"optimizer": "adam"}, {"init": "random"}, {"scales": 2}, {"color": "luma"}]
)
def test_outside_the_region_the_original_comes_back_exactly(
    session: Session, method: Method, more: dict[str, Any]
) -> None:
    given = Region.mask(left(soft=True))
    made = result(laid_out(session, method, where=given, **more))
    assert torch.equal(made[..., 56:], PHOTO[..., 56:])
    assert float((made - PHOTO)[..., :40].abs().mean()) > 0.003


@restyling_by_descent
def test_outside_nothing_moves_on_the_way(session: Session, method: Method) -> None:
    """Before any composite: the iterate itself stays as it is where the map is 0."""
    work = laid_out(session, method, where=Region.mask(left()))
    for step in work.steps():
        assert torch.equal(step._picture[..., 40:], PHOTO[..., 40:])


@restyling
def test_the_whole_as_a_region_is_the_plain_work(session: Session, method: Method) -> None:
    plain = result(laid_out(session, method))
    masked = result(laid_out(session, method, where=Region.mask(torch.ones(1, 1, 64, 96))))
    assert float((plain - masked).abs().mean()) < 2e-3


@restyling
def test_each_region_takes_its_own_look(session: Session, method: Method) -> None:
    region = Region.mask(left())
    both = session.prepare(
        PHOTO,
        [],
        method=method.name,
        at={region: PAINTING, ~region: OTHER},
        **quick(method),
    )
    assert [len(p.styles) for p in both.inputs.placements] == [1, 1]
    one = result(laid_out(session, method, PAINTING, where=region))
    made = drain(both).tensor
    # The losses of one region do not see the other, but for the border that they share.
    assert float((made - one)[..., :16].abs().mean()) < 0.3 * float((one - PHOTO)[..., :16].abs().mean())
    assert float((made - PHOTO)[..., 40:].abs().mean()) > 0.01


@restyling_by_descent
def test_what_lies_outside_the_styles_region_has_no_influence(session: Session, method: Method) -> None:
    region = torch.zeros(1, 1, 130, 110)
    region[:, :, :66] = 1
    outside, inside = PAINTING.clone(), PAINTING.clone()
    outside[:, :, 66:], inside[:, :, :66] = 0.5, 0.5
    options: dict[str, Any] = {"style_where": Region.mask(region)}
    if method.name == "filters":  # the other variants have deep layers alone, which see far over the edge
        options["variant"] = "guided"
    works = [laid_out(session, method, style, **options) for style in (PAINTING, outside, inside)]
    whole, without_outside, without_inside = (next(iter(w.steps())).terms["style"] for w in works)
    # Receptive fields reach over the edge, so some influence is left.
    assert abs(without_outside - whole) < 0.25 * abs(without_inside - whole)


@restyling_by_descent
def test_regions_in_tiles(session: Session, method: Method) -> None:
    options: dict[str, Any] = {"where": Region.mask(left(soft=True)), "size": "192x128"}
    whole, tiled = (laid_out(session, method, tile=tile, **options) for tile in ("off", "64"))
    stage = descent_of(whole).walk[-1]
    start = descent_of(whole).problem.start(stage)
    a, b = (descent_of(w).problem.objective(stage)(start) for w in (whole, tiled))
    assert float(a.total) == pytest.approx(float(b.total), rel=1e-4)
    assert float((a.gradient - b.gradient).norm()) < 1e-3 * float(a.gradient.norm())
    assert not a.gradient[..., 120:].any()


@restyling_by_descent
def test_going_on_from_a_checkpoint_keeps_the_regions(
    session: Session, method: Method, tmp_path: Path
) -> None:
    region = Region.mask(left(soft=True))
    work = session.prepare(
        PHOTO,
        [PAINTING],
        method=method.name,
        where=region,
        at=[(~region, OTHER)],
        **NEEDED.get(method.name, {}),
        style_where=["everything", Region.mask(torch.ones(1, 1, *OTHER.shape[2:]))],
        size="96x64",
        iterations=5,
        scales=1,
        precision="float32",
    )
    final = drain(work).tensor
    steps = work.steps()
    step = [next(steps) for _ in range(3)][-1]
    work.save(tmp_path / "c", step.checkpoint(), {})
    steps.close()  # type: ignore[attr-defined]
    again, where, _ = session.resume(tmp_path / "c")
    assert [role for role, _ in again.inputs.named()] == [
        "content",
        "where",
        "style",
        "where",
        "style",
        "style-where",
    ]
    assert torch.equal(drain(again, where).tensor, final)
    assert again.recipe.options["where"] == "mask:file"
    assert again.recipe.options["at"] == ["not:mask:file"]


def test_inputs_are_read_back_from_their_roles(session: Session) -> None:
    region = Region.mask(left())
    given = session.prepare(
        PHOTO, [PAINTING, OTHER], method="gatys", at=[(region, OTHER), (~region, PAINTING)], size="96x64"
    ).inputs
    back = Inputs.of(list(given.named()))
    assert back == given


def test_everything_may_be_said_of_a_placement_too(session: Session) -> None:
    at = [(Region.mask(left()), PAINTING), ("everything", PHOTO.flip(3))]
    work = session.prepare(PHOTO, [], method="gatys", at=at, size="96x64")
    one, other = (placement.region for placement in work.inputs.placements)
    assert one is not None
    assert other is not None
    assert float(one.pixels.mean()) < 0.6
    assert bool((other.pixels == 1).all())
    assert len(Inputs.of(list(work.inputs.named())).placements) == 2


def test_transparency_and_region_together(session: Session) -> None:
    alpha = torch.ones(1, 1, 64, 96)
    alpha[:, :, :20] = 0
    work = session.prepare(
        torch.cat([PHOTO, alpha], 1),
        [PAINTING],
        method="gatys",
        where=~Region.transparent(),
        size="96x64",
        iterations=3,
        scales=1,
        precision="float32",
    )
    made = drain(work).tensor
    assert torch.equal(made[:, 3:], alpha)
    assert float((made[:, :3] - PHOTO)[:, :, 24:].abs().mean()) > 0.01


@pytest.mark.parametrize(
    ("styles", "options", "error", "what"),
    [
        ([], {}, OptionError, "no style picture was given"),
        (
            [],
            {"where": "mask:a.png", "at": ["everything=b.jpg"]},
            OptionError,
            "where is a region for the style pictures",
        ),
        ([PAINTING], {"where": "transparent"}, RegionError, "region transparent is empty"),
        ([PAINTING], {"where": "dog"}, OptionError, "there is no region 'dog'"),
        ([PAINTING], {"where": 3}, OptionError, "where is 3; it must be a Region"),
        ([PAINTING], {"at": [3]}, OptionError, "at is 3; it must be texts"),
        ([PAINTING], {"style_where": 3}, OptionError, "style_where is 3"),
        ([PAINTING], {"style_where": "everything, everything"}, OptionError, "2 regions for 1 style"),
        ([PAINTING], {"where": Region.mask(torch.rand(1, 1, 9, 50))}, RegionError, "50 x 9 px, the picture"),
    ],
)
def test_what_cannot_be(
    session: Session, styles: list[Tensor], options: dict[str, Any], error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        session.prepare(PHOTO, styles, method="gatys", size="96x64", **options)


@restyling_by_descent
def test_a_region_of_a_few_pixels(session: Session, method: Method) -> None:
    """Smaller than a position of the deep layers, and gone at the coarse scale."""
    region = torch.zeros(1, 1, 64, 96)
    region[..., 30:33, 50:53] = 1
    made = result(laid_out(session, method, where=Region.mask(region), scales=2, size="192x128"))
    assert torch.isfinite(made).all()
    changed = (made - resize(PHOTO, (128, 192))).abs().amax(1)[0] > 1e-6
    rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
    assert 54 <= int(rows.min()) <= int(rows.max()) <= 72
    assert 94 <= int(columns.min()) <= int(columns.max()) <= 112


def test_a_region_that_is_all_transparent_is_refused(session: Session) -> None:
    alpha = torch.ones(1, 1, 64, 96)
    alpha[..., :48] = 0
    with pytest.raises(RegionError, match="all of the region is transparent in the content"):
        session.prepare(
            torch.cat([PHOTO, alpha], 1), [PAINTING], method="gatys", where=Region.mask(left()), size="96x64"
        )


@restyling_by_descent
def test_the_walk_begins_where_a_small_region_is_large_enough(session: Session, method: Method) -> None:
    region = torch.zeros(1, 1, 64, 96)
    region[..., 40:50, 50:60] = 1
    walks = []
    for where in (Region.everything(), Region.mask(left()), Region.mask(region)):
        work = laid_out(session, method, where=where, size="512x384", scales=None)
        walks.append([stage.width for stage in descent_of(work).walk if stage.first == 0])
    assert walks == [[128, 256, 512], [256, 512], [512]]
    asked = laid_out(session, method, where=Region.mask(region), size="512x384", scales=3)
    assert {stage.width for stage in descent_of(asked).walk} == {128, 256, 512}


def test_the_iterate_stays_in_gamut_at_a_soft_edge(session: Session) -> None:
    """Where the map is faint the mixed picture hides the iterate, which is cut off before it is mixed."""
    work = session.prepare(
        PHOTO,
        [PAINTING],
        method="gatys",
        where=Region.mask(0.2 * left()),
        size="96x64",
        iterations=3,
        scales=1,
    )
    objective = descent_of(work).problem.objective(descent_of(work).walk[0])
    start = PHOTO.clone()
    start[..., :40] += 0.5
    expected = WEIGHT * float((start - start.clamp(0, 1)).square().mean())
    assert expected > 1
    assert float(objective(start).terms["gamut"]) == pytest.approx(expected, rel=1e-4)
