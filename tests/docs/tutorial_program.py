"""Several command lines, one after the other, as a shell would run them: JSON, a list of lists of words.

With ``--tiny`` the tiny network stands in for the real one.
"""

import json
import sys
from typing import Any

from katazome.cli import settings
from katazome.cli.main import main
from tests.tiny import tiny_vgg

if __name__ == "__main__":
    if "--tiny" in sys.argv:
        replaced: Any = settings
        replaced.open_vgg = lambda *_, **__: tiny_vgg()
    for words in json.load(sys.stdin):
        print("$ katazome", *words, file=sys.stderr, flush=True)
        if code := main(words):
            sys.exit(code)
