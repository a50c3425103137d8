"""Tables of attributes in their layouts, and the two sets that are chosen by them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from katazome.collections.attributes import AttributeTable, find_table, key_of, read_table
from katazome.collections.choosing import (
    FEWEST,
    Collection,
    Wish,
    attribute_distance,
    check_sides,
    collection,
    nearest,
    person_of,
)
from katazome.collections.folders import Source
from katazome.errors import OptionError, PictureError

LFW = "# a comment\n#\tperson\timagenum\tMale\tMouth_Slightly_Open\tSmiling\n" + "".join(
    f"{name}\t{number}\t{a}\t{b}\t{c}\n"
    for name, number, a, b, c in [
        ("Ann Lee", 1, 0.01, 0.9, 0.95),
        ("Ann Lee", 2, 0.02, 0.1, 0.05),
        ("Bo O'Hara", 1, 0.99, 0.2, 0.5),
    ]
)
BINARY = LFW.replace("0.01", "0").replace("0.02", "0").replace("0.95", "1").replace("0.99", "1")
CELEBA = "2\nSmiling Male Young\n000001.jpg  1 -1  1\n000002.jpg -1  1 -1\n"
CSV = "file,Glossy,Wet\nb/one.png,0.5,-2\ntwo.png,,3.5\n"


def table(folder: Path, text: str, name: str = "some_attributes.txt") -> AttributeTable:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return read_table(path)


def test_the_layout_of_lfw(tmp_path: Path) -> None:
    found = table(tmp_path, LFW, "lfw_attributes.txt.gz")
    assert found.kind == "probability"
    assert found.names == ("Male", "Mouth_Slightly_Open", "Smiling")
    assert found.keys == ("ann_lee_0001", "ann_lee_0002", "bo_o'hara_0001")
    assert found.people == ("Ann_Lee", "Ann_Lee", "Bo_O'Hara")
    there, absent = found.has("smiling")
    assert there.tolist() == [True, False, False]
    assert absent.tolist() == [False, True, False]  # 0.5 is neither


def test_celebas_layout(tmp_path: Path) -> None:
    found = table(tmp_path, CELEBA, "list_attr_celeba.txt")
    assert found.kind == "signed"
    assert found.keys == ("000001", "000002")
    assert [side.tolist() for side in found.has("Male")] == [[False, True], [True, False]]


def test_csv_of_any_columns_with_gaps(tmp_path: Path) -> None:
    found = table(tmp_path, CSV, "attr.csv")
    assert found.kind == "real"
    assert found.keys == ("one", "two")
    assert [side.tolist() for side in found.has("glossy")] == [[True, False], [False, False]]
    assert [side.tolist() for side in found.has("Wet")] == [[False, True], [True, False]]


def test_a_name_is_found_by_its_opposite(tmp_path: Path) -> None:
    found = table(tmp_path, LFW)
    open_, closed = (found.has(word) for word in ("mouth slightly-open", "Mouth Closed"))
    assert closed[0].tolist() == open_[1].tolist()
    assert closed[1].tolist() == open_[0].tolist()
    with pytest.raises(OptionError, match="did you mean 'Smiling'"):
        found.has("Smilling")


def test_of_zeros_and_ones_the_contrary_must_say_no(tmp_path: Path) -> None:
    text = "#\tperson\timagenum\tSmiling\tFrowning\n" + "".join(
        f"A\t{n}\t{a}\t{b}\n" for n, (a, b) in enumerate([(1, 0), (0, 0), (0, 1), (1, 1)], 1)
    )
    found = table(tmp_path, text)
    assert found.kind == "binary"
    assert [side.tolist() for side in found.has("Smiling")] == [
        [True, False, False, False],
        [False, False, True, False],
    ]


def test_probabilities_are_found_before_zeros_and_ones(tmp_path: Path) -> None:
    (tmp_path / "lfw").mkdir()
    assert find_table(tmp_path / "lfw") is None
    table(tmp_path, "#\tperson\timagenum\tSmiling\nA\t1\t1\n", "lfw_attributes_binary.txt")
    table(tmp_path, "#\tperson\timagenum\tSmiling\nA\t1\t0.3\n", "lfw_attributes_soft.txt.gz")
    found = find_table(tmp_path / "lfw")
    assert found is not None
    assert found.name == "lfw_attributes_soft.txt.gz"
    table(tmp_path / "lfw", "#\tperson\timagenum\tSmiling\nA\t1\t1\n", "attr.txt")  # inside comes first
    found = find_table(tmp_path / "lfw")
    assert found is not None
    assert found.name == "attr.txt"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("#\tperson\timagenum\tSmiling\n", "no rows"),
        ("#\tperson\timagenum\tSmiling\nA\t1\t0.3\t0.5\n", "the row of 'A' has 2 values for 1"),
        ("#\tperson\timagenum\tSmiling\nA\tone\t0.3\n", "no table of attributes"),
        ("2\nSmiling\n1.jpg x\n", "no table of attributes"),
        ("\x00\x01", "no rows|no table"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(PictureError, match=match):
        table(tmp_path, text)


def test_a_missing_or_broken_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="there is no table"):
        read_table(tmp_path / "no.txt")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(LFW.encode())[:30])
    with pytest.raises(PictureError, match="cannot be read"):
        read_table(tmp_path / "cut.txt.gz")


def faces(folder: Path, *names: str) -> Path:
    for n, name in enumerate(names):
        file = folder / "lfw" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (n * 40, 0, 0)).save(file)
    return folder / "lfw"


@pytest.fixture
def three(tmp_path: Path) -> Collection:
    table(tmp_path, LFW)
    names = ("Ann_Lee/Ann_Lee_0001.png", "Ann_Lee/Ann_Lee_0002.png", "Bo_O'Hara/Bo_O'Hara_0001.png")
    return collection(faces(tmp_path, *names))


def test_pictures_meet_their_rows(three: Collection) -> None:
    assert [source.name.rpartition("/")[2] for source in three.sources] == [
        "Ann_Lee_0001.png",
        "Ann_Lee_0002.png",
        "Bo_O'Hara_0001.png",
    ]
    assert three.people == ("Ann_Lee", "Ann_Lee", "Bo_O'Hara")
    assert three.notes == ()
    assert three.values().shape == (3, 3)


def test_what_is_missing_on_either_side_is_counted_and_named(tmp_path: Path) -> None:
    table(tmp_path, LFW)
    found = collection(faces(tmp_path, "Ann_Lee/Ann_Lee_0001.png", "Cy/Cy_0001.png"))
    assert found.notes[0].startswith("1 pictures have no row in some_attributes.txt: Cy/Cy_0001.png")
    assert found.notes[1] == "2 rows have no picture: ann_lee_0002, bo_o'hara_0001"
    with pytest.raises(PictureError, match="none of the 1 pictures"):
        collection(faces(tmp_path / "other", "Cy/Cy_0001.png"), tmp_path / "some_attributes.txt")


def test_a_collection_without_a_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no table of attributes in"):
        collection(faces(tmp_path, "a/1.png"))


def test_a_copy_is_known(three: Collection, tmp_path: Path) -> None:
    own = three.sources[1].path
    assert three.number_of(own) == 1
    copy = tmp_path / "elsewhere" / own.name
    copy.parent.mkdir()
    copy.write_bytes(own.read_bytes())
    assert three.number_of(copy) == 1
    copy.write_bytes(three.sources[0].path.read_bytes())
    assert three.number_of(copy) is None
    assert three.number_of(tmp_path / "none.png") is None


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("Ann_Lee/Ann_Lee_0002.jpg", "ann_lee"),
        ("000017.jpg", ""),
        ("face.jpg", ""),
        ("Bo-Al_12.png", "bo-al"),
    ],
)
def test_who_is_shown(name: str, person: str) -> None:
    assert person_of(Source(Path("x"), name)) == person
    assert key_of("a/B_1.JPG") == "b_1"


def test_sides_of_a_wish(three: Collection) -> None:
    target, source = Wish(add=("Smiling",)).sides(three)
    assert (target.tolist(), source.tolist()) == ([True, False, False], [False, True, False])
    turned = Wish(remove=("Smiling",)).sides(three)
    assert (turned[1].tolist(), turned[0].tolist()) == (target.tolist(), source.tolist())
    both = Wish(add=("Smiling",), remove=("Mouth Closed",), is_not=("Male",)).sides(three)
    assert [side.tolist() for side in both] == [[True, False, False], [False, True, False]]
    assert not Wish(add=("Smiling",), is_=("Male",)).sides(three)[0].any()


def test_wishes_that_are_none() -> None:
    with pytest.raises(OptionError, match="nothing is to change"):
        Wish()
    with pytest.raises(OptionError, match="twice"):
        Wish(add=("Smiling",), remove=("smiling",))


def test_the_nearest_of_the_best_in_pose() -> None:
    pose = np.array([0.0, 9.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 8.0, 0.05, 0.7])
    away = np.array([5.0, 0.2, 4.0, 3.0, 2.0, 1.0, 0.5, 0.1, 0.0, np.inf, 6.0])
    free = np.ones(11, np.bool_)
    assert nearest(free, 2, None, away) == [8, 7]
    assert nearest(free, 2, pose, away) == [7, 6]
    assert nearest(free, 1, pose, away) == [4]  # of the four best in pose that have features
    assert nearest(free & (np.arange(11) < 3), 5, None, away) == [1, 2, 0]


def test_tangled_attributes_have_no_say(three: Collection) -> None:
    # of three rows Mouth_Slightly_Open goes with Smiling; Male goes with it less
    away = attribute_distance(three, np.array([0.99, 0.9, 0.95], np.float32), Wish(add=("Smiling",)))
    assert away.argmin() == 2


def test_too_few_are_counted() -> None:
    wish = Wish(add=("Smiling",), is_=("Male",))
    check_sides(range(FEWEST), range(FEWEST), wish)
    with pytest.raises(
        PictureError, match=r"only 2 pictures without the change \(-Smiling\) that also is Male"
    ):
        check_sides(range(FEWEST), range(2), wish)
