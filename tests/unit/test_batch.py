"""From pictures, styles and options to cases: what is found, what it is called, what is refused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from katazome.errors import OptionError, PictureError
from katazome.jobs.batch import Order, check_case, check_output
from katazome.jobs.inputs import files_of, pictures
from katazome.jobs.manifest import Case
from katazome.methods.options import STARTS
from katazome.pictures.write import write

WEIGHTS = "ab" * 32


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two folders of pictures."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("photos/a.png", "photos/sub/b.JPG", "looks/one.png", "looks/two.png")):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(torch.full((1, 3, 4, 4), number / 4), path)
    return tmp_path


def order(contents: Sequence[str] = ("photos",), styles: Sequence[str] = ("looks",), **more: Any) -> Order:
    given: dict[str, Any] = {
        "folder": Path("out"),
        "method": "gatys",
        "weights": WEIGHTS,
        "threads": 1,
        **more,
    }
    return Order(contents=contents, styles=styles, **given)


def outputs(made: Order) -> list[str]:
    return [case.values["output"] for case in made.cases()[0]]


def test_product_pairs_and_all_together(here: Path) -> None:
    assert outputs(order()) == ["a.one.png", "a.two.png", "b.one.jpg", "b.two.jpg"]
    assert outputs(order(combine="pair")) == ["a.one.png", "b.two.jpg"]
    assert outputs(order(combine="together")) == ["a.one.two.png", "b.one.two.jpg"]
    with pytest.raises(OptionError, match="2 pictures cannot be paired with 1 styles"):
        order(styles=["looks/one.png"], combine="pair").cases()
    with pytest.raises(OptionError, match="no style was given"):
        order(styles=[]).cases()
    assert len(order(styles=[], options={"at": ["everything=looks/one.png"]}).cases()[0]) == 2


def test_names(here: Path) -> None:
    name = "{folder}/{number}-{method}.{content}.png"
    assert outputs(order(styles=["looks/one.png"], name=name)) == [
        "00001-gatys.a.png",
        "sub/00002-gatys.b.png",
    ]
    assert order(styles=["looks/one.png"], name=name).cases()[0][1].name == "sub+00002-gatys.b.png"
    assert outputs(order(["photos/sub/b.JPG"], ["looks/one.png"], depth=16)) == ["b.one.png"]
    with pytest.raises(
        OptionError, match=r"depth is 16, and the result 'a\.jpg' is JPEG; only PNG and TIFF hold 16 bits"
    ):
        order(name="{content}.jpg", depth=16).cases()
    with pytest.raises(OptionError, match=r"name has \{contnt\}; did you mean 'content'"):
        order(name="{contnt}.png").cases()
    with pytest.raises(
        OptionError, match=r"a\.png' with .*one\.png' and .*two\.png' would both be written to 'a"
    ):
        order(name="{content}.png").cases()


@pytest.mark.parametrize(
    "wrong", ["../a.png", "/a.png", "a/../../b.png", "batch/a.png", "a", "C:a.png", "a\n.png"]
)
def test_names_that_lead_elsewhere(wrong: str) -> None:
    with pytest.raises(OptionError):
        check_output(wrong)


def test_the_results_of_before_are_no_pictures_to_restyle(here: Path) -> None:
    Path("out/batch").mkdir(parents=True)
    write(torch.rand(1, 3, 4, 4), "out/a.one.png")
    Path("photos/.hidden.png").write_bytes(b"")
    Path("photos/notes.txt").write_text("")
    found = [source.path for source in pictures([".", "photos", "photos/a.png"], Path("out"), "picture")]
    assert found == [
        here / "looks/one.png",
        here / "looks/two.png",
        here / "photos/a.png",
        here / "photos/sub/b.JPG",
    ]


def test_patterns(here: Path) -> None:
    assert [s.name for s in pictures(["**/[ab].*"], Path("out"), "picture")] == ["a.png", "b.JPG"]
    with pytest.raises(PictureError, match=r"there is no picture in 'photos/\*\.tif'"):
        pictures(["photos/*.tif"], Path("out"), "picture")
    with pytest.raises(PictureError, match="there is no style 'lokos'; did you mean 'looks'"):
        pictures(["lokos"], Path("out"), "style")
    Path("empty").mkdir()
    with pytest.raises(PictureError, match="'empty' has no pictures in it"):
        pictures(["empty"], Path("out"), "picture")
    with pytest.raises(OptionError, match="no picture was given"):
        pictures([], Path("out"), "picture")


def test_a_tree_that_was_moved_is_the_same_work(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = order().cases()
    (here / "else").mkdir()
    for name in ("photos", "looks"):
        (here / name).rename(here / "else" / name)
    monkeypatch.chdir(here / "else")
    assert order().cases()[0] == before


def test_what_is_in_a_file_counts_not_what_it_is_called(here: Path) -> None:
    options = {"where": "not:mask:photos/a.png and everything", "at": ["mask:'photos/a.png'=looks/one.png"]}
    assert files_of({**options, "init": "looks/two.png"}) == {
        "photos/a.png",
        "looks/one.png",
        "looks/two.png",
    }
    assert files_of({"init": "random", "filters": "relu5_1:3", "where": "filters:relu5_1:3"}) == set()
    before = order(options=options).cases()[0][0]
    write(torch.rand(1, 3, 4, 4), "looks/one.png", overwrite=True)
    after = order(options=options).cases()[0][0]
    assert before.values["files"] != after.values["files"]
    assert before.values["styles"] != after.values["styles"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_picture_that_may_not_be_read_does_not_stop_the_rest(here: Path) -> None:
    Path("photos/a.png").chmod(0)
    cases, unfit = order().cases()
    assert [case.values["output"] for case in cases] == ["b.one.jpg", "b.two.jpg"]
    assert [one.output for one in unfit] == ["a.one.png", "a.two.png"]
    assert "may not be read" in unfit[0].why


def test_files_of_each_picture(here: Path) -> None:
    for name in ("a", "b"):
        for place in (f"masks/{name}.one.png", f"masks/{name}.two.png", f"starts/{name}.png"):
            Path(place).parent.mkdir(exist_ok=True)
            write(torch.rand(1, 3, 4, 4), place)
    for number in range(1, 5):
        write(torch.rand(1, 3, 4, 4), f"{number:05}.png")
    options: dict[str, Any] = {
        "where": "not:mask:{folder}/masks/{content}.{style}.png and face",
        "style_where": "mask:{number}.png, everything",
        "init": "starts/{content}.png",
    }
    first, *_ = order(["photos/a.png", "photos/sub/b.JPG"], options=options).cases()[0]
    assert first.values["options"] == {
        "where": "(not:mask:masks/a.one.png and face)",
        "style_where": "mask:00001.png, everything",
        "init": "starts/a.png",
    }
    assert list(first.values["files"]) == ["00001.png", "masks/a.one.png", "starts/a.png"]
    options = {"at": ["mask:masks/{content}.one.png=looks/{style}.png", "everything=looks/two.png"]}
    last = order(options=options).cases()[0][-1]
    assert last.values["options"]["at"] == [
        "mask:masks/b.one.png=looks/two.png",
        "everything=looks/two.png",
    ]


def test_a_file_is_called_what_it_is_called(here: Path) -> None:
    """A result's name is tidied, that of a mask is not."""
    Path("photos/a.png").rename("photos/a, the first.png")
    write(torch.rand(1, 3, 4, 4), "mask of a, the first.png")
    options = {"where": "mask:'mask of {content}.png'"}
    case, *_ = order(["photos/a, the first.png"], options=options).cases()[0]
    assert case.values["output"] == "a-the-first.one.png"
    assert case.values["options"]["where"] == 'mask:"mask of a, the first.png"'
    assert list(case.values["files"]) == ["mask of a, the first.png"]


