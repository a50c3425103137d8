"""The command group that trains networks; each is named by its import path, so that help is quick."""

from __future__ import annotations

from cyclopts import App

app = App(
    name="train",
    help="Train small networks on pictures of your own; the same command goes on after an interruption.",
    help_epilogue="Example:\n  katazome train segmenter --images materials/ -o materials.safetensors",
)
app.command(
    "katazome.cli.train_decoder:decoder",
    name="decoder",
    usage="Usage: katazome train decoder --level N --images DIR [--images DIR ...] -o MODEL.safetensors",
    help="Learn to make a picture of what the network sees at a layer, as the methods of one pass need it.",
    help_epilogue="Examples:\n"
    "  katazome train decoder --level 2 --images photos/ -o decoder-2.safetensors\n"
    "  katazome stylize photo.jpg painting.jpg --method wct --decoders decoder-2.safetensors -o out.png",
)
app.command(
    "katazome.cli.train_feedforward:feedforward",
    name="feedforward",
    usage="Usage: katazome train feedforward --style PAINTING --images DIR [--images DIR ...] "
    "-o MODEL.safetensors [OPTIONS]",
    help="Learn one style, so that any photograph takes it in one pass.",
    help_epilogue="Examples:\n"
    "  katazome train feedforward --style painting.jpg --images photos/ -o painting.safetensors\n"
    "  katazome stylize photo.jpg --method feedforward --model painting.safetensors -o out.png",
)
app.command(
    "katazome.cli.train_segmenter:segmenter",
    name="segmenter",
    usage="Usage: katazome train segmenter --images DIR [--images DIR ...] -o MODEL.safetensors [OPTIONS]",
    help="Learn to tell materials, or anything else, from pictures in class folders, and where they are.",
    help_epilogue="Examples:\n"
    "  katazome train segmenter --images materials/ -o materials.safetensors\n"
    "  katazome train segmenter --images swatches/ --images leather=hides/ --grey -o grey.safetensors\n"
    "  katazome segment jacket.jpg --where material:fabric --model materials.safetensors -o mask.png",
)
app.command(
    "katazome.cli.train_wae:wae",
    name="wae",
    usage="Usage: katazome train wae --images DIR [--images DIR ...] -o MODEL.safetensors [OPTIONS]",
    help="Learn a code for the style of pictures, one for their content, and to make pictures of both.",
    help_epilogue="Examples:\n"
    "  katazome train wae --images faces/ --content-size 128 -o faces.safetensors\n"
    "  katazome train wae --images photos/ --images paintings/ --spatial --regime swap -o any.safetensors",
)
