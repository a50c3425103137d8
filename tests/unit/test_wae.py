"""The autoencoder of style and content: descriptions of looks, both forms, what a step costs, its file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from katazome.collections.cache import Features, drained
from katazome.collections.folders import Source, find
from katazome.errors import GivenWeightsError, OptionError
from katazome.losses.style import Look, LookStatistics
from katazome.networks.decoders import open_decoder
from katazome.networks.vgg import Encoder
from katazome.networks.wae import (
    COLUMNS,
    HALO,
    STRIDE,
    STYLE_TAPS,
    WAE,
    Describer,
    described,
    matrices,
    normalised,
)
from katazome.networks.wae_model import SHELF, WAEWeights
from katazome.objective.whole import gather
from katazome.training.pairs import VIEWS, Pairs, descriptions, larger, views
from katazome.training.steps.wae import REGIMES, WAELesson, WAEOptions, _drawn, fresh
from tests.tiny import tiny_vgg

SIDE = 32
BATCH = 6


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, ...]:
    """Two folders, of nine and of three pictures, and one broken."""
    draw = np.random.default_rng(0)
    folders = [tmp_path_factory.mktemp(name) for name in ("many", "few")]
    for folder, count in zip(folders, (9, 3), strict=True):
        for number in range(count):
            coarse = draw.integers(0, 255, (6, 7, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((70, 50)).save(folder / f"{number}.png")
    (folders[0] / "broken.png").write_bytes(b"no picture")
    return find(folders)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(tiny_vgg())


@pytest.fixture(scope="module")
def seen(sources: tuple[Source, ...], encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Features:
    net, _ = fresh(encoder, options())
    return drained(descriptions(encoder, net, SIDE, sources, tmp_path_factory.mktemp("cache")))


def options(**more: object) -> WAEOptions:
    return WAEOptions.from_json(
        {"resolution": SIDE, "batch": BATCH, "style_size": 5, "content_size": 4, **more}
    )


def test_descriptions_are_gram_matrices_in_fixed_directions() -> None:
    channels = (40, 8, 8, 64)
    describer = Describer(channels)
    draw = torch.Generator().manual_seed(0)
    features = {n: torch.rand(2, c, 6, 5, generator=draw) for n, c in zip(STYLE_TAPS, channels, strict=True)}
    found = describer(features)
    assert found.shape == (2, describer.width)
    assert describer.columns == [COLUMNS, 8, 8, COLUMNS]
    grams = {n: torch.einsum("ahw,bhw->ab", f[1], f[1]) / 30 for n, f in features.items()}
    torch.testing.assert_close(describer.of_grams(grams)[0], found[1], atol=1e-4, rtol=1e-4)
    for name in STYLE_TAPS:
        p = describer.get_buffer(name)
        torch.testing.assert_close(p.t() @ p, torch.eye(p.shape[1]), atol=1e-5, rtol=0)
    # another network of the same channels sees in the same directions
    assert torch.equal(Describer(channels).get_buffer("relu3_1"), describer.get_buffer("relu3_1"))


def test_a_description_gives_its_matrices_back() -> None:
    square = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    both = [square + square.transpose(1, 2), (2 * square - 2 * square.transpose(1, 2)).square()]
    found = matrices(described(both), [4, 4])
    for a, b in zip(found, both, strict=True):
        torch.testing.assert_close(a, b)


def test_a_spatial_code_knows_no_colours_mean_or_contrast() -> None:
    net = WAE((4, 8, 8, 8), 3, 5, SIDE, spatial=True)
    code = net.content_code(torch.rand(2, 3, 24, 40)).detach()
    assert code.shape == (2, 3, 3, 5)
    assert float(code.mean((2, 3)).abs().max()) < 1e-5
    found = normalised(torch.rand(2, 3, 4, 5))
    torch.testing.assert_close(found.square().mean((2, 3)), torch.ones(2, 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(normalised(3 * found + 7), found, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("part", ["content", "decoder"])
def test_what_lies_further_than_the_halo_is_not_seen(part: str) -> None:
    net = WAE((4, 8, 8, 8), 3, 5, SIDE, spatial=True).double()
    pixels = torch.rand(1, 3, 256, 64, dtype=torch.float64)
    code = torch.rand(1, 3, 32, 8, dtype=torch.float64)
    style = torch.rand(1, 5, dtype=torch.float64)
    middle = 128 // STRIDE
    if part == "content":
        x = pixels.requires_grad_()
        net.content(x)[:, :, middle].sum().backward()
        unit = 1
    else:
        x = code.requires_grad_()
        net.decode(x, style)[:, :, 128 : 128 + STRIDE].sum().backward()  # type: ignore[no-untyped-call]
        unit = STRIDE
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    assert int(rows.min()) * unit >= 128 - HALO
    assert (int(rows.max()) + 1) * unit <= 128 + STRIDE + HALO


def test_vectors_have_the_sizes_that_were_asked_for() -> None:
    net = WAE((4, 8, 8, 8), 7, 5, SIDE, spatial=False).eval()
    code = net.content_code(torch.rand(2, 3, SIDE, SIDE))
    assert code.shape == (2, 7)
    assert net.decode(code, torch.rand(2, 5)).shape == (2, 3, SIDE, SIDE)
    assert net.parameter_count() == sum(p.numel() for p in net.parameters())


def test_views_are_of_the_picture() -> None:
    square = torch.rand(2, 3, larger(SIDE), larger(SIDE))
    found = views(square, SIDE)
    assert len(found) == VIEWS
    assert all(v.shape == (2, 3, SIDE, SIDE) for v in found)
    assert torch.equal(found[1].flip(3), found[0])
    half = SIDE // 2
    assert torch.equal(found[2], square[:, :, half:-half, half:-half])
    assert torch.equal(found[3].flip(3), square[:, :, :SIDE, :SIDE])


def test_a_drawn_picture_goes_with_its_own_description(seen: Features, encoder: Encoder) -> None:
    assert len(seen) == 12
    assert [s.name for s in seen.skipped] == ["broken.png"]
    net, _ = fresh(encoder, options())
    pairs = Pairs(seen, SIDE)
    pixels, rows = pairs.draw(20, torch.Generator().manual_seed(3))
    again = Pairs(seen, SIDE).draw(20, torch.Generator().manual_seed(3))
    assert torch.equal(pixels, again[0])
    assert torch.equal(rows, again[1])
    with torch.no_grad():
        own = net.describer(encoder(pixels, STYLE_TAPS))
    # bytes, half precision and, where it is fast, bfloat16 lie between
    torch.testing.assert_close(rows, own, atol=0.05, rtol=0.05)
    assert not torch.allclose(rows, own.roll(1, 0), atol=0.05, rtol=0.05)


def test_each_folder_is_drawn_alike_often(seen: Features) -> None:
    few = [i for i, s in enumerate(seen.sources) if s.folder.name.startswith("few")]
    of_few = Pairs(seen.only(few), SIDE).whole(3)[1]
    _, rows = Pairs(seen, SIDE).draw(400, torch.Generator().manual_seed(0))
    whole = seen.rows(few).flatten(0, 1)
    share = float((rows[:, None] == whole).all(2).any(1).float().mean())
    assert len(of_few) == 3
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("spatial", [False, True])
def test_a_lesson_moves_all_of_the_network(
    regime: str, spatial: bool, seen: Features, encoder: Encoder
) -> None:
    asked = options(regime=regime, spatial=spatial)
    net, _ = fresh(encoder, asked)
    lesson = WAELesson(encoder, net, Pairs(seen, SIDE), asked)
    terms = lesson.terms(0, torch.Generator().manual_seed(0))
    expected = {"pixels", "content mmd", "style mmd"}
    expected |= {"features"} if regime != "faithful" else set()
    expected |= {"swapped style", "swapped content"} if regime == "swap" else set()
    assert set(terms) == expected
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.any()) for p in lesson.module.parameters())
    shallow = lesson.terms(1, torch.Generator().manual_seed(0))
    assert float(shallow["pixels"].detach()) == pytest.approx(float(terms["pixels"].detach()), rel=0.2)
    figures = lesson.measure(*Pairs(seen, SIDE).whole(4))
    assert 0 < figures["pixels"] < 2
    assert figures["style before"] > 0
    with torch.no_grad():
        assert lesson.samples().shape == (1, 3, 4 * SIDE, 12 * SIDE)


def test_the_variational_baseline(seen: Features, encoder: Encoder) -> None:
    asked = options(prior="kl")
    net, facts = fresh(encoder, asked)
    assert facts.variational
    lesson = WAELesson(encoder, net, Pairs(seen, SIDE), asked)
    terms = lesson.terms(0, torch.Generator().manual_seed(0))
    assert set(terms) == {"pixels", "content kl", "style kl"}
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.any()) for p in lesson.module.parameters())
    assert net.content_code(torch.rand(2, 3, SIDE, SIDE)).shape == (2, 4)
    assert net.style_code(torch.rand(2, net.describer.width)).shape == (2, 5)
    with pytest.raises(OptionError, match="prior is kl, the baseline of vector codes"):
        options(prior="kl", spatial=True)


def test_a_code_at_the_prior_costs_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    found, off = _drawn(torch.zeros(500, 6), draw, 500)
    assert float(off) == 0
    assert found.shape == (500, 3)
    assert float(found.std()) == pytest.approx(1, abs=0.05)
    numbers = torch.tensor([[2.0, math.log(0.25)]])
    assert float(_drawn(numbers, draw, 1)[1]) == pytest.approx(0.5 * (4 + 0.25 - 1 + math.log(4)))


def test_the_descriptions_are_brought_to_one_scale(seen: Features, encoder: Encoder) -> None:
    net, _ = fresh(encoder, options())
    WAELesson(encoder, net, Pairs(seen, SIDE), options())
    rows = (seen.rows(range(len(seen))).flatten(0, 1) - net.style.shift) / net.style.scale
    torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), atol=1e-3, rtol=0)
    assert float(rows.std(0).max()) < 1.05


def test_the_file(tmp_path: Path, encoder: Encoder) -> None:
    net, facts = fresh(encoder, options(spatial=True))
    weights = WAEWeights(name="a", sha256="", facts=facts, tensors=net.state_dict())
    weights.write(tmp_path / "a.safetensors")
    found = SHELF.read(tmp_path / "a.safetensors")
    assert found.facts == facts
    assert len(found.sha256) == 64
    assert found.fitting(encoder.weights) is found
    pixels, style = torch.rand(1, 3, 48, 32), torch.rand(1, 5)

    def made(of: WAE) -> Tensor:
        with torch.no_grad():
            return of.decode(of.content_code(pixels), style)

    torch.testing.assert_close(made(found.net()), made(net.eval()), atol=2e-2, rtol=2e-2)
    with pytest.raises(GivenWeightsError, match="was trained on the network tiny, in use is tiny"):
        found.fitting(tiny_vgg(1))
    with pytest.raises(GivenWeightsError, match="is no decoder: it is a wae"):
        open_decoder(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(GivenWeightsError, match="is no autoencoder of style and content: "):
        SHELF.read(tmp_path / "a.safetensors")
    with pytest.raises(GivenWeightsError, match="make one with `katazome train wae"):
        SHELF.read(tmp_path / "b.safetensors")


def test_the_style_of_a_large_picture_is_gathered_in_tiles(encoder: Encoder) -> None:
    net, _ = fresh(encoder, options())
    picture = torch.rand(1, 3, 96, 128)
    whole = net.describer(encoder(picture, STYLE_TAPS))
    look = Look.of(gather(encoder, picture, LookStatistics(STYLE_TAPS), 64))
    torch.testing.assert_close(net.describer.of_grams(look.grams), whole, atol=1e-3, rtol=1e-3)


def test_options_that_cannot_be() -> None:
    with pytest.raises(OptionError, match="resolution is 40; it must be a multiple of 16"):
        WAEOptions(resolution=40)
    assert WAEOptions().content_width == 128
    assert WAEOptions(spatial=True).content_width == 8
