"""Learning a decoder: the least-squares beginning, squares of pictures, what a step costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from katazome.collections.folders import Source, find
from katazome.errors import PictureError
from katazome.networks.decoders import Decoder, DecoderWeights, Facts
from katazome.networks.vgg import Encoder
from katazome.training.data import Squares, few, held_first, split
from katazome.training.steps.decoder import DecoderLesson, DecoderOptions, Mirror, made
from tests.tiny import tiny_vgg

OPTIONS = DecoderOptions(level=2, side=32, batch=4)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, ...]:
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for number in range(8):
        coarse = draw.integers(0, 255, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((70, 50)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return find([folder])


def test_squares_are_drawn_alike_and_broken_pictures_noted(sources: tuple[Source, ...]) -> None:
    squares = Squares(sources, 32)
    draws = [squares.draw(40, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert draws[0].shape == (40, 3, 32, 32)
    assert 0 <= float(draws[0].min()) < float(draws[0].max()) <= 1
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    part = squares.draw(40, torch.Generator().manual_seed(1), slice(10, 20))
    assert torch.equal(part, draws[0][10:20])
    assert [source.name for source in squares.skipped] == ["broken.png"]
    assert torch.equal(Squares(sources, 32).draw(40, torch.Generator().manual_seed(1)), draws[0])
    assert len(squares.middles(5)) == 5
    assert len(squares.middles(50)) == 8


def test_small_pictures_are_enlarged_to_a_square(tmp_path: Path) -> None:
    Image.new("RGB", (10, 20), (255, 0, 0)).save(tmp_path / "a.png")
    found = Squares(find([tmp_path]), 32).draw(2, torch.Generator())
    torch.testing.assert_close(found[:, 0], torch.ones(2, 32, 32))


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="no picture of the folders"):
        Squares(find([tmp_path]), 32).draw(1, torch.Generator())


def test_pictures_are_told_apart_by_name(sources: tuple[Source, ...]) -> None:
    learn, held = split(sources)
    assert {*learn, *held} == {*sources}
    assert len(learn) + len(held) == len(sources)
    assert held
    with pytest.raises(PictureError, match="there is one picture"):
        split(sources[:1])
    many = [Source(Path("x"), f"{n}.png") for n in range(4000)]
    _, out = split(many)
    assert 150 < len(out) < 250
    assert held_first(many)[: len(out)] == out
    # whatever others there are
    assert set(split(many[:2000])[1]) <= set(out)
    some = few(many, 1000)
    assert len(some) == 1000
    assert 30 < len(split(some)[1]) < 75
    assert few([*many, Source(Path("y"), "a.png")], 2)[2].folder == Path("y")


def test_the_beginning_is_the_least_squares_inverse() -> None:
    """One convolution, against the solution of a library."""
    encoder = Encoder(tiny_vgg())
    draw = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, 16, 18, generator=draw)  # few enough that all positions are taken
    mirror = Mirror(encoder, "relu1_1")
    features = encoder(pixels, ["relu1_1"])["relu1_1"]
    mirror.invert(encoder, pixels, draw)
    patches = F.unfold(F.pad(features, (1, 1, 1, 1), mode="reflect"), 3).transpose(1, 2).flatten(0, 1)
    given = torch.cat([patches, torch.ones(len(patches), 1)], 1).double()
    target = pixels.permute(0, 2, 3, 1).reshape(-1, 3).double()
    best = (given @ torch.linalg.lstsq(given, target).solution - target).square().mean()
    made = (mirror(features) - pixels).square().mean().detach()
    assert float(best) <= float(made) < 1.02 * float(best)


def test_a_lesson_goes_down_and_its_decoder_is_the_same_chain(sources: tuple[Source, ...]) -> None:
    encoder = Encoder(tiny_vgg())
    lesson = DecoderLesson(encoder, Squares(sources, 32), OPTIONS)
    terms = lesson.terms(0, torch.Generator().manual_seed(0))
    assert set(terms) == {"pixels", "features"}
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.any()) for p in lesson.module.parameters())
    again = DecoderLesson(encoder, Squares(sources, 32), OPTIONS)
    for one, other in zip(lesson.module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(one, other)
    weights = made(lesson, encoder, OPTIONS, {"terms": "drawn"})
    assert isinstance(weights, DecoderWeights)
    assert isinstance(weights.facts, Facts)
    features = encoder(torch.rand(1, 3, 32, 48), ["relu2_1"])["relu2_1"]
    with torch.no_grad():
        expected = lesson.module(features)
    torch.testing.assert_close(Decoder(weights)(features), expected, atol=1e-4, rtol=1e-4)


def test_errors_are_relative_and_measured(sources: tuple[Source, ...]) -> None:
    lesson = DecoderLesson(Encoder(tiny_vgg()), Squares(sources, 32), OPTIONS)
    found = lesson.measure(Squares(sources, 32).middles(3))
    assert 0 < found["pixels"] < 1
    assert found["features"] > 0
