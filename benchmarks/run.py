"""``make bench``: seconds and memory of this machine, written to docs/benchmarks.md.

Each part is measured in processes of its own and kept as a file under out/bench, so that a run
that was stopped goes on where it was; ``--fresh`` measures all again, ``--only NAME`` one part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from katazome import __version__
from katazome.device import describe

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "bench"
PICTURES = ROOT / "examples" / "pictures"
CONTENT, STYLE = str(PICTURES / "coffee.jpg"), str(PICTURES / "wheat_field.jpg")
KINDS = ("bare float32", "katazome float32", "katazome bfloat16")
INSTANT = ("bare adain float32", "katazome adain float32", "katazome adain bfloat16")


def iteration(size: int, rounds: int, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """Seconds of one run of each kind, asked in turn, and the median ratio to the first."""
    workers = {
        kind: subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "worker.py"), kind, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in kinds
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    peaks: dict[str, int] = {}
    for worker in workers.values():
        assert worker.stdout is not None
        worker.stdout.readline()
    for _ in range(rounds):
        for kind, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
            seconds, peak = worker.stdout.readline().split()
            times[kind].append(float(seconds))
            peaks[kind] = int(peak)
    for worker in workers.values():
        worker.communicate()
    ratios = {
        kind: statistics.median(a / b for a, b in zip(times[kind], times[kinds[0]], strict=True))
        for kind in kinds
    }
    return {
        kind: {
            "seconds": statistics.median(times[kind]),
            "ratio": ratios[kind],
            "peak MB": peaks[kind] // 2**20,
        }
        for kind in kinds
    }


def _python(code: str) -> dict[str, Any]:
    """Run code in a fresh process; it prints one line of JSON last."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ}
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


_HEAD = f"""
import json, time, sys
began = time.perf_counter()
import torch
from katazome.api import Session, drain
from katazome.device import peak_memory
session = Session()
content, style = {CONTENT!r}, {STYLE!r}
"""


def defaults() -> dict[str, Any]:
    """Wall time of the program with its defaults at 512 px, start included."""
    target = OUT / "defaults.png"
    began = time.perf_counter()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "katazome.cli.main",
            "stylize",
            CONTENT,
            STYLE,
            "-o",
            str(target),
            "--overwrite",
        ],
        check=True,
        capture_output=True,
    )
    return {"seconds": time.perf_counter() - began}


def precision() -> dict[str, Any]:
    """The final objective under ``auto`` over float32's at equal steps."""
    return _python(
        _HEAD
        + """
found = {}
for precision in ("float32", "auto"):
    work = session.prepare(content, [style], method="gatys", size=512, precision=precision)
    began = time.perf_counter()
    last = list(work.steps())[-1]
    found[precision] = {"objective": last.loss, "seconds": time.perf_counter() - began}
found["excess"] = found["auto"]["objective"] / found["float32"]["objective"] - 1
print(json.dumps(found))
"""
    )


def race() -> dict[str, Any]:
    """Time to the float32 objective that 300 plain L-BFGS iterations from the content reach.

    From the content at one scale as well: a coarse start leads to another picture, which has the
    style in larger forms but no lower objective.
    """
    return _python(
        _HEAD
        + """
from katazome.descent.loop import descend
from katazome.descent.optimisers import LBFGS
slow = session.prepare(content, [style], method="gatys", size=512, precision="float32", scales=1,
                       iterations=300).task
objective = slow.problem.objective(slow.walk[-1])
began = time.perf_counter()
last = list(descend(slow.problem, slow.walk, lambda: LBFGS(10), slow.finish))[-1].picture
goal = float(objective(last).total)  # of the picture as it is written, within [0, 1]; so is ours below
reference = time.perf_counter() - began
ours = session.prepare(content, [style], method="gatys", size=512, iterations=300, scales=1)
checking, reached, loss = 0.0, None, None
began = time.perf_counter()
for step in ours.steps():
    if step.index >= 10 and step.index % 5 == 0:
        paused = time.perf_counter()
        loss = float(objective(step.picture).total)
        checking += time.perf_counter() - paused
        if loss <= goal:
            reached = time.perf_counter() - began - checking
            break
print(json.dumps({"goal": goal, "float32 seconds": reference, "seconds": reached, "loss": loss,
                  "share": None if reached is None else reached / reference}))
"""
    )


def memory(size: int, tile: str, iterations: int) -> dict[str, Any]:
    """Peak memory of a descent at one scale, the history full, against the plan."""
    return _python(
        _HEAD
        + f"""
work = session.prepare(content, [style], method="gatys", size="{size}x{size}", tile={tile!r}, scales=1,
                       iterations={iterations}, precision="auto")
foretold = work.plan.seconds()
began = time.perf_counter()
drain(work)
print(json.dumps({{"peak MB": peak_memory() // 2**20, "foretold MB": work.plan.memory // 2**20,
                  "seconds": time.perf_counter() - began, "foretold seconds": foretold,
                  "tile": work.plan.tile, "history": work.plan.history}}))
"""
    )


