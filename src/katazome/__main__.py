"""``python -m katazome``: the program, where its command is not on the path."""

from katazome.cli.main import run

if __name__ == "__main__":
    run()
