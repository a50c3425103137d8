"""Sixteen bits a sample, in and out, through libvips (the extra ``deep``; imported when needed).

Pillow reads 16-bit PNG and TIFF as 8 bits without a word, and writes neither in colour. So the
header is looked at first, and such files take this way.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from katazome.errors import PictureError

_PNG = b"\x89PNG\r\n\x1a\n"
_BITS, _SAMPLE_FORMAT, _PROFILE = 258, 339, 34675
_WIDTH_OF_TYPE = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 7: ("B", 1)}
_SRGB = "srgb"  # libvips carries this profile itself


def is_deep(data: bytes) -> bool:
    """Whether a file's header says PNG or TIFF with 16-bit whole numbers. Never raises."""
    if data.startswith(_PNG):
        return data[24:25] == b"\x10"
    tags = _tiff_tags(data)
    return tags.get(_BITS, 0) == 16 and tags.get(_SAMPLE_FORMAT, 1) == 1


def decode(
    data: bytes,
    where: str,
    allowed: Callable[[int, int], None],
    keeps_colours: Callable[[bytes], bool],
    notes: list[str],
) -> NDArray[np.uint16]:
    """Return (H,W,3) or (H,W,4) 16-bit samples, upright, in sRGB, colours not multiplied by alpha.

    Args:
        data: bytes of a 16-bit PNG or TIFF.
        where: how to name the file in a message.
        allowed: called with height and width from the header; raises if that is too much.
        keeps_colours: whether an RGB profile is as good as sRGB, so that nothing need be converted.
        notes: sentences about what was odd are appended.

    Raises:
        PictureError: libvips is missing. Its own errors pass, for the caller to word.
    """
    vips = vips_or_none()
    if vips is None:
        raise PictureError(
            f"{where} has 16 bits a sample, which needs libvips: pip install 'katazome[deep]', "
            "or save it with 8 bits"
        )
    load = vips.Image.pngload_buffer if data.startswith(_PNG) else vips.Image.tiffload_buffer
    image = load(data, fail_on="error")
    allowed(image.height, image.width)
    if _carries_profile(data) and not image.get_typeof("icc-profile-data"):  # dropped in silence
        notes.append("its colour profile is damaged; taken as sRGB")
    image = _to_rgb16(image.autorot(), keeps_colours, notes)
    array: NDArray[np.uint16] = np.ascontiguousarray(image.cast("ushort").numpy())
    if array.ndim == 2 or array.shape[2] < 3:
        raise PictureError(
            f"{where} has {array.shape[2:] or (1,)} channels after conversion; expected 3 or 4"
        )
    return array[..., :4]


def encode(array: NDArray[np.uint16], kind: str, profile: bytes, metadata: str | None) -> bytes:
    """Return the bytes of a 16-bit PNG or TIFF.

    Args:
        array: (H,W,3) or (H,W,4) samples.
        kind: ``png`` or ``tiff``.
        profile: the ICC profile to embed.
        metadata: an XMP packet, or None.
    """
    vips = vips_or_none()
    if vips is None:
        raise PictureError("16 bits a sample need libvips: pip install 'katazome[deep]', or take --depth 8")
    image = vips.Image.new_from_array(np.ascontiguousarray(array), interpretation="rgb16").copy()
    image.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    if kind == "png":
        return _with_xmp(bytes(image.pngsave_buffer(bitdepth=16, compression=6)), metadata)
    if metadata is not None:
        image.set_type(vips.GValue.blob_type, "xmp-data", metadata.encode())
    large = array.nbytes > 3_000_000_000  # plain TIFF ends at 4 GiB
    return bytes(image.tiffsave_buffer(compression="deflate", predictor="horizontal", bigtiff=large))


def _with_xmp(png: bytes, metadata: str | None) -> bytes:
    """Put an XMP packet after the header as plain text; libvips would compress it out of sight."""
    if metadata is None:
        return png
    body = b"iTXt" + b"XML:com.adobe.xmp" + bytes(5) + metadata.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    header = len(_PNG) + 25
    return png[:header] + chunk + png[header:]


def _carries_profile(data: bytes) -> bool:
    if data.startswith(_PNG):
        return data.find(b"iCCP", 0, max(0, data.find(b"IDAT"))) >= 0
    return _PROFILE in _tiff_tags(data)


def vips_or_none() -> Any | None:
    """Return the module ``pyvips``, or None where it or its library is not installed."""
    try:
        import pyvips
    except (ImportError, OSError):  # OSError: the Python part is there, the library is not
        return None
    return pyvips


def _to_rgb16(image: Any, keeps_colours: Callable[[bytes], bool], notes: list[str]) -> Any:
    if image.get_typeof("icc-profile-data"):
        try:
            profile = bytes(image.get("icc-profile-data"))
            if image.interpretation == "rgb16" and profile[16:20] == b"RGB " and keeps_colours(profile):
                return image
            return image.icc_transform(
                _SRGB, embedded=True, depth=16, intent="relative", black_point_compensation=True
            )
        except Exception as error:  # vips.Error, or LittleCMS through Pillow, for a broken profile
            said = str(error).strip().split("\n")[-1]
            notes.append(f"its colour profile cannot be used ({said}); taken as sRGB")
    if image.interpretation == "cmyk":
        notes.append("CMYK without a usable colour profile; its colours are approximate")
    return image if image.interpretation == "rgb16" else image.colourspace("rgb16")


def _tiff_tags(data: bytes) -> dict[int, int]:
    """First value of each small whole-number tag in the first directory; empty if it is no TIFF.

    Pillow could say, but it cannot open every 16-bit TIFF, and then nobody would.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return {}
    try:
        (version,) = struct.unpack_from(order + "H", data, 2)
        big = version == 43
        if version not in (42, 43):
            return {}
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
        at += 8 if big else 2
        size, room = (20, 8) if big else (12, 4)
        tags: dict[int, int] = {}
        for entry in range(at, at + size * min(count, 4096), size):
            tag, kind = struct.unpack_from(order + "HH", data, entry)
            (n,) = struct.unpack_from(order + ("Q" if big else "I"), data, entry + 4)
            if kind not in _WIDTH_OF_TYPE or n < 1:
                continue
            letter, width = _WIDTH_OF_TYPE[kind]
            value = entry + size - room
            if n * width > room:
                (value,) = struct.unpack_from(order + ("Q" if big else "I"), data, value)
            (tags[tag],) = struct.unpack_from(order + letter, data, value)
    except (struct.error, OverflowError):
        return {}
    return tags