def cold() -> dict[str, Any]:
    """Seconds from the start of the program to a written picture of 512 px in one pass; the best of three."""
    target = OUT / "adain.png"
    command = [sys.executable, "-m", "katazome.cli.main", "stylize", CONTENT, STYLE, "--size", "512x512"]
    times = []
    for _ in range(3):
        began = time.perf_counter()
        asked = [*command, "--method", "adain", "-o", str(target), "--overwrite"]
        subprocess.run(asked, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return {"seconds": min(times), "all": times}


def instant(size: int, tile: str) -> dict[str, Any]:
    """Peak memory and seconds of one pass, against the plan; and of a second style on the same photograph."""
    return _python(
        _HEAD
        + f"""
photo = session.photograph(content)
def made(style):
    return session.prepare(photo, [style], method="adain", size="{size}x{size}", tile={tile!r})
work = made(style)
foretold = work.plan.seconds()
times = []
for one in (work, made({str(PICTURES / "apples.jpg")!r})):
    began = time.perf_counter()
    drain(one)
    times.append(time.perf_counter() - began)
print(json.dumps({{"peak MB": peak_memory() // 2**20, "foretold MB": work.plan.memory // 2**20,
                  "seconds": times[0], "second style": times[1], "foretold seconds": foretold,
                  "tile": work.plan.tile}}))
"""
    )


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "iteration 256": lambda: iteration(256, 15),
    "iteration 512": lambda: iteration(512, 9),
    "iteration 1024": lambda: iteration(1024, 5),
    "adain 512": lambda: iteration(512, 9, INSTANT),
    "adain cold": cold,
    "instant 512": lambda: instant(512, "off"),
    "instant 4096": lambda: instant(4096, "auto"),
    "defaults 512": defaults,
    "precision": precision,
    "race": race,
    "memory 512 whole": lambda: memory(512, "off", 14),
    "memory 1024 whole": lambda: memory(1024, "off", 13),
    "memory 1024 tiled": lambda: memory(1024, "512", 13),
    "memory 2048 tiled": lambda: memory(2048, "512", 12),
    "memory 4096 tiled": lambda: memory(4096, "auto", 5),
}


def table(found: dict[str, dict[str, Any]]) -> str:
    """The page for the docs."""
    lines = [
        "# Benchmarks",
        "",
        f"Made by `make bench`: katazome {__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}, {describe(torch.device('cpu'))}, {platform.system()}. The machine is "
        "shared and noisy: trust ratios, which are medians over turns taken in one run.",
        "",
        "## One iteration of the whole objective",
        "",
        "Gram matrices of five layers, content, smoothness and the L-BFGS step (history 10), reflected "
        "border, over the bare network: VGG-19 to relu5_1 in float32 by plain autograd, no heap settings.",
        "",
        "| size | what | seconds | ratio | peak MB |",
        "|---|---|---|---|---|",
    ]
    for size in (256, 512, 1024):
        for kind, row in found.get(f"iteration {size}", {}).items():
            lines.append(
                f"| {size} | {kind} | {row['seconds']:.2f} | {row['ratio']:.2f} | {row['peak MB']} |"
            )
    lines += [
        "",
        "## One pass",
        "",
        "`adain` from pictures in memory to the finished one, over the bare network: two encodings to "
        "relu4_1, the statistics, the decoder, in float32 with borders of zeros.",
        "",
        "| size | what | seconds | ratio | peak MB |",
        "|---|---|---|---|---|",
    ]
    for kind, row in found.get("adain 512", {}).items():
        lines.append(f"| 512 | {kind} | {row['seconds']:.2f} | {row['ratio']:.2f} | {row['peak MB']} |")
    if row := found.get("adain cold"):
        lines += ["", f"From the start of the program to the written picture: {row['seconds']:.1f} s."]
    lines += [
        "",
        "| size | tile | peak MB | foretold MB | seconds | foretold | second style, same photograph |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        if name.startswith("instant"):
            lines.append(
                f"| {name.split()[1]} | {row['tile'] or 'whole'} | {row['peak MB']} | {row['foretold MB']} | "
                f"{row['seconds']:.1f} | {row['foretold seconds']:.1f} | {row['second style']:.1f} |"
            )
    if row := found.get("defaults 512"):
        lines += ["", "## Wall time", "", f"Defaults at 512 px, start included: {row['seconds']:.0f} s."]
    if row := found.get("precision"):
        lines += [
            "",
            "Objective at equal steps, `--precision auto` over `float32`: "
            f"{100 * row['excess']:+.1f} % ({row['auto']['seconds']:.0f} s against "
            f"{row['float32']['seconds']:.0f} s).",
        ]
    if row := found.get("race"):
        reached = (
            "not reached" if row["seconds"] is None else f"{row['seconds']:.0f} s, {row['share']:.2f} of it"
        )
        lines += [
            "",
            "To the objective that 300 L-BFGS iterations in float32 from the content reach at 512 px "
            f"({row['float32 seconds']:.0f} s on our own float32 path): {reached}.",
        ]
        ours = found.get("iteration 512", {}).get("katazome float32")
        if ours and row["seconds"] is not None:
            plain = row["float32 seconds"] / ours["ratio"]
            lines[-1] += (
                f" The bare network would take about {plain:.0f} s for them, by the ratio above: "
                f"{row['seconds'] / plain:.2f} of it."
            )
    lines += [
        "",
        "## Memory",
        "",
        "Peak of the whole process, the optimiser's history full, and what the plan said.",
        "",
        "| size | tile | pairs | peak MB | foretold MB | seconds | foretold |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        if name.startswith("memory"):
            lines.append(
                f"| {name.split()[1]} | {row['tile'] or 'whole'} | {row['history']} | {row['peak MB']} | "
                f"{row['foretold MB']} | {row['seconds']:.0f} | {row['foretold seconds']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="measure just these parts, again")
    parser.add_argument("--fresh", action="store_true", help="measure all parts again")
    asked = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, measure in PARTS.items():
        file = OUT / f"{name.replace(' ', '-')}.json"
        wanted = name in asked.only if asked.only else asked.fresh or not file.exists()
        if wanted:
            print(f"{name} ...", flush=True)
            file.write_text(json.dumps(measure(), indent=1))
            print(file.read_text(), flush=True)
        if file.exists():
            found[name] = json.loads(file.read_text())
    (ROOT / "docs" / "benchmarks.md").write_text(table(found))
    (ROOT / "docs" / "benchmarks.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
