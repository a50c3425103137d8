"""The method attribute on the tiny network: it keeps to what all do, with a direction instead of styles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session, Work, drain
from katazome.descent.checkpoint import checkpoint_path
from katazome.errors import OptionError
from katazome.faces.align import TEMPLATE, frame_of, square_in
from katazome.pictures.read import read
from katazome.recipe import Recipe
from katazome.regions.region import Region
from katazome.statistics.direction import Direction
from tests.contract.test_methods import PAINTING, PHOTO
from tests.tiny import tiny_vgg

SIDE = 64
LAYERS = ("relu3_1", "relu4_1", "relu5_1")


def towards(session: Session, *, face: bool = True, size: tuple[int, int] = (64, 96)) -> Direction:
    """The way from one picture to another, in a frame that lies inside the photograph."""
    marks = torch.tensor(TEMPLATE, dtype=torch.float64) * 50 + torch.tensor([30.0, 5.0])
    frame = frame_of(marks, SIDE) if face else square_in(size, SIDE)
    squares = [frame.cut(p) for p in (PAINTING[..., : size[0], : size[1]], PHOTO)]
    one, other = (session.encoder(square, LAYERS) for square in squares)
    maps = {name: (one[name] - other[name]).float() for name in LAYERS}
    facts = {"by": "features", "lengths": {}}
    return Direction(maps, squares[0] - squares[1], frame.matrix, SIDE, face, False, facts)


def laid_out(session: Session, content: Tensor = PHOTO, *, face: bool = True, **options: Any) -> Work:
    given: dict[str, Any] = {"size": SIDE, "iterations": 6, "precision": "float32", **options}
    if given.get("preset"):
        given.pop("iterations")
    direction = towards(session, face=face)
    return session.prepare(content, (), method="attribute", direction=direction, **given)


def made(work: Work) -> Tensor:
    return drain(work).tensor


@pytest.mark.parametrize(
    ("optimizer", "convention"),
    [("lbfgs", "layer"), ("lbfgs", "beta"), ("lbfgs", "plain"), ("adam", "layer")],
)
def test_steps_improve(session: Session, optimizer: str, convention: str) -> None:
    strength = {"layer": 0.4, "beta": 0.2, "plain": 0.5}[convention]
    work = laid_out(session, optimizer=optimizer, convention=convention, strength=strength)
    losses = [step.loss for step in work.steps()]
    assert len(losses) == 6
    assert losses[4] < losses[0]


def test_the_result_is_the_photograph_but_for_the_face(session: Session) -> None:
    found = made(laid_out(session))
    assert found.shape == PHOTO.shape
    moved = (found - PHOTO).abs().amax(1)
    frame = frame_of(torch.tensor(TEMPLATE, dtype=torch.float64) * 50 + torch.tensor([30.0, 5.0]), SIDE)
    left, top, right, bottom = frame.bounds((64, 96))
    outside = torch.ones(1, 64, 96, dtype=torch.bool)
    outside[:, top:bottom, left:right] = False
    assert float(moved[outside].max()) == 0
    assert float(moved.max()) > 0.01


@pytest.mark.parametrize("options", [{}, {"init": "random"}, {"carry": "result"}, {"residual": True}])
def test_without_strength_the_picture_comes_back(session: Session, options: Any) -> None:
    assert torch.equal(made(laid_out(session, strength=0.0, **options)), PHOTO)


def test_the_other_way_is_another_picture(session: Session) -> None:
    there, back = (made(laid_out(session, strength=s)) - PHOTO for s in (0.3, -0.3))
    assert float((there * back).sum()) < 0


def test_the_same_seed_gives_the_same_picture(session: Session) -> None:
    noise: dict[str, Any] = {"init": "random", "iterations": 4, "carry": "result"}
    one, again, other = (made(laid_out(session, seed=s, **noise)) for s in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_going_on_ends_with_the_same_picture(session: Session, tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path / "out.png")
    work = laid_out(session, where=Region.mask(torch.ones(1, 1, 64, 96)))
    for step in work.steps():
        if step.index == 3:
            work.save(path, step.checkpoint(), {})
        last = step.picture
    again, state, _ = Session(weights=tiny_vgg(), device="cpu", heap=False).resume(path)
    assert torch.equal(drain(again, state).tensor, last)
    assert again.recipe.weights == work.recipe.weights


def test_a_region_limits_it_further(session: Session) -> None:
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., :48] = 1
    whole, half = made(laid_out(session)), made(laid_out(session, where=Region.mask(mask)))
    assert torch.equal(half[..., 48:], PHOTO[..., 48:])
    assert torch.equal(half[..., :48], whole[..., :48])


def test_transparency_stays(session: Session) -> None:
    alpha = torch.ones(1, 1, 64, 96)
    alpha[..., :10, :] = 0.25
    found = made(laid_out(session, torch.cat((PHOTO, alpha), 1)))
    torch.testing.assert_close(found[:, 3:], alpha)


def test_things_that_are_not_faces_change_in_the_middle_square(session: Session) -> None:
    found = made(laid_out(session, face=False))
    assert torch.equal(found[..., :16], PHOTO[..., :16])
    assert not torch.equal(found[..., 16:80], PHOTO[..., 16:80])


def test_repairs_bring_a_start_from_noise_nearer(session: Session) -> None:
    off = []
    repaired: list[dict[str, Any]] = [{}, {"color_match": "channels"}]
    for repairs in (*repaired, {**repaired[1], "residual": True}):
        options: dict[str, Any] = {"init": "random", "iterations": 25, "strength": 0.01, **repairs}
        off.append(float((made(laid_out(session, **options)) - PHOTO).abs().mean()))
    assert off[2] < off[0]
    assert off[2] < off[1]


@pytest.mark.parametrize("preset", ["chainer-dfi", "deepfeatinterp"])
def test_presets_run(session: Session, preset: str) -> None:
    work = laid_out(session, preset=preset)
    assert next(iter(work.steps())).loss > 0
    assert work.options.color_match != "none"


def test_the_recipe_says_what_was_done(session: Session) -> None:
    recipe = drain(laid_out(session, add="Smiling", strength=0.3, iterations=2)).recipe
    assert recipe.method == "attribute"
    assert recipe.options["add"] == ["Smiling"]
    assert recipe.options["strength"] == 0.3
    assert [w.name for w in recipe.weights] == ["tiny", "direction"]
    assert Recipe.from_text(recipe.to_text()) == recipe


@pytest.mark.parametrize("convention", ["unit"])
def test_features_over_their_norm(session: Session, convention: str) -> None:
    losses = [s.loss for s in laid_out(session, convention=convention, iterations=8).steps()]
    assert losses[-1] < losses[0]


def test_without_a_direction_it_says_what_is_missing(session: Session) -> None:
    with pytest.raises(OptionError, match="two sets of pictures"):
        session.prepare(PHOTO, (), method="attribute")


@pytest.mark.parametrize("name", ["layers", "size", "strength", "convention", "by", "neighbours"])
def test_odd_values_are_refused(session: Session, name: str) -> None:
    odd: dict[str, Any] = {
        "layers": (),
        "size": 20,
        "strength": 99,
        "convention": "lair",
        "by": "hand",
        "neighbours": 1,
    }
    with pytest.raises(OptionError, match=name):
        laid_out(session, **{name: odd[name]})


def test_a_large_photograph_gets_the_change_at_its_size(session: Session) -> None:
    large = torch.nn.functional.interpolate(PHOTO, scale_factor=5, mode="bicubic").clamp(0, 1)
    direction = towards(session)
    matrix = direction.matrix * 5
    wide = Direction(direction.maps, direction.pixels, matrix, SIDE, True, False, direction.facts)
    options: dict[str, Any] = {"size": SIDE, "iterations": 3, "precision": "float32"}
    found = made(session.prepare(read(large), (), method="attribute", direction=wide, **options))
    assert found.shape == large.shape
    assert float((found - large).abs().max()) > 0.005
    assert torch.equal(found[..., :100], large[..., :100])  # left of the frame
