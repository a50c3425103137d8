"""Where pictures are read from: files, bytes, standard input, arrays; and what is none."""

from __future__ import annotations

import hashlib
import io
import os
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from katazome.errors import PictureError
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


class TestFiles:
    def test_missing(self, tmp_path):
        (tmp_path / "photo.jpg").touch()
        with pytest.raises(PictureError, match=r"no file '.*phto.jpg'; did you mean 'photo.jpg'\?"):
            read(tmp_path / "phto.jpg")

    def test_empty(self, tmp_path):
        (tmp_path / "e.png").touch()
        with pytest.raises(PictureError, match=r"e.png' is empty"):
            read(tmp_path / "e.png")

    def test_folder(self, tmp_path):
        with pytest.raises(PictureError, match="is a folder"):
            read(tmp_path)

    def test_device(self):
        with pytest.raises(PictureError, match="is a device"):
            read(os.devnull)

    def test_nul(self):
        with pytest.raises(PictureError, match="cannot be read"):
            read("a\0b.png")

    def test_no_permission(self, tmp_path, monkeypatch):
        def refuse(self):
            raise PermissionError(13, "Permission denied")

        (tmp_path / "a.png").touch()
        monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
        with pytest.raises(PictureError, match=r"a.png' may not be read"):
            read(tmp_path / "a.png")

    def test_wrong(self, tmp_path):
        (tmp_path / "a.png").write_text("<html>not found</html>")
        with pytest.raises(PictureError, match=r"a.png' is not a picture.*expected JPEG, PNG"):
            read(tmp_path / "a.png")

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP"])
    def test_truncated(self, kind, tmp_path):
        data = saved(Image.fromarray(np.tile(QUARTERS, (8, 8, 1))), kind)
        (tmp_path / "cut").write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(PictureError, match=r"cut' is a damaged or cut-off"):
            read(tmp_path / "cut")

    def test_standard_input(self, monkeypatch):
        data = saved(Image.fromarray(QUARTERS), "PNG")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert read("-").source == data

    def test_each_file_is_read_once(self, tmp_path, monkeypatch):
        count: list[Any] = []
        path = tmp_path / "a.png"
        data = saved(Image.fromarray(QUARTERS), "PNG")
        path.write_bytes(data)

        def once(self):
            count.append(self)
            return data

        monkeypatch.setattr("pathlib.Path.read_bytes", once)
        read(str(path))
        assert count == [path]

    def test_something_else(self):
        with pytest.raises(PictureError, match="a int is not a picture"):
            read(3)  # type: ignore[arg-type]


class TestArrays:
    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4)])
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
    def test_kinds(self, shape, kind):
        values = np.random.default_rng(0).random(shape)
        most = 1 if kind in (np.float32, np.float64) else np.iinfo(kind).max
        array = (values * most).astype(kind)
        p = read(array)
        assert (p.height, p.width, p.name, p.source) == (4, 5, "picture", None)
        assert (p.alpha is not None) == (shape[-1:] == (4,))
        expected = array[..., 0] if array.ndim == 3 else array
        assert np.allclose(p.pixels[0, 0].numpy(), expected / most, atol=1e-6)
        assert p.sha256 == hashlib.sha256(array.tobytes()).hexdigest()

    @pytest.mark.parametrize("shape", [(3, 4, 5), (4, 4, 5), (1, 3, 4, 5), (1, 4, 4, 5), (1, 4, 5)])
    def test_tensors(self, shape):
        x = torch.rand(shape, dtype=torch.float64, requires_grad=True)
        p = read(x)
        assert p.pixels.shape == (1, 3, 4, 5)
        assert torch.allclose(p.pixels.flatten()[:20], x.detach().float().flatten()[:20])

    def test_memory_is_not_shared(self):
        for source in (torch.zeros(3, 2, 2), np.zeros((2, 2, 3), np.float32)):
            read(source).pixels.fill_(1)
            assert float(source.sum()) == 0

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            (np.zeros((2, 2, 2), np.uint8), "shape"),
            (np.zeros((0, 2, 3), np.uint8), "shape"),
            (np.zeros(3), "shape"),
            (np.zeros((2, 2), np.int64), "type int64"),
            (np.full((2, 2), 255.0), "divide by 255"),
            (np.full((2, 2), np.nan), "NaN"),
            (torch.zeros(2, 2), "shape"),
            (torch.zeros(2, 3, 4, 4), "shape"),
            (torch.zeros(3, 2, 2, dtype=torch.uint8), "floats"),
            (torch.full((3, 2, 2), -0.5), "expected 0 to 1"),
        ],
    )
    def test_wrong(self, source, said):
        with pytest.raises(PictureError, match=said):
            read(source)

    def test_a_picture_is_itself(self):
        p = read(torch.zeros(3, 2, 2))
        assert read(p) is p
