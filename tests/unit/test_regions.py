from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from katazome.errors import OptionError, RegionError
from katazome.pictures.composite import composite
from katazome.pictures.mask import feathered, mask_map
from katazome.pictures.read import Picture, read
from katazome.regions.covering import coverage, map_of
from katazome.regions.grammar import parse, parse_list, parse_placement
from katazome.regions.region import Region


def picture(height: int = 6, width: int = 9, channels: int = 3) -> Picture:
    return read(torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1)))


def soft(seed: int, height: int = 6, width: int = 9) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


A, B = Region.mask(soft(2)), Region.mask(soft(3))


def test_algebra() -> None:
    p = picture()
    a, b = A.of(p), B.of(p)
    torch.testing.assert_close(a, soft(2))
    torch.testing.assert_close((~A).of(p), 1 - a)
    torch.testing.assert_close((A & B).of(p), a * b)
    torch.testing.assert_close((A | B).of(p), a + b - a * b)
    assert (~~A) is A
    assert Region.everything().of(p).eq(1).all()


def test_parts_add_up_to_the_whole() -> None:
    p = picture()
    torch.testing.assert_close((A & B).of(p) + (A & ~B).of(p), A.of(p))
    torch.testing.assert_close((A | B).of(p), (~(~A & ~B)).of(p))


def test_transparent() -> None:
    p = picture(channels=4)
    assert p.alpha is not None
    torch.testing.assert_close(Region.transparent().of(p), 1 - p.alpha)
    assert not Region.transparent().of(picture()).any()


WORDS = {
    "everything": "everything",
    "not:transparent": "not:transparent",
    "not transparent": "not:transparent",
    "NOT:(everything)": "not:everything",
    "mask:a.png": "mask:a.png",
    "mask:'my sky=1 (2).png'": 'mask:"my sky=1 (2).png"',
    "mask:C:\\pictures\\a.png": "mask:C:\\pictures\\a.png",
    "mask:空.png": "mask:空.png",
    "everything and not:mask:a or transparent": "((everything and not:mask:a) or transparent)",
    "everything and(mask:a or mask:b)": "(everything and (mask:a or mask:b))",
    "mask:and or mask:or": "(mask:and or mask:or)",
    "  ( ( everything ) )  ": "everything",
}


@pytest.mark.parametrize(("text", "read_as"), WORDS.items())
def test_words(text: str, read_as: str) -> None:
    assert str(parse(text)) == read_as
    assert str(parse(read_as)) == read_as


@pytest.mark.parametrize(
    ("text", "at", "what"),
    [
        ("", 0, "expected a region here"),
        ("evrything", 0, "there is no region 'evrything'; did you mean 'everything'?"),
        ("mask", 4, "expected :NAME after mask"),
        ("mask: a.png", 5, "expected a name after mask:"),
        ("mask:'a.png", 5, "this quote is not closed"),
        ("mask:my sky.png", 8, "put in quotes"),
        ("everything and", 14, "expected a region here"),
        ("(everything or mask:a", 21, "expected ) here"),
        ("everything)", 10, "the end"),
        ("not:", 4, "expected a region here"),
        ("everything, transparent", 10, "the end"),
    ],
)
def test_an_error_points_at_the_character(text: str, at: int, what: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(text)
    said, shown, pointer = str(caught.value).split("\n")
    assert what in said
    assert shown == "  " + text
    assert pointer == " " * (at + 2) + "^"


def test_lists_and_placements() -> None:
    assert [str(r) for r in parse_list("mask:a, not:mask:'b,c'")] == ["mask:a", 'not:mask:"b,c"']
    region, style = parse_placement("not:mask:'a=b'=my waves=1.jpg")
    assert (str(region), style) == ('not:mask:"a=b"', "my waves=1.jpg")
    for text in ("mask:a", "mask:a="):
        with pytest.raises(OptionError, match="expected = and a style picture"):
            parse_placement(text)


def test_what_goes_into_a_recipe_names_no_file() -> None:
    region = parse("(mask:'anna/secret.png' and not:mask:b) or transparent")
    assert region.anonymous() == "((mask:file and not:mask:file) or transparent)"


names = st.text(min_size=1, max_size=12).filter(lambda s: not ('"' in s and "'" in s))
regions = st.recursive(
    st.one_of(st.just(Region.everything()), st.just(Region.transparent()), names.map(Region.mask)),
    lambda inner: st.one_of(
        inner.map(lambda a: ~a),
        st.tuples(inner, inner).map(lambda p: p[0] & p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] | p[1]),
    ),
    max_leaves=6,
)


