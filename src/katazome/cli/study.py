"""The command group of the measured experiments; each is named by its import path, so that help is quick."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import App, Parameter

from katazome.errors import OptionError

Output = Annotated[str, Parameter(name=["--output", "-o"], help="Folder of the report")]
Size = Annotated[int, Parameter(help="Longest side, px")]
Iterations = Annotated[int, Parameter(help="Iterations at the last scale")]
Part = Annotated[str, Parameter(help="Which part of the cases to measure here: 2/5 is the second of five")]
Device = Annotated[str, Parameter(help="Where to compute: auto, cpu, cuda, cuda:N or mps")]


def part_of(text: str) -> tuple[int, int]:
    """Return the two numbers of ``2/5``; :class:`OptionError` for anything else."""
    asked = re.fullmatch(r"(\d+)/(\d+)", text)
    if not asked:
        raise OptionError(f"part is '{text}'; it must be two numbers, such as 2/5")
    return int(asked[1]), int(asked[2])


app = App(
    name="study",
    help="The measured experiments: figures and sheets of pictures, by one command each.",
    help_epilogue="Example:\n  katazome study scales photo.jpg marble.jpg textures/ -o report/",
)
app.command(
    "katazome.cli.study_scales:scales",
    name="scales",
    usage="Usage: katazome study scales CONTENT STYLE [TEXTURE...] [-o REPORT] [OPTIONS]",
    help="What the pyramid gains: transfers, quartering against halving, textures.",
    help_epilogue="Example:\n  katazome study scales photo.jpg marble.jpg bark.jpg pebbles.jpg -o report/",
)
app.command(
    "katazome.cli.study_regions:regions",
    name="regions",
    usage="Usage: katazome study regions SET... [-o REPORT] [OPTIONS]",
    help="Where things by name, and what stands out, are found, against masks made by hand.",
    help_epilogue="Example:\n  katazome study regions davis/ pets/ --words words.csv -o report/",
)
app.command(
    "katazome.cli.study_filters:filters",
    name="filters",
    usage="Usage: katazome study filters SET... --filters FILE --object NAME --style STYLE [OPTIONS]",
    help="Style on one thing through its filters, beside guided style and a cut-out.",
    help_epilogue="Example:\n"
    "  katazome study filters davis/ --pictures 'dog*' --object dog --filters dog.json --style waves.jpg",
)
app.command(
    "katazome.cli.study_materials:materials",
    name="materials",
    usage="Usage: katazome study materials --set DIR --looks DIR --model MODEL [-o REPORT] [OPTIONS]",
    help="Materials that were changed, segmented again and judged: the third source document's protocol.",
    help_epilogue="Example:\n"
    "  katazome study materials --set fmd/ --looks materials/ --model m.safetensors -o report/",
)
app.command(
    "katazome.cli.study_attributes:attributes",
    name="attributes",
    usage="Usage: katazome study attributes --faces DIR [-o REPORT] [OPTIONS]",
    help="Faces that were made to smile, judged: the second source document's claims.",
    help_epilogue="Example:\n  katazome study attributes --faces lfw/ -o report/",
)
app.command(
    "katazome.cli.study_styles:styles",
    name="styles",
    usage="Usage: katazome study styles --contents DIR --styles DIR [-o REPORT] [OPTIONS]",
    help="Every method on contents x styles: seconds, memory, what was kept and what was taken.",
    help_epilogue="Example:\n"
    "  katazome study styles --contents photos/ --styles paintings/ --methods gatys,adain,wct -o report/",
)
app.command(
    "katazome.cli.study_wae:wae",
    name="wae",
    usage="Usage: katazome study wae [MODEL...] --set NAME=DIR [-o REPORT] [OPTIONS]",
    help="What codes of style and content hold, by their size: the fourth source document's experiments.",
    help_epilogue="Example:\n"
    "  katazome study wae v512.safetensors v32.safetensors --set faces=lfw/ --set photos=photos/ -o report/",
)
