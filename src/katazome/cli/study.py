"""The command group of the measured experiments; a study adds its own command here, by its import path."""

from __future__ import annotations

from cyclopts import App

app = App(
    name="study",
    help="The measured experiments: figures and sheets of pictures, by one command each.",
    help_epilogue="Example:\n  katazome study --help",
)
