"""What every method keeps to that makes a picture in one pass, on the tiny network and random decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session, drain, get_method, list_methods
from katazome.errors import GivenWeightsError, OptionError
from katazome.methods import onepass
from katazome.methods.base import Method
from katazome.methods.options import InstantOptions
from katazome.methods.transfer import Affine, mixed
from katazome.networks.vgg import Encoder
from katazome.pictures.resize import resize
from katazome.regions.region import Region
from tests.contract.test_methods import NEEDED, OTHER, PAINTING, PHOTO, laid_out, picture, result
from tests.tiny import tiny_decoders, tiny_vgg

INSTANT = [m for m in list_methods() if issubclass(m.options, InstantOptions)]
instant = pytest.mark.parametrize("method", INSTANT, ids=lambda m: m.name)
DECODING = [m for m in INSTANT if m.learnt is None]
"""Methods that change the network's features and decode them."""
decoding = pytest.mark.parametrize("method", DECODING, ids=lambda m: m.name)

LARGE: dict[str, Any] = {"size": "320x200", "precision": "float32"}


def half(soft: bool = False) -> Tensor:
    """The left half of the photograph, its edge hard or soft."""
    region = torch.zeros(1, 1, 64, 96)
    region[..., :40] = 1
    if soft:
        region[..., 40:56] = torch.linspace(1, 0, 18)[1:-1]
    return region


@instant
def test_tiles_make_the_picture_of_the_whole(session: Session, method: Method) -> None:
    """A region, an odd size and tiles of which the last is thin: no seam, no statistics of a tile's own."""
    more: dict[str, Any] = {"where": Region.mask(half(soft=True)), "color": "content"}
    for options in ({}, more, {"size": "323x201"}):
        whole, tiled = (
            laid_out(session, method, tile=tile, **{**LARGE, **options}) for tile in ("off", "96")
        )
        a, b = result(whole), result(tiled)
        assert tiled.plan.tile == 96
        assert len(list(tiled.steps())) > 6
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
        assert float((a - resize(PHOTO, (a.shape[2], a.shape[3]))).abs().mean()) > 0.01


@instant
def test_steps_tell_where_they_are(session: Session, method: Method) -> None:
    steps = list(laid_out(session, method, tile="64").steps())
    assert [s.index for s in steps] == list(range(len(steps)))
    assert {(s.scale, s.scales, s.count, s.width, s.height) for s in steps} == {(0, 1, len(steps), 96, 64)}
    assert [s.last for s in steps] == [False] * (len(steps) - 1) + [True]
    assert {s.loss for s in steps} == {0.0}
    assert not any(s.terms for s in steps)


@instant
def test_stopping_is_closing(session: Session, method: Method) -> None:
    stream: Any = laid_out(session, method, tile="64").steps()
    next(stream)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert torch.is_grad_enabled()


@instant
@pytest.mark.parametrize("stop", [0, -1], ids=["after a tile", "at the end"])
def test_a_checkpoint_leads_to_the_same_picture(
    session: Session, method: Method, stop: int, tmp_path: Path
) -> None:
    work = laid_out(session, method, PAINTING, OTHER, tile="64", where=Region.mask(half()))
    steps = list(work.steps())
    whole, path = steps[-1].picture, tmp_path / "out.png.checkpoint"
    stop %= len(steps)
    for step in work.steps():
        if step.index == stop:
            work.save(path, step.checkpoint(), {"of": "mine"})
    again, state, _ = session.resume(path)
    assert again.recipe == work.recipe
    rest = list(again.steps(state))
    assert len(rest) == (1 if stop else len(steps))
    assert torch.equal(rest[-1].picture, whole)


@instant
def test_twice_is_the_same_picture(session: Session, method: Method) -> None:
    state = torch.get_rng_state()
    first = result(laid_out(session, method))
    assert torch.equal(result(laid_out(session, method)), first)
    assert torch.equal(torch.get_rng_state(), state)


@instant
def test_it_can_be_made_under_any_gradient_mode(session: Session, method: Method) -> None:
    expected = result(laid_out(session, method))
    for mode in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
        with mode:
            torch.testing.assert_close(result(laid_out(session, method)), expected, atol=1e-5, rtol=0)


@instant
def test_bfloat16_is_close(session: Session, method: Method) -> None:
    exact, coarse = (result(laid_out(session, method, precision=p)) for p in ("float32", "bfloat16"))
    assert not torch.equal(exact, coarse)
    assert float((exact - coarse).abs().mean()) < 0.01


@instant
@pytest.mark.parametrize("more", [{}, {"color": "luma"}, {"guides": "inside"}])
def test_outside_the_region_the_original_comes_back_exactly(
    session: Session, method: Method, more: dict[str, Any]
) -> None:
    made = result(laid_out(session, method, where=Region.mask(half(soft=True)), **more))
    assert torch.equal(made[..., 56:], PHOTO[..., 56:])
    assert float((made - PHOTO)[..., :40].abs().mean()) > 0.01


