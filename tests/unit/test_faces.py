"""Frames, maps of faces, and the detector on a photograph with one face and on one with none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from katazome.errors import OptionError, PictureError, WeightsError
from katazome.faces.align import TEMPLATE, cut, fitted, frame_of, square_in
from katazome.faces.blend import face_map, oval, window
from katazome.faces.detect import Face, _suppressed, find_faces, one_face
from katazome.networks.faces import FaceNetworks, faces_of, open_faces
from katazome.pictures.read import read
from katazome.regions.covering import map_of
from katazome.regions.grammar import parse
from katazome.regions.region import Region

PICTURES = Path(__file__).parents[2] / "examples/pictures"
MARKS = torch.tensor(TEMPLATE, dtype=torch.float64)


@pytest.fixture(scope="module")
def networks() -> FaceNetworks:
    return open_faces()


def turned(marks: Tensor, degrees: float, scale: float, shift: tuple[float, float]) -> Tensor:
    a = math.radians(degrees)
    matrix = scale * torch.tensor(
        [[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64
    )
    return marks @ matrix.T + torch.tensor(shift, dtype=torch.float64)


def test_the_frame_is_the_similarity_that_made_the_marks() -> None:
    frame = frame_of(turned(MARKS, 20, 90, (40, 30)), 100)
    places = torch.cat((MARKS * 100, torch.ones(5, 1, dtype=torch.float64)), 1) @ frame.matrix.T
    torch.testing.assert_close(places, turned(MARKS, 20, 90, (40, 30)))


def smooth(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack((x / width, y / height, 0.5 + 0.4 * torch.sin(x / 17)))[None]


def test_what_is_cut_out_and_lifted_comes_back_to_its_place() -> None:
    picture = smooth(120, 160)
    frame = frame_of(turned(MARKS, -15, 80, (50, 20)), 96)
    back = frame.lifted(frame.cut(picture), (120, 160))
    inside = frame.lifted(oval(96), (120, 160)) > 0.5
    assert bool(inside.any())
    assert float((back - picture).abs().mul(inside).max()) < 0.01
    left, top, right, bottom = frame.bounds((120, 160))
    assert not bool(back[..., :top, :].any())
    assert not bool(back[..., right:].any())
    assert (left, bottom) <= (160, 120)


def test_a_large_face_is_reduced_not_picked_from() -> None:
    stripes = (torch.arange(512) % 2).float().expand(1, 3, 512, 512)
    frame = square_in((512, 512), 32)
    assert float(frame.cut(stripes)[..., 2:-2, 2:-2].std()) < 0.02


def test_the_middle_square_is_exact() -> None:
    picture = smooth(64, 96)
    torch.testing.assert_close(cut(picture, square_in((64, 96), 64).matrix, 64), picture[..., 16:80])


def test_a_fit_tells_how_a_face_is_turned() -> None:
    affine = MARKS @ torch.tensor([[1.2, 0.1], [-0.2, 0.8]], dtype=torch.float64).T + 3
    nose = MARKS.clone()
    nose[2, 0] += 0.1
    maps, left = fitted(MARKS, torch.stack((affine, nose)))
    assert float(left[0]) == pytest.approx(0, abs=1e-9)
    assert 0.05 < float(left[1]) < 0.4
    places = torch.cat((MARKS, torch.ones(5, 1, dtype=torch.float64)), 1) @ maps[0].T
    torch.testing.assert_close(places, affine)


def test_the_oval_is_one_on_the_face_and_nothing_at_the_rim() -> None:
    found = oval(100)[0, 0]
    for x, y in TEMPLATE:
        assert float(found[round(y * 100), round(x * 100)]) > 0.9
    for rim in (found[0], found[-1], found[:, 0], found[:, -1]):
        assert float(rim.max()) == 0


def test_the_window_falls_where_the_picture_goes_on() -> None:
    wide = window(square_in((64, 128), 32), (64, 128))[0, 0]
    assert float(wide[0, 16]) == float(wide[-1, 16]) == 1
    assert float(wide[16, 0]) < 0.15
    assert float(wide[16, 16]) == 1
    assert float(window(square_in((64, 64), 32), (64, 64)).min()) == 1


def test_of_boxes_that_overlap_the_surest_stays() -> None:
    boxes = torch.tensor(
        [[0, 0, 10, 10, 0.8], [1, 1, 11, 11, 0.9], [20, 20, 30, 30, 0.7], [3, 3, 6, 6, 0.95]],
        dtype=torch.float32,
    )
    assert _suppressed(boxes, 0.5).tolist() == [3, 1, 2]
    assert _suppressed(boxes, 0.5, of_smaller=True).tolist() == [3, 2]
    assert _suppressed(boxes[:0], 0.5).tolist() == []


def test_the_astronaut_has_a_face(networks: FaceNetworks) -> None:
    picture = read(PICTURES / "astronaut.jpg")
    (face,) = find_faces(networks, picture.pixels)
    assert face.score > 0.99
    marks = face.marks(512, 512)
    # placed by eye on the photograph: eyes, nose, mouth
    by_eye = torch.tensor([[203.0, 101], [248, 103], [225, 123], [206, 141], [246, 142]], dtype=torch.float64)
    assert float((marks - by_eye).norm(dim=1).max()) < 8


@pytest.mark.parametrize("scale", [0.3, 0.7])
def test_and_at_other_sizes(networks: FaceNetworks, scale: float) -> None:
    from katazome.pictures.resize import resize

    pixels = read(PICTURES / "astronaut.jpg").pixels
    small = find_faces(networks, resize(pixels, (round(512 * scale),) * 2))
    (whole,) = find_faces(networks, pixels)
    assert len(small) == 1
    moved = torch.tensor(small[0].landmarks) - torch.tensor(whole.landmarks)
    assert float(moved.abs().max()) < 0.015


def test_a_cup_has_none(networks: FaceNetworks) -> None:
    picture = read(PICTURES / "coffee.jpg")
    assert find_faces(networks, picture.pixels) == []
    with pytest.raises(PictureError, match="no face was found"):
        one_face([], 0, "coffee")
    assert find_faces(networks, torch.rand(1, 3, 9, 30)) == []


def test_of_several_one_must_be_said() -> None:
    faces = [Face((x, 0, x + 0.1, 0.1), TEMPLATE, 1.0) for x in (0.1, 0.5)]
    with pytest.raises(PictureError, match="has 2 faces"):
        one_face(faces, 0, "pair")
    assert one_face(faces, 2, "pair") is faces[1]
    with pytest.raises(PictureError, match="there is no face 3"):
        one_face(faces, 3, "pair")


def test_face_is_a_region_like_others() -> None:
    picture = read(PICTURES / "astronaut.jpg")
    face, rest = (map_of(parse(text), picture) for text in ("face", "not:face"))
    torch.testing.assert_close(face + rest, torch.ones_like(face))
    assert 0.02 < float(face.mean()) < 0.05
    assert float(face[0, 0, 110, 225]) > 0.999
    torch.testing.assert_close(map_of(Region.face(1), picture), face)
    assert str(Region.face(2)) == "face:2"
    assert str(parse("face or face:2")) == "(face or face:2)"
    with pytest.raises(PictureError, match="there is no face 2"):
        map_of(Region.face(2), picture)
    for text in ("face:0", "face:left"):
        with pytest.raises(OptionError, match="numbered from the left"):
            parse(text)


def test_two_faces_make_one_map() -> None:
    faces = [Face((0, 0, 1, 1), tuple((x / 2 + shift, y) for x, y in TEMPLATE), 1.0) for shift in (0.0, 0.5)]
    both = face_map(faces, (100, 200))
    for shift in (0, 100):
        assert float(both[0, 0, 50, 50 + shift]) > 0.999
    assert float(both[0, 0, 0].max()) == 0


def test_other_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="not MTCNN's"):
        faces_of({}, {}, {})
