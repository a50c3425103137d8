"""Two materials for the tests, red noise and blue, and a segmenter that was taught them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from katazome.collections.cache import drained
from katazome.collections.folders import classes_in
from katazome.networks.segmenter import Segmenter
from katazome.networks.vgg import Encoder
from katazome.training.steps.segmenter import SegmenterLesson, SegmenterOptions, ask, features, made, split
from katazome.training.trainer import train
from tests.tiny import tiny_vgg

OPTIONS = SegmenterOptions(steps=250, batch=8, side=64, layer="relu3_2", learning_rate=0.05, weight_decay=0.0)


def draw_classes(folder: Path, names: tuple[str, str] = ("fabric", "stone"), count: int = 8) -> Path:
    """Write pictures of two classes: mostly red, mostly blue."""
    noise = np.random.default_rng(0)
    for channel, name in zip((0, 2), names, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(coloured(noise, channel, 72, 80)).save(folder / name / f"{number}.png")
    return folder


def coloured(noise: np.random.Generator, channel: int, height: int, width: int) -> np.ndarray:
    """Return coarse noise (H, W, 3) in which one colour is strong."""
    coarse = noise.integers(0, 90, (height // 8, width // 8, 3), dtype=np.uint8)
    coarse[..., channel] += 150
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def taught(
    folder: Path, names: tuple[str, str] = ("fabric", "stone"), options: SegmenterOptions = OPTIONS
) -> Segmenter:
    """Return a segmenter of two classes, on the tiny network."""
    classes = classes_in([str(draw_classes(folder, names))])
    learn, asked = split(classes)
    encoder = Encoder(tiny_vgg())
    rows, held = (drained(features(encoder, options, lot.sources)) for lot in (learn, asked))
    lesson = SegmenterLesson(rows, learn.labels, 2, options)
    for _ in train(lesson, options):
        pass
    facts = {"classes": tuple(classes), "data": {"fabric: here": 8}, "terms": "drawn"}
    return made(lesson, encoder, options, facts, ask(lesson.module, held, asked.labels, 2))
