"""From a file's bytes to samples, through Pillow: modes, orientation, colour profiles, limits.

Files with 16 bits a sample go to :mod:`katazome.pictures.deep` instead, because Pillow makes 8 of
them in silence. Decoders are other people's code working on strangers' bytes: whatever they raise
leaves here as a :class:`PictureError` that names the file.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from katazome.errors import PictureError
from katazome.pictures import deep

# Only these decoders: Pillow's own list has some that start other programs.
_PLUGINS = {
    "JPEG": JpegImagePlugin,
    "PNG": PngImagePlugin,
    "WEBP": WebPImagePlugin,
    "TIFF": TiffImagePlugin,
    "AVIF": AvifImagePlugin,
    "BMP": BmpImagePlugin,
    "GIF": GifImagePlugin,
}
_KNOWN = "JPEG, PNG, WebP, TIFF, AVIF, BMP or GIF"
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LOCK = threading.Lock()  # over Pillow's global limit and Python's global warning filters


@dataclass(frozen=True, slots=True)
class Samples:
    """What a decoder found, upright and in sRGB."""

    colour: NDArray[Any]
    """(H,W,3) uint8 or uint16, or float32 in [0,1]."""
    alpha: NDArray[Any] | None
    """(H,W) of the same kind, or None."""
    depth: int
    native: tuple[int, int]
    """Height and width of the picture in the file, before any reduced decoding."""
    notes: tuple[str, ...]


def decode(data: bytes, where: str, *, longest: int | None, max_pixels: int) -> Samples:
    """Decode a picture file held in memory.

    Args:
        data: the file's bytes.
        where: how to name the file in a message.
        longest: if given, a JPEG whose sides are more than twice this may be decoded at a half,
            a quarter or an eighth, never below twice this.
        max_pixels: the most width x height that is decoded.

    Raises:
        PictureError: whatever is wrong with the file.
    """
    if not data:
        raise PictureError(f"{where} is empty; expected a {_KNOWN} picture")
    try:
        if deep.is_deep(data):
            return _decode_deep(data, where, max_pixels)
        with _pillow() as caught:
            image = Image.open(io.BytesIO(data), formats=tuple(_PLUGINS))
            native = (image.height, image.width)
            check_pixels(native, where, max_pixels)
            drafted = longest is not None and _draft(image, longest)
            notes = _ten_bits(image, data)
            image.load()
            _mend_grey_key(image, data)
            upright, turned = _turn(image, notes)
            samples = _convert(upright, where, notes, caught)
        return replace(samples, native=native[::-1] if turned else native) if drafted else samples
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError(f"{where} does not fit in memory; make it smaller first") from error
    except Exception as error:  # decoders raise anything: struct.error, SyntaxError, KeyError, ...
        _refuse(data, where, error)


def decode_pil(image: Image.Image, where: str) -> Samples:
    """Convert a PIL image of any mode; one that was opened but not loaded is loaded now.

    Raises:
        PictureError: it holds values out of range, or its file turns out to be damaged.
    """
    notes: list[str] = []
    if ";16" in str(getattr(image, "tile", "")) and not image.mode.startswith("I"):
        notes.append("Pillow makes 8 bits of its 16; give the path instead to keep them")
    try:
        with _pillow() as caught:
            image.load()
            return _convert(_turn(image, notes)[0], where, notes, caught)
    except PictureError:
        raise
    except Exception as error:  # as in decode()
        raise PictureError(f"{where} cannot be read: {_said(error)}") from error


def check_pixels(native: tuple[int, int], where: str, max_pixels: int) -> None:
    """Refuse a picture of more than ``max_pixels``, before any memory is taken for it."""
    height, width = native
    if height * width > max_pixels:
        raise PictureError(
            f"{where} has {width} x {height} pixels, more than the limit of {max_pixels}; "
            f"if it is to be trusted, set KATAZOME_MAX_PIXELS={height * width}"
        )


def _convert(
    image: Image.Image, where: str, notes: list[str], caught: list[warnings.WarningMessage]
) -> Samples:
    alpha, depth = None, 16
    if image.mode.startswith("I;16"):
        colour = _grey(np.asarray(image).astype(np.uint16))
    elif image.mode == "I":
        colour = _grey(_whole_numbers(np.asarray(image), where, notes))
    elif image.mode == "F":
        colour = _grey(_floats(np.asarray(image), where))
    else:
        depth = 8
        if image.has_transparency_data:
            alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        colour = np.asarray(_to_srgb(_opaque(image), image.info.get("icc_profile"), notes))
    notes += [f"Pillow says: {str(w.message).strip()}" for w in caught]
    return Samples(colour, alpha, depth, (image.height, image.width), tuple(dict.fromkeys(notes)))


@contextmanager
def _pillow() -> Iterator[list[warnings.WarningMessage]]:
    """Pillow without its own limit on pixels, its warnings collected; both as before afterwards.

    Ours is checked instead, against the header, and can differ from call to call.
    """
    with _LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield caught
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _draft(image: Image.Image, longest: int) -> bool:
    """Ask a JPEG decoder for the smallest of 1/8, 1/4, 1/2 that stays at twice ``longest`` or more."""
    for reduction in (8, 4, 2):
        if max(image.size) >= 2 * longest * reduction and min(image.size) >= reduction:
            return image.draft(None, (image.width // reduction, image.height // reduction)) is not None
    return False


def _turn(image: Image.Image, notes: list[str]) -> tuple[Image.Image, bool]:
    """Apply the EXIF orientation; also say whether height and width changed places."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF must not cost the picture
        notes.append("its EXIF is damaged and was left unread; the picture may lie on its side")
        return image, False
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    if method is None:
        return image, False
    upright = image.transpose(method)
    return upright, orientation >= 5


