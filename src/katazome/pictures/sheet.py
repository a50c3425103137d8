"""Contact sheets: rows of pictures with captions, for the docs and the studies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from katazome.errors import PictureError
from katazome.pictures.resize import resize

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow's own font is Latin; these are looked for by name where a caption needs more.
_WIDER_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansJP-Regular.otf",
    "Hiragino Sans GB.ttc",
    "ipagp.ttf",
    "msgothic.ttc",
    "DejaVuSans.ttf",
)


def sheet(
    rows: Sequence[Sequence[tuple[str, Tensor]]],
    *,
    cell: int,
    gap: int = 12,
    text: int = 0,
    background: float = 1.0,
) -> Tensor:
    """Lay pictures out in rows, each in the middle of its cell with its caption underneath.

    Every picture is resized to fit a square cell, keeping its aspect ratio; a row is as high as its
    highest picture, so rows of landscapes waste nothing.

    Args:
        rows: for each row (caption, picture) pairs; pictures (1,3,H,W) or (3,H,W) in [0,1]. Captions
            may be empty and are wrapped at the width of the cell. Rows may differ in length.
        cell: side of a cell in pixels.
        gap: pixels between cells and around the sheet.
        text: height of the captions' letters in pixels; 0 chooses by the cell.
        background: grey level in [0,1]; the letters are black or white, whichever reads better.

    Returns:
        (1,3,H,W) float32 in [0,1].
    """
    if not rows or not all(rows):
        raise PictureError("a contact sheet needs at least one row, and one picture in each row")
    size = text or max(11, cell // 18)
    laid = [
        [(_wrapped(caption, size, cell), _fitted(picture, cell)) for caption, picture in row] for row in rows
    ]
    width = gap + max(len(row) for row in rows) * (cell + gap)
    parts = [_row(row, cell, gap, size, width, background) for row in laid]
    edge = torch.full((1, 3, gap, width), background)
    return torch.cat([edge, *parts], dim=2)


def _row(
    row: Sequence[tuple[list[str], Tensor]], cell: int, gap: int, size: int, width: int, background: float
) -> Tensor:
    line = round(size * 1.3)
    lines = max(len(caption) for caption, _ in row)
    high = max(picture.shape[-2] for _, picture in row)
    out = torch.full((1, 3, high + lines * line + gap, width), background)
    text = Image.new("L", (width, lines * line + gap))
    draw = ImageDraw.Draw(text)
    for column, (caption, picture) in enumerate(row):
        left = gap + column * (cell + gap)
        h, w = picture.shape[-2:]
        x, y = left + (cell - w) // 2, (high - h) // 2
        out[..., y : y + h, x : x + w] = picture
        for number, words in enumerate(caption):
            middle = (left + cell / 2, number * line + size * 0.2)
            draw.text(middle, words, fill=255, font=_font(words, size), anchor="ma")
    ink = torch.from_numpy(np.array(text, dtype=np.float32)).div_(255)
    colour = 0.0 if background > 0.5 else 1.0
    out[..., high:, :] += ink * (colour - background)
    return out


def _fitted(picture: Tensor, cell: int) -> Tensor:
    planes = picture.detach().float().cpu()
    planes = planes[None] if planes.ndim == 3 else planes
    if planes.ndim != 4 or planes.shape[:2] != (1, 3):
        raise PictureError(f"a contact sheet takes pictures (1,3,H,W), got {tuple(picture.shape)}")
    h, w = planes.shape[-2:]
    scale = cell / max(h, w)
    return resize(planes, (max(1, round(h * scale)), max(1, round(w * scale)))).clamp(0, 1)


def _wrapped(caption: str, size: int, cell: int) -> list[str]:
    """Break a caption into lines no wider than a cell; a single long word stays whole."""
    lines: list[str] = []
    for word in caption.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(longer, size).getlength(longer) <= cell:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font(text: str, size: int) -> _Font:
    if any(ord(letter) > 0x24F for letter in text):
        for name in _WIDER_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)
