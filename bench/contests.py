"""Contests over texts against the language model that each began as, over seeds: both curves, quality and variety.

    python bench/contests.py --data shi.txt --paths policy off --seeds 0 1 2 3 4 --out contests -- --steps 1200 --batch 64
    python bench/contests.py --table --out contests                   (the tables and the picture again)

Each run is `gannet train write --gan PATH`, whose first three quarters are likelihood and whose last is the contest; `off` is
likelihood for all the steps, the control. Each is then evaluated with `--full` on test text, by which nothing is chosen. A run
that is finished is not trained again.

No single number says which of two writers is better: each has a curve over temperatures. So a run's curve is compared with
that of its own warm-up where both have a point: at each temperature of the run, how much lower or higher is its sameness (its
self-BLEU-5, its reverse LM score) than the warm-up's at the same quality? The mean of that over temperatures is the run's gap,
below 0 where the contest is better; over seeds it has a mean, and a 95 % interval (Student's t).
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

import numpy as np
from scipy import stats

from gannet.evaluation.texts import BLEUS, FULL_AT, MODELS, above, drawn
from gannet.files import save_picture, write_json, write_text

Point = dict[str, float]
SHOWN = {"curves": (0.7, 0.9, 1.1), "judged": FULL_AT}  # temperatures of the tables


def gannet(*words: object) -> str:
    """The command, in a process of its own; what it printed."""
    print("$ gannet", *words, flush=True)
    return subprocess.run(
        [sys.executable, "-m", "gannet", *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def measured(data: str, path: str, seed: int, out: Path, flags: list[str]) -> dict[str, Any]:
    """evaluation.json of one run, which is trained and evaluated where that has not been done."""
    run = out / f"{path}-{seed}"
    gannet("train", "write", "--data", data, "--gan", path, "--seed", seed, "--out", run, *flags)
    found = run / "evaluation.json"
    if not found.is_file() or "judged" not in json.loads(found.read_text()):
        gannet("evaluate", run, "--full")
    return json.loads(found.read_text())


def gap(points: list[Point], base: list[Point], quality: str, sameness: str) -> float | None:
    """Mean over `points` of the sameness above that of `base` at the same quality; None where the two nowhere overlap."""
    apart = [value for value in above(points, base, quality, sameness) if value is not None]
    return statistics.mean(apart) if apart else None


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval (Student's t); the half is nan of a single value."""
    if len(values) < 2:
        return values[0], math.nan
    return statistics.mean(values), float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(
        len(values)
    )


def banded(curves: list[list[Point]]) -> list[Point]:
    """Curves of several seeds as one: the mean at each temperature, and each score's standard deviation as its spread."""
    found = []
    for points in zip(*curves, strict=True):
        keys = [key for key in points[0] if key != "temperature"]
        point = {"temperature": points[0]["temperature"]}
        for key in keys:
            values = [one[key] for one in points]
            point |= {key: statistics.mean(values), f"{key}_spread": statistics.stdev(values) if len(values) > 1 else 0.0}
        found.append(point)
    return found


