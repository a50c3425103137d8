from __future__ import annotations

import errno
import io
import os
import stat
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from katazome.errors import OptionError, OutputError
from katazome.pictures import write as module
from katazome.pictures.decode import srgb_profile
from katazome.pictures.read import read
from katazome.pictures.write import SUFFIXES, check_target, default_name, encode, write

X = torch.rand(1, 4, 12, 17, generator=torch.Generator().manual_seed(0))
SMOOTH = torch.linspace(0, 1, 64).view(1, 1, 1, 64).expand(1, 3, 64, 64)


def left_behind(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def written(image: torch.Tensor, path: Path) -> Path:
    assert write(image, path) == path
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats(suffix, tmp_path):
    path = write(SMOOTH, tmp_path / f"a{suffix.upper()}", metadata="<x>packet</x>")
    assert path is not None
    p = read(path)
    assert (p.pixels - SMOOTH).abs().max() < (
        0.5 / 255 + 1e-6 if suffix in (".png", ".tif", ".tiff") else 0.03
    )
    with Image.open(path) as image:
        assert image.info["icc_profile"] == srgb_profile()
        assert b"packet" in image.info["xmp"]
        assert not dict(image.getexif()).keys() & {0x8825, 0x010E, 0x013B}  # place, description, artist
    assert left_behind(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
def test_alpha(suffix, tmp_path):
    flat = torch.full((1, 4, 32, 32), 0.6)
    flat[:, 3, :, :16] = 0
    p = read(written(flat, tmp_path / f"a{suffix}"))
    assert p.alpha is not None
    assert (p.alpha - flat[:, 3:]).abs().max() < 0.01


def test_jpeg_lays_transparency_on_white(tmp_path):
    clear = torch.zeros(1, 4, 16, 16)
    assert float(read(written(clear, tmp_path / "a.jpg")).pixels.min()) == 1


def test_jpeg_keeps_full_colour_resolution():
    stripes = torch.zeros(1, 3, 16, 16)
    stripes[:, 0, :, ::2] = 0.8
    stripes[:, 2, :, 1::2] = 0.8
    assert (read(encode(stripes, "jpeg")).pixels - stripes).abs().max() < 0.1


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits(kind):
    p = read(encode(X, kind, depth=16))
    assert p.depth == 16
    assert p.alpha is not None
    assert (torch.cat([p.pixels, p.alpha], 1) - X).abs().max() <= 0.5 / 65535 + 1e-6


def test_rounds_to_the_nearest_and_clamps():
    values = torch.tensor([0.4, 0.6, 254.4, 254.6]).div(255)
    x = torch.cat([values, torch.tensor([-0.5, 1.5])]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert (read(encode(x, "png")).pixels[0, 0, 0] * 255).round().tolist() == [0, 1, 254, 255, 0, 255]


def test_same_picture_same_bytes():
    for kind in ("png", "jpeg", "tiff", "webp"):
        assert encode(X, kind) == encode(X, kind)
    assert encode(X, "png", depth=16) == encode(X, "png", depth=16)


def test_standard_output(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", out)
    assert write(X, "-") is None
    assert out.buffer.getvalue() == encode(X, "png")


class TestTarget:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("a.gif", "format of '.*a.gif'.*one of: .png"),
            ("a", "format"),
            ("a.pgn", "did you mean '.png'"),
        ],
    )
    def test_suffix(self, name, said, tmp_path):
        with pytest.raises(OptionError, match=said):
            write(X, tmp_path / name)

    def test_depth(self, tmp_path, monkeypatch):
        with pytest.raises(OptionError, match="only PNG and TIFF"):
            check_target(tmp_path / "a.jpg", depth=16)
        with pytest.raises(OptionError, match="8 or 16"):
            check_target(tmp_path / "a.png", depth=12)
        monkeypatch.setitem(sys.modules, "pyvips", None)
        with pytest.raises(OptionError, match="pip install"):
            check_target(tmp_path / "a.png", depth=16)

    def test_never_over_a_file(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(b"mine")
        with pytest.raises(OutputError, match=r"there already.*--overwrite"):
            write(X, path)
        assert path.read_bytes() == b"mine"
        assert write(X, path, overwrite=True) == path
        assert read(path).width == 17

    def test_a_file_that_appears_meanwhile_is_spared(self, tmp_path, monkeypatch):
        path = tmp_path / "a.png"
        real = os.fsync

        def someone_else(handle):
            path.write_bytes(b"theirs")
            real(handle)

        monkeypatch.setattr("os.fsync", someone_else)
        with pytest.raises(OutputError, match="meanwhile"):
            write(X, path)
        assert path.read_bytes() == b"theirs"
        assert left_behind(tmp_path) == ["a.png"]

    def test_file_systems_without_links(self, tmp_path, monkeypatch):
        def no_links(*_):
            raise OSError(errno.EPERM, "not permitted")

        monkeypatch.setattr("os.link", no_links)
        assert write(X, tmp_path / "a.png") is not None
        assert left_behind(tmp_path) == ["a.png"]

    def test_folders(self, tmp_path, monkeypatch):
        with pytest.raises(OutputError, match="no folder"):
            write(X, tmp_path / "none" / "a.png")
        (tmp_path / "b.png").mkdir()
        with pytest.raises(OutputError, match="is a folder"):
            write(X, tmp_path / "b.png", overwrite=True)
        monkeypatch.setattr("os.access", lambda *_: False)
        with pytest.raises(OutputError, match="may not be written"):
            write(X, tmp_path / "a.png")

    def test_full_disk(self, tmp_path, monkeypatch):
        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OutputError, match=r"disk is full: '.*a.png' needs 0.0 MB"):
            write(X, tmp_path / "a.png")
        assert left_behind(tmp_path) == []

    def test_interruption_leaves_nothing(self, tmp_path, monkeypatch):
        def stop(_):
            raise KeyboardInterrupt

        monkeypatch.setattr("os.fsync", stop)
        with pytest.raises(KeyboardInterrupt):
            write(X, tmp_path / "a.png")
        assert left_behind(tmp_path) == []

    def test_rights_are_those_of_any_new_file(self, tmp_path):
        (tmp_path / "other").touch()
        path = write(X, tmp_path / "a.png")
        assert path is not None
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


class TestWrong:
    @pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (1, 2, 4, 4), (1, 3, 0, 4)])
    def test_shape(self, shape):
        with pytest.raises(OutputError, match="shape"):
            encode(torch.zeros(shape), "png")

    def test_nan(self):
        with pytest.raises(OutputError, match="NaN"):
            encode(torch.full((1, 3, 2, 2), float("nan")), "png")

    def test_too_long_for_the_format(self):
        with pytest.raises(OutputError, match=r"WEBP holds sides up to 16383 pixels.*17000 x 1"):
            encode(torch.zeros(1, 3, 1, 17000), "webp")

    def test_a_codec_that_fails(self):
        with pytest.raises(OutputError, match="encoded as JPEG: XMP data is too long"):
            encode(X, "jpeg", metadata="x" * 70000)


@pytest.mark.parametrize(
    ("content", "styles", "name"),
    [
        ("photo", ["painting"], "photo.painting.png"),
        ("photo", ["a", "b"], "photo.a.b.png"),
        ("photo", ["a", "b", "c", "d"], "photo.a.and-3-more.png"),
        ("my photo/../x", ["型染め!"], "my-photo-x.型染め.png"),
        ("", ["..."], "picture.picture.png"),
        ("con", ["a"], "con_.a.png"),
    ],
)
def test_default_name(content, styles, name):
    assert default_name(content, styles) == name


def test_default_name_is_never_too_long():
    assert len(default_name("型" * 300, ["x" * 300] * 3, ".jpg").encode()) < 255


def test_the_module_writes_what_it_lists():
    assert set(SUFFIXES.values()) == {"png", "jpeg", "webp", "tiff", "avif"}
    assert module._DEEP == ("png", "tiff")
