"""The network for one style: the chain in plain operations, any size, bands, files, what a step costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from katazome.collections.folders import Source, find
from katazome.errors import GivenWeightsError, MethodError, OptionError
from katazome.losses.style import gram_loss
from katazome.networks import feedforward
from katazome.networks.feedforward import (
    KIND,
    SHELF,
    SMALLEST,
    FeedForward,
    FeedForwardWeights,
    Learner,
    convolved,
    layers,
    parameters,
    whole_moments,
)
from katazome.networks.vgg import Encoder
from katazome.statistics.gram import gram_sum
from katazome.training.data import Squares
from katazome.training.steps.feedforward import (
    RISING,
    FeedForwardLesson,
    FeedForwardOptions,
    made,
    seen_at,
)
from katazome.weights.own import card
from katazome.weights.tensorfile import write_tensors
from tests.tiny import tiny_decoders, tiny_feedforward, tiny_vgg

OPTIONS = FeedForwardOptions(
    side=48, batch=2, width=4, steps=20, style_layers=("relu1_1", "relu2_1"), content_layers=("relu2_2",)
)


def plain(weights: FeedForwardWeights, picture: Tensor) -> Tensor:
    """The network once more, as anyone would write it, with torch's own instance normalisation."""
    own = {name: t.to(picture) for name, t in weights.tensors.items()}
    height, width = picture.shape[2:]

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = own[f"{name}.weight"]
        rim = weight.shape[2] // 2
        x = F.conv2d(F.pad(x, [rim] * 4, mode="reflect"), weight, stride=stride)
        return F.instance_norm(x, weight=own[f"{name}.scale"], bias=own[f"{name}.shift"])

    x = conv(picture, "in").relu()
    x = conv(x, "down1", 2).relu()
    x = conv(x, "down2", 2).relu()
    for n in range(1, 6):
        x = x + conv(conv(x, f"res{n}a").relu(), f"res{n}b")
    for name in ("up1", "up2"):
        x = conv(F.interpolate(x, scale_factor=2, mode="nearest"), name).relu()
    x = F.conv2d(F.pad(x, [4] * 4, mode="reflect"), own["out.weight"], own["out.bias"])
    return (0.5 + 150 / 255 * x[:, :, :height, :width].tanh()).clamp(0, 1)


def photograph(height: int, width: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 6, generator=draw, dtype=torch.float64)
    return F.interpolate(coarse, (height, width), mode="bilinear")


def learner(weights: FeedForwardWeights, dtype: torch.dtype = torch.float32) -> Learner:
    """A network that learns, with the weights of one that has."""
    found = Learner(weights.facts.width, dtype)
    with torch.no_grad():
        for name, tensor in weights.tensors.items():
            layer, _, kind = name.partition(".")
            slowed = found.slowed(layer) if kind == "weight" else 1.0
            getattr(found, f"{layer}_{kind}").copy_(tensor / slowed)
    return found


def test_the_layers_are_the_papers() -> None:
    found = layers(32)
    assert [(one.name, one.outputs) for one in found[:3]] == [("in", 32), ("down1", 64), ("down2", 128)]
    assert [one.outputs for one in found[-3:]] == [64, 32, 3]
    assert {(one.inputs, one.outputs, one.kernel) for one in found[3:-3]} == {(128, 128, 3)}
    assert len(found) == 16
    assert sum(np.prod(shape) for shape in parameters(32).values()) == 1_677_635


@pytest.mark.parametrize("size", [(16, 16), (32, 40), (33, 41), (31, 18), (35, 22)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4), (torch.bfloat16, 0.2)]
)
def test_it_is_the_plain_chain_at_any_size(
    size: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> None:
    weights, picture = tiny_feedforward(), photograph(*size)
    expected = plain(weights, picture)
    given = picture if dtype == torch.float64 else picture.float()
    found = FeedForward(weights, dtype=dtype)(given)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)
    assert float((found.double() - expected).abs().mean()) < tolerance / 10
    assert not found.requires_grad


