"""The command group about filters; each is named by its import path, so that help is quick."""

from __future__ import annotations

from cyclopts import App

app = App(
    name="filters",
    help="Which filters of the network answer to an object: rank pictures, look, select.",
    help_epilogue="Example:\n"
    "  katazome filters rank --images photos/ -o rank\n"
    "  katazome filters show rank --layer relu5_1 -o sheet.png\n"
    "  katazome filters select rank --object dog -o dog.json",
)
app.command(
    "katazome.cli.filters_rank:rank",
    name="rank",
    usage="Usage: katazome filters rank --images DIR [--images DIR ...] -o RANK [OPTIONS]",
    help="Note what excites each filter most, over any number of pictures; the same command goes on.",
    help_epilogue="Examples:\n"
    "  katazome filters rank --images photos/ -o rank\n"
    "  katazome filters rank --images dogs/ --images others/ --masks masks/ --layers relu5_1 -o rank",
)
app.command(
    "katazome.cli.filters_show:show",
    name="show",
    usage="Usage: katazome filters show RANK... [--layer LAYER] [-o SHEET] [--html DIR] [OPTIONS]",
    help="Show the most exciting pictures of each filter; or a picture grown to excite one.",
    help_epilogue="Examples:\n"
    "  katazome filters show rank --layer relu5_1 --filter 12 -o sheet.png\n"
    "  katazome filters show rank --html pages/\n"
    "  katazome filters show rank --layer relu5_1 --filter 12 --synthesise -o grown.png",
)
app.command(
    "katazome.cli.filters_select:select",
    name="select",
    usage="Usage: katazome filters select RANK... --object NAME [-o FILE] [OPTIONS]",
    help="Choose the filters that answer to an object; several ranks count as one.",
    help_epilogue="Examples:\n"
    "  katazome filters select rank --object dog -o dog.json\n"
    "  katazome filters select rank --object dog --rule top9 --least 8 -o dog.json\n"
    "  katazome filters select here there --object cat --labels labels.csv --count 6,16 -o cat.json",
)
