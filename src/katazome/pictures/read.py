"""The one reader: a path, bytes, a PIL image, an array or a tensor becomes a :class:`Picture`."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from katazome.errors import OptionError, PictureError, nearest
from katazome.pictures.decode import Samples, check_pixels, decode, decode_pil

MAX_PIXELS = 250_000_000
"""The most pixels that are decoded unless the caller or ``KATAZOME_MAX_PIXELS`` says otherwise."""

_SLACK = 1e-4  # floats may overstep [0,1] by this much, the rounding of someone else's arithmetic


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory, upright, in sRGB."""

    pixels: Tensor
    """(1,3,H,W) float32, gamma-encoded sRGB in [0,1], on the CPU."""
    alpha: Tensor | None
    """(1,1,H,W) float32 in [0,1], 1 where opaque; None when the picture is opaque everywhere."""
    name: str
    """The file's name without folder and suffix, or ``picture``."""
    sha256: str
    """Of the file's bytes, or of the array's, in hexadecimal."""
    depth: int
    """Bits a sample that the source could hold: 8, or 16 (also for floats)."""
    source: bytes | None
    """The file's own bytes, so that a checkpoint can carry its inputs; None for arrays."""
    native: tuple[int, int]
    """Height and width of the picture in the file; larger than ``pixels`` after reduced decoding."""
    notes: tuple[str, ...] = ()
    """Sentences about what was odd and how it was taken (a broken colour profile, ...)."""

    @property
    def height(self) -> int:
        """Height of ``pixels``."""
        return self.pixels.shape[-2]

    @property
    def width(self) -> int:
        """Width of ``pixels``."""
        return self.pixels.shape[-1]


PictureLike: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | Tensor | Picture
"""What :func:`read` takes."""


def read(source: PictureLike, *, longest: int | None = None, max_pixels: int | None = None) -> Picture:
    """Read a picture.

    JPEG, PNG, WebP, TIFF, AVIF, BMP and the first frame of a GIF; with EXIF orientation applied,
    colour profiles converted to sRGB, transparency kept, and 16 bits a sample read as 16 (through
    libvips, the extra ``deep``).

    Args:
        source: a path; ``-`` for standard input; a file's bytes; a PIL image; an array (H,W),
            (H,W,3) or (H,W,4) of uint8, uint16 or floats in [0,1]; a tensor (C,H,W) or (1,C,H,W) of
            floats in [0,1] with 1, 3 or 4 channels; or a Picture, which is returned as it is.
        longest: the longest side in pixels that is wanted later. A huge JPEG is then decoded at a
            half, a quarter or an eighth, never below twice this. Nothing is resized here.
        max_pixels: refuse files of more pixels. Default: the environment variable
            ``KATAZOME_MAX_PIXELS``, else 250 million.

    Raises:
        PictureError: missing, empty, damaged, of another kind, too large, or an array of another
            shape, type or range. The message names the file.
        OptionError: ``KATAZOME_MAX_PIXELS`` is not a whole number above 0.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, Tensor):
        return _from_tensor(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source, _limit(max_pixels))
    data, name, where = file_bytes(source)
    samples = decode(data, where, longest=longest, max_pixels=_limit(max_pixels))
    return _picture(samples, name, hashlib.sha256(data).hexdigest(), data)


def file_bytes(source: str | os.PathLike[str] | bytes) -> tuple[bytes, str, str]:
    """Return a file's bytes, read once; its name for outputs; and its name for messages.

    Args:
        source: a path, ``-`` for standard input, or the bytes themselves.

    Raises:
        PictureError: it is missing, a folder, a device, not allowed, or fails while being read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "picture", "the picture in memory"
    if not isinstance(source, (str, os.PathLike)):
        raise PictureError(
            f"a {type(source).__name__} is not a picture; expected a path, bytes, "
            "a PIL image, a numpy array or a torch tensor"
        )
    if source == "-":
        data = sys.stdin.buffer.read()
        return data, "picture", "standard input"
    path = Path(source)
    where = f"'{path}'"
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError(f"{where} is a folder; expected a picture file")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):  # /dev/zero never ends
            raise PictureError(f"{where} is a device; expected a picture file")
        return path.read_bytes(), path.stem or "picture", where
    except FileNotFoundError:
        raise PictureError(f"there is no file {where}{_like(path)}; check the path") from None
    except PermissionError as error:
        raise PictureError(f"{where} may not be read (no permission); change its rights") from error
    except MemoryError as error:
        raise PictureError(f"{where} does not fit in memory") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise PictureError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _like(path: Path) -> str:
    try:
        return nearest(path.name, (sibling.name for sibling in path.parent.iterdir()))
    except OSError:
        return ""


