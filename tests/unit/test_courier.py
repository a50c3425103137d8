"""Pictures made where none of our folders is seen: the same pixels, from the files that were sent."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from katazome.errors import PictureError
from katazome.filters.select import Chosen, Selection
from katazome.filters.settings import Network
from katazome.jobs.batch import Order
from katazome.jobs.courier import PictureCourier
from katazome.jobs.crew import Courier
from katazome.jobs.local import Painter
from katazome.jobs.manifest import Case
from katazome.pictures.write import write
from tests.filters import draw
from tests.tiny import tiny_vgg

TINY = tiny_vgg()
OPTIONS = {"size": "64", "iterations": 2, "precision": "float32"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture, a style, masks of odd names, and chosen filters; it is the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    draw(Path(), ["photos/a.png", "looks/one.png"])
    left = torch.zeros(1, 3, 48, 40)
    left[..., :20] = 1
    write(left, "left, of (a).png")
    layers = {"relu4_1": tuple(Chosen(number) for number in range(7))}
    Selection(network=Network.of(TINY), rule="by eye", object="dog", layers=layers).write(Path("dog.json"))
    return tmp_path


def case_of(method: str, **options: Any) -> Case:
    made = Order(
        contents=["photos"],
        styles=["looks"],
        folder=Path("out"),
        method=method,
        weights=TINY.sha256,
        threads=torch.get_num_threads(),
        options={**OPTIONS, **options},
    )
    return made.cases()[0][0]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gatys", {"where": "not:mask:'left, of (a).png'", "init": "photos/a.png"}),
        ("gatys", {"at": ["mask:'left, of (a).png'=looks/one.png"]}),
        ("filters", {"filters": "dog.json", "style_where": "mask:'left, of (a).png'"}),
    ],
)
def test_the_same_pixels(
    here: Path, method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(method, **options)
    alone = Painter(Path("alone"), TINY)
    expected = alone.do(case, lambda: False)
    painter = Painter(Path("out"), TINY)
    courier: Courier = PictureCourier(painter)
    files = [file.read_bytes() for file in courier.files(case)]

    there: Courier = pickle.loads(pickle.dumps(courier))
    (here / "elsewhere").mkdir()
    (here / "here").rename(here / "gone")
    monkeypatch.chdir(here / "elsewhere")
    figures, made = there.do(case, files)
    assert not list((here / "elsewhere").iterdir())

    monkeypatch.chdir(here / "gone")
    assert painter.missing([case]) == [case]
    courier.take_in(case, figures, made)
    assert painter.missing([case]) == []
    assert painter.output(case).read_bytes() == alone.output(case).read_bytes()
    assert expected is not None
    assert figures["sha256"] == expected["sha256"]


def test_a_picture_and_a_mask_of_one_name(here: Path) -> None:
    """Pictures are called from the results on, files of options from the current folder."""
    (here / "a.png").write_bytes(Path("left, of (a).png").read_bytes())
    case = case_of("gatys", where="mask:../a.png")
    named = Case(case.name, case.values, {**case.places, "content": "../a.png"})
    files = [Path(name).read_bytes() for name in ("photos/a.png", "looks/one.png", "../a.png")]
    figures, _ = PictureCourier(Painter(Path("out"), TINY)).do(named, files)
    assert (figures["width"], figures["height"]) == (53, 64)


def test_a_file_that_was_changed_after_the_plan(here: Path) -> None:
    case = case_of("gatys", where="mask:'left, of (a).png'")
    courier = PictureCourier(Painter(Path("out"), TINY))
    photo, look, mask = [file.read_bytes() for file in courier.files(case)]
    with pytest.raises(PictureError, match=r"^'a' is not the picture that the manifest has"):
        courier.do(case, [look, look, mask])
    with pytest.raises(
        PictureError, match=r"^'left, of \(a\)\.png' was changed since the manifest was written"
    ):
        courier.do(case, [photo, look, photo])