@given(regions)
def test_words_are_read_back(region: Region) -> None:
    assert str(parse(str(region))) == str(region)


@given(st.text(max_size=30))
def test_any_text_is_a_region_or_a_sentence(text: str) -> None:
    try:
        parse(text)
    except OptionError as error:
        pointer = str(error).split("\n")[-1]
    else:
        pointer = "^"
    assert pointer.strip() == "^"


def test_a_mask_of_any_size_is_scaled_and_keeps_soft_values() -> None:
    small = torch.tensor([[0.0, 0.25], [0.5, 1.0]]).view(1, 1, 2, 2)
    found = mask_map(small, picture(40, 40))
    assert found.shape == (1, 1, 40, 40)
    assert found[0, 0, 0, 0] == 0
    assert found[0, 0, -1, -1] == 1
    assert float(found[0, 0, 30, 5]) == pytest.approx(0.5, abs=0.1)


def test_a_mask_of_another_aspect_is_refused_with_both_sizes() -> None:
    with pytest.raises(RegionError, match=r"is 50 x 40 px, the picture .* 40 x 40"):
        mask_map(torch.rand(1, 1, 40, 50), picture(40, 40))
    mask_map(torch.rand(1, 1, 333, 500), picture(67, 100))  # the same, as far as whole pixels can say


def test_a_large_picture_decoded_small_is_told_by_its_own_size() -> None:
    decoded = replace(picture(40, 60), native=(400, 600))
    assert mask_map(torch.rand(1, 1, 400, 600), decoded).shape == (1, 1, 40, 60)


def test_label_pictures_and_alpha_are_masks() -> None:
    dark_red = torch.zeros(3, 4, 4)
    dark_red[0, 1:3, 1:3] = 0.5
    assert mask_map(dark_red, picture(4, 4)).sum() == 4
    shape = torch.cat([torch.ones(3, 4, 4), soft(4, 4, 4)[0]])
    torch.testing.assert_close(mask_map(shape, picture(4, 4)), soft(4, 4, 4))


def test_empty_regions_are_refused() -> None:
    with pytest.raises(RegionError, match="region transparent is empty in 'picture'"):
        map_of(Region.transparent(), picture())


def test_coverage_in_per_cent_and_pixels() -> None:
    left, right = torch.zeros(1, 1, 10, 10), torch.zeros(1, 1, 10, 10)
    left[..., :6], right[..., 5:9] = 1, 1
    assert coverage(["a", "b"], [left, right]) == [
        "a: 60.0% of the picture (60 px)",
        "b: 40.0% of the picture (40 px)",
        "regions overlap in 10.0% of the picture (10 px), which takes the look of each",
        "no region has 10.0% of the picture (10 px), which stays as it is",
    ]
    assert coverage(["a"], [left]) == ["a: 60.0% of the picture (60 px)"]


def test_feathering_keeps_area_and_softens() -> None:
    disc = ((torch.arange(64) - 32).square() + (torch.arange(64).view(-1, 1) - 32).square() < 200).float()
    found = feathered(disc.view(1, 1, 64, 64), 3.0)
    assert float(found.sum()) == pytest.approx(float(disc.sum()), rel=1e-3)
    assert 0.3 < float(found[0, 0, 32, 32 + 14]) < 0.7
    assert feathered(disc.view(1, 1, 64, 64), 0.0) is not None
    assert feathered(torch.ones(1, 1, 5, 5), 20.0).min() > 0.999


def test_composite_gives_each_side_back_exactly() -> None:
    inside, outside = torch.rand(2, 1, 3, 8, 8).unbind()
    region = torch.zeros(1, 1, 8, 8)
    region[..., :3], region[..., 3] = 1, 0.25
    mixed = composite(inside, outside, region)
    assert torch.equal(mixed[..., :3], inside[..., :3])
    assert torch.equal(mixed[..., 4:], outside[..., 4:])
    torch.testing.assert_close(mixed[..., 3], 0.25 * inside[..., 3] + 0.75 * outside[..., 3])
