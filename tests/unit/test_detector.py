"""An open-vocabulary detector behind object:NAME, on a tiny random model in the published form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.errors import OptionError, RegionError
from katazome.regions import detector, objects
from katazome.regions.detector import detected, english, rough_map
from katazome.regions.grammar import parse
from katazome.regions.region import Region

PHOTO = torch.rand(1, 3, 60, 90, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers writes it, with an OWL-ViT of one layer."""
    from transformers import CLIPTokenizer, OwlViTConfig, OwlViTForObjectDetection
    from transformers.models.owlvit.image_processing_pil_owlvit import OwlViTImageProcessorPil

    folder = tmp_path_factory.mktemp("detector")
    letters = [chr(c) for c in range(33, 127)]
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(folder, model_max_length=16).save_pretrained(folder)
    layer = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    begin, end = len(tokens) - 2, len(tokens) - 1
    text = {**layer, "vocab_size": len(tokens), "max_position_embeddings": 16}
    text |= {"bos_token_id": begin, "eos_token_id": end}
    vision = {**layer, "image_size": 64, "patch_size": 16}
    torch.manual_seed(0)
    made = OwlViTForObjectDetection(OwlViTConfig(text_config=text, vision_config=vision, projection_dim=16))
    made.save_pretrained(folder)
    OwlViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_model_in_a_folder_answers(model: Path) -> None:
    found = detected(PHOTO, "a rusty gate", "photo", str(model))
    assert found.shape == (1, 1, 60, 90)
    assert float(found.min()) >= 0
    assert float(found.max()) == pytest.approx(1)


def test_boxes_become_hills() -> None:
    boxes = [
        {"score": 0.8, "box": {"xmin": 10, "ymin": 20, "xmax": 50, "ymax": 40}},
        {"score": 0.4, "box": {"xmin": 60, "ymin": 0, "xmax": 90, "ymax": 60}},
    ]
    found = rough_map(boxes, PHOTO)[0, 0]
    assert float(found[29:31, 29:31].mean()) == pytest.approx(1, abs=0.01)
    assert float(found[29:31, 74:76].mean()) == pytest.approx(0.5, abs=0.01)
    assert float(found[:19, :50].max()) == 0
    assert float(found[21, 30]) < 0.3


def test_any_words_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def finds(pixels: Tensor, word: str, name: str, folder: str) -> Tensor:
        asked.append((word, name, folder))
        return torch.ones_like(pixels[:, :1])

    monkeypatch.setattr(objects, "detected", finds)
    monkeypatch.setattr(objects, "salient_map", lambda pixels: torch.ones_like(pixels[:, :1]))
    monkeypatch.setattr(objects, "refined", lambda pixels, rough: rough)
    from katazome.pictures.read import read

    picture = read(PHOTO)
    Region.object("person", detector="here").of(picture)
    with pytest.raises(OptionError, match="take salient"):
        parse("object:person")
    monkeypatch.setenv(detector.VARIABLE, "there")
    region = parse("object:'rusty gate'")
    region.of(picture)
    assert str(region) == region.anonymous() == 'object:"rusty gate"'
    assert asked == [("person", picture.name, "here"), ("rusty gate", picture.name, "there")]


def test_the_detectors_read_english() -> None:
    assert english("犬") == "dog"
    assert english("rusty gate") == "rusty gate"


def test_nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "_detector", lambda folder: lambda image, **_: [{"score": 0.04, "box": {}}])
    with pytest.raises(RegionError, match=r"found no dog in 'photo' \(best score 0\.04"):
        detected(PHOTO, "dog", "photo", "here")


def test_folders_that_hold_none(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is no detector: it must be a folder"):
        detected(PHOTO, "dog", "photo", str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(OptionError, match="no open-vocabulary detector that can be used"):
        detected(PHOTO, "dog", "photo", str(tmp_path))
