"""The method feedforward, on a tiny random network: it keeps to what all do, without a style picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session, Work, drain
from katazome.errors import GivenWeightsError, OptionError, RegionError
from katazome.networks.feedforward import FeedForward
from katazome.pictures.colour import luma
from katazome.regions.region import Region
from tests.contract.test_instant import half
from tests.contract.test_methods import PAINTING, PHOTO
from tests.tiny import tiny_decoders, tiny_feedforward, tiny_vgg

NETWORK = tiny_feedforward()


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(weights=tiny_vgg(), device="cpu", heap=False)


def laid_out(session: Session, content: Any = PHOTO, **options: Any) -> Work:
    given: dict[str, Any] = {"size": "96x64", "model": NETWORK, "precision": "float32", **options}
    return session.prepare(content, (), method="feedforward", **given)


def made(work: Work) -> Tensor:
    return drain(work).tensor


def test_it_is_the_networks_picture(session: Session) -> None:
    found = made(laid_out(session))
    torch.testing.assert_close(found, FeedForward(NETWORK)(PHOTO))
    assert float((found - PHOTO).abs().mean()) > 0.02


def test_one_step_at_the_end(session: Session) -> None:
    (step,) = laid_out(session).steps()
    assert (step.index, step.count, step.last, step.terms) == (0, 1, True, {})
    assert (step.width, step.height) == (96, 64)


def test_twice_and_under_any_gradient_mode(session: Session) -> None:
    expected, state = made(laid_out(session)), torch.get_rng_state()
    for mode in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
        with mode:
            assert torch.equal(made(laid_out(session)), expected)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", ["97x65", "17x16", "131x90", "30x19"])
def test_odd_sizes(session: Session, size: str) -> None:
    found = made(laid_out(session, size=size))
    width, height = (int(side) for side in size.split("x"))
    assert found.shape == (1, 3, height, width)
    assert bool(torch.isfinite(found).all())


def test_bfloat16_is_close(session: Session) -> None:
    exact, coarse = (made(laid_out(session, precision=p)) for p in ("float32", "bfloat16"))
    assert not torch.equal(exact, coarse)
    assert float((exact - coarse).abs().mean()) < 0.02


def test_only_there(session: Session) -> None:
    found = made(laid_out(session, where=Region.mask(half(soft=True))))
    assert torch.equal(found[..., 56:], PHOTO[..., 56:])
    torch.testing.assert_close(found[..., :40], made(laid_out(session))[..., :40])
    feathered = made(laid_out(session, where=Region.mask(half()), feather=4.0))
    assert torch.equal(feathered[..., 60:], PHOTO[..., 60:])
    assert not torch.equal(feathered, made(laid_out(session, where=Region.mask(half()))))


def test_transparency_comes_back(session: Session) -> None:
    alpha = torch.ones(1, 1, 64, 96)
    alpha[..., :30] = 0
    found = made(laid_out(session, torch.cat([PHOTO, alpha], 1)))
    assert torch.equal(found[:, 3:], alpha)
    region = torch.zeros(1, 1, 64, 96)
    region[..., :20] = 1
    with pytest.raises(RegionError, match="all of the region is transparent"):
        laid_out(session, torch.cat([PHOTO, alpha], 1), where=Region.mask(region)).plan  # noqa: B018


def test_colours(session: Session) -> None:
    own, content, kept = (made(laid_out(session, color=c)) for c in ("style", "content", "luma"))
    far, near = (float((x.mean((2, 3)) - PHOTO.mean((2, 3))).abs().max()) for x in (own, content))
    assert near < 0.3 * far
    hues = [x - luma(x) for x in (own, kept, PHOTO)]
    away, kept_away = (float((x - hues[2]).abs().mean()) for x in hues[:2])
    assert kept_away < 0.2 * away
    assert float((luma(kept) - luma(PHOTO)).abs().mean()) > 0.02


def test_a_recipe_names_the_network_and_no_path(session: Session, tmp_path: Path) -> None:
    NETWORK.write(tmp_path / "m.safetensors")
    work = laid_out(session, model=str(tmp_path / "m.safetensors"))
    assert work.recipe.options["model"] == "model"
    names = [weights.name for weights in work.recipe.weights]
    assert names == ["tiny", "feedforward"]
    assert str(tmp_path) not in work.recipe.to_text()
    assert laid_out(session).recipe.weights[1].sha256 == NETWORK.sha256


def test_a_checkpoint_holds_the_network(session: Session, tmp_path: Path) -> None:
    work = laid_out(session, where=Region.mask(half()))
    for step in work.steps():
        whole = step.picture
        work.save(tmp_path / "c", step.checkpoint(), {"of": "mine"})
    again, state, _ = session.resume(tmp_path / "c")
    assert again.recipe == work.recipe
    assert torch.equal(list(again.steps(state))[-1].picture, whole)
    assert torch.equal(list(again.steps())[-1].picture, whole)


def test_a_plan_in_words(session: Session) -> None:
    small, large = (laid_out(session, size=size).plan for size in ("320x200", "3200x2000"))
    assert small.sentence(2.0).startswith("320 x 200 px in one pass, float32, ")
    assert small.sentence(2.0).endswith("GiB and 2 s")
    assert small.tile is None
    assert small.seconds() > 0
    assert large.memory - small.memory > 80 * 3200 * 2000 * 0.9
    work = session.prepare(PHOTO, (), method="feedforward", model=NETWORK, size="2048", preview="small")
    assert (work.plan.legs[-1].width, work.plan.legs[-1].height) == (256, 171)


def test_what_it_does_not_take(session: Session, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="takes no style picture: its model has learnt one"):
        session.prepare(PHOTO, [PAINTING], method="feedforward", model=NETWORK)
    for name, value in (
        ("strength", 0.5),
        ("at", ()),
        ("blend", (1.0,)),
        ("style_scale", 2.0),
        ("tile", "64"),
    ):
        with pytest.raises(OptionError, match=f"unknown option '{name}'"):
            laid_out(session, **{name: value})
    with pytest.raises(OptionError, match="feather softens the edges of regions, and there is none"):
        laid_out(session, feather=3.0)
    with pytest.raises(OptionError, match="12 x 40 px is too small: each side needs at least 16 px"):
        laid_out(session, size="12x40").plan  # noqa: B018
    with pytest.raises(OptionError, match="give a content picture"):
        laid_out(session, None)
    with pytest.raises(OptionError, match="where --model is a network for one style, make a mask"):
        laid_out(session, where="material:wood")
    with pytest.raises(OptionError, match="it must be a file of a network for one style, or its name"):
        laid_out(session, model=3)
    tiny_decoders()[0].write(tmp_path / "d.safetensors")
    with pytest.raises(GivenWeightsError, match="is no network for one style: it is a decoder"):
        laid_out(session, model=str(tmp_path / "d.safetensors"))
    NETWORK.write(tmp_path / "m.safetensors")
    with pytest.raises(GivenWeightsError, match="it is a feedforward"):
        session.prepare(PHOTO, [PAINTING], method="gatys", model=str(tmp_path / "m.safetensors"))