def _limit(asked: int | None) -> int:
    if asked is not None:
        return asked
    text = os.environ.get("KATAZOME_MAX_PIXELS", "").strip()
    if not text:
        return MAX_PIXELS
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(f"KATAZOME_MAX_PIXELS is '{text}'; it must be a whole number above 0, as 500000000")
    return int(text)


def _picture(samples: Samples, name: str, sha256: str, source: bytes | None) -> Picture:
    alpha = samples.alpha
    if alpha is not None:
        opaque = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
        alpha = None if bool((alpha == opaque).all()) else alpha
    return Picture(
        pixels=_unit(samples.colour),
        alpha=None if alpha is None else _unit(alpha[..., None]),
        name=name,
        sha256=sha256,
        depth=samples.depth,
        source=source,
        native=samples.native,
        notes=samples.notes,
    )


def _unit(values: NDArray[Any]) -> Tensor:
    """(H,W,C) samples to (1,C,H,W) float32 in [0,1]; always a copy."""
    planes = np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)
    out = torch.from_numpy(planes if planes.flags.writeable else planes.copy())
    if values.dtype.kind != "f":
        return out.div_(float(np.iinfo(values.dtype).max))
    return out.clone() if np.shares_memory(planes, values) else out


def _from_pil(image: Image.Image, max_pixels: int) -> Picture:
    where = f"the PIL image {image.width} x {image.height} of mode {image.mode}"
    check_pixels((image.height, image.width), where, max_pixels)
    if not image.width or not image.height:
        raise PictureError(f"{where} has no pixels; expected at least one")
    samples = decode_pil(image, where)
    try:
        sha256 = hashlib.sha256(image.tobytes()).hexdigest()
    except Exception as error:  # a mode that Pillow converts but does not spell out
        raise PictureError(f"{where} cannot be read: {error}") from error
    name = Path(str(getattr(image, "filename", "") or "picture")).stem or "picture"
    return _picture(samples, name, sha256, None)


def _from_array(array: NDArray[Any]) -> Picture:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in array.shape:
        raise PictureError(
            f"the array has shape {array.shape}; expected (height, width), (height, width, 3) or "
            "(height, width, 4)"
        )
    if array.dtype.kind == "f":
        values: NDArray[Any] = _checked(torch.from_numpy(array.astype(np.float32)), "the array").numpy()
    elif array.dtype in (np.uint8, np.uint16):
        values = array
    else:
        raise PictureError(
            f"the array is of type {array.dtype}; expected uint8, uint16, or floats from 0 to 1"
        )
    sha256 = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    depth = 8 if array.dtype == np.uint8 else 16
    alpha = values[..., 3] if values.shape[2] == 4 else None
    samples = Samples(values[..., :3], alpha, depth, (array.shape[0], array.shape[1]), ())
    return _picture(samples, "picture", sha256, None)


def _from_tensor(tensor: Tensor) -> Picture:
    shape = tuple(tensor.shape)
    planes = tensor.detach()[0] if len(shape) == 4 and shape[0] == 1 else tensor.detach()
    if planes.ndim != 3 or planes.shape[0] not in (1, 3, 4) or 0 in shape:
        raise PictureError(
            f"the tensor has shape {shape}; expected (3, height, width), (4, height, width) "
            "or the same with a 1 in front"
        )
    if not tensor.is_floating_point():
        raise PictureError(f"the tensor is of type {tensor.dtype}; expected floats from 0 to 1")
    planes = _checked(planes.to("cpu", torch.float32).contiguous(), "the tensor")
    array = planes.permute(1, 2, 0).numpy()
    sha256 = hashlib.sha256(planes.numpy().tobytes()).hexdigest()
    colour = array[..., :3] if array.shape[2] > 1 else np.repeat(array, 3, axis=2)
    alpha = array[..., 3] if array.shape[2] == 4 else None
    samples = Samples(colour, alpha, 16, (array.shape[0], array.shape[1]), ())
    return _picture(samples, "picture", sha256, None)


def _checked(values: Tensor, what: str) -> Tensor:
    low, high = (float(v) for v in values.aminmax())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # written so that NaN is refused too
        raise PictureError(
            f"{what} holds values from {low:g} to {high:g}; expected 0 to 1 "
            "(divide by 255, or give uint8; look for NaN)"
        )
    return values.clamp(0, 1)
