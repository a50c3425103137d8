"""Write docs/reference.md from the options' declarations."""

from __future__ import annotations

from pathlib import Path

from katazome.cli.reference import reference

if __name__ == "__main__":
    page = Path(__file__).with_name("reference.md")
    page.write_text(reference(), encoding="utf-8")
    print(page)
