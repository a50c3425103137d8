"""VGG-19 against plain autograd, and what it says when it is asked for what it cannot do."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.errors import MethodError, OptionError
from katazome.networks.kernels import PaddingPair, Pooling
from katazome.networks.vgg import (
    CONVOLUTIONS,
    TAPS,
    Encoder,
    EncoderSettings,
    deepest,
    smallest_side,
    tap,
)
from katazome.weights.flavours import VGGWeights
from tests import reference
from tests.tiny import tiny_vgg

PADDINGS: list[PaddingPair] = [
    ("reflect", "reflect"),
    ("zeros", "zeros"),
    ("replicate", "replicate"),
    ("circular", "circular"),
    ("circular", "reflect"),
    ("zeros", "circular"),
    ("replicate", "zeros"),
]
TAP_SETS = {
    "single shallow": ("relu1_1",),
    "single deep": ("relu5_1",),
    "before the ReLU": ("conv4_2",),
    "a pool": ("pool3",),
    "conv and relu of one layer": ("conv3_2", "relu3_2"),
    "before and after a pool": ("conv2_2", "relu2_2", "pool2", "conv3_1"),
    "the usual five": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "in any order": ("relu4_2", "pool1", "conv1_1"),
    "all": tuple(TAPS),
}
# field and stride (px), from the table of the first sheet
FIELDS = """conv1_1 3/1 · conv1_2 5/1 · pool1 6/2 · conv2_1 10/2 · conv2_2 14/2 · pool2 16/4 · conv3_1 24/4 ·
conv3_2 32/4 · conv3_3 40/4 · conv3_4 48/4 · pool3 52/8 · conv4_1 68/8 · conv4_2 84/8 · conv4_3 100/8 ·
conv4_4 116/8 · pool4 124/16 · conv5_1 156/16 · conv5_2 188/16 · conv5_3 220/16 · conv5_4 252/16 ·
pool5 268/32"""
TINY = tiny_vgg(1)
WIDE = tiny_vgg(2, (8, 8, 256, 256, 8))  # wide enough for Winograd


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def encoder(
    padding: PaddingPair = ("reflect", "reflect"),
    pooling: Pooling = "max",
    dtype: torch.dtype = torch.float64,
    *,
    weights: VGGWeights = TINY,
    fast: bool = True,
) -> Encoder:
    return Encoder(weights, EncoderSettings(padding=padding, pooling=pooling, dtype=dtype, fast=fast))


def pulled(features: Mapping[str, Tensor], picture: Tensor, seed: int = 5) -> Tensor:
    """The gradient of an arbitrary linear function of all features."""
    roots = list(features.values())
    grads = [draw(*f.shape, seed=seed + k).to(f.dtype) - 0.3 for k, f in enumerate(roots)]
    (gradient,) = torch.autograd.grad(roots, picture, grads)
    return gradient


def relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


# every padding with the whole chain, every set of taps with two of the paddings
CASES = [
    pytest.param(padding, pooling, TAP_SETS[key], id=f"{'-'.join(padding)}, {pooling}, {key}")
    for padding, pooling, key in itertools.product(PADDINGS, ("max", "average"), TAP_SETS)
    if key == "all" or padding in PADDINGS[3:5]
]


@pytest.mark.parametrize(("padding", "pooling", "names"), CASES)
def test_features_and_gradient_are_those_of_autograd(padding, pooling, names):
    least = 2 * deepest(names).stride
    size = (1, 3, least + 5, least + 1) if pooling == "max" else (2, 3, least, least + 3)
    picture = draw(*size).requires_grad_()
    expected = reference.encode(TINY, picture, names, padding, pooling)
    found = encoder(padding, pooling)(picture, names)
    assert tuple(found) == names
    for name in names:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-11)
        assert found[name].is_contiguous(memory_format=torch.channels_last)
    ordered = {name: expected[name] for name in names}
    torch.testing.assert_close(pulled(found, picture), pulled(ordered, picture), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("padding", PADDINGS[:5], ids="-".join)
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize(
    ("dtype", "fast", "tolerance"),
    [(torch.float32, False, 3e-6), (torch.float32, True, 2e-5), (torch.bfloat16, True, 0.1)],
    ids=["float32 direct", "float32 fast", "bfloat16"],
)
def test_narrower_types_and_winograd(padding, pooling, dtype, fast, tolerance):
    names = ("relu2_1", "pool3", "conv4_2", "relu4_2", "relu5_1")
    picture = draw(1, 3, 45, 50).requires_grad_()
    expected = reference.encode(WIDE, picture, names, padding, pooling)
    narrow = picture.detach().float().requires_grad_()
    found = encoder(padding, pooling, dtype, weights=WIDE, fast=fast)(narrow, names)
    for name in names:
        assert found[name].dtype == dtype
        assert relative(found[name], expected[name]) < tolerance
    # Where rounding makes another of two nearly equal pixels the maximum, the gradient takes another way.
    assert relative(pulled(found, narrow), pulled(expected, picture)) < max(3 * tolerance, 0.02)


def test_winograd_is_used_only_where_it_pays():
    def used(e: Encoder) -> set[str]:
        e(draw(1, 3, 32, 32, dtype=torch.float32), ["relu5_1"])
        return {name for name, c in e._ready.items() if c.winograd}

    assert used(encoder(dtype=torch.float32, weights=WIDE)) == {n for n in CONVOLUTIONS if n[4] in "34"}
    assert not used(encoder(dtype=torch.float32, weights=WIDE, fast=False))
    assert not used(encoder(dtype=torch.float64, weights=WIDE))


def test_strides_and_radii_are_those_of_the_table():
    table = dict(entry.split() for entry in FIELDS.replace("\n", " ").split(" · "))
    assert list(table) == [name for name in TAPS if not name.startswith("relu")]
    for name, entry in table.items():
        field, stride = (int(n) for n in entry.split("/"))
        for t in (tap(name), tap(name.replace("conv", "relu"))):
            assert (t.stride, 2 * t.radius + t.stride) == (stride, field)
    assert [tap(f"relu{b}_1").radius for b in range(1, 6)] == [1, 4, 10, 30, 70]
    assert tap("relu4_2").radius == 38


@pytest.mark.parametrize("name", ["relu1_1", "pool1", "conv2_2", "pool3", "relu4_1"])
@pytest.mark.parametrize("pooling", ["average"])
def test_a_position_sees_exactly_its_radius(name, pooling):
    """All weights positive: what is seen has a gradient, what is not has none."""
    positive = tiny_vgg(3)
    convs = {k: (w.abs(), b.abs()) for k, (w, b) in positive.convs.items()}
    object.__setattr__(positive, "convs", convs)
    object.__setattr__(positive, "colour", (torch.eye(3), torch.ones(3)))
    t = tap(name)
    cell = 6 if t.stride > 1 else 70
    side = max(160, (cell + 8) * t.stride)
    picture = draw(1, 3, side, side).requires_grad_()
    feature = encoder(pooling=pooling, weights=positive)(picture, [name])[name]
    (gradient,) = torch.autograd.grad(feature[0, 0, cell, cell], picture)
    rows = gradient[0, 0].abs().sum(1).nonzero()[:, 0]
    first, last = cell * t.stride - t.radius, (cell + 1) * t.stride - 1 + t.radius
    assert (int(rows.min()), int(rows.max())) == (first, last)


def test_short_names():
    pairs = {"r42": "relu4_2", "c42": "conv4_2", "p3": "pool3", "R1_1": "relu1_1", " Relu5_4 ": "relu5_4"}
    for short, full in pairs.items():
        assert tap(short).name == full
    assert set(encoder()(draw(1, 3, 32, 32), ["r11", "relu1_1", "p1"])) == {"relu1_1", "pool1"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("relu4_5", "relu4_"),
        ("rleu4_2", "relu4_2"),
        ("pol3", "pool3"),
        ("r49", "relu4_"),
        ("conv42", "conv4_2"),
    ],
)
def test_an_unknown_layer_names_the_nearest(name, near):
    with pytest.raises(OptionError, match=f"no layer is called '{name}'; did you mean '{near}"):
        tap(name)


@pytest.mark.parametrize("name", ["", "7", "fc6", "r", "relu4_22"])
def test_what_is_no_layer_is_refused(name):
    with pytest.raises(OptionError, match="no layer is called"):
        encoder()(draw(1, 3, 32, 32), [name])


def test_a_picture_too_small_says_so():
    with pytest.raises(OptionError, match=r"64 x 31 is too small for relu5_1.*at least 32 px"):
        encoder()(draw(1, 3, 31, 64), ["relu1_1", "relu5_1"])
    encoder()(draw(1, 3, 32, 32), ["relu5_1"])
    assert smallest_side(["relu1_1", "relu4_2"]) == 24


@pytest.mark.parametrize(
    "picture",
    [torch.zeros(3, 32, 32), torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)],
    ids=["3 axes", "grey", "bytes"],
)
def test_what_is_no_picture_says_so(picture):
    with pytest.raises(MethodError, match=r"float picture of shape \(B, 3, H, W\)"):
        encoder()(picture, ["relu1_1"])


def test_no_taps_no_features():
    assert encoder()(draw(1, 3, 2, 2), []) == {}


def test_is_not_evaluated_deeper_than_asked():
    e = encoder()
    e(draw(1, 3, 32, 32), ["relu2_1"])
    assert set(e._ready) == {"conv1_1", "conv1_2", "conv2_1"}


def test_features_can_be_differentiated_once():
    picture = draw(1, 3, 32, 32).requires_grad_()
    features = encoder()(picture, ["relu1_1", "relu3_1"])
    features["relu3_1"].sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        features["relu1_1"].sum().backward()  # type: ignore[no-untyped-call]
    deep = encoder()(picture, ["relu3_1"])["relu3_1"].square().sum()
    (gradient,) = torch.autograd.grad(deep, picture, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("used", [("relu1_1",), ("pool2",), ("conv4_1", "relu1_1")])
def test_a_tap_that_is_not_used_costs_nothing_and_changes_nothing(used):
    picture = draw(1, 3, 32, 33).requires_grad_()
    few = encoder()(picture, used)
    expected = pulled(few, picture)
    many = encoder()(picture, [*used, "relu2_2", "relu4_4"])
    found = pulled({name: many[name] for name in used}, picture)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_no_graph_is_kept_when_grad_is_off():
    picture = draw(1, 3, 64, 64).requires_grad_()
    with torch.no_grad():
        assert all(f.grad_fn is None for f in encoder()(picture, list(TAPS)).values())
    assert all(f.grad_fn is None for f in encoder()(picture.detach(), list(TAPS)).values())


def test_memory_is_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        e = encoder()
        picture = draw(1, 3, 48, 48).requires_grad_()
        features = e(picture, ["conv2_1", "pool3", "relu4_2"])
        node = weakref.ref(features["relu4_2"].grad_fn)
        tape: Any = getattr(features["relu4_2"].grad_fn, "tape", [])
        kept = [weakref.ref(k.positive) for k in tape if k.positive is not None]
        del tape
        assert len(kept) > 5
        del features  # never differentiated
        assert node() is None
        assert not [k for k in kept if k() is not None]
        features = e(picture, ["conv2_1", "pool3", "relu4_2"])
        node = weakref.ref(features["relu4_2"].grad_fn)
        torch.autograd.backward([f.square().sum() for f in features.values()])
        del features
        assert node() is None
        other = e.with_(padding=("zeros", "zeros"))
        gone = [weakref.ref(e), weakref.ref(other)]
        del e, other
        assert [g() for g in gone] == [None, None]
    finally:
        gc.enable()


def test_run_otherwise_shares_what_is_ready():
    e = encoder()
    e(draw(1, 3, 32, 32), ["relu2_1"])
    other = e.with_(padding=("zeros", "circular"), pooling="average")
    assert other.settings.padding == ("zeros", "circular")
    assert other._ready is e._ready
    assert other.with_(dtype=torch.float32)._ready is not e._ready
    assert e.with_(dtype=torch.float32)._ready is other.with_(dtype=torch.float32)._ready
    assert e.settings.padding == ("reflect", "reflect")


def test_channels():
    assert [encoder().channels(n) for n in ("conv1_2", "pool1", "relu2_1", "p5")] == [4, 4, 8, 8]


def test_batches_are_independent():
    pair = draw(2, 3, 33, 40)
    for padding in PADDINGS[:2]:
        e = encoder(padding)
        both, one = e(pair, ["relu4_1"])["relu4_1"], e(pair[1:], ["relu4_1"])["relu4_1"]
        torch.testing.assert_close(both[1:], one, rtol=1e-12, atol=1e-12)
