"""The program itself, with the tiny network in place of the real one."""

from typing import Any

from katazome.cli import filters_rank, stylize
from katazome.cli.main import run
from tests.tiny import tiny_vgg

if __name__ == "__main__":
    commands: tuple[Any, ...] = (stylize, filters_rank)
    for module in commands:
        module.open_vgg = lambda *_, **__: tiny_vgg()
    run()