def test_a_mask_that_is_missing_is_the_failure_of_its_picture(here: Path) -> None:
    write(torch.rand(1, 3, 4, 4), "b.png")
    cases, unfit = order(styles=["looks/one.png"], options={"where": "mask:{content}.png"}).cases()
    assert [case.values["output"] for case in cases] == ["b.one.jpg"]
    assert [one.output for one in unfit] == ["a.one.png"]
    assert unfit[0].why.startswith("there is no file 'a.png'")
    with pytest.raises(PictureError, match=r"none of the pictures can be made: there is no file 'no-a\.png'"):
        order(options={"where": "mask:no-{content}.png"}).cases()
    with pytest.raises(PictureError, match=r"^there is no file 'none\.png'"):  # which is for all
        order(options={"where": "mask:none.png", "init": "{content}.png"}).cases()


def test_fields_that_there_are_not(here: Path) -> None:
    with pytest.raises(OptionError, match=r"where has \{contnt\}; did you mean 'content'"):
        order(options={"where": "mask:{contnt}.png"}).cases()
    with pytest.raises(OptionError, match=r"init has \{style\}, and a picture here has not one style"):
        order(combine="together", options={"init": "{style}.png"}).cases()


def test_all_words_for_a_start_are_no_files(here: Path) -> None:
    for start in STARTS:
        assert order(options={"init": start}).cases()[0][0].values["files"] == {}


def test_wrong_options_are_told_before_anything_is_done(here: Path) -> None:
    with pytest.raises(OptionError, match="strength is 3"):
        order(options={"strength": 3.0}).cases()
    with pytest.raises(OptionError, match="no preset 'nothing'"):
        order(preset="nothing").cases()
    assert order(options={"init": "looks/one.png", "blend": "1"}).cases()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"threads": 0}, "threads 0"),
        ({"threads": True}, "threads True; it must be of the kind int"),
        ({"content": "short"}, "a hash that is none"),
        ({"styles": [3]}, "a hash that is none"),
        ({"output": "../a.png"}, "does not stay in the results' folder"),
        ({"output": "b.png"}, "its name must be that"),
        ({"method": "gaty"}, "no method is called 'gaty'; did you mean 'gatys'"),
        ({"options": {"strenth": 1}}, "unknown option 'strenth'"),
        ({"weights": "cd" * 32}, r"is for the network cdcd"),
        ({"more": 1}, "wrong values: more"),
        ({"styles": []}, "the place of its content and of each style"),
    ],
)
def test_a_case_edited_wrongly(here: Path, values: dict[str, Any], said: str) -> None:
    case = order().cases()[0][0]
    check_case(case, WEIGHTS)
    with pytest.raises(OptionError, match=said):
        check_case(replace(case, values={**case.values, **values}), WEIGHTS)


def test_a_case_without_its_places(here: Path) -> None:
    case = order().cases()[0][0]
    for places in ({}, {"content": 3, "styles": ["a"]}, {"content": "a", "styles": 3}):
        with pytest.raises(OptionError, match="the place of its content"):
            check_case(Case(case.name, case.values, places), WEIGHTS)
