"""Whole works at any size, aspect and kind of picture: what is asked for comes out, finite."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from katazome.api import Session
from katazome.errors import OptionError
from katazome.pictures.resize import parse_size

LEAST = 48
"""Smallest side (px) that relu5_1 takes."""

sides = st.integers(LEAST, 150)
modes = st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])


def noise(width: int, height: int, mode: str) -> Image.Image:
    """A picture of clouds, drawn anew for each size."""
    small = Image.effect_noise((max(2, width // 8), max(2, height // 8)), 90).resize((width, height))
    if mode == "I;16":
        return small.convert("I").point(lambda v: v * 257).convert("I;16")
    colours = Image.merge("RGB", (small, small.transpose(Image.Transpose.ROTATE_180), small))
    if mode in {"LA", "RGBA"}:
        made = colours.convert(mode)
        made.putalpha(small)
        return made
    return colours.convert(mode)


@settings(max_examples=25)
@given(sides, sides, sides, sides, modes, st.sampled_from(["gatys", "multiscale"]))
def test_a_restyled_picture_has_the_size_that_was_asked_for(
    session: Session, width: int, height: int, style_width: int, style_height: int, mode: str, method: str
) -> None:
    content, style = noise(90, 70, mode), noise(style_width, style_height, "RGB")
    size = f"{width}x{height}"
    try:
        done = session.stylize(content, style, method=method, size=size, iterations=1, precision="float32")
    except OptionError as error:  # a style in proportion can be too narrow a strip; it is said so
        assume("too small for relu5_1" not in str(error))
        raise
    assert done.image.size == (width, height)
    assert done.tensor.shape[1] == (4 if mode in {"LA", "RGBA"} else 3)
    assert torch.isfinite(done.tensor).all()


@settings(max_examples=10)
@given(sides, sides, st.sampled_from([None, 1, 2, 3]))
def test_a_texture_of_any_size(session: Session, width: int, height: int, octaves: int | None) -> None:
    more = {} if octaves is None else {"octaves": octaves}
    done = session.texture(noise(96, 96, "RGB"), size=f"{width}x{height}", iterations=1, **more)
    assert done.image.size == (width, height)


@given(
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.one_of(
        st.integers(1, 4000).map(str),
        st.integers(1, 300).map("{}%".format),
        st.floats(0.001, 30).map("{:.3f}MP".format),
    ),
)
def test_a_size_in_words_keeps_the_aspect(height: int, width: int, text: str) -> None:
    found = parse_size(text, (height, width))
    scale = max(found) / max(height, width)
    for side, native in zip(found, (height, width), strict=True):
        assert side == 1 or abs(side - native * scale) <= 1
