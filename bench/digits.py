"""`digits` against its rivals for equal measured training time, on one machine, in one run.

    python bench/digits.py --minutes 3 --seeds 0 1 2 --out /tmp/three           (about 35 minutes)
    python bench/digits.py --minutes 15 --seeds 0 --recipes digits --out /tmp/fifteen
    python bench/digits.py --table --out /tmp/three                             (the table again)

For each seed `digits` is trained first. Each rival is then trained for as long as `digits` really took, and lengthened
until its measured training time is no less: rivals are never given less. Scoring is not counted. Then every run is
evaluated, on its last weights and on those that scored best while it trained. A machine that does other things at the
same time spoils the comparison; the table shows the images per second, by which one sees it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any


def gannet(*words: object) -> None:
    """The command, in a process of its own."""
    print("$ gannet", *words, flush=True)
    subprocess.run([sys.executable, "-m", "gannet", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def record(run: Path) -> dict[str, Any]:
    """recipe.json of a run."""
    return json.loads((run / "recipe.json").read_text())


def train(recipe: str, run: Path, seed: int, minutes: float, seconds: float, flags: list[str]) -> None:
    """A run of at least `seconds` of training, where they are known."""
    words = (recipe, "--seed", seed, "--minutes", round(minutes, 3), "--out", run, *flags)
    gannet("train", *words)
    while (spent := record(run)["trained"]["seconds"]) < seconds:
        steps = record(run)["steps"]
        gannet("train", *words, "--more", max(1, math.ceil(steps * (seconds - spent) / spent)))


def evaluate(run: Path, weights: str) -> None:
    """The scores of a run, kept aside under the name of the weights."""
    kept = run / f"evaluation-{weights}.json"
    if not kept.is_file():
        gannet("evaluate", run, "--weights", weights)
        kept.write_bytes((run / "evaluation.json").read_bytes())


def table(out: Path) -> str:
    """Markdown: a row for each run, and the median of each recipe."""
    columns = ("fid", "kid", "precision", "recall", "density", "coverage", "classes_off")
    rows, medians, floors = [], {}, {}
    for run in sorted(out.glob("*-*"), key=lambda run: (run.name.rpartition("-")[0], int(run.name.rpartition("-")[2]))):
        made = record(run)
        last, best = (json.loads((run / f"evaluation-{weights}.json").read_text()) for weights in ("last", "best"))
        scores = last["scores"]
        floors = {name: score["floor"] for name, score in scores.items()}
        seconds = made["trained"]["seconds"]
        medians.setdefault(made["recipe"], []).append((scores["fid"]["value"], best["scores"]["fid"]["value"]))
        smallest = min(last["classes"]["drawn"]["counts"])
        numbers = " | ".join(f"{scores[name]['value']:.4f}" for name in columns)
        speed = made["examples"] / seconds
        rows.append(
            f"| {made['recipe']} | {made['seed']} | {seconds / 60:.2f} | {made['examples']:,} | {speed:,.0f} | "
            f"{numbers} | {smallest} | {best['scores']['fid']['value']:.4f} |"
        )
    numbers = " | ".join(f"{floors[name]:.4f}" for name in columns)
    head = f"| recipe | seed | minutes | pictures | per second | {' | '.join(columns)} | rarest class | FID, best weights |"
    lines = [head, "| --- " * (head.count("|") - 1) + "|", *rows, f"| real test digits | | | | | {numbers} | | |", ""]
    for recipe, pairs in medians.items():
        last, best = (sorted(column)[len(pairs) // 2] for column in zip(*pairs, strict=True))
        times = f"{last / floors['fid']:.0f} times the floor"
        lines.append(f"- {recipe}: median FID {last:.4f} (last weights), {best:.4f} (best weights); {times}")
    return "\n".join(lines)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--minutes", type=float, default=3)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--recipes", nargs="+", default=["digits", "dcgan", "tutorial"])
    words.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="for `digits`: what stands behind it")
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--table", action="store_true", help="only print the table of the runs in --out")
    given = words.parse_args()
    if not given.table:
        for seed in given.seeds:
            seconds = 0.0
            for recipe in given.recipes:
                run = given.out / f"{recipe}-{seed}"
                train(recipe, run, seed, seconds / 60 or given.minutes, seconds, given.flags if recipe == "digits" else [])
                seconds = seconds or record(run)["trained"]["seconds"]
        for run in sorted(given.out.glob("*-*")):
            for weights in ("last", "best"):
                evaluate(run, weights)
    print(table(given.out))


if __name__ == "__main__":
    main()
