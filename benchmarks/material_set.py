"""Make pictures by material from the tests' pictures: to learn from, to judge by, with exact masks.

    python benchmarks/material_set.py DATA OUT

``DATA`` is the folder of the shared test pictures. ``OUT/learn/MATERIAL`` are pictures to learn a segmenter
from; ``OUT/judge/MATERIAL`` is the other half, for a judge and for looks; ``OUT/words/WORD`` are pictures by
words for touch (ごつごつ, もふもふ, ...), as near as what there is comes to them. ``OUT/scenes`` and
``OUT/contents``, as the Flickr Material Database is laid out (``image/MATERIAL``, ``mask/MATERIAL``), are
pictures with an exact mask, of which nothing is learnt: photographs (COCO), and two things of fabric made
here, a ball and an animal's shape, shaded and set before a photograph. ``OUT/filled`` and
``OUT/filled-too``, laid out alike, are photographs in which one thing is filled with a picture of ``judge``
under its own shading: two sets, so that what was chosen by the one can be measured by the other. The Flickr
set itself is not to be had; what stands in for it differs in source from material to material, and names
begin with the source:

* ``swatch``: flat swatches (ambientCG); ``object``: one thing on a plain ground (TrashNet); ``grey``:
  close-ups of leather without colours;
* ``crop``: squares inside the exact mask of a material in every other photograph (COCO), the scenes being
  the rest of these photographs;
* ``photo``: quarters of large photographs of surfaces; ``thing``: a thing in a photograph (ImageNet), of
  what material was said by eye (``THINGS``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

MATERIALS = ("fabric", "foliage", "glass", "leather", "metal", "paper", "plastic", "stone", "water", "wood")
WORDS = {
    "ぶつぶつ": ("dtd/bubbly",),
    "ごつごつ": ("dtd/bumpy", "dtd/cracked"),
    "きらきら": ("dtd/crystalline",),
    "ざらざら": ("ambientcg-swatches/stone",),
}
"""Words for touch, and the folders that come nearest: bubbles, bumps, crystals, rough stone."""

FUR = {"もふもふ": ("pet_*", False), "ふわふわ": ("pet_great_pyrenees_*", True)}
"""Words for fur: crops inside masked animals, cats' for the one, long-haired white dogs' for the other."""

PHOTOS = {
    "fabric": ("flower_fabric", "knit_grey", "wool_knit"),
    "foliage": ("green_hedge", "ivy", "leaf", "leaf_veins", "palm_leaf", "succulents_gatys"),
    "metal": ("diamond_plate", "metal_plate", "metal_triangles", "rust_metal"),
    "stone": (
        "brick_wall",
        "cobble_blue",
        "pebbles_gatys",
        "pebbles_gold",
        "roman_mosaic",
        "stone_marble",
        "small/classic_402",
    ),
    "water": ("sea_foam", "water_caustics", "small/classic_419"),
    "wood": ("bark", "burnt_wood", "lichen_wood", "parquet", "tree_rings", "wet_bark", "wood_knot_gatys"),
}
"""Photographs of surfaces, by material."""

THINGS = {
    "fabric": "bath_towel cardigan handkerchief jersey mitten pillow poncho quilt sock stole wool",
    "foliage": "broccoli daisy hay head_cabbage park_bench alp",
    "glass": "beer_bottle beer_glass measuring_cup perfume pop_bottle vase",
    "leather": "Loafer cowboy_boot holster punching_bag purse",
    "metal": "chainlink_fence corkscrew notebook padlock",
    "paper": "book_jacket carton comic_book crate envelope menu toilet_tissue",
    "plastic": "bucket lotion pill_bottle plastic_bag water_bottle",
    "stone": "castle cliff cliff_dwelling dam megalith stone_wall",
    "water": "lakeside sandbar seashore geyser",
    "wood": "chest goblet hourglass wooden_spoon",
}
"""Things of one material, as far as the eye can tell, by what they are called among the ImageNet samples."""

FILLED = 4
"""Filled pictures of each material in either set."""

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


def contents(data: Path, out: Path, cloths: list[Path]) -> None:
    """Make the two things of fabric: a shaded ball, and an animal's shape with the animal's own shading."""
    for folder in (out / "image" / "fabric", out / "mask" / "fabric"):
        folder.mkdir(parents=True, exist_ok=True)
    ground = Image.open(data / "coco128-seg" / "images" / "000000000077.jpg").convert("RGB")
    ground = ground.resize((320, 240), Image.Resampling.LANCZOS)
    rows, columns = np.mgrid[0:240, 0:320]
    away = np.hypot(rows - 125, columns - 160) / 85
    light = np.clip(1.15 - 0.75 * np.hypot(rows - 95, columns - 130) / 120, 0.25, 1.2)
    made("ball", out, ground, away < 1, light, cloths[19])
    shape = data / "davis" / "masks" / "cows_00000.png"
    photo = Image.open(data / "davis" / "images" / "cows_00000.jpg").convert("RGB")
    mask = np.array(Image.open(shape).convert("L")) > 127
    grey = np.array(photo.convert("L")).astype(np.float64)
    made("animal", out, photo, mask, np.clip(0.5 + 0.5 * grey / grey[mask].mean(), 0.3, 1.4), cloths[4])


def made(
    name: str,
    out: Path,
    ground: Image.Image,
    mask: np.ndarray,
    light: np.ndarray,
    cloth: Path,
    material: str = "fabric",
) -> None:
    """Write one thing and its mask."""
    height, width = mask.shape
    tile = np.array(surface(cloth).resize((128, 128)))
    fill = np.tile(tile, (height // 128 + 1, width // 128 + 1, 1))[:height, :width] * light[..., None]
    whole = np.where(mask[..., None], fill, np.array(ground)).clip(0, 255).astype(np.uint8)
    Image.fromarray(whole).save(out / "image" / material / f"{name}.png")
    Image.fromarray((mask * 255).astype(np.uint8)).save(out / "mask" / material / f"{name}.png")


def surface(file: Path) -> Image.Image:
    """Return a picture of a material; of a thing on some ground its middle, which is likely the thing."""
    image = Image.open(file).convert("RGB")
    if not file.name.startswith(("object", "thing")):
        return image
    side = min(image.size) // 2
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def filled(data: Path, out: Path, judge: Path) -> None:
    """Fill one thing of photographs with pictures of materials: those of ``out`` and of ``out``-too."""
    shapes = sorted((data / "davis" / "masks").glob("*.png"))
    shapes += sorted((data / "masks-extra" / "masks").glob("*.png"))
    shapes = [shape for shape in shapes if 0.06 <= (_mask(shape)).mean() <= 0.5]
    number = 0
    for material in MATERIALS:
        pictures = sorted((judge / material).glob("*.jpg"))
        for place in range(2 * FILLED):
            folder = out if place % 2 == 0 else out.with_name(f"{out.name}-too")
            for part in ("image", "mask"):
                (folder / part / material).mkdir(parents=True, exist_ok=True)
            shape = shapes[number * 7 % len(shapes)]
            photo = Image.open(shape.parent.parent / "images" / f"{shape.stem}.jpg").convert("RGB")
            mask, grey = _mask(shape), np.array(photo.convert("L")).astype(np.float64)
            light = np.clip(0.5 + 0.5 * grey / grey[mask].mean(), 0.3, 1.4)
            picture = pictures[place * len(pictures) // (2 * FILLED)]
            made(f"{number:02}-{shape.stem}", folder, photo, mask, light, picture, material)
            number += 1


def _mask(file: Path) -> np.ndarray:
    return np.array(Image.open(file).convert("L")) > 127


def more(data: Path, material: str, halves: list[Path]) -> None:
    """Add the photographs of surfaces and the things; all of one file lies in one half."""
    for number, name in enumerate(PHOTOS.get(material, ())):
        image = Image.open(data / "textures" / f"{name}.jpg").convert("RGB")
        side = min(image.size) // 2
        for place in range(4):
            left, top = place % 2 * (image.width - side), place // 2 * (image.height - side)
            quarter = image.crop((left, top, left + side, top + side))
            quarter.save(halves[number % 2] / f"photo-{Path(name).name}-{place}.jpg", quality=92)
    for number, name in enumerate(THINGS[material].split()):
        (file,) = (data / "imagenet-samples").glob(f"n????????_{name}.jpg")
        (halves[number % 2] / f"thing-{name}.jpg").write_bytes(file.read_bytes())


def words(data: Path, out: Path) -> None:
    """Make the folders of words."""
    for word, folders in WORDS.items():
        (out / word).mkdir(parents=True, exist_ok=True)
        for folder in folders:
            for file in sorted((data / "materials" / folder).glob("*.jpg"))[:30]:
                (out / word / f"{Path(folder).name}-{file.name}").write_bytes(file.read_bytes())
    dogs = set((data / "masks-extra" / "images").glob(FUR["ふわふわ"][0] + ".jpg"))
    for word, (pattern, of_dogs) in FUR.items():
        (out / word).mkdir(parents=True, exist_ok=True)
        for file in sorted((data / "masks-extra" / "images").glob(f"{pattern}.jpg")):
            if (file in dogs) == of_dogs:
                mask = (
                    np.array(Image.open(data / "masks-extra" / "masks" / f"{file.stem}.png").convert("L"))
                    > 250
                )
                for place, crop in enumerate(crops(Image.open(file).convert("RGB"), mask)):
                    crop.save(out / word / f"{file.stem}-{place}.jpg", quality=92)


def main(data: Path, out: Path) -> None:
    """Make the set."""
    for material in MATERIALS:
        halves = [out / half / material for half in ("learn", "judge")]
        scene, shown = (out / "scenes" / part / material for part in ("image", "mask"))
        for folder in (*halves, scene, shown):
            folder.mkdir(parents=True, exist_ok=True)
        for kind, source in (("swatch", "ambientcg-swatches"), ("object", "trashnet")):
            for number, file in enumerate(sorted((data / "materials" / source / material).glob("*.jpg"))):
                (halves[number % 2] / f"{kind}-{file.name}").write_bytes(file.read_bytes())
        more(data, material, halves)
        masks = sorted((data / "materials" / "coco-stuff-masks" / material).glob("*.png"))
        for number, file in enumerate(masks):
            image = Image.open(data / "coco128-seg" / "images" / f"{file.stem}.jpg").convert("RGB")
            mask = np.array(Image.open(file).convert("L")) > 0
            if number % 2 == 0:
                for place, crop in enumerate(crops(image, mask)):
                    crop.save(halves[number // 2 % 2] / f"crop-{file.stem}-{place}.jpg", quality=92)
            else:
                image.save(scene / f"{file.stem}.jpg", quality=92)
                Image.fromarray((mask * 255).astype(np.uint8)).save(shown / f"{file.stem}.png")
    for number, file in enumerate(sorted((data / "materials" / "leather-grey").glob("*.jpg"))):
        half = ("learn", "judge")[number % 2]
        (out / half / "leather" / f"grey-{file.name}").write_bytes(file.read_bytes())
    words(data, out / "words")
    contents(data, out / "contents", sorted((out / "judge" / "fabric").glob("swatch-*")))
    filled(data, out / "filled", out / "judge")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
