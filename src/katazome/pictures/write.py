"""The one writer: format by suffix, sRGB embedded, written beside and renamed, never half a file."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from torch import Tensor

from katazome.errors import OptionError, OutputError, nearest
from katazome.pictures import deep
from katazome.pictures.decode import srgb_profile

SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
}
"""The suffixes that can be written, and their formats."""

_DEEP = ("png", "tiff")
_LONGEST = {"jpeg": 65535, "webp": 16383, "avif": 65536}  # what the formats can say in their headers
_XMP_TAG = 700
_RESERVED = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)$", re.IGNORECASE
)  # no file may be called so on Windows


def write(
    image: Tensor,
    target: str | os.PathLike[str],
    *,
    depth: int = 8,
    metadata: str | None = None,
    overwrite: bool = False,
) -> Path | None:
    """Write a picture; return its path, or None after writing to standard output.

    JPEG at quality 95 with full colour resolution (4:4:4); transparency is laid on white there, as
    JPEG has none. WebP and AVIF at high quality (WebP halves the resolution of colour, as the format
    must). PNG and TIFF lossless, with 8 or 16 bits; 16 need the extra ``deep``. Values are rounded to
    the nearest step. An sRGB profile is embedded. The file is written beside its place under another
    name, forced to the disk, then renamed.

    Args:
        image: (1,3,H,W), or (1,4,H,W) with alpha last; sRGB in [0,1], overshoot is clamped.
        target: where; the suffix decides the format. ``-`` is standard output, as PNG.
        depth: bits a sample, 8 or 16.
        metadata: an XMP packet to embed (:meth:`katazome.recipe.Recipe.to_xmp`), or None.
        overwrite: whether a file of that name may be replaced.

    Raises:
        OptionError: unknown suffix, or a depth that the format does not have.
        OutputError: it exists, cannot be written, the disk is full, or the picture does not fit.
    """
    path = check_target(target, overwrite=overwrite, depth=depth)
    kind = "png" if path is None else kind_of(path, depth)
    data = encode(image, kind, depth=depth, metadata=metadata)
    if path is None:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise OutputError(f"standard output cannot be written to: {error.strerror or error}") from error
        return None
    place(data, path, overwrite=overwrite)
    return path


def check_target(target: str | os.PathLike[str], *, overwrite: bool = False, depth: int = 8) -> Path | None:
    """Raise now what :func:`write` would raise after hours of work; return the path, None for ``-``."""
    if str(target) == "-":
        kind_of("-.png", depth)
        return None
    path = Path(target)
    kind_of(path, depth)
    try:
        if path.is_dir():
            raise OutputError(f"'{path}' is a folder; give the name of a file")
        if not overwrite and os.path.lexists(path):
            raise OutputError(f"'{path}' is there already; choose another name, or --overwrite to replace it")
        folder = path.parent
        if not folder.is_dir():
            raise OutputError(f"there is no folder '{folder}' to write '{path.name}' into; make it first")
    except ValueError as error:  # a NUL character
        raise OutputError(f"'{path}' cannot be the name of a file: {error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"the folder '{folder}' may not be written to; choose another, or change its rights"
        )
    return path


def kind_of(target: str | os.PathLike[str], depth: int = 8) -> str:
    """Return the format that a file's suffix says; :class:`OptionError` when it cannot be written so deep."""
    path = Path(target)
    if depth not in (8, 16):
        raise OptionError(f"depth is {depth}; it must be 8 or 16")
    if depth == 16 and deep.vips_or_none() is None:
        raise OptionError("depth is 16, which needs libvips: pip install 'katazome[deep]', or take 8")
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise OptionError(
            f"cannot tell the format of '{path}' by its suffix"
            f"{nearest(path.suffix, SUFFIXES) if path.suffix else ''} (one of: {', '.join(SUFFIXES)})"
        )
    if depth == 16 and kind not in _DEEP:
        raise OptionError(
            f"depth is 16, and the result '{path}' is {kind.upper()}; only PNG and TIFF hold 16 bits"
        )
    return kind


