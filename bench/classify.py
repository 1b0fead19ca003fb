"""How good a classifier is after how long: runs of several lengths, each fixed before it began, medians over seeds.

    python bench/classify.py --data mnist --epochs 1 3 20 --seeds 0 1 2 3 4 --out classify

Every run is `gannet train classify --steps …` and `gannet evaluate`: the test accuracy of the last averaged weights, by which
nothing is chosen. What is there already is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from gannet import run
from gannet.folders import finished, read_record


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", default="mnist")
    words.add_argument("--net", default="small")
    words.add_argument("--items", type=int, default=57_000, help="of training: 19 of 20, the rest is watched")
    words.add_argument("--batch", type=int, default=128)
    words.add_argument("--epochs", type=float, nargs="+", default=[1, 3, 20])
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    words.add_argument("--out", type=Path, default=Path("classify"))
    given = words.parse_args()
    print("| epochs | pictures | seeds | minutes | a second | accuracy, median | each |")
    print("| --- " * 7 + "|")
    for epochs in given.epochs:
        steps = round(epochs * given.items / given.batch)
        found, took = [], []
        for seed in given.seeds:
            where = given.out / f"{given.data}-{given.net}-{given.batch}-{steps}-{seed}"
            if not (where.is_dir() and finished(where, read_record(where))):
                flags = {"data": given.data, "net": given.net, "batch": given.batch, "seed": seed}
                run.train("classify", steps=steps, out=where, **flags)
            path = where / "evaluation.json"
            report = json.loads(path.read_text()) if path.is_file() else run.evaluate(where)
            found.append(report["scores"]["accuracy"]["value"])
            took.append(read_record(where)["trained"]["seconds"])
        each = ", ".join(f"{100 * value:.2f}" for value in found)
        minutes, pictures = statistics.median(took) / 60, steps * given.batch
        middle = 100 * statistics.median(found)
        row = f"{epochs:g} | {pictures:,} | {len(found)} | {minutes:.1f} | {pictures / minutes / 60:,.0f}"
        print(f"| {row} | {middle:.2f} % | {each} |", flush=True)


if __name__ == "__main__":
    main()
