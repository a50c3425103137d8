from __future__ import annotations

import hashlib
import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image, ImageCms

from katazome.errors import OptionError, PictureError
from katazome.pictures import deep
from katazome.pictures.decode import nearly_srgb, srgb_profile
from katazome.pictures.read import Picture, read

# four quarters of 8 x 8, flat, so that lossy formats keep them: red, green over blue, white
QUARTERS = np.zeros((16, 16, 3), np.uint8)
QUARTERS[:8, :8], QUARTERS[:8, 8:], QUARTERS[8:, :8], QUARTERS[8:][:, 8:] = (
    (200, 30, 40),
    (20, 180, 60),
    (40, 50, 190),
    (240, 240, 240),
)
NOISE16 = np.random.default_rng(0).integers(0, 65536, (6, 9, 4), dtype=np.uint16)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def at(picture: Picture, y: int, x: int) -> list[int]:
    return [round(v * 255) for v in picture.pixels[0, :, y, x].tolist()]


def grey_profile(gamma: float) -> bytes:
    """A grey ICC profile of version 2 with one gamma, by hand: Pillow makes none."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1.0, 0.8249)))
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)
    desc = b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(78)
    desc += bytes(-len(desc) % 4)
    tags, offset, table = [(b"desc", desc), (b"wtpt", white), (b"kTRC", curve)], 128 + 4 + 3 * 12, b""
    for name, body in tags:
        table += name + struct.pack(">II", offset, len(body))
        offset += len(body)
    header = struct.pack(">I", offset) + b"lcms" + b"\x02\x10\0\0" + b"mntrGRAYXYZ " + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 3) + table + b"".join(body for _, body in tags)


class TestFormats:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "GIF"])
    def test_colours(self, kind, tmp_path):
        options = {"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}
        path = tmp_path / "my photo.x.bin"
        path.write_bytes(saved(Image.fromarray(QUARTERS), kind, **options))
        p = read(path)
        assert (p.height, p.width, p.depth, p.native) == (16, 16, 8, (16, 16))
        assert p.alpha is None
        assert p.pixels.dtype == torch.float32
        for y, x in ((3, 3), (3, 12), (12, 3), (12, 12)):
            assert np.abs(np.array(at(p, y, x)) - QUARTERS[y, x]).max() <= 6
        assert (p.name, p.source) == ("my photo.x", path.read_bytes())
        assert p.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_first_frame_of_a_gif(self):
        frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
        p = read(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
        assert at(p, 0, 0) == [255, 0, 0]

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "object"])
    def test_orientation(self, orientation, kind):
        turns: dict[int, Any] = {
            1: lambda a: a,
            2: np.fliplr,
            3: lambda a: np.rot90(a, 2),
            4: np.flipud,
            5: lambda a: a.transpose(1, 0, 2),
            6: np.rot90,
            7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
            8: lambda a: np.rot90(a, -1),
        }
        lying = turns[orientation]
        upright = np.concatenate([QUARTERS, QUARTERS[:, 8:]], 1)
        exif = Image.Exif()
        exif[0x0112] = orientation
        kind, lazy = ("JPEG", True) if kind == "object" else (kind, False)
        options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
        data = saved(Image.fromarray(np.ascontiguousarray(lying(upright))), kind, exif=exif, **options)
        p = read(Image.open(io.BytesIO(data)) if lazy else data)
        assert (p.native, p.height, p.width) == ((16, 24), 16, 24)
        assert np.abs(np.array(at(p, 3, 3)) - upright[3, 3]).max() <= 8
        assert np.abs(np.array(at(p, 12, 3)) - upright[12, 3]).max() <= 8

    @pytest.mark.parametrize(
        "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "jpeg"]
    )
    def test_tiff_compressions(self, compression):
        p = read(saved(Image.fromarray(QUARTERS), "TIFF", compression=compression))
        assert np.abs(np.array(at(p, 3, 3)) - QUARTERS[3, 3]).max() <= 8


class TestModes:
    def test_grey(self):
        assert at(read(saved(Image.new("L", (3, 3), 77), "PNG")), 1, 1) == [77, 77, 77]

    def test_one_bit(self):
        assert at(read(saved(Image.new("1", (3, 3), 1), "PNG")), 1, 1) == [255, 255, 255]

    def test_palette_with_transparency(self):
        image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "L").convert("P")
        image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
        p = read(saved(image, "PNG", transparency=bytes([255, 0, 128])))
        assert at(p, 0, 0) == [10, 20, 30]
        assert at(p, 1, 0) == [70, 80, 90]
        assert p.alpha is not None
        assert (p.alpha[0, 0] * 255).round().tolist() == [[255, 0], [128, 255]]

    def test_one_transparent_colour(self):
        image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
        p = read(saved(image, "PNG", transparency=(4, 5, 6)))
        assert p.alpha is not None
        assert p.alpha.flatten().tolist() == [1, 0]

    def test_grey_with_alpha(self):
        p = read(saved(Image.new("LA", (2, 2), (90, 51)), "PNG"))
        assert at(p, 0, 0) == [90, 90, 90]
        assert p.alpha is not None
        assert round(float(p.alpha[0, 0, 0, 0]), 4) == 0.2

    def test_one_transparent_grey_of_two_bits(self):
        def chunk(name: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 2, 0, 0, 0, 0))
        pixels = chunk(b"IDAT", zlib.compress(b"\0\x1b"))
        p = read(b"\x89PNG\r\n\x1a\n" + header + chunk(b"tRNS", b"\0\2") + pixels + chunk(b"IEND", b""))
        assert [round(v * 255) for v in p.pixels[0, 0, 0].tolist()] == [0, 85, 170, 255]
        assert p.alpha is not None
        assert p.alpha.flatten().tolist() == [1, 1, 0, 1]

    def test_opaque_alpha_is_none(self):
        assert read(saved(Image.new("RGBA", (2, 2), (1, 2, 3, 255)), "PNG")).alpha is None

    def test_cmyk(self):
        p = read(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
        assert at(p, 4, 4)[0] > 240
        assert max(at(p, 4, 4)[1:]) < 15
        assert "CMYK" in p.notes[0]

    @pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB"])
    def test_other_spaces(self, mode):
        p = read(Image.fromarray(QUARTERS).convert(mode))
        assert np.abs(np.array(at(p, 3, 3)) - QUARTERS[3, 3]).max() <= 8

    def test_whole_numbers_and_floats(self):
        values = np.array([[0, 1000], [30000, 65535]], np.uint16)
        for image in (Image.fromarray(values), Image.fromarray(values.astype(np.int32))):
            p = read(image)
            assert p.depth == 16
            assert torch.equal((p.pixels[0, 1] * 65535).round(), torch.tensor(values.astype(np.float32)))
        floats = np.array([[0, 0.25], [0.5, 1]], np.float32)
        for source in (Image.fromarray(floats), saved(Image.fromarray(floats), "TIFF")):
            assert torch.equal(read(source).pixels[0, 2], torch.tensor(floats))
        with pytest.raises(PictureError, match=r"from 0 to 2.*expected 0 to 1"):
            read(Image.fromarray(floats * 2))
        with pytest.raises(PictureError, match="expected 0 to 65535"):
            read(Image.fromarray(values.astype(np.int32) - 1))


class TestProfiles:
    def test_ours_is_srgb_and_always_the_same(self):
        made = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
        assert "sRGB" in str(made.profile.profile_description)
        assert nearly_srgb(srgb_profile())
        assert nearly_srgb(pyvips.Image.profile_load("srgb"))
        p = read(saved(Image.fromarray(QUARTERS), "PNG", icc_profile=srgb_profile()))
        assert at(p, 3, 3) == QUARTERS[3, 3].tolist()

    def test_wide_gamut_8_and_16_bits_agree(self):
        wide = pyvips.Image.profile_load("p3")
        p = read(saved(Image.fromarray(QUARTERS), "PNG", icc_profile=wide))
        assert at(p, 3, 3)[0] > QUARTERS[3, 3, 0] + 5  # P3's red is redder
        for kind in ("png", "tiff"):
            q = read(deep.encode(QUARTERS.astype(np.uint16) * 257, kind, wide, None))
            assert q.depth == 16
            assert (p.pixels - q.pixels).abs().max() < 1.5 / 255

    def test_alpha_passes_a_profile_by(self):
        q = read(deep.encode(NOISE16, "png", pyvips.Image.profile_load("p3"), None))
        assert q.alpha is not None
        assert np.array_equal((q.alpha[0, 0] * 65535).round().numpy(), NOISE16[..., 3])
        rgba = Image.fromarray((NOISE16 >> 8).astype(np.uint8))
        q = read(saved(rgba, "PNG", icc_profile=pyvips.Image.profile_load("p3")))
        assert q.alpha is not None
        assert np.array_equal((q.alpha[0, 0] * 255).round().numpy(), np.asarray(rgba)[..., 3])

    @pytest.mark.parametrize("mode", ["L", "LA"])
    def test_grey(self, mode):
        value = 128 if mode == "L" else (128, 200)
        p = read(saved(Image.new(mode, (2, 2), value), "PNG", icc_profile=grey_profile(1.0)))
        assert abs(at(p, 0, 0)[0] - 188) <= 1  # linear one half, encoded as sRGB
        assert p.notes == ()

    def test_grey_with_a_colour_profile(self):
        p = read(saved(Image.new("L", (2, 2), 128), "JPEG", icc_profile=srgb_profile()))
        assert (at(p, 0, 0), p.notes) == ([128, 128, 128], ())

    def test_cmyk(self):
        profile = pyvips.Image.profile_load("cmyk")
        p = read(saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95, icc_profile=profile))
        assert p.notes == ()
        assert np.abs(np.array(at(p, 4, 4)) - (0, 153, 228)).max() < 20  # printed cyan is not (0, 255, 255)

    @pytest.mark.parametrize(
        "profile", [b"junk" * 50, grey_profile(2.2), pyvips.Image.profile_load("p3")[:200]]
    )
    def test_unusable(self, profile):
        p = read(saved(Image.fromarray(QUARTERS), "PNG", icc_profile=profile))
        assert at(p, 3, 3) == QUARTERS[3, 3].tolist()
        assert "taken as sRGB" in p.notes[0]

    def test_unusable_at_16_bits(self):
        png = deep.encode(NOISE16, "png", srgb_profile(), None)
        start = png.index(b"iCCP") - 4
        (length,) = struct.unpack(">I", png[start : start + 4])
        body = b"iCCPx\0\0" + zlib.compress(b"\0\0\0\xc8" + b"junk" * 49)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        p = read(png[:start] + chunk + png[start + length + 12 :])
        assert "taken as sRGB" in p.notes[0]
        assert np.array_equal((p.pixels[0, 0] * 65535).round().numpy(), NOISE16[..., 0])


class TestSixteenBits:
    @pytest.mark.parametrize("kind", ["png", "tiff"])
    @pytest.mark.parametrize("channels", [3, 4])
    def test_every_bit(self, kind, channels):
        p = read(deep.encode(NOISE16[..., :channels], kind, srgb_profile(), None))
        assert p.depth == 16
        assert np.array_equal((p.pixels[0] * 65535).round().permute(1, 2, 0).numpy(), NOISE16[..., :3])
        assert (p.alpha is None) == (channels == 3)

    @pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
    def test_tiff_compressions(self, compression):
        image = pyvips.Image.new_from_array(NOISE16[..., :3], interpretation="rgb16")
        for big in (False, True):
            p = read(image.tiffsave_buffer(compression=compression, bigtiff=big))
            assert np.array_equal((p.pixels[0, 1] * 65535).round().numpy(), NOISE16[..., 1])

    def test_grey_and_orientation(self):
        image = pyvips.Image.new_from_array(NOISE16[..., 0], interpretation="grey16").copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", 6)
        p = read(image.tiffsave_buffer())
        assert p.native == (p.height, p.width) == (9, 6)
        assert np.array_equal((p.pixels[0, 2] * 65535).round().numpy(), np.rot90(NOISE16[..., 0], -1))

    def test_cmyk(self):
        image = pyvips.Image.new_from_array(NOISE16, interpretation="cmyk")
        p = read(image.tiffsave_buffer())
        assert (p.depth, p.alpha) == (16, None)
        assert "CMYK" in p.notes[0]

    def test_associated_alpha(self):
        half = np.full((2, 2, 4), 20000, np.uint16)
        half[..., 3] = 40000
        data = bytearray(deep.encode(half, "tiff", srgb_profile(), None))
        entry = data.index(struct.pack("<HHI", 338, 3, 1))
        data[entry + 8 : entry + 10] = b"\1\0"  # extra samples: associated
        assert float(read(bytes(data)).pixels[0, 0, 0, 0]) == pytest.approx(0.5, abs=1e-4)

    def test_without_libvips(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyvips", None)
        with pytest.raises(PictureError, match=r"16 bits.*pip install 'katazome\[deep\]'"):
            read(deep_png())

    def test_an_open_image_has_lost_them_already(self):
        assert "give the path" in read(Image.open(io.BytesIO(deep_png()))).notes[0]

    def test_limit(self):
        with pytest.raises(PictureError, match="9 x 6 pixels, more than the limit of 53"):
            read(deep_png(), max_pixels=53)


DEEP_PNG = deep.encode(NOISE16, "png", srgb_profile(), None)


def deep_png() -> bytes:
    return DEEP_PNG


class TestReduced:
    @pytest.mark.parametrize(
        ("longest", "width"), [(20, 50), (50, 100), (100, 200), (101, 400), (400, 400), (None, 400)]
    )
    def test_never_below_twice(self, longest, width):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = saved(Image.new("RGB", (400, 399), "teal"), "JPEG", exif=exif)
        p = read(data, longest=longest)
        assert p.native == (400, 399)
        assert p.height == width

    def test_others_are_read_whole(self):
        assert read(saved(Image.new("RGB", (400, 300)), "PNG"), longest=10).width == 400


class TestLimit:
    def test_argument_and_environment(self, monkeypatch):
        data = saved(Image.new("L", (100, 50)), "PNG")
        monkeypatch.setenv("KATAZOME_MAX_PIXELS", "4999")
        with pytest.raises(PictureError, match=r"100 x 50 pixels.*KATAZOME_MAX_PIXELS=5000"):
            read(data)
        assert read(data, max_pixels=5000).width == 100
        monkeypatch.setenv("KATAZOME_MAX_PIXELS", "many")
        with pytest.raises(OptionError, match="'many'"):
            read(data)

    def test_pillows_own_limit_is_neither_used_nor_changed(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert read(saved(Image.new("L", (50, 50)), "PNG")).width == 50
        assert Image.MAX_IMAGE_PIXELS == 100

    def test_a_bomb_takes_no_memory(self):
        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        with pytest.raises(PictureError, match="60000 x 60000"):
            read(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4))
