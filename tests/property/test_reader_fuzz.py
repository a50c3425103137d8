"""Whatever bytes come in, only a PictureError comes out."""

from __future__ import annotations

import contextlib
import io
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from katazome.errors import PictureError
from katazome.pictures import deep
from katazome.pictures.decode import srgb_profile
from katazome.pictures.read import read
from katazome.recipe import read_recipe

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "GIF", "PNG16", "TIFF16", "CMYK"]
PACKET = "<katazome:recipe>{&quot;format&quot;: 1}</katazome:recipe>"


@cache
def valid(kind: str) -> bytes:
    rng = np.random.default_rng(1)
    if kind.endswith("16"):
        deep_array = rng.integers(0, 65536, (23, 31, 4), dtype=np.uint16)
        return deep.encode(deep_array, kind[:-2].lower(), srgb_profile(), PACKET)
    image = Image.fromarray(rng.integers(0, 256, (23, 31, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    if kind == "CMYK":
        image.convert("CMYK").save(out, "JPEG", exif=exif)
    elif kind in ("BMP", "GIF"):
        image.save(out, kind)
    elif kind == "TIFF":
        image.save(out, kind, compression="tiff_lzw", icc_profile=srgb_profile())
    else:
        image.save(out, kind, exif=exif, icc_profile=srgb_profile())
    return out.getvalue()


def attempt(data: bytes) -> None:
    for longest in (None, 4):
        picture, said = None, ""
        try:
            picture = read(data, longest=longest, max_pixels=100_000)
        except PictureError as error:
            said = str(error)
        if picture is None:
            assert "the picture in memory" in said  # it names the file
        else:
            assert picture.pixels.shape == (1, 3, picture.height, picture.width)
            assert 0 <= float(picture.pixels.min()) <= float(picture.pixels.max()) <= 1
    with contextlib.suppress(PictureError):
        read_recipe(data)


@pytest.mark.parametrize("kind", KINDS)
def test_valid_files_are_read(kind):
    assert {read(valid(kind)).height, read(valid(kind)).width} == {23, 31}


@quick
@given(st.binary(max_size=400))
def test_random_bytes(data):
    attempt(data)


@quick
@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_random_bytes_after_a_true_beginning(kind, data):
    attempt(valid(kind)[:24] + data)


@quick
@given(st.sampled_from(KINDS), st.floats(0, 1))
def test_truncated(kind, share):
    data = valid(kind)
    attempt(data[: int(len(data) * share)])


@settings(quick, max_examples=150)
@given(
    st.sampled_from(KINDS), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=8)
)
def test_bits_flipped(kind, flips):
    data = bytearray(valid(kind))
    for place, mask in flips:
        # squared: headers are where the trouble is
        data[int(place**2 * (len(data) - 1))] ^= mask
    attempt(bytes(data))


@quick
@given(st.binary(max_size=300), st.sampled_from([b"</katazome:recipe>", b"", b'"']), st.booleans())
def test_junk_recipes(junk, end, attribute):
    start = b' katazome:recipe="' if attribute else b"<katazome:recipe>"
    attempt(valid("PNG") + start + junk + end)


@quick
@given(st.text(max_size=200))
def test_junk_json_in_a_recipe(text):
    attempt(b"<katazome:recipe>" + text.encode("utf-8", "replace") + b"</katazome:recipe>")
