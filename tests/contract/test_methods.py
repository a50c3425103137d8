"""What every method keeps to, on the tiny network; a new method is tested by being registered."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session, Work, drain, list_methods
from katazome.descent.loop import Step
from katazome.errors import OptionError, PictureError, RegionError
from katazome.methods.base import Method, Photograph
from katazome.methods.options import DescentOptions
from katazome.options import info_of, type_hints
from katazome.pictures.read import PictureLike, read
from katazome.pictures.resize import resize
from tests.tiny import tiny_vgg, tiny_wae

PICTURES = Path(__file__).parents[2] / "examples/pictures"
QUICK: dict[str, Any] = {"size": "96x64", "iterations": 5, "scales": 1, "precision": "float32"}

NEEDED: dict[str, dict[str, Any]] = {
    "filters": {"filters": "relu4_1:1,5 relu5_1:0,2,3", "variant": "faithful"},
    "wae": {"model": tiny_wae()},
}
"""What a method cannot do without."""

STYLED = [m for m in list_methods() if m.styled]
"""The others are tested in a file of their own."""

every_method = pytest.mark.parametrize("method", STYLED, ids=lambda m: m.name)
restyling = pytest.mark.parametrize("method", [m for m in STYLED if m.content], ids=lambda m: m.name)
DESCENDING = [m for m in STYLED if issubclass(m.options, DescentOptions)]
descending = pytest.mark.parametrize("method", DESCENDING, ids=lambda m: m.name)
both_optimisers = pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])


def picture(name: str, height: int = 64, width: int = 96) -> Tensor:
    """A photograph (1, 3, H, W)."""
    return resize(read(PICTURES / f"{name}.jpg").pixels, (height, width)).clamp(0, 1)


PHOTO, PAINTING, OTHER = picture("coffee"), picture("wheat_field", 130, 110), picture("apples")


def quick(method: Method, **options: Any) -> dict[str, Any]:
    """Settings of little work, as far as the method has them, and what it cannot do without."""
    known = {f.name for f in fields(method.options)}
    return {**NEEDED.get(method.name, {}), **{k: v for k, v in {**QUICK, **options}.items() if k in known}}


def laid_out(
    session: Session,
    method: Method,
    *styles: PictureLike,
    content: PictureLike | Photograph = PHOTO,
    preset: str | None = None,
    **options: Any,
) -> Work:
    values = {**(NEEDED.get(method.name, {}) if preset else quick(method)), **options}
    given = content if method.content else None
    return session.prepare(given, styles or [PAINTING], method=method.name, preset=preset, **values)


def result(work: Work) -> Tensor:
    return drain(work).tensor


def figures(step: Step) -> tuple[int, int, float, Tensor]:
    return step.scale, step.index, step.loss, step.picture


@descending
@both_optimisers
def test_steps_improve(session: Session, method: Method, optimizer: str) -> None:
    losses = [step.loss for step in laid_out(session, method, optimizer=optimizer).steps()]
    assert len(losses) == QUICK["iterations"]
    assert losses[3] < losses[0]


@descending
def test_steps_tell_where_they_are(session: Session, method: Method) -> None:
    steps = list(laid_out(session, method, scales=2, size="128x96", iterations=4).steps())
    assert [s.last for s in steps] == [False] * (len(steps) - 1) + [True]
    assert {(s.scale, s.width, s.height) for s in steps} == {(0, 64, 48), (1, 128, 96)}
    assert [s.index for s in steps if s.scale == 1] == [0, 1, 2, 3]
    assert all(s.scales == 2 and s.seconds > 0 for s in steps)
    for step in steps:
        assert step.loss == pytest.approx(sum(step.terms.values()))
        assert step.image().size == (step.width, step.height)


@descending
def test_stopping_is_closing(session: Session, method: Method) -> None:
    work = laid_out(session, method)
    stream: Any = work.steps()
    first = next(stream).picture
    next(stream)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert torch.equal(next(work.steps()).picture, first)
    assert torch.is_grad_enabled()


@descending
@both_optimisers
@pytest.mark.parametrize("stop", [0, 3, 11, 14], ids=["at once", "early", "on the second scale", "late"])
def test_going_on_from_a_checkpoint_changes_no_bit(
    session: Session, method: Method, optimizer: str, stop: int, tmp_path: Path
) -> None:
    work = laid_out(session, method, optimizer=optimizer, scales=2, size="128x96", iterations=7)
    path = tmp_path / "out.png.checkpoint"
    whole = []
    for number, step in enumerate(work.steps()):
        whole.append(figures(step))
        if number == stop:
            work.save(path, step.checkpoint(), {"of": "mine"})
    again, state, header = session.resume(path)
    assert header == {"of": "mine"}
    assert again.recipe == work.recipe
    rest = [figures(step) for step in again.steps(state)]
    assert len(rest) == len(whole) - stop
    for (*before, expected), (*after, got) in zip(whole[stop:], rest, strict=True):
        assert after == before
        assert torch.equal(got, expected)


@descending
def test_the_same_seed_is_the_same_picture(session: Session, method: Method) -> None:
    start: dict[str, Any] = {"init": "random"} if method.content else {}
    state = torch.get_rng_state()
    first = result(laid_out(session, method, seed=3, **start))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(result(laid_out(session, method, seed=3, **start)), first)
    assert not torch.equal(result(laid_out(session, method, seed=4, **start)), first)


@every_method
def test_the_recipe_makes_the_picture_again(session: Session, method: Method) -> None:
    seed: dict[str, Any] = {"seed": 5} if method in DESCENDING else {}
    work = laid_out(session, method, style_scale=0.9, **seed)
    options = {
        **work.recipe.options,
        **NEEDED.get(method.name, {}),
    }  # of a model a recipe holds the hash alone
    given = PHOTO if method.content else None
    again = session.prepare(given, [PAINTING], method=work.recipe.method, **options)
    assert again.recipe == work.recipe
    assert torch.equal(result(again), result(work))


@every_method
@pytest.mark.parametrize("size", ["67x65", "121x50", "49x131"])
def test_odd_sizes(session: Session, method: Method, size: str) -> None:
    fewer: dict[str, Any] = {"iterations": 2} if method in DESCENDING else {}
    made = result(laid_out(session, method, size=size, **fewer))
    width, height = map(int, size.split("x"))
    assert made.shape == (1, 3, height, width)
    assert made.min() >= 0
    assert made.max() <= 1


@every_method
def test_too_small_a_size(session: Session, method: Method) -> None:
    with pytest.raises(OptionError, match="too small"):
        laid_out(session, method, size="12x12")


def cut_out(pixels: Tensor, unseen: float) -> Tensor:
    """A picture with a disc that is opaque, an edge, and ``unseen`` colours where it is transparent."""
    height, width = pixels.shape[2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    alpha = ((0.8 - (x.square() + y.square()).sqrt()) * 5).clamp(0, 1).expand(1, 1, height, width)
    return torch.cat([torch.where(alpha > 0, pixels, torch.tensor(unseen)), alpha], dim=1)


@restyling
def test_transparency_is_kept_and_what_it_hides_has_no_influence(session: Session, method: Method) -> None:
    one, other = (
        result(laid_out(session, method, content=cut_out(PHOTO, unseen), style_scale=0.9))
        for unseen in (0, 1)
    )
    assert one.shape == (1, 4, 64, 96)
    assert torch.equal(one[:, 3:], cut_out(PHOTO, 0)[:, 3:])
    assert torch.equal(one, other)
    opaque = result(laid_out(session, method, style_scale=0.9))
    assert not torch.allclose(one[:, :3], opaque, atol=0.02)


@every_method
def test_what_a_style_hides_has_no_influence(session: Session, method: Method) -> None:
    one, other = (result(laid_out(session, method, cut_out(PAINTING, unseen))) for unseen in (0.0, 1.0))
    assert one.shape[1] == 3
    assert torch.equal(one, other)


@every_method
def test_what_is_transparent_everywhere_is_refused(session: Session, method: Method) -> None:
    nothing = torch.cat([PAINTING, torch.zeros_like(PAINTING[:, :1])], dim=1)
    with pytest.raises(RegionError, match="transparent everywhere"):
        result(laid_out(session, method, nothing))


@every_method
def test_a_flat_style_is_refused(session: Session, method: Method) -> None:
    with pytest.raises(PictureError, match="one flat colour"):
        result(laid_out(session, method, torch.full_like(PAINTING, 0.3)))


@every_method
def test_styles_are_blended(session: Session, method: Method) -> None:
    alone = result(laid_out(session, method, PAINTING))
    first = result(laid_out(session, method, PAINTING, OTHER, blend=[1, 0]))
    mixed = result(laid_out(session, method, PAINTING, OTHER, blend=[1, 1]))
    threefold = result(laid_out(session, method, PAINTING, OTHER, blend=[3, 3]))
    plain = result(laid_out(session, method, PAINTING, OTHER))
    torch.testing.assert_close(first, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(threefold, mixed, atol=1e-4, rtol=0)
    torch.testing.assert_close(plain, mixed, atol=1e-4, rtol=0)
    assert not torch.allclose(mixed, alone, atol=0.01)


@every_method
def test_shares_that_do_not_fit(session: Session, method: Method) -> None:
    with pytest.raises(OptionError, match="blend has 3 shares for 2 style pictures"):
        laid_out(session, method, PAINTING, OTHER, blend=[1, 1, 1])


@descending
def test_tiles_make_the_picture_of_the_whole(session: Session, method: Method) -> None:
    """The tiny network's deep layers see a halo of 96 px: every tile is cut somewhere."""
    wide: dict[str, Any] = {"size": "320x192", "iterations": 3}
    whole, tiled = (laid_out(session, method, tile=tile, **wide) for tile in ("off", "96"))
    assert tiled.plan.tile == 96
    for one, other in zip(whole.steps(), tiled.steps(), strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
        torch.testing.assert_close(one.picture, other.picture, atol=2e-3, rtol=0)


@descending
def test_bfloat16_is_close(session: Session, method: Method) -> None:
    exact, coarse = (list(laid_out(session, method, precision=p).steps()) for p in ("float32", "bfloat16"))
    assert coarse[0].loss == pytest.approx(exact[0].loss, rel=0.05)
    assert coarse[-1].loss < coarse[0].loss


PRESETS = [(m, preset) for m in STYLED for preset in m.presets]


@pytest.mark.parametrize(("method", "preset"), PRESETS, ids=[f"{m.name}-{p}" for m, p in PRESETS])
@pytest.mark.parametrize("flavour", ["normalised", "caffe"])
def test_presets_lay_out_work_that_starts(
    session: Session, method: Method, preset: str, flavour: str
) -> None:
    weights = replace(tiny_vgg(), flavour=flavour)  # type: ignore[arg-type]
    with Session(weights=weights, device="cpu", heap=False) as made:
        work = laid_out(made, method, preset=preset, size="128x96")
        for name, value in method.presets[preset].for_flavour(flavour).items():
            got = getattr(work.options, name)
            assert got == (tuple(value) if isinstance(value, list) else value)
        stream = work.steps()
        losses = [next(stream).loss for _ in range(4)]
    assert min(losses[1:]) < losses[0]


@restyling
def test_a_strength_replaces_a_presets_weights(session: Session, method: Method) -> None:
    for preset in method.presets:
        work = laid_out(session, method, preset=preset, strength=0.3, size="96x64")
        assert work.options.strength == 0.3
        assert work.options.content_weight is None


@pytest.mark.parametrize("method", [m for m in DESCENDING if m.content], ids=lambda m: m.name)
def test_no_strength_leaves_the_picture_alone(session: Session, method: Method) -> None:
    torch.testing.assert_close(result(laid_out(session, method, strength=0)), PHOTO, atol=1e-3, rtol=0)
    assert not torch.allclose(result(laid_out(session, method, strength=0.2)), PHOTO, atol=0.05)


OPTIONS = [(m, f.name) for m in STYLED for f in fields(m.options)]
NOT_INIT = [(m, n) for m, n in OPTIONS if n != "init"]  # what is no word for a start is a picture
each_option_but_init = pytest.mark.parametrize(
    ("method", "name"), NOT_INIT, ids=[f"{m.name}-{n}" for m, n in NOT_INIT]
)
each_option = pytest.mark.parametrize(("method", "name"), OPTIONS, ids=[f"{m.name}-{n}" for m, n in OPTIONS])


def wrong_values(method: Method, name: str) -> list[Any]:
    field = next(f for f in fields(method.options) if f.name == name)
    info, hint = info_of(field), str(type_hints(method.options)[name])
    numbers: list[Any] = []
    if info.low is not None:
        numbers.append(float(info.low - 1) if "float" in hint else int(info.low) - 1)
    if info.high is not None:
        numbers.append(int(info.high) + 1)
    wrong = [(n,) for n in numbers] if "tuple" in hint else numbers
    if info.choices:
        wrong.append("nonsense")
    if "float" in hint:
        wrong += [(float("nan"),)] if "tuple" in hint else [float("nan"), float("inf")]
    return [*wrong, *([] if info.repeats else [{}]), object()]


@each_option_but_init
def test_a_wrong_value_is_an_error_that_names_the_option(session: Session, method: Method, name: str) -> None:
    for value in wrong_values(method, name):
        with pytest.raises(OptionError, match=rf"\b{name}\b"):
            laid_out(session, method, **{name: value})


@each_option
def test_a_misspelt_option_is_an_error_that_names_the_right_one(
    session: Session, method: Method, name: str
) -> None:
    given: dict[str, Any] = {f"{name}x": 1}
    with pytest.raises(OptionError, match=rf"unknown option '{name}x'; did you mean '{name}'"):
        laid_out(session, method, **given)


@every_method
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "nonsense"),
        ("tile", "12"),
        ("tile", "nonsense"),
        ("style_layers", ["relu9_9"]),
        ("style_layers", []),
        ("layer_weights", [0, 0, 0, 0, 0]),
        ("blend", [0.0]),
    ],
)
def test_values_that_mean_nothing(session: Session, method: Method, name: str, value: Any) -> None:
    with pytest.raises(OptionError):
        laid_out(session, method, **{name: value})


@every_method
def test_pictures_that_are_missing(session: Session, method: Method) -> None:
    with pytest.raises(OptionError, match="no style picture"):
        session.prepare(PHOTO if method.content else None, [], method=method.name, **quick(method))
    if method.content:
        with pytest.raises(OptionError, match="give a content picture"):
            session.prepare(None, [PAINTING], method=method.name, **quick(method))


@every_method
def test_a_checkpoint_of_another_network_is_refused(session: Session, method: Method, tmp_path: Path) -> None:
    work = laid_out(session, method)
    path = tmp_path / "out.png.checkpoint"
    work.save(path, next(work.steps()).checkpoint(), {})
    other = Session(weights=tiny_vgg(seed=1), device="cpu", heap=False)
    with pytest.raises(PictureError, match="made with the weights"):
        other.resume(path)