@pytest.mark.parametrize("values", [1, 700, 5000])
def test_bands_make_the_whole(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever rows are worked on at once: borders, and statistics of the whole picture."""
    weights, picture = tiny_feedforward(), photograph(37, 26)
    whole = FeedForward(weights, dtype=torch.float64)(picture)
    monkeypatch.setattr(feedforward, "_BAND_VALUES", values)
    torch.testing.assert_close(FeedForward(weights, dtype=torch.float64)(picture), whole, atol=1e-9, rtol=0)


@pytest.mark.parametrize("layer", [layers(2)[0], layers(2)[1], layers(2)[-2]], ids=lambda one: one.name)
def test_moments_of_bands_are_those_of_the_whole(
    layer: feedforward.Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(1, layer.inputs, 11, 9, generator=draw, dtype=torch.float64)
    weight = torch.randn(
        layer.outputs, layer.inputs, layer.kernel, layer.kernel, generator=draw, dtype=torch.float64
    )
    monkeypatch.setattr(feedforward, "_BAND_VALUES", 1)
    bands: list[Tensor] = []
    found = convolved(x, layer, weight, moments=bands)
    assert len(bands) == found.shape[2] == layer.size(11)
    mean, variance = whole_moments(bands)
    torch.testing.assert_close(mean, found.mean((0, 2, 3)))
    torch.testing.assert_close(variance, found.var((0, 2, 3), correction=0))


def test_what_learns_is_the_same_chain() -> None:
    weights, picture = tiny_feedforward(), photograph(30, 41).float()
    found = learner(weights)
    expected = FeedForward(weights)(picture)
    with torch.no_grad():
        torch.testing.assert_close(found(picture).clamp(0, 1), expected, atol=1e-4, rtol=0)
    for name, tensor in found.tensors().items():
        torch.testing.assert_close(tensor, weights.tensors[name])
    two = torch.cat([picture, photograph(30, 41, seed=1).float()])
    with torch.no_grad():
        torch.testing.assert_close(found(two)[:1].clamp(0, 1), expected, atol=1e-4, rtol=0)


def test_it_begins_as_a_grey_picture_with_a_gradient_everywhere() -> None:
    torch.manual_seed(0)
    found = Learner(4)
    picture = found(photograph(24, 24).float())
    assert float((picture - 0.5).abs().max().detach()) < 0.4
    picture.square().mean().backward()
    silent = {f"res{n}a_{kind}" for n in range(1, 6) for kind in ("weight", "scale", "shift")}
    silent |= {f"res{n}b_weight" for n in range(1, 6)}  # until the scale after them has moved
    for name, parameter in found.named_parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.any()) == (name not in silent), name


def test_what_does_not_fit() -> None:
    network = FeedForward(tiny_feedforward())
    with pytest.raises(MethodError, match=r"a float picture \(1, 3, H, W\)"):
        network(torch.zeros(2, 3, 32, 32))
    with pytest.raises(OptionError, match=f"40 x 15 px is too small: each side needs at least {SMALLEST}"):
        network(torch.zeros(1, 3, 15, 40))


def test_a_file_in_half_precision(tmp_path: Path) -> None:
    weights, path = tiny_feedforward(), tmp_path / "m.safetensors"
    weights.write(path)
    back = SHELF.read(path)
    assert back.facts == weights.facts
    assert back.name == "feedforward"
    for name, tensor in weights.tensors.items():
        assert torch.equal(back.tensors[name], tensor.half().float())
    assert card(path.read_bytes())["kind"] == KIND.name
    picture = photograph(32, 32).float()
    torch.testing.assert_close(FeedForward(back)(picture), FeedForward(weights)(picture), atol=0.05, rtol=0)


def test_what_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(GivenWeightsError, match="there is no network for one style"):
        SHELF.read(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(GivenWeightsError, match="is no network for one style"):
        SHELF.read(path)
    tiny_decoders()[0].write(path)
    with pytest.raises(GivenWeightsError, match="it is a decoder"):
        SHELF.read(path)
    weights = tiny_feedforward()
    tensors, facts = dict(weights.tensors), {"kind": KIND.name, **weights.to_json()["card"]}
    write_tensors(path, tensors, {**facts, "format": 9}, what="x")
    with pytest.raises(GivenWeightsError, match="its format is 9, this version reads 1"):
        SHELF.read(path)
    facts["format"] = KIND.format
    for broken, told in (
        ({**tensors, "in.weight": torch.zeros(4, 3, 3, 3)}, r"in.weight has the shape \(4, 3, 3, 3\)"),
        ({**tensors, "out.bias": torch.full((3,), torch.nan)}, "out.bias holds what is no number"),
        ({n: t for n, t in tensors.items() if n != "up1.scale"}, "up1.scale"),
    ):
        write_tensors(path, broken, facts, what="x")
        with pytest.raises(GivenWeightsError, match=told):
            SHELF.read(path)
    write_tensors(path, tensors, {**facts, "more": 1}, what="x")
    with pytest.raises(GivenWeightsError, match="more"):
        SHELF.read(path)


def test_by_name_or_file(tmp_path: Path) -> None:
    tiny_feedforward().write(tmp_path / "m.safetensors")
    assert SHELF.opened(str(tmp_path / "m.safetensors")).name == "feedforward"
    with pytest.raises(GivenWeightsError, match="neither a file nor one that comes with the program"):
        SHELF.opened("waves")
    for name in SHELF.names():
        weights = SHELF.opened(name)
        assert weights.name == f"feedforward-{name}"
        assert weights.facts.terms
        assert weights.facts.style["terms"]


# What it learns by


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, ...]:
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for number in range(6):
        coarse = draw.integers(0, 255, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((110, 100)).save(folder / f"{number}.png")
    return find([folder])


STYLE = photograph(60, 80, seed=5).float()


def lesson_of(sources: tuple[Source, ...], options: FeedForwardOptions = OPTIONS) -> FeedForwardLesson:
    return FeedForwardLesson(Encoder(tiny_vgg()), STYLE, Squares(sources, options.side), options)


def test_a_step_costs_what_the_losses_say_of_each_picture(sources: tuple[Source, ...]) -> None:
    """Against the losses written out, one picture after the other."""
    options = replace(OPTIONS, style_weight=7.0, smoothness=0.5)
    lesson = lesson_of(sources, options)
    lesson.module.dtype = torch.float32
    encoder = Encoder(tiny_vgg())
    lesson._encoder = encoder
    last = options.steps - 1
    terms = lesson.terms(last, torch.Generator().manual_seed(1))
    pixels = Squares(sources, options.side).draw(2, torch.Generator().manual_seed(1))
    style = encoder(STYLE, ["relu1_1", "relu2_1"])
    content, look, smooth = 0.0, 0.0, 0.0
    with torch.no_grad():
        for one in torch.split(pixels, 1):
            picture = lesson.module(one)
            found, wanted = (encoder(p, ["relu1_1", "relu2_1", "relu2_2"]) for p in (picture, one))
            content += float((found["relu2_2"] - wanted["relu2_2"]).square().mean()) / 2
            for name, target in style.items():
                grams = [gram_sum(f[name]) / f[name][0, 0].numel() for f in (found, {name: target})]
                look += 7.0 * float(gram_loss(*grams)) / 2 / 2
            squares = torch.diff(picture, dim=2).square().sum() + torch.diff(picture, dim=3).square().sum()
            smooth += 0.5 * float(squares) / (2 * 48 * 48)
    values = {name: float(term.detach()) for name, term in terms.items()}
    assert values["content"] == pytest.approx(content, rel=1e-4)
    assert values["style"] == pytest.approx(look, rel=1e-4)
    assert values["smoothness"] == pytest.approx(smooth, rel=1e-4)
    assert values["gamut"] >= 0
    first = lesson.terms(0, torch.Generator().manual_seed(1))
    share = 1 / (RISING * options.steps)
    assert float(first["style"].detach()) == pytest.approx(share * values["style"], rel=1e-4)


def test_steps_go_down_and_the_file_is_what_was_learnt(sources: tuple[Source, ...]) -> None:
    lesson = lesson_of(sources)
    optimiser = torch.optim.Adam(lesson.module.parameters(), 1e-2)
    totals = []
    for _ in range(12):
        optimiser.zero_grad()
        total = torch.stack(list(lesson.terms(19, torch.Generator().manual_seed(0)).values())).sum()
        totals.append(float(total.detach()))
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert totals[-1] < 0.8 * totals[0]
    weights = made(lesson, Encoder(tiny_vgg()), OPTIONS, {"style": {"name": "s"}, "terms": "drawn"})
    assert weights.facts.width == 4
    assert weights.facts.terms == "drawn"
    assert weights.facts.trunk["name"] == "tiny"
    picture = photograph(40, 44).float()
    lesson.module.dtype = torch.float32
    with torch.no_grad():
        expected = lesson.module(picture).clamp(0, 1)
    torch.testing.assert_close(FeedForward(weights)(picture), expected, atol=1e-4, rtol=0)


def test_the_beginning_is_the_seeds(sources: tuple[Source, ...]) -> None:
    state = torch.get_rng_state()
    one, other, third = (
        lesson_of(sources, replace(OPTIONS, seed=seed)).module.tensors()["res1a.weight"] for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_samples_and_measures(sources: tuple[Source, ...]) -> None:
    squares = Squares(sources, 48).middles(3)
    lesson = FeedForwardLesson(Encoder(tiny_vgg()), STYLE, Squares(sources, 48), OPTIONS, squares)
    shown = lesson.samples()
    assert shown is not None
    assert shown.shape[:2] == (1, 3)
    assert lesson_of(sources).samples() is None
    found = lesson.measure(squares)
    assert set(found) == {"content", "style"}
    assert all(value > 0 for value in found.values())


def test_what_cannot_be_learnt(sources: tuple[Source, ...]) -> None:
    squares = Squares(sources, 48)
    deep = replace(OPTIONS, style_layers=("relu5_1",))
    with pytest.raises(OptionError, match="the style is 80 x 40 px at this size, too small for relu5_1"):
        FeedForwardLesson(Encoder(tiny_vgg()), STYLE[:, :, :40], squares, replace(deep, side=64), ())
    with pytest.raises(OptionError, match="side is 40; relu5_1, relu2_2 need at least 48 px"):
        replace(deep, side=40)
    with pytest.raises(OptionError, match="style_layers is empty"):
        replace(OPTIONS, style_layers=())
    with pytest.raises(OptionError, match="no layer is called 'relu9_1'"):
        replace(OPTIONS, content_layers=("relu9_1",))


def test_a_style_at_the_size_that_it_is_learnt_at() -> None:
    assert seen_at(torch.rand(1, 3, 60, 80), 120).shape == (1, 3, 90, 120)
    assert seen_at(torch.rand(1, 3, 300, 80), 30).shape == (1, 3, 30, 8)
