"""Sizes: what a size text means, the one resizing operator, and the two ways to halve.

There is one operator that resizes (:func:`resize`), so that a picture of a given size is the same
wherever it was made. Pyramids inside a loss halve with :func:`shrink` or, as Snelgrove's paper
does, with :func:`shrink_five_tap`; both are chained, never applied as one jump by four: a jump
leaves out pixels or weighs them unequally, which comes back as noise.
"""

from __future__ import annotations

import dataclasses
import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import OptionError, PictureError
from katazome.pictures.colour import bleed
from katazome.pictures.read import Picture

_FIVE_TAP = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt and Adelson 1983, a = 0.4
_LARGEST = 1_000_000  # no format holds a longer side; catches a slip of the keyboard before memory does
_EXAMPLES = "write 1024 (longest side), 2048x1365 (width x height), 50%, 12MP or keep"


def parse_size(text: str | int, native: tuple[int, int]) -> tuple[int, int]:
    """Return the ``(height, width)`` in pixels that a size text asks for.

    ``1024`` is the longest side, ``2048x1365`` is exactly width x height, ``50%`` scales both sides,
    ``12MP`` gives that many million pixels, ``keep`` is the picture's own size. All but the exact
    one keep the aspect ratio to the nearest pixel, and no side falls below 1.

    Args:
        text: the size as above; a whole number is the longest side.
        native: height and width of the picture it refers to.

    Raises:
        OptionError: the text is none of these, or the size is zero or absurdly large.
    """
    height, width = native
    plain = str(text).strip().lower().replace("×", "x").replace(" ", "")
    if plain == "keep":
        return height, width
    if box := re.fullmatch(r"(\d{1,9})x(\d{1,9})", plain):
        return _checked(int(box[2]), int(box[1]), text)
    if side := re.fullmatch(r"\d{1,9}", plain):
        scale = int(side[0]) / max(height, width)
    elif percent := re.fullmatch(r"(\d{1,9}(?:\.\d*)?|\.\d+)%", plain):
        scale = float(percent[1]) / 100
    elif mega := re.fullmatch(r"(\d{1,9}(?:\.\d*)?|\.\d+)mp", plain):
        scale = math.sqrt(float(mega[1]) * 1e6 / (height * width))
    else:
        raise OptionError(f"size is '{text}', which is not a size; {_EXAMPLES}")
    if scale == 0:
        raise OptionError(f"size is '{text}', which leaves no pixels; {_EXAMPLES}")
    return _checked(max(1, round(height * scale)), max(1, round(width * scale)), text)


def _checked(height: int, width: int, text: str | int) -> tuple[int, int]:
    if min(height, width) < 1 or max(height, width) > _LARGEST:
        raise OptionError(
            f"size is '{text}', a picture of {width} x {height} pixels; "
            f"each side must be 1 to {_LARGEST}: {_EXAMPLES}"
        )
    return height, width


def resize(x: Tensor, size: tuple[int, int], wrap: tuple[bool, bool] = (False, False)) -> Tensor:
    """Resize by antialiased bicubic interpolation; the one resizing operator of the program.

    Bicubic kernels overshoot at edges; the result is clamped to the range that each channel of the
    input has, so a picture in [0,1] stays there. Differentiable. Narrow types are computed in
    float32 and come back in their own type.

    Args:
        x: (N,C,H,W) floats, any number of channels.
        size: the new height and width. The same size returns ``x`` itself.
        wrap: whether (rows, columns) are periodic: then the kernel goes round the edge, and no
            seam is left where the picture meets itself.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    if any(wrap):
        return _resize_periodic(x, size, wrap)
    wide = x if x.dtype == torch.float64 else x.float()
    low, high = wide.detach().amin((2, 3), keepdim=True), wide.detach().amax((2, 3), keepdim=True)
    out = F.interpolate(wide, size=tuple(size), mode="bicubic", align_corners=False, antialias=True)
    return out.clamp(low, high).to(x.dtype)


def _resize_periodic(x: Tensor, size: tuple[int, int], wrap: tuple[bool, bool]) -> Tensor:
    """Resize with a rim taken from the other side, and cut the rim off again.

    The rim is a whole number of old pixels that becomes a whole number of new ones, so that the
    grid of the inside stays where it is.
    """
    old = (x.shape[-2], x.shape[-1])
    rims, grown = [0, 0], [0, 0]
    for axis, (before, after) in enumerate(zip(old, size, strict=True)):
        if wrap[axis]:
            period = before // math.gcd(before, after)
            reach = 2 * math.ceil(max(1.0, before / after)) + 1  # of the bicubic kernel, in old pixels
            rims[axis] = min(before, period * math.ceil(reach / period))
            grown[axis] = rims[axis] * after // before
    rimmed = F.pad(x, (rims[1], rims[1], rims[0], rims[0]), mode="circular")
    out = resize(rimmed, (size[0] + 2 * grown[0], size[1] + 2 * grown[1]))
    return out[..., grown[0] : grown[0] + size[0], grown[1] : grown[1] + size[1]].contiguous()


def resize_picture(picture: Picture, size: tuple[int, int]) -> Picture:
    """Resize a picture and its alpha; colours are bled into transparent pixels first.

    Without the bleeding, whatever colour lies unseen under transparency would leak into the edge.
    """
    if size == (picture.height, picture.width):
        return picture
    alpha = picture.alpha
    if alpha is None:
        return dataclasses.replace(picture, pixels=resize(picture.pixels, size))
    pixels = resize(bleed(picture.pixels, alpha), size)
    return dataclasses.replace(picture, pixels=pixels, alpha=resize(alpha, size))


def shrink(x: Tensor) -> Tensor:
    """Halve by exact 2x2 averages. An odd last row or column is dropped, as VGG's pooling does.

    Every input pixel has the same weight, 1/4 of one output pixel. Differentiable.

    Args:
        x: (N,C,H,W), each side at least 2; the result is (N,C,H//2,W//2).
    """
    _need(x, 2)
    return F.avg_pool2d(x, 2)


def shrink_five_tap(x: Tensor, border: tuple[str, str] | None = None) -> Tensor:
    """Halve by the kernel [.05 .25 .4 .25 .05] in y then x, stride 2 (Burt & Adelson; Snelgrove 2017).

    Even and odd pixels both weigh 1/2 a side (.05+.4+.05 and .25+.25), so away from borders every
    pixel has the same weight; unlike 2x2 averages, chained, it leaves no blocks. Differentiable.

    Args:
        x: (N,C,H,W), each side at least 5.
        border: padding of (rows, columns), each ``reflect`` or ``circular``: a side n becomes
            ceil(n/2). None pads nothing, as Snelgrove: (n-5)//2+1, so 512 gives 254, 125, 61, 29.
    """
    _need(x, 5)
    if border is not None:
        x = F.pad(F.pad(x, (0, 0, 2, 2), mode=border[0]), (2, 2, 0, 0), mode=border[1])
    n, c, h, w = x.shape
    taps = torch.tensor(_FIVE_TAP, dtype=x.dtype, device=x.device)
    planes = x.reshape(n * c, 1, h, w)
    planes = F.conv2d(planes, taps.view(1, 1, 5, 1), stride=(2, 1))
    planes = F.conv2d(planes, taps.view(1, 1, 1, 5), stride=(1, 2))
    return planes.view(n, c, *planes.shape[-2:])


def _need(x: Tensor, side: int) -> None:
    height, width = x.shape[-2:]
    if min(height, width) < side:
        raise PictureError(
            f"a picture of {width} x {height} pixels cannot be halved once more; "
            f"each side must be at least {side}: ask for a larger size or fewer octaves"
        )
