"""`digits` against its rivals for equal measured training time, on one machine, in one run.

    python bench/digits.py --minutes 3 --seeds 0 1 2 --out three           (about an hour)
    python bench/digits.py --minutes 15 --seeds 0 --recipes digits --out fifteen
    python bench/digits.py --table --out three                             (the table again)

A recipe may come with flags: --recipes digits "digits --no-classes" dcgan. For each seed the first is trained first. Each
of the others is then trained for as long as that really took, and lengthened until its measured training time is no less:
rivals are never given less. Scoring is not counted. Then every run is evaluated on its last weights, a rival also on those
that scored best while it trained, and the better counts. A machine that does other things at the same time spoils the
comparison; the images per second show it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
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


def train(recipe: str, run: Path, seed: int, minutes: float, seconds: float) -> None:
    """A run of at least `seconds` of training, where they are known."""
    words = (*recipe.split(), "--seed", seed, "--minutes", round(minutes, 3), "--out", run)
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


def judged(recipe: str) -> tuple[str, ...]:
    """Which weights: the last of `digits`; of a rival also those that scored best, and what is better counts."""
    return ("last",) if recipe.split()[0] == "digits" else ("last", "best")


def folder(recipe: str) -> str:
    """A recipe with its flags as the beginning of a folder's name."""
    return "-".join(word.strip("-") for word in recipe.split())


def table(out: Path, recipes: list[str]) -> str:
    """Markdown: a row for each run, and the median of each recipe."""
    columns = ("fid", "kid", "precision", "recall", "density", "coverage", "classes_off", "nearer_to_training")
    rows, found, floors = [], {}, {}
    for recipe in recipes:
        for run in sorted(out.glob(f"{folder(recipe)}-[0-9]*"), key=lambda run: int(run.name.rpartition("-")[2])):
            made = record(run)
            last, *best = (json.loads((run / f"evaluation-{weights}.json").read_text()) for weights in judged(recipe))
            scores = last["scores"]
            floors = {name: score["floor"] for name, score in scores.items()}
            seconds, smallest = made["trained"]["seconds"], min(last["classes"]["drawn"]["counts"])
            fids = [one["scores"]["fid"]["value"] for one in (last, *best)]
            found.setdefault(recipe, []).append(min(fids))
            numbers = " | ".join(f"{scores[name]['value']:.4f}" for name in columns)
            speed = made["examples"] / seconds
            rows.append(
                f"| {recipe} | {made['seed']} | {seconds / 60:.2f} | {made['examples']:,} | {speed:,.0f} | "
                f"{numbers} | {smallest} | {f'{fids[1]:.4f}' if best else ''} |"
            )
    numbers = " | ".join(f"{floors[name]:.4f}" for name in columns)
    head = f"| recipe | seed | minutes | pictures | per second | {' | '.join(columns)} | rarest class | FID, best weights |"
    lines = [head, "| --- " * (head.count("|") - 1) + "|", *rows, f"| real test digits | | | | | {numbers} | | |", ""]
    for recipe, fids in found.items():
        median = statistics.median(fids)
        lines.append(f"- {recipe}: median FID {median:.4f}, {median / floors['fid']:.0f} times the floor")
    return "\n".join(lines)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--minutes", type=float, default=3)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--recipes", nargs="+", default=["digits", "digits --no-classes", "dcgan", "tutorial"])
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--table", action="store_true", help="train nothing: score what has no scores, print the table")
    given = words.parse_args()
    if not given.table:
        gannet("data", "get", "mnist")  # so that 8×8 digits cannot stand in for it
        for seed in given.seeds:
            seconds = 0.0
            for recipe in given.recipes:
                run = given.out / f"{folder(recipe)}-{seed}"
                train(recipe, run, seed, seconds / 60 or given.minutes, seconds)
                seconds = seconds or record(run)["trained"]["seconds"]
    for recipe in given.recipes:
        for run in sorted(given.out.glob(f"{folder(recipe)}-[0-9]*")):
            for weights in judged(recipe):
                evaluate(run, weights)
    print(table(given.out, given.recipes))


if __name__ == "__main__":
    main()
