"""The command group of the measured experiments; each is named by its import path, so that help is quick."""

from __future__ import annotations

from cyclopts import App

app = App(
    name="study",
    help="The measured experiments: figures and sheets of pictures, by one command each.",
    help_epilogue="Example:\n  katazome study scales photo.jpg marble.jpg textures/ -o report/",
)
app.command(
    "katazome.cli.study_scales:scales",
    name="scales",
    help="What the pyramid gains: transfers, quartering against halving, textures.",
    help_epilogue="Example:\n  katazome study scales photo.jpg marble.jpg bark.jpg pebbles.jpg -o report/",
)
