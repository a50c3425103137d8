"""Objects by any words: an open-vocabulary detector instead of the classifier, for those who have one.

A detector is a folder with a model of the transformers library that finds things by words and answers in
boxes, such as OWL-ViT [Minderer et al., "Simple open-vocabulary object detection with vision transformers",
ECCV 2022] or Grounding DINO. It stands behind the same ``object:NAME``; where the thing is within its box is
left to the cut that follows (:mod:`katazome.regions.refine`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.errors import OptionError, RegionError, require
from katazome.networks.vocabulary import meaning
from katazome.pictures.write import to_image

VARIABLE = "KATAZOME_DETECTOR"
"""The environment's variable with the folder of the detector in use."""

PRESENT = 0.1
"""A thing is there when its best box scores this: the models' own customary threshold."""

ALIKE = 0.5
"""Boxes that score so much of the best count as further things of the kind."""


def chosen_detector(folder: str | None) -> str | None:
    """Return the detector's folder: the given one, or the environment's; None for the classifier."""
    return folder or os.environ.get(VARIABLE) or None


def detected(pixels: Tensor, word: str, name: str, folder: str) -> Tensor:
    """Return a rough map of where a thing is: (1, 1, H, W), at least 0, largest value 1.

    ``pixels`` (1, 3, H, W), sRGB in [0, 1]; ``name`` is the picture's, for errors.

    Raises :class:`RegionError` when there is no such thing, :class:`OptionError` when the folder holds no
    detector.
    """
    asked = english(word)
    boxes = _detector(folder)(to_image(pixels), candidate_labels=[asked], threshold=0.0)
    best = max((float(box["score"]) for box in boxes), default=0.0)
    if best < PRESENT:
        raise RegionError(
            f"the detector found no {asked} in '{name}' (best score {best:.2f}, least {PRESENT}); use other "
            "words, or take salient or a mask"
        )
    return rough_map([box for box in boxes if box["score"] >= ALIKE * best], pixels)


def rough_map(boxes: Sequence[Mapping[str, Any]], pixels: Tensor) -> Tensor:
    """Return (1, 1, H, W): in each box a hill by its score, highest in the middle, zero at the sides."""
    height, width = pixels.shape[2:]
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    total = torch.zeros(height, width)
    for one in boxes:
        box = one["box"]
        across = _hill(columns, float(box["xmin"]), float(box["xmax"]))
        down = _hill(rows, float(box["ymin"]), float(box["ymax"]))
        total = torch.maximum(total, float(one["score"]) * down[:, None] * across)
    return (total / total.max().clamp_min(torch.finfo(total.dtype).tiny))[None, None].to(pixels)


def _hill(places: Tensor, low: float, high: float) -> Tensor:
    middle, half = (low + high) / 2, max((high - low) / 2, 0.5)
    return (1 - ((places - middle) / half).square()).clamp_min(0)


def english(word: str) -> str:
    """Return a word as the detectors know it, which read English: of a name that is known the English one."""
    meant = None if word.isascii() else meaning(word)
    return word if meant is None else meant.name


@cache
def _detector(folder: str) -> Any:
    transformers = require("transformers", "detector", "an open-vocabulary detector", RegionError)
    if not (Path(folder) / "config.json").is_file():
        raise OptionError(
            f"'{folder}' is no detector: it must be a folder of a transformers model, with config.json; "
            f"unset {VARIABLE} to find things by the classifier"
        )
    logging = transformers.utils.logging
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        return transformers.pipeline(
            "zero-shot-object-detection", model=folder, device="cpu", trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise OptionError(f"'{folder}' holds no open-vocabulary detector that can be used: {said}") from error
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
