"""The names of the classes: the data whole and consistent, the words people type."""

from __future__ import annotations

from pathlib import Path

import pytest

from katazome.networks.vocabulary import (
    classes,
    groups,
    meaning,
    name_of,
    named,
    plain_name,
    suggestions,
)

DOGS = tuple(range(151, 269))
PEOPLE = {981, 982, 983}
ENGLISH = """car motorcycle airplane train truck boat traffic_light parking_meter bench bird sheep cow
backpack umbrella handbag tie skis sports_ball tennis_racket bottle cup knife spoon bowl banana sandwich
orange broccoli pizza chair couch potted_plant bed dining_table toilet tv mouse remote keyboard cell_phone
microwave oven toaster sink refrigerator book clock vase teddy_bear hair_drier"""
JAPANESE = """車 バイク 電車 トラック 船 信号機 ベンチ 鳥 羊 牛 リュック 傘 ハンドバッグ ネクタイ ボール 瓶
テニスラケット コップ スプーン ボウル バナナ オレンジ ブロッコリー ピザ 椅子 ソファ 植木鉢 ベッド 食卓
トイレ テレビ マウス リモコン キーボード 携帯電話 スマホ 電子レンジ オーブン トースター 流し 冷蔵庫 本
時計 花瓶 ぬいぐるみ ドライヤー たてもの 家 塔 お城 教会 楽器 ギター おもちゃ 花 きのこ 果物 野菜 パン
山 海 湖 橋 着物"""


def is_japanese(name: str) -> bool:
    return any(c >= "\u3005" for c in name)


def meant(word: str) -> tuple[int, ...]:
    found = meaning(word)
    assert found is not None, word
    return found.classes


def test_a_thousand_classes_in_their_order() -> None:
    numbers = [one.wnid for one in classes()]
    assert len(numbers) == len(set(numbers)) == 1000
    assert numbers == sorted(numbers)
    for what in ("english", "japanese"):
        usual = {getattr(one, what)[0] for one in classes()}
        assert len(usual) == 1000, "every class has a usual name of its own"


def test_the_numbers_are_those_of_the_shared_pictures(shared: Path) -> None:
    files = (shared / "data/imagenet-samples").glob("n*_*")
    assert [one.wnid for one in classes()] == sorted(file.name.partition("_")[0] for file in files)


def test_every_class_and_group_has_names_in_both_languages() -> None:
    for thing in (*classes(), *groups().values()):
        for names in (thing.english, thing.japanese):
            assert names
            assert all(name and name == name.strip() for name in names)
            assert len(set(names)) == len(names), names
        assert all(name.isascii() or "é" in name for name in thing.english)
        assert is_japanese(thing.japanese[0]) or thing.japanese[0] in ("iPod", "ATM"), thing


def test_groups_are_a_tree_and_every_class_but_people_is_in_it() -> None:
    for name in groups():
        seen = []
        while name:
            assert name not in seen, "a group within itself"
            seen.append(name)
            name = groups()[name].parent
    for index, one in enumerate(classes()):
        assert set(one.groups) <= set(groups())
        assert bool(one.groups) != (index in PEOPLE), one


def test_a_group_means_its_classes_and_so_do_the_groups_around_it() -> None:
    for name in groups():
        inside = {index for index, one in enumerate(classes()) if name in one.groups}
        assert len(meant(name)) > 1
        while name:
            assert inside <= set(meant(name)) & set(meant(groups()[name].japanese[0]))
            name = groups()[name].parent


def test_every_name_and_number_means_its_class() -> None:
    for index, one in enumerate(classes()):
        assert meant(one.wnid) == (index,)
        assert all(index in meant(name) for name in (*one.english, *one.japanese))


@pytest.mark.parametrize(
    "word", ["dog", "Dogs", " a dog", "the_dogs", "犬", "いぬ", "イヌ", "ｲﾇ", "わんちゃん", "puppies"]
)
def test_dogs(word: str) -> None:
    found = meaning(word)
    assert found is not None
    assert (found.name, found.japanese, found.classes) == ("dog", "犬", DOGS)


