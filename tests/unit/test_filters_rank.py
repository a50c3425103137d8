"""Ranks: what is recorded, where, and what is refused."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from katazome.collections.folders import Source, find, load_square
from katazome.errors import OptionError, OutputError, PictureError
from katazome.filters import rank as ranking
from katazome.filters.rank import Progress, begin, overlap
from katazome.filters.record import Rank, merge
from katazome.filters.settings import Network, RankOptions
from katazome.filters.show import Box, exciting, field_of, filter_sheet
from katazome.jobs.crew import attempt
from katazome.jobs.ranking import Ranker
from katazome.networks.vgg import Encoder, EncoderSettings
from katazome.weights import tensorfile
from tests.filters import OPTIONS, draw, equal, rank, recorded
from tests.tiny import tiny_vgg


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    draw(tmp_path / "in", ["b.png", "a/2.png", "a/1.jpg", "c.webp"])
    (tmp_path / "in/notes.txt").write_text("not a picture")
    return tmp_path / "in"


def ranked(pictures: Path, output: Path, **changes: object) -> Rank:
    list(rank(tiny_vgg(), [pictures], output, OPTIONS, **changes))  # type: ignore[arg-type]
    return Rank.open(output)


def test_the_maximum_after_the_relu_and_its_place(pictures: Path, tmp_path: Path) -> None:
    found = ranked(pictures, tmp_path / "rank")
    assert [p.name for p in found.pictures] == ["a/1.jpg", "a/2.png", "b.png", "c.webp"]
    encoder = Encoder(tiny_vgg(), EncoderSettings(padding=("zeros", "zeros")))
    for row, source in enumerate(found.pictures):
        maps = encoder(load_square(source, 32), OPTIONS.names)
        for layer in OPTIONS.names:
            expected = maps[layer].amax((2, 3))[0]
            torch.testing.assert_close(found.maxima(layer)[row], expected, rtol=1e-5, atol=1e-6)
    top = found.top("relu2_1", 2)
    for number in range(8):
        for value, picture, (i, j) in zip(
            top.values[number], top.pictures[number], top.places[number], strict=True
        ):
            square = load_square(found.pictures[int(picture)], 32)
            at = encoder(square, ["relu2_1"])["relu2_1"][0, number, i, j]
            assert float(at) == pytest.approx(float(value), rel=1e-5, abs=1e-6)


def test_a_picture_is_cut_to_its_middle_and_laid_on_white(tmp_path: Path) -> None:
    wide = Image.new("RGBA", (90, 30), (255, 0, 0, 255))
    wide.paste((0, 0, 255, 255), (30, 0, 60, 30))
    wide.paste((9, 9, 9, 0), (30, 0, 45, 30))
    wide.save(tmp_path / "wide.png")
    square = load_square(Source(tmp_path, "wide.png"), 30)
    assert square.shape == (1, 3, 30, 30)
    assert square[0, :, 15, 3].tolist() == [1, 1, 1]
    assert square[0, :, 15, 25].tolist() == [0, 0, 1]


def test_unreadable_pictures_are_skipped_and_named(pictures: Path, tmp_path: Path) -> None:
    (pictures / "a/1.jpg").write_bytes(b"\xff\xd8\xff broken")
    (pictures / "d.png").write_bytes(b"")
    steps = list(rank(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS, batch=2, shard=2))
    assert steps[-1] == Progress(5, 5, 2)
    found = Rank.open(tmp_path / "rank")
    assert [s.source.name for s in found.skipped] == ["a/1.jpg", "d.png"]
    assert "is empty" in found.skipped[1].reason
    assert len(found.pictures) == len(found.maxima("relu2_1")) == 3


def test_nothing_but_unreadable_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"none")
    found = ranked(tmp_path / "in", tmp_path / "rank")
    assert not found.pictures
    with pytest.raises(OptionError, match="nothing has been ranked yet"):
        found.maxima("relu2_1")
    with pytest.raises(OptionError, match="nothing has been ranked yet"):
        found.top("relu2_1")


def test_going_on(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = rank(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS, batch=1, shard=2)
    next(work)
    work.close()
    begun = Rank.open(tmp_path / "rank")
    assert (len(begun.pictures), begun.waiting) == (1, 3)
    # what a kill leaves behind is no shard
    (tmp_path / "rank/.shard-00001.safetensors.part").write_bytes(b"half")
    steps = list(rank(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS, batch=1, shard=2))
    assert [s.done for s in steps] == [2, 3, 4]
    assert Rank.open(tmp_path / "rank").waiting == 0
    # done is done: the network is not asked again
    monkeypatch.setattr(ranking, "Encoder", lambda *_: None)
    assert not list(rank(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS))


def test_ranges_in_any_order_by_several_give_the_rank_of_one(pictures: Path, tmp_path: Path) -> None:
    once = ranked(pictures, tmp_path / "once", batch=1)
    work = begin(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS, batch=1)
    assert work.missing(3) == [range(3), range(3, 4)]
    list(work.run([range(2, 4)]))
    other = pickle.loads(pickle.dumps(work))  # in another process
    assert work.missing() == other.missing() == [range(2)]
    begun = Rank.open(tmp_path / "rank")
    assert (begun.pictures, begun.waiting) == (once.pictures[2:], 2)
    assert torch.equal(begun.maxima("relu2_1"), once.maxima("relu2_1")[2:])
    list(other.run([range(1, 2)]))
    list(work.run([range(1)]))
    assert work.missing() == []
    assert equal(Rank.open(tmp_path / "rank"), once)


def test_a_rank_of_counted_shards_is_gone_on_with(pictures: Path, tmp_path: Path) -> None:
    """As earlier versions named them."""
    once = ranked(pictures, tmp_path / "once", batch=1)
    work = rank(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS, batch=1, shard=1)
    for number in range(3):
        next(work)
        last = sorted((tmp_path / "rank").glob("shard-?????????.*"))[-1]
        last.rename(tmp_path / f"rank/shard-{number:05d}.safetensors")
    work.close()
    assert Rank.open(tmp_path / "rank").pictures == once.pictures[:3]
    list(rank(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS, batch=1))
    assert len(Rank.open(tmp_path / "rank").shards) == 4
    assert equal(Rank.open(tmp_path / "rank"), once)


def test_a_picture_that_stands_in_two_shards(pictures: Path, tmp_path: Path) -> None:
    work = begin(tiny_vgg(), [pictures], tmp_path / "rank", OPTIONS)
    list(work.run([range(3)]))
    list(work.run([range(2, 4)]))
    with pytest.raises(OptionError, match=r"shard-000000002.* has pictures that another one has too"):
        Rank.open(tmp_path / "rank")
    (tmp_path / "rank/shard-000000002.safetensors").unlink()
    assert work.missing() == [range(3, 4)]


def test_automatic_precision_goes_on_as_it_began(pictures: Path, tmp_path: Path) -> None:
    ranked(pictures, tmp_path / "rank")
    auto = RankOptions(layers=OPTIONS.layers, side=OPTIONS.side)
    list(rank(tiny_vgg(), [pictures], tmp_path / "rank", auto))
    assert Rank.open(tmp_path / "rank").options.precision == "float32"


def test_another_rank_is_not_gone_on_with(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "rank"
    ranked(pictures, output)
    for options, network, told in (
        (RankOptions(layers=OPTIONS.layers, side=48, precision="float32"), 0, "side 32 and 48"),
        (RankOptions(layers=("relu2_1",), side=32), 0, "layers relu2_1,relu3_1 and relu2_1"),
        (OPTIONS, 1, "network tiny"),
    ):
        with pytest.raises(OptionError, match=f"a rank of something else.*{told}"):
            rank(tiny_vgg(network), [pictures], output, options)
    with pytest.raises(OptionError, match="in another order; name the folders as before"):
        rank(tiny_vgg(), [pictures / "a", pictures], tmp_path / "rank", OPTIONS)
    draw(pictures, ["more.png"])
    with pytest.raises(OptionError, match="other pictures: 1 more, 0 gone"):
        rank(tiny_vgg(), [pictures], output, OPTIONS)


def test_folders_are_found_or_named(pictures: Path, tmp_path: Path) -> None:
    # a picture under two folders is one picture; the order is that of the folders
    found = find([pictures / "a", pictures])
    assert [p.path.name for p in found] == ["1.jpg", "2.png", "b.png", "c.webp"]
    (tmp_path / "empty").mkdir()
    for folder, told in (
        (tmp_path / "empty", "has no pictures in it"),
        (tmp_path / "inn", "there is no folder .*did you mean 'in'"),
        (pictures / "b.png", "is a file"),
    ):
        with pytest.raises(PictureError, match=told):
            find([folder])
    with pytest.raises(OptionError, match="no folder of pictures"):
        rank(tiny_vgg(), [], tmp_path / "rank", OPTIONS)
    assert not (tmp_path / "rank").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layers": ("relu6_1",)}, "no layer is called 'relu6_1'"),
        ({"layers": ("conv4_1",)}, "after the ReLU, as relu4_1"),
        ({"layers": ("pool4",)}, "after the ReLU"),
        ({"layers": ()}, "layers is empty"),
        ({"side": 16}, "side is 16"),
        ({"layers": ("relu5_1",), "side": 31}, "side is 31"),
        ({"precision": "int8"}, "one of: auto, float32, bfloat16"),
    ],
)
def test_options_are_checked(options: dict[str, object], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        RankOptions.from_json(options)


def test_short_names_of_layers() -> None:
    assert RankOptions(layers=("r41", "relu4_1", "r51")).names == ("relu4_1", "relu5_1")


def test_ranks_that_cannot_be_merged(tmp_path: Path) -> None:
    values = torch.rand(4, 3)
    first = recorded(tmp_path / "a", values)
    with pytest.raises(OptionError, match=r"'/nowhere/0000.png' is in two of the ranks"):
        merge([first, first])
    with pytest.raises(OptionError, match=r"different settings \(layers relu3_1 and relu2_1\)"):
        merge([first, recorded(tmp_path / "b", values, first=4, layer="relu2_1")])
    other = Rank(
        **{n: getattr(first, n) for n in ("options", "pictures", "skipped", "waiting", "masked", "shards")},
        network=Network("other", "caffe", "1" * 64),
    )
    with pytest.raises(OptionError, match=r"different networks, tiny .* and other"):
        merge([first, other])


def test_what_is_no_rank(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is no rank"):
        Rank.open(tmp_path)
    for text in ("", "{}", "[1]", '{"format": 1}'):
        (tmp_path / "rank.json").write_text(text)
        with pytest.raises(OptionError, match="not a rank's header"):
            Rank.open(tmp_path)
    (tmp_path / "rank.json").write_text('{"format": 99}')
    with pytest.raises(OptionError, match="of format 99"):
        Rank.open(tmp_path)


def test_a_rank_with_a_shard_damaged_or_gone(tmp_path: Path) -> None:
    found = recorded(tmp_path / "a", torch.rand(10, 3))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found.shards[1].path.write_bytes(b"damaged")
    with pytest.raises(OptionError, match=r"shard-000000004.safetensors' cannot be read .*rank again"):
        Rank.open(tmp_path / "a")
    with pytest.raises(OptionError, match="cannot be read"):
        found.maxima("relu3_1")
    (tmp_path / "b/shard-000000004.safetensors").unlink()
    rest = Rank.open(tmp_path / "b")
    assert (len(rest.pictures), rest.waiting) == (6, 4)
    assert rest.pictures == (*found.pictures[:4], *found.pictures[8:])
    with pytest.raises(OptionError, match=r"relu5_1 was not ranked.*ranked: relu3_1"):
        found.maxima("relu5_1")


def test_an_output_that_cannot_be_written(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        rank(tiny_vgg(), [pictures], tmp_path / "file", OPTIONS)


def test_energy_inside_the_mask_less_its_area() -> None:
    maps = torch.zeros(1, 3, 4, 4)
    maps[0, 0] = 1  # everywhere alike
    maps[0, 1, :2] = 3  # all in the upper half
    masks = torch.zeros(1, 1, 9, 9)  # a remainder of one pixel is not seen
    masks[:, :, :4] = 1
    assert overlap(maps, masks, 2).tolist() == [[0, 0.5, 0]]
    assert overlap(maps, masks * torch.nan, 2).isnan().all()


def test_masks_are_found_by_name(pictures: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    (masks / "a").mkdir(parents=True)
    left = Image.new("L", (40, 48))
    left.paste(255, (0, 0, 20, 48))
    left.save(masks / "a/1.png")
    left.save(masks / "b.png")
    left.resize((48, 12)).save(masks / "c.png")
    found = ranked(pictures, tmp_path / "rank", masks=masks)
    assert found.masked
    assert [s.source.name for s in found.skipped] == ["c.webp"]
    assert "aspect ratio" in found.skipped[0].reason
    share = found.mask_share()
    assert share[[0, 2]].tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    assert share[1].isnan()
    assert found.overlap("relu3_1").isnan().all(1).tolist() == [False, True, False]
    assert float(found.overlap("relu3_1")[0].abs().max()) <= 0.5
    draw(tmp_path / "others", ["x.png"])
    with pytest.raises(PictureError, match="no picture has a mask"):
        rank(tiny_vgg(), [pictures], tmp_path / "rank2", OPTIONS, masks=tmp_path / "others")
    assert not (tmp_path / "rank2").exists()


def test_what_a_position_sees() -> None:
    # relu4_1 sees 68 px, relu5_1 156 px; at the border less
    assert field_of("relu4_1", 14, 14, 224) == Box(82, 82, 150, 150)
    assert field_of("relu5_1", 7, 7, 224) == Box(42, 42, 198, 198)
    assert field_of("relu4_1", 0, 27, 224) == Box(0, 186, 38, 224)
    white = torch.ones(1, 3, 20, 20)
    framed = Box(4, 4, 16, 16).drawn(white, 1)
    assert torch.equal(Box(7, 7, 13, 13).cut(framed), Box(7, 7, 13, 13).cut(white))
    assert framed[0, :, 4, 10].tolist() == [0, 0, 0]
    assert framed[0, :, 5, 10].tolist() == pytest.approx([1, 0.85, 0])
    assert framed[0, :, 3, 10].tolist() == [1, 1, 1]


def test_sheets(pictures: Path, tmp_path: Path) -> None:
    found = ranked(pictures, tmp_path / "rank")
    layer = filter_sheet(found, "relu3_1")
    few = filter_sheet(found, "relu3_1", [2, 5])
    one = filter_sheet(found, "relu3_1", [2])
    assert layer.shape[2] > few.shape[2]
    assert one.shape[3] > 4 * 224
    (_, excited), _ = exciting(found, "relu3_1", [2, 3])
    assert [e.value for e in excited] == sorted((e.value for e in excited), reverse=True)
    with pytest.raises(OptionError, match=r"filter is 8; relu3_1 has the filters 0..7"):
        filter_sheet(found, "relu3_1", [8])
    (pictures / "b.png").unlink()
    with pytest.raises(PictureError, match="there is no file"):
        filter_sheet(found, "relu3_1")


def test_a_silent_filter_is_shown_as_such(tmp_path: Path) -> None:
    values = torch.zeros(3, 2)
    found = recorded(tmp_path / "rank", values)
    assert filter_sheet(found, "relu3_1").shape[1] == 3
    with pytest.raises(OptionError, match="filter 1 of relu3_1 is silent"):
        filter_sheet(found, "relu3_1", [1])


def test_no_range_is_tried_after_one_that_the_disk_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "in", ["a.png"])
    ranker = Ranker(begin(tiny_vgg(), [tmp_path / "in"], tmp_path / "rank", OPTIONS))

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensorfile, "save_file", full)
    case = ranker.cases(torch.get_num_threads())[0]
    outcome = attempt(case, lambda: ranker.do(case, lambda: False))
    assert outcome.hopeless
    assert outcome.failed.endswith("the disk is full; make room, or choose another folder")
