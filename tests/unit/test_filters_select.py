"""Labels, rules and selections, against hand numbers; pages; synthesis."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.collections.folders import Source
from katazome.errors import OptionError, OutputError
from katazome.filters.labels import (
    Labels,
    Thing,
    classify,
    from_csv,
    from_folders,
    from_names,
    from_wnids,
    labels,
)
from katazome.filters.page import SCRIPT, pages
from katazome.filters.record import Rank
from katazome.filters.select import Chosen, Selection, auc, select, top_hits
from katazome.filters.settings import Network
from katazome.filters.synthesise import SynthesisOptions, synthesise
from katazome.networks.vgg import Encoder
from tests.filters import NETWORK, OPTIONS, draw, rank, recorded
from tests.tiny import tiny_vgg

DOG = Thing("dog", wnids=frozenset({"n02085620", "n02085782"}), classes=(151, 152))


def shows(*flags: float) -> Labels:
    return Labels(DOG, torch.tensor(flags, dtype=torch.float64), "hand")


# Eleven pictures, six dogs first. Filter 0 loves dogs, 1 hates them, 2 is silent, 3 answers to all alike.
MAXIMA = torch.tensor([[9.0 - n, n, 0, 1] for n in range(11)]).clamp_min(0)
SIX = shows(*[1] * 6, *[0] * 5)


@pytest.fixture
def rank11(tmp_path: Path) -> Rank:
    return recorded(tmp_path / "rank", MAXIMA)


def test_areas_by_hand() -> None:
    areas = auc(MAXIMA, SIX.shows)
    assert areas.tolist() == pytest.approx([1, 0, 0.5, 0.5])
    # one dog of two between two others: half of four pairs
    assert auc(torch.tensor([[4.0], [1], [3], [2]]), torch.tensor([1, 1, 0, 0])).tolist() == [0.5]


def test_nine_best_by_hand(rank11: Rank) -> None:
    # silence counts for nothing; of equals the earlier pictures are taken
    assert top_hits(rank11, SIX.shows, "relu3_1").tolist() == [6, 4, 0, 6]


def test_rules(rank11: Rank) -> None:
    chosen = select(rank11, SIX, rule="top9", least=6)
    assert chosen.layers == {"relu3_1": (Chosen(0, 6), Chosen(3, 6))}
    assert chosen.filters("r31") == (0, 3)
    assert chosen.filters("relu5_1") == ()
    chosen = select(rank11, SIX, rule="auc")
    assert chosen.layers == {"relu3_1": (Chosen(0, 1.0),)}
    assert (chosen.object, chosen.rule, chosen.network) == ("dog", "auc", NETWORK)
    soft = shows(*[0.9] * 6, *[0.2] * 5)
    assert select(rank11, soft, rule="agreement").filters("relu3_1") == (0,)


def test_counts(rank11: Rank) -> None:
    assert len(select(rank11, SIX, rule="top9", least=4, counts=[2]).filters("relu3_1")) == 2
    with pytest.raises(OptionError, match="count has 2 numbers for 1 ranked layers"):
        select(rank11, SIX, counts=[6, 16])
    with pytest.raises(OptionError, match="count is -1"):
        select(rank11, SIX, counts=[-1])


def test_overlap(tmp_path: Path) -> None:
    over = torch.tensor([[0.4, -0.2, 0], [0.2, 0.1, 0], [torch.nan] * 3])
    share = torch.tensor([0.3, 0.5, torch.nan])
    found = recorded(tmp_path / "rank", torch.rand(3, 3), overlap=over, mask=share)
    chosen = select(found, None, rule="overlap", name="cat")
    assert chosen.layers == {"relu3_1": (Chosen(0, 0.3),)}
    assert chosen.object == "cat"
    by_masks = labels(found, DOG)
    assert by_masks is not None
    assert by_masks.shows.tolist() == [1, 1, 0]
    full = recorded(tmp_path / "full", torch.rand(3, 3), overlap=over, mask=torch.tensor([1.0, 0, 1]))
    with pytest.raises(OptionError, match="every mask is empty or full"):
        select(full, None, rule="overlap")


def test_nothing_good_enough_says_the_best(rank11: Rank) -> None:
    eight = shows(*[1] * 4, *[0] * 2, *[1] * 5)
    told = r"no filter answers to 'dog' by the rule top9.*relu3_1 7 \(filter 0\)"
    with pytest.raises(OptionError, match=told):
        select(rank11, eight, rule="top9", least=9)
    flat = recorded(rank11.shards[0].path.parent / "flat", torch.ones(11, 4))
    with pytest.raises(OptionError, match=r"by the rule auc; the best scores are relu3_1 0.5"):
        select(flat, SIX)


def test_too_few_pictures(rank11: Rank) -> None:
    with pytest.raises(OptionError, match="none of the 3 ranked pictures shows 'dog'"):
        shows(0, 0, 0.4)
    with pytest.raises(OptionError, match="all 3 ranked pictures show 'dog'"):
        shows(1, 1, 0.6)
    with pytest.raises(OptionError, match="6 of 11 ranked pictures show 'dog': too few for 9 of the 9"):
        select(rank11, SIX, rule="top9")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rule": "top8"}, "rule is 'top8'; did you mean 'top9'"),
        ({"rule": "overlap"}, "needs masks; rank again with --masks"),
        ({"rule": "top9", "least": 10}, "least is 10"),
    ],
)
def test_what_cannot_be_selected(rank11: Rank, given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        select(rank11, SIX, **given)
    with pytest.raises(OptionError, match="the rule auc needs labels"):
        select(rank11, None)


NAMES = ["n02085620_Chihuahua.jpg", "n02085782/n02085782_12.JPEG", "n01440764_tench.jpg", "x/dog.jpg"]


def test_labels_by_name() -> None:
    assert from_names(NAMES, DOG) == from_wnids(NAMES, DOG.wnids) == [True, True, False, False]
    assert from_names(NAMES, Thing("chihuahua")) == [True, False, False, False]
    assert from_names(["n02085782_Japanese_spaniel.jpg"], Thing("Japanese spaniel")) == [True]


def test_labels_by_folder() -> None:
    sources = [
        Source(Path("/in"), "Dog/1.jpg"),
        Source(Path("/in/dog"), "2.jpg"),
        Source(Path("/in"), "dog.jpg"),
    ]
    assert from_folders(sources, DOG) == [True, True, False]
    known = {"Poodle": (151,), "animals": (151, 152, 7)}
    kinds = replace(DOG, classes_of=lambda word: known.get(word, ()))
    nested = [Source(Path("/in"), f"a/{kind}/b/1.jpg") for kind in ("Poodle", "animals", "x")]
    assert from_folders(nested, kinds) == [True, False, False]


def test_labels_by_table(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("picture,label\na/1.jpg,dog\n2.jpg,cat\n2.jpg,Dog\n3.jpg,cat\n", encoding="utf-8-sig")
    assert from_csv(["a/1.jpg", "b/2.jpg", "3.jpg", "4.jpg"], table, DOG) == [True, True, False, False]
    with pytest.raises(OptionError, match="names none of the ranked pictures"):
        from_csv(["x.jpg"], table, DOG)
    table.write_text("picture,label\njust one\n")
    with pytest.raises(OptionError, match=r"row 2 of .* has one column"):
        from_csv(["x.jpg"], table, DOG)
    with pytest.raises(OptionError, match=r"gone.csv' cannot be read: No such file"):
        from_csv(["x.jpg"], tmp_path / "gone.csv", DOG)
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match="cannot be read"):
        from_csv(["x.jpg"], table, DOG)


def test_the_source_of_labels_is_found(tmp_path: Path, rank11: Rank) -> None:
    by_name = recorded(tmp_path / "names", torch.rand(4, 3), names=NAMES)
    found = labels(by_name, DOG)
    assert found is not None
    assert (found.source, found.count) == ("the names of pictures and folders", 2)
    by_folder = recorded(
        tmp_path / "folders", torch.rand(3, 3), names=["dog/1.png", "dog/2.png", "cat/1.png"]
    )
    found = labels(by_folder, DOG)
    assert found is not None
    assert (found.source, found.count) == ("the names of pictures and folders", 2)
    assert labels(rank11, DOG) is None
    assert labels(by_name, DOG, "classifier") is None
    with pytest.raises(OptionError, match="labels is 'hand'; it must be auto, names"):
        labels(rank11, DOG, "hand")
    with pytest.raises(OptionError, match="made without masks"):
        labels(rank11, DOG, "masks")
    both = recorded(tmp_path / "both", torch.rand(5, 3), names=[*NAMES, "dogs/dog/1.png"])
    found = labels(both, DOG)
    assert found is not None
    assert found.shows.tolist() == [1, 1, 0, 0, 1]
    with pytest.raises(OptionError, match="by the names of pictures and folders none of the 4"):
        labels(by_name, Thing("person"))


class _Seer:
    """A classifier that takes bright pictures for dogs."""

    weight = torch.zeros(1)

    def scores(self, pixels: Tensor) -> Tensor:
        out = torch.zeros(len(pixels), 1000)
        out[:, 151] = pixels.mean((1, 2, 3))
        return out


def test_the_classifier_is_asked_picture_by_picture(tmp_path: Path) -> None:
    draw(tmp_path / "in", [f"{n:02d}.png" for n in range(18)])
    list(rank(tiny_vgg(), [tmp_path / "in"], tmp_path / "rank", OPTIONS))
    found = Rank.open(tmp_path / "rank")
    seer: Any = _Seer()
    batches = list(classify(found, DOG, seer))
    assert [len(b) for b in batches] == [16, 2]
    assert len(set(torch.cat(batches).tolist())) == 18
    with pytest.raises(OptionError, match="the classifier does not know 'person'"):
        next(classify(found, Thing("person"), seer))


SELECTION = Selection(
    network=Network.of(tiny_vgg()),
    rule="auc",
    object="犬 dog",
    layers={"relu4_1": (Chosen(3, 0.9),), "relu5_1": (Chosen(7, 0.95), Chosen(2))},
)


def test_a_selection_is_saved_and_read(tmp_path: Path) -> None:
    file = tmp_path / "dog.json"
    SELECTION.write(file)
    assert Selection.read(file, tiny_vgg()) == SELECTION
    with pytest.raises(OutputError, match="is there already"):
        SELECTION.write(file)
    SELECTION.write(file, overwrite=True)
    with pytest.raises(OutputError, match="there is no folder"):
        SELECTION.write(tmp_path / "none/dog.json")
    assert [f.name for f in tmp_path.iterdir()] == ["dog.json"]


def test_a_selection_of_another_network_or_out_of_range(tmp_path: Path) -> None:
    file = tmp_path / "dog.json"
    SELECTION.write(file)
    with pytest.raises(OptionError, match=r"dog.json': the selection's filters are of the network tiny"):
        Selection.read(file, tiny_vgg(1))
    replace(SELECTION, layers={"relu4_1": (Chosen(8),)}).write(file, overwrite=True)
    with pytest.raises(OptionError, match=r"relu4_1 has filters 0..7, the selection names 8"):
        Selection.read(file, tiny_vgg())
    Selection.read(file)  # without a network its numbers cannot be judged


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2}, "of format 2, known is 1"),
        ({"network": None}, "not the values of a selection"),
        ({"network": {}}, "'name', which is missing"),
        ({"layers": {}}, "the selection is empty"),
        ({"layers": {"relu5_1": []}}, "the selection is empty"),
        ({"layers": [3]}, "not the values of a selection"),
        ({"layers": {"relu9_1": [{"filter": 1}]}}, "no layer is called 'relu9_1'"),
        ({"layers": {"conv5_1": [{"filter": 1}]}}, "must be the full name of a ReLU"),
        ({"layers": {"r51": [{"filter": 1}]}}, "must be the full name of a ReLU"),
        ({"layers": {"relu5_1": [{"filter": -1}]}}, "must be a whole number from 0"),
        ({"layers": {"relu5_1": [{"filter": 1.5}]}}, "must be a whole number from 0"),
        ({"layers": {"relu5_1": [{"filter": True}]}}, "must be a whole number from 0"),
        ({"layers": {"relu5_1": [{"score": 1}]}}, "'filter', which is missing"),
        ({"layers": {"relu5_1": [{"filter": 1}, {"filter": 1}]}}, "names a filter of relu5_1 twice"),
        ({"layers": {"relu5_1": [{"filter": 1, "score": "high"}]}}, "not the values of a selection"),
    ],
)
def test_junk_is_no_selection(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    file = tmp_path / "dog.json"
    file.write_text(json.dumps({**SELECTION.to_json(), **change}))
    with pytest.raises(OptionError, match=told):
        Selection.read(file)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "\x00", "null"])
def test_other_files_are_no_selection(tmp_path: Path, text: str) -> None:
    (tmp_path / "dog.json").write_text(text)
    with pytest.raises(OptionError, match=r"dog\.json'"):
        Selection.read(tmp_path / "dog.json")


def test_pages(tmp_path: Path) -> None:
    draw(tmp_path / "in", ['<b onclick="x">&.png', "2.png"])
    list(rank(tiny_vgg(), [tmp_path / "in"], tmp_path / "rank", OPTIONS))
    found = Rank.open(tmp_path / "rank")
    assert list(pages(found, tmp_path / "html"))[-1] == (16, 16)
    page = (tmp_path / "html/relu3_1.html").read_text(encoding="utf-8")
    assert page.count('type="checkbox"') == 8
    assert "<b onclick" not in page
    assert "&lt;b onclick=&quot;x&quot;&gt;&amp;.png" in page
    assert len(list((tmp_path / "html/relu3_1").glob("*.jpg"))) == 8
    assert 'href="relu2_1.html"' in (tmp_path / "html/index.html").read_text()
    with pytest.raises(OutputError, match="has pages already"):
        next(pages(found, tmp_path / "html"))
    list(pages(found, tmp_path / "html", overwrite=True))


def test_the_page_saves_what_a_selection_reads(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the page's script with")
    empty = replace(SELECTION, object="", rule="by eye", layers={"relu4_1": (), "relu5_1": ()}).to_json()
    call = f'chosen({json.dumps(empty)}, "dog", {{"relu5_1": [12, 3]}})'
    done = subprocess.run(
        [node, "-e", f"{SCRIPT}; console.log(JSON.stringify({call}, null, 1))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / "dog.json").write_text(done.stdout)
    expected = replace(
        SELECTION,
        rule="by eye",
        object="dog",
        layers={"relu4_1": (), "relu5_1": (Chosen(3), Chosen(12))},
    )
    assert Selection.read(tmp_path / "dog.json") == expected


def test_a_grown_picture_excites_its_filter() -> None:
    encoder = Encoder(tiny_vgg())
    options = SynthesisOptions(side=64, iterations=12)
    steps = list(synthesise(encoder, "relu3_1", 2, options))
    assert [s.index for s in steps] == list(range(12))
    assert steps[-1].value > steps[0].value
    assert 0 <= float(steps[-1].picture.min()) <= float(steps[-1].picture.max()) <= 1
    again = list(synthesise(encoder, "relu3_1", 2, options))
    assert torch.equal(again[-1].picture, steps[-1].picture)
    with pytest.raises(OptionError, match=r"filter is 8; relu3_1 has the filters 0..7"):
        next(synthesise(encoder, "relu3_1", 8, options))