@pytest.mark.parametrize(
    ("words", "indices"),
    [
        ("cat 猫 ネコ", (281, 282, 283, 284, 285)),
        ("wolf wolves 狼 おおかみ", (269, 270, 271)),
        ("big-cat wildcat 猛獣", (286, 287, 288, 289, 290, 291, 292, 293)),
        ("elephant ゾウ 象", (101, 385, 386)),
        ("bear bears 熊 くま", (294, 295, 296, 297)),
        ("golden_retriever GoldenRetriever ゴールデンレトリバー ゴールデン・レトリーバー", (207,)),
        ("poodle プードル", (265, 266, 267)),
        ("horse 馬", (339,)),
        ("zebra しまうま", (340,)),
        ("kite とんび", (21,)),
        ("crane", (134, 517)),
        ("クレーン", (517,)),
        ("maillot", (638, 639)),
        ("cardigan カーディガン", (474,)),
        ("laptop ノートパソコン", (620, 681)),
        ("plane 飛行機", (404, 895, 908)),
        ("bicycle bike 自転車", (444, 671)),
        ("bus buses バス", (654, 779, 874)),
        ("wine-glass ワイングラス", (572,)),
        ("hotdog hot-dogs ホットドッグ", (934,)),
        ("apple りんご リンゴ", (948,)),
        ("ski skis スキー", (795,)),
        ("すき", (730,)),
        ("computer コンピューター コンピュータ PC", (527, 590, 620, 681)),
        ("knives 包丁", (499,)),
        ("n02085620 N02085620", (151,)),
    ],
)
def test_what_words_mean(words: str, indices: tuple[int, ...]) -> None:
    for word in words.split():
        assert meant(word) == indices, word


@pytest.mark.parametrize("words", [ENGLISH, JAPANESE])
def test_common_words_are_known(words: str) -> None:
    assert [word for word in words.split() if meaning(word) is None] == []


@pytest.mark.parametrize(
    "word", ["person", "people", "man", "人", "人間", "sky", "skies", "giraffe", "", "the", "🐕"]
)
def test_what_imagenet_does_not_have_means_nothing(word: str) -> None:
    assert meaning(word) is None


def test_a_kite_is_no_toy_and_people_keep_their_names() -> None:
    assert 21 not in meant("toy")
    assert [plain_name(index) for index in sorted(PEOPLE)] == [
        "baseball player",
        "bridegroom",
        "scuba diver",
    ]


def test_several_classes_go_by_the_name_they_share() -> None:
    found = meaning("プードル")
    assert found is not None
    assert (found.name, found.japanese) == ("poodle", "プードル")
    found = meaning("crane")
    assert found is not None
    assert (found.name, found.japanese) == ("crane", "ツル、クレーン")


@pytest.mark.parametrize(
    ("misspelt", "near"),
    [("dgo", "dog"), ("elefant", "elephant"), ("golden retreiver", "golden retriever"), ("ぎたあ", "ギター")],
)
def test_a_misspelt_word_has_suggestions(misspelt: str, near: str) -> None:
    assert suggestions(misspelt)[0] == near


def test_suggestions_are_in_the_script_of_the_word() -> None:
    found = suggestions("ドック")
    assert "ドッグ" in found
    assert all(is_japanese(name) for name in found)
    assert len(suggestions("rose", 5)) == 5
    assert suggestions("гитара") == suggestions("qqqqq") == suggestions("") == []


def test_names_of_a_class() -> None:
    assert name_of(151) == "Chihuahua"
    assert named(151) == "Chihuahua (チワワ)"
    plain = {0: "fish", 151: "dog", 283: "cat", 291: "lion", 831: "sofa", 954: "banana", 817: "car"}
    assert {index: plain_name(index) for index in plain} == plain