@decoding
def test_what_lies_outside_the_region_has_little_influence(session: Session, method: Method) -> None:
    """The statistics are those of the region alone; only what its edge sees of the rest is left."""
    other = PHOTO.clone()
    other[..., 48:] = OTHER_PHOTO[..., 48:]
    where = Region.mask(half())
    one, two = (result(laid_out(session, method, content=c, where=where, **LARGE)) for c in (PHOTO, other))
    without = [result(laid_out(session, method, content=c, **LARGE)) for c in (PHOTO, other)]
    far = slice(0, 32)
    change = float((one - two)[..., far].abs().mean())
    assert change < 0.5 * float((without[0] - without[1])[..., far].abs().mean())


OTHER_PHOTO = picture("rocket")


@instant
def test_what_lies_outside_the_styles_region_has_little_influence(session: Session, method: Method) -> None:
    region = torch.zeros(1, 1, 130, 110)
    region[:, :, :66] = 1
    outside, inside = PAINTING.clone(), PAINTING.clone()
    outside[:, :, 66:], inside[:, :, :66] = 0.5, 0.5
    options: dict[str, Any] = {"style_where": Region.mask(region)}
    whole, without_outside, without_inside = (
        result(laid_out(session, method, style, **options)) for style in (PAINTING, outside, inside)
    )
    change = float((without_outside - whole).abs().mean())
    assert change < 0.4 * float((without_inside - whole).abs().mean())


@instant
@pytest.mark.parametrize("guides", ["simple", "inside"])
def test_a_region_of_a_few_pixels(session: Session, method: Method, guides: str) -> None:
    region = torch.zeros(1, 1, 64, 96)
    region[..., 30:33, 50:53] = 1
    made = result(laid_out(session, method, where=Region.mask(region), guides=guides))
    assert torch.isfinite(made).all()
    changed = (made - PHOTO).abs().amax(1)[0] > 1e-6
    assert torch.equal(changed & (region[0, 0] == 0), torch.zeros_like(changed))


@instant
def test_a_flat_photograph_is_no_trouble(session: Session, method: Method) -> None:
    made = result(laid_out(session, method, content=torch.full_like(PHOTO, 0.4)))
    assert torch.isfinite(made).all()