def series(found: dict[str, list[dict[str, Any]]], key: str) -> dict[str, list[list[Point]]]:
    """name -> curves over seeds; key: "curves" or "judged". Of paths with a contest, the warm-up's own curves too."""
    every: dict[str, list[list[Point]]] = {}
    for path, reports in found.items():
        for report in reports:
            for name, points in report[key].items():
                called = f"{path}, warmed" if name == "its warm-up" else path
                every.setdefault(called, []).append(points)
    return every


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """All of it in Markdown: the curves at a few temperatures, and the gaps."""
    bleus, models = series(found, "curves"), series(found, "judged")
    pairs = (("BLEU-5 / self-BLEU-5", "curves"), ("LM / reverse LM", "judged"))
    heads = [f"{words} at {t:g}" for words, key in pairs for t in SHOWN[key]]
    lines = ["| writer | seeds | nats per token | " + " | ".join(heads) + " |", "| --- " * (3 + len(heads)) + "|"]
    for name in bleus:
        path, warmed = name.split(", ")[0], "warmed" in name
        nats = [r["warmed_nats_per_token"] if warmed else r["scores"]["nats_per_token"]["value"] for r in found[path]]
        cells = []
        for curves, key, x, y in ((bleus[name], "curves", "bleu5", "self_bleu5"), (models[name], "judged", "lm", "reverse_lm")):
            at = {point["temperature"]: point for point in banded(curves)}
            cells += [f"{at[t][x]:.3f} / {at[t][y]:.3f} ± {at[t][f'{y}_spread']:.3f}" for t in SHOWN[key]]
        spread = f" ± {statistics.stdev(nats):.3f}" if len(nats) > 1 else ""
        lines.append(f"| {name} | {len(nats)} | {statistics.mean(nats):.3f}{spread} | " + " | ".join(cells) + " |")
    real = next(iter(found.values()))[0]
    one, other = real["real"], real["judged_real"]
    lines += [
        "",
        f"Real text: BLEU-5 {one['bleu5']:.3f}, self-BLEU-5 {one['self_bleu5']:.3f}; LM {other['lm']:.3f}, reverse LM ",
    ]
    lines[-1] += f"{other['reverse_lm']:.3f}."
    lines += [
        "",
        "| contest | gap in self-BLEU-5 | gap in reverse LM, nats | copied whole, real text | longest copy, real text |",
    ]
    lines += ["| --- " * 5 + "|"]
    for path, reports in found.items():
        if "its warm-up" not in reports[0]["curves"]:
            continue
        cells = []
        for key, x, y in (("curves", "bleu5", "self_bleu5"), ("judged", "lm", "reverse_lm")):
            gaps = [gap(r[key]["this run"], r[key]["its warm-up"], x, y) for r in reports]
            known = [value for value in gaps if value is not None]
            mean, half = interval(known) if known else (math.nan, math.nan)
            cells.append(f"{mean:+.4f} ± {half:.4f} ({len(known)})")
        for name in ("copied_texts", "longest_copy"):
            mean = statistics.mean(r["scores"][name]["value"] for r in reports)
            cells.append(f"{mean:.3f}, {reports[0]['scores'][name]['floor']:.3f}")
        lines.append(f"| {path} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def picture(found: dict[str, list[dict[str, Any]]]) -> np.ndarray:
    """Both pairs of scores side by side, with a standard deviation over seeds at every point."""
    real = next(iter(found.values()))[0]
    sides = []
    for key, floor, axes in (("curves", "real", BLEUS), ("judged", "judged_real", MODELS)):
        sides.append(drawn({name: banded(curves) for name, curves in series(found, key).items()}, real[floor], axes))
    return np.concatenate(sides, 1)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", help="as for gannet train write")
    words.add_argument("--paths", nargs="+", default=["policy"], choices=["off", "policy", "gumbel", "cot"])
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    words.add_argument("--out", type=Path, default=Path("contests"))
    words.add_argument("--table", action="store_true", help="only the tables and the picture of what has been measured")
    words.add_argument("flags", nargs="*", help="of gannet train write, behind --")
    given = words.parse_args()
    kept = given.out / "contests.json"
    found: dict[str, list[dict[str, Any]]] = json.loads(kept.read_text())["found"] if given.table else {}
    if not given.table:
        if not given.data:
            raise SystemExit("contests: --data says what is written")
        for seed in given.seeds:  # seed after seed, so that what is there early says something of all paths
            for path in given.paths:
                found.setdefault(path, []).append(measured(given.data, path, seed, given.out, given.flags))
                write_json(kept, {"data": Path(given.data).name, "flags": given.flags, "found": found})
    write_text(given.out / "contests.md", table(found))
    save_picture(picture(found), given.out / "contests.png")
    print(table(found))


if __name__ == "__main__":
    main()
