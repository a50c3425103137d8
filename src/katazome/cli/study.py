"""The command group of the measured experiments; a study adds its own command here, by its import path.

So that ``katazome study --help`` stays quick:
``app.command("katazome.cli.study_scales:scales", name="scales", help="...", help_epilogue="Example: ...")``.
"""

from __future__ import annotations

from cyclopts import App

app = App(
    name="study",
    help="The measured experiments: figures and sheets of pictures, by one command each.",
    help_epilogue="Example:\n  katazome study --help",
)