def _ten_bits(image: Image.Image, data: bytes) -> list[str]:
    """Pillow reads AVIF of 10 and 12 bits as 8: say so."""
    at = data.find(b"av1C", 0, 1 << 16) if image.format == "AVIF" else -1
    if at >= 0 and data[at + 6 : at + 7] and data[at + 6] & 0x40:
        return ["it has more than 8 bits a sample, of which AVIF's decoder gives 8; PNG and TIFF give all"]
    return []


def _mend_grey_key(image: Image.Image, data: bytes) -> None:
    """Pillow widens grey PNGs of 2 and 4 bits to 8, but not the grey that is named transparent."""
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(key, int) and data[24] in (2, 4):
        image.info["transparency"] = key * 255 // ((1 << data[24]) - 1)


def _opaque(image: Image.Image) -> Image.Image:
    """The colours alone, as L, RGB or CMYK: the modes that a colour profile can speak of."""
    if image.mode in ("1", "L"):
        bare = image.convert("L") if image.mode == "1" else image.copy()
        bare.info.pop("transparency", None)
    elif image.mode in ("LA", "La"):
        bare = image.convert("LA").getchannel("L")
    elif image.mode in ("RGB", "CMYK", "LAB"):
        bare = image
    elif image.has_transparency_data:
        bare = image.convert("RGBA").convert("RGB")
    else:
        bare = image.convert("RGB")
    return bare


def _to_srgb(image: Image.Image, profile: Any, notes: list[str]) -> Image.Image:
    if profile and image.mode != "LAB":
        try:
            return _through_profile(image, bytes(profile))
        except Exception as error:  # a profile is a small program of its own; any part may be broken
            notes.append(f"its colour profile cannot be used ({error}); taken as sRGB")
    if image.mode == "CMYK":
        notes.append("CMYK without a usable colour profile; its colours are approximate")
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = source.profile.xcolor_space.strip()
    if space == "RGB":
        image = image if image.mode == "RGB" else image.convert("RGB")
        if nearly_srgb(profile):
            return image
    elif space != {"L": "GRAY", "CMYK": "CMYK"}.get(image.mode):
        raise ValueError(f"it is for {space}, the picture is {image.mode}")
    return _transform(profile, image.mode).apply(image)


def nearly_srgb(profile: bytes) -> bool:
    """Whether an RGB profile moves no 8-bit colour of a 9x9x9 grid by more than 1: it *is* sRGB.

    Most files carry sRGB in one of its many spellings; converting them would only add rounding.
    """
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(27, 27, 3)
    moved = np.asarray(_transform(profile, "RGB").apply(Image.fromarray(probe)))
    return int(np.abs(moved.astype(int) - probe).max()) <= 1


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


@cache
def srgb_profile() -> bytes:
    """Return the sRGB profile that every written file carries; the same bytes every time.

    LittleCMS stamps the current time into it, which would make equal pictures unequal files.
    """
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # 2000-01-01, as ICC.1 7.2.8 writes it
    made[84:100] = bytes(16)  # the profile's own checksum: none
    return bytes(made)


def _decode_deep(data: bytes, where: str, max_pixels: int) -> Samples:
    def allowed(height: int, width: int) -> None:
        check_pixels((height, width), where, max_pixels)

    def keeps_colours(profile: bytes) -> bool:
        with _pillow():
            return nearly_srgb(profile)

    notes: list[str] = []
    array = deep.decode(data, where, allowed, keeps_colours, notes)
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return Samples(array[..., :3], alpha, 16, (array.shape[0], array.shape[1]), tuple(notes))


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(values[..., None], 3, axis=2)


def _whole_numbers(values: NDArray[Any], where: str, notes: list[str]) -> NDArray[Any]:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise PictureError(
            f"{where} holds whole numbers from {low} to {high}; expected 0 to 65535: save it with 16 bits"
        )
    notes.append("its 32-bit whole numbers were taken as 16-bit ones, 0 to 65535")
    return values.astype(np.uint16)


def _floats(values: NDArray[Any], where: str) -> NDArray[Any]:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # also when one is not a number
        raise PictureError(
            f"{where} holds floating-point values from {low:g} to {high:g}; "
            "expected 0 to 1: rescale it, or save it with 16 bits"
        )
    return values.astype(np.float32)


def _refuse(data: bytes, where: str, error: Exception) -> NoReturn:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "WebP"
    elif data[4:12] in (b"ftypavif", b"ftypavis"):
        kind = "AVIF"
    else:
        kind = next((name for magic, name in _MAGIC if data.startswith(magic)), "")
    if kind:
        raise PictureError(
            f"{where} is a damaged or cut-off {kind} file, or of a kind of {kind} that cannot be read "
            f"({_said(error)}); get it anew, or save it again from another program"
        ) from error
    raise PictureError(
        f"{where} is not a picture that can be read: {len(data)} bytes that start with {data[:8]!r}; "
        f"expected {_KNOWN}"
    ) from error


def _said(error: Exception) -> str:
    """What the decoder said, without the address of the buffer that Pillow likes to add."""
    text = str(error).strip().split("\n")[0]
    return "unrecognised" if not text or "BytesIO" in text else text[:200]
