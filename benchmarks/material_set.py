"""Make pictures by material from the tests' pictures: some to learn from, some with exact masks.

    python benchmarks/material_set.py DATA OUT

``DATA`` is the folder of the shared test pictures. ``OUT/learn/MATERIAL`` are pictures to learn from;
``OUT/scenes/image/MATERIAL`` and ``OUT/scenes/mask/MATERIAL``, as the Flickr Material Database is laid out,
are photographs with a mask, of which nothing is learnt. The Flickr set itself is not to be had; what stands
in for it differs in source from material to material, and names begin with the source to tell them apart:

* ``swatch``: flat swatches (ambientCG); ``object``: one thing on a plain ground (TrashNet); ``grey``:
  close-ups of leather without colours;
* ``crop``: squares inside the exact mask of a material in every other photograph (COCO), the scenes being
  the rest of these photographs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

MATERIALS = ("fabric", "foliage", "glass", "leather", "metal", "paper", "plastic", "stone", "water", "wood")
LEAST, INSIDE, CROPS = 64, 0.9, 4
"""Crops: smallest side (px), share of it that lies in the mask, how many of a photograph."""


def crops(image: Image.Image, mask: np.ndarray) -> Iterator[Image.Image]:
    """Yield squares of a picture that lie in a mask, the largest first, none over another."""
    free = mask.astype(np.float64)
    for _ in range(CROPS):
        total = np.pad(free.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        for side in range(min(free.shape), LEAST - 1, -8):
            sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
            place = int(sums.argmax())
            if sums.flat[place] >= INSIDE * side * side:
                top, left = divmod(place, sums.shape[1])
                yield image.crop((left, top, left + side, top + side))
                free[top : top + side, left : left + side] = -1
                break
        else:
            return


def main(data: Path, out: Path) -> None:
    """Make the set."""
    for material in MATERIALS:
        learn, scene, shown = (out / p / material for p in ("learn", "scenes/image", "scenes/mask"))
        for folder in (learn, scene, shown):
            folder.mkdir(parents=True, exist_ok=True)
        for kind, source in (("swatch", "ambientcg-swatches"), ("object", "trashnet")):
            for file in sorted((data / "materials" / source / material).glob("*.jpg")):
                (learn / f"{kind}-{file.name}").write_bytes(file.read_bytes())
        masks = sorted((data / "materials" / "coco-stuff-masks" / material).glob("*.png"))
        for number, file in enumerate(masks):
            image = Image.open(data / "coco128-seg" / "images" / f"{file.stem}.jpg").convert("RGB")
            mask = np.array(Image.open(file).convert("L")) > 0
            if number % 2 == 0:
                for place, crop in enumerate(crops(image, mask)):
                    crop.save(learn / f"crop-{file.stem}-{place}.jpg", quality=92)
            else:
                image.save(scene / f"{file.stem}.jpg", quality=92)
                Image.fromarray((mask * 255).astype(np.uint8)).save(shown / f"{file.stem}.png")
    for file in sorted((data / "materials" / "leather-grey").glob("*.jpg")):
        (out / "learn" / "leather" / f"grey-{file.name}").write_bytes(file.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
