"""The program itself, with the tiny network in place of the real one."""

from typing import Any

from katazome.cli import settings
from katazome.cli.main import run
from tests.tiny import tiny_vgg

if __name__ == "__main__":
    replaced: Any = settings
    replaced.open_vgg = lambda *_, **__: tiny_vgg()
    run()