@decoding
def test_a_photograph_is_encoded_once(
    session: Session, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    encode = Encoder.__call__

    def counted(self: Encoder, pixels: Tensor, taps: Any) -> Any:
        seen.append(pixels.shape[2] * pixels.shape[3])
        return encode(self, pixels, taps)

    expected = [result(laid_out(session, method, style)) for style in (PAINTING, OTHER)]
    monkeypatch.setattr(Encoder, "__call__", counted)
    plain = laid_out(session, method, PAINTING)
    result(plain)
    alone = len(seen)
    photo = session.photograph(PHOTO)
    counts = []
    for style, wanted in zip((PAINTING, OTHER), expected, strict=True):
        seen.clear()
        torch.testing.assert_close(result(laid_out(session, method, style, content=photo)), wanted)
        counts.append(len(seen))
    assert counts == [alone, alone - 1]
    # at another size, or without colours, it is another picture to the network
    for options in ({"size": "112x80"}, {"color": "luma"}):
        one = result(laid_out(session, method, content=photo, **options))
        torch.testing.assert_close(one, result(laid_out(session, method, **options)))


@instant
def test_a_preview_is_small(session: Session, method: Method) -> None:
    needed = NEEDED.get(method.name, {})
    work = session.prepare(PHOTO, [PAINTING], method=method.name, size="2048", preview="small", **needed)
    assert (work.plan.legs[-1].width, work.plan.legs[-1].height) == (256, 171)


def test_an_instant_preview_is_what_adain_makes(session: Session) -> None:
    """Of a descent, with its region and colours, at its size; of one pass it is the picture itself."""
    shared: dict[str, Any] = {"where": Region.mask(half()), "color": "content"}
    shared |= {"size": "112", "precision": "float32"}
    wanted = result(laid_out(session, get_method("adain"), **shared))
    for name in ("gatys", "multiscale"):
        work = session.prepare(
            PHOTO, [PAINTING], method=name, preview="instant", strength=0.2, init="random", **shared
        )
        assert work.recipe.method == "adain"
        torch.testing.assert_close(result(work), wanted)
    own = session.prepare(PHOTO, [PAINTING], method="wct", preview="instant", **shared)
    assert torch.equal(result(own), result(laid_out(session, get_method("wct"), **shared)))
    with pytest.raises(OptionError, match="an instant preview is of a photograph that takes a style"):
        session.prepare(None, [PAINTING], method="texture", preview="instant")
    with pytest.raises(OptionError, match="preview is 'tiny'; it must be no, small or instant"):
        session.prepare(PHOTO, [PAINTING], method="adain", preview="tiny")


@instant
def test_a_plan_in_words(session: Session, method: Method) -> None:
    plan = laid_out(session, method, **LARGE, tile="96").plan
    assert plan.seconds() > 0
    said = plan.sentence(3.0)
    assert said.startswith("320 x 200 px in one pass")
    assert "float32, tiles of 96 px" in said
    assert said.endswith("GiB and 3 s")


@decoding
def test_the_recipe_names_the_decoders(session: Session, method: Method) -> None:
    names = [w.name for w in laid_out(session, method).recipe.weights]
    assert names[:2] == ["tiny", "tiny-relu4_1"]


@decoding
def test_a_decoder_of_another_network_is_refused(method: Method) -> None:
    other = Session(weights=tiny_vgg(), decoders=tiny_decoders(seed=1), device="cpu", heap=False)
    with pytest.raises(GivenWeightsError, match="reads the network tiny, in use is tiny"):
        laid_out(other, method)


@instant
def test_what_it_has_not_is_said(session: Session, method: Method) -> None:
    with pytest.raises(OptionError, match="unknown option 'iterations'"):
        laid_out(session, method, iterations=3)
    with pytest.raises(OptionError, match="unknown option 'init'"):
        laid_out(session, method, init="random")


def test_adain_gives_the_statistics_of_the_style(session: Session) -> None:
    from katazome.methods.transfer import normalised
    from katazome.statistics.moments import mean_and_deviation, moment_sums

    draw = torch.Generator().manual_seed(0)
    content, style = (torch.rand(1, 5, 9, 11, generator=draw).double() for _ in range(2))
    style = 3 * style + torch.arange(5.0).view(1, 5, 1, 1)
    moments = [moment_sums(f) / 99 for f in (content, style)]
    made = normalised(*moments)(content)
    for got, wanted in zip(
        mean_and_deviation(moment_sums(made) / 99), mean_and_deviation(moments[1]), strict=True
    ):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


def test_maps_blend_and_mix_as_their_results_do() -> None:
    draw = torch.Generator().manual_seed(1)
    f = torch.randn(1, 3, 4, 5, generator=draw)
    one = Affine(torch.randn(3, generator=draw), torch.randn(3, generator=draw))
    two = Affine(torch.randn(3, generator=draw), torch.randn(3, generator=draw))
    torch.testing.assert_close(Affine.blend([one, two], [3, 1])(f), 0.75 * one(f) + 0.25 * two(f))
    torch.testing.assert_close(one.at(0.3)(f), 0.3 * one(f) + 0.7 * f)
    full = Affine(torch.diag(one.matrix), one.shift)
    torch.testing.assert_close(full.at(0.3)(f), one.at(0.3)(f))
    where = torch.zeros(1, 1, 4, 5)
    where[..., :2] = 1
    made = mixed(f, [one, two], [None, where])
    torch.testing.assert_close(made[..., 2:], one(f)[..., 2:])
    torch.testing.assert_close(made[..., :2], (one(f) + two(f))[..., :2] / 2)
    alone = mixed(f, [two], [0.25 * where])
    torch.testing.assert_close(alone[..., 2:], f[..., 2:])
    torch.testing.assert_close(alone[..., :2], (0.75 * f + 0.25 * two(f))[..., :2])


def test_the_last_step_of_a_large_picture_is_drained(session: Session) -> None:
    work = session.prepare(PHOTO, [PAINTING], method="adain", size="200", tile="64")
    made = drain(work)
    assert made.tensor.shape == (1, 3, 133, 200)
    assert len(made.steps) == work.plan.legs[-1].evaluations


@pytest.mark.parametrize("color", ["style", "content", "luma"])
def test_a_descent_starts_from_the_picture_of_one_pass(session: Session, color: str) -> None:
    """Before anything moves the descent shows what adain makes."""
    for name in ("gatys", "multiscale"):
        work = laid_out(session, get_method(name), init="adain", color=color)
        first = next(iter(work.steps())).picture
        torch.testing.assert_close(first, result(laid_out(session, get_method("adain"), color=color)))
        assert ("tiny-relu4_1", "0" * 64) in [(w.name, w.sha256) for w in work.recipe.weights]
        from_content = next(iter(laid_out(session, get_method(name), color=color).steps())).picture
        assert not torch.allclose(first, from_content, atol=0.01)


def test_a_descent_from_one_pass_goes_on_from_its_checkpoint(session: Session, tmp_path: Path) -> None:
    work = laid_out(session, get_method("gatys"), init="adain", where=Region.mask(half()))
    steps = list(work.steps())
    for step in work.steps():
        if step.index == 2:
            work.save(tmp_path / "c", step.checkpoint(), {})
    again, state, _ = session.resume(tmp_path / "c")
    assert again.recipe == work.recipe
    assert torch.equal(list(again.steps(state))[-1].picture, steps[-1].picture)
    assert torch.equal(steps[-1].picture[..., 56:], PHOTO[..., 56:])


@decoding
def test_tiles_that_are_encoded_again_make_the_same_picture(
    session: Session, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of shallow layers of the real network, whose features are too many to keep."""
    options: dict[str, Any] = {**LARGE, "where": Region.mask(half(soft=True))}
    whole = result(laid_out(session, method, tile="off", **options))
    monkeypatch.setattr(onepass, "KEPT_VALUES", 0.0)
    torch.testing.assert_close(
        result(laid_out(session, method, tile="96", **options)), whole, atol=1e-4, rtol=0
    )