def encode(image: Tensor, kind: str, *, depth: int = 8, metadata: str | None = None) -> bytes:
    """Return the bytes of a picture file; arguments as for :func:`write`.

    Args:
        image: as for :func:`write`.
        kind: ``png``, ``jpeg``, ``webp``, ``tiff`` or ``avif``.
        depth: bits a sample, 8 or 16 (PNG and TIFF only).
        metadata: an XMP packet, or None.
    """
    array = _quantised(image, 16 if depth == 16 else 8)
    height, width = array.shape[:2]
    most = _LONGEST.get(kind)
    if most is not None and max(height, width) > most:
        raise OutputError(
            f"{kind.upper()} holds sides up to {most} pixels, the picture is {width} x {height}; "
            "write PNG or TIFF"
        )
    try:
        if depth == 16:
            return deep.encode(array, kind, srgb_profile(), metadata)
        return _encode8(Image.fromarray(array), kind, metadata)
    except OutputError:
        raise
    except Exception as error:  # codecs raise anything
        raise OutputError(f"the picture cannot be encoded as {kind.upper()}: {error}") from error


def to_image(image: Tensor) -> Image.Image:
    """Return a picture (1, 3 or 4, H, W) in [0, 1] as an 8-bit Pillow image, rounded to the nearest."""
    return Image.fromarray(_quantised(image, 8))


def default_name(content_name: str, style_names: Sequence[str], suffix: str = ".png") -> str:
    """Return a file name made from the names of the inputs: ``photo.painting.png``.

    Letters (of any script), digits, ``-`` and ``_`` are kept, all else becomes ``-``. More than
    three styles are counted: ``photo.painting.and-4-more.png``.
    """
    names = [content_name, *style_names]
    if len(style_names) > 3:
        names = [content_name, style_names[0], f"and-{len(style_names) - 1}-more"]
    return ".".join(plain_name(n) for n in names) + suffix


def plain_name(name: str) -> str:
    """Return a name that every file system takes: letters, digits, ``-`` and ``_``; at most 48 bytes."""
    kept = re.sub(r"[^\w-]+", "-", name).strip("-_")
    # file systems count bytes, and most allow 255 for the whole name
    kept = kept.encode()[:48].decode(errors="ignore") or "picture"
    return f"{kept}_" if _RESERVED.match(kept) else kept


def _quantised(image: Tensor, bits: int) -> NDArray[Any]:
    """(1,C,H,W) floats to (H,W,C) whole numbers, rounded to the nearest."""
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (3, 4) or 0 in image.shape:
        raise OutputError(f"cannot write a tensor of shape {tuple(image.shape)}; expected (1, 3 or 4, H, W)")
    planes = image.detach().float().cpu()[0]
    if not bool(torch.isfinite(planes).all()):
        raise OutputError(
            "cannot write a picture with NaN or infinite values; the work has gone wrong before"
        )
    scaled = planes.clamp(0, 1).mul((1 << bits) - 1).round().permute(1, 2, 0).contiguous().numpy()
    return scaled.astype(np.uint16 if bits == 16 else np.uint8)


def _encode8(image: Image.Image, kind: str, metadata: str | None) -> bytes:
    xmp = b"" if metadata is None else metadata.encode()
    extra: dict[str, Any] = {"icc_profile": srgb_profile()}
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        if metadata is not None:
            info.add_itxt("XML:com.adobe.xmp", metadata)
        extra |= {"pnginfo": info}
    elif kind == "tiff":
        extra |= {"compression": "tiff_adobe_deflate", "tiffinfo": {_XMP_TAG: xmp} if xmp else {}}
    elif kind == "jpeg":
        if image.mode == "RGBA":
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image).convert("RGB")
        extra |= {"quality": 95, "subsampling": 0, "xmp": xmp}
    elif kind == "webp":
        extra |= {"quality": 95, "method": 4, "exact": True, "xmp": xmp}
    else:
        extra |= {"quality": 90, "subsampling": "4:4:4", "speed": 6, "xmp": xmp}
    buffer = io.BytesIO()
    image.save(buffer, format=kind.upper(), **extra)
    return buffer.getvalue()


def place(data: bytes, path: Path, *, overwrite: bool = False) -> None:
    """Write a picture file's bytes whole or not at all; :class:`OutputError` when they cannot be."""
    beside = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.part")
    try:
        # not tempfile: its files are private, a picture gets the rights that any new file gets
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            beside.replace(path)
        else:
            _take_name(beside, path)
    except FileExistsError:
        raise OutputError(f"'{path}' has appeared meanwhile; choose another name, or --overwrite") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"the disk is full: '{path}' needs {len(data) / 1e6:.1f} MB; "
                "make room or choose another folder"
            ) from error
        raise OutputError(f"'{path}' cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _take_name(beside: Path, path: Path) -> None:
    """Rename without replacing: a link fails where the name is taken, a rename would not."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "exists", str(path)) from None
        beside.replace(path)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a loss of power; not every system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
