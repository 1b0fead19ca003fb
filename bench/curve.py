"""The score that runs were watched by, against the examples they had seen, as a picture.

python bench/curve.py RUN ... --score kl_10k --floor 0.051 --out docs/stacked.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gannet import folders
from gannet.run import scores_of


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("runs", type=Path, nargs="+")
    words.add_argument("--score", required=True)
    words.add_argument("--floor", type=float, help="what the best possible would get")
    words.add_argument("--out", type=Path, required=True)
    given = words.parse_args()
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    for run in given.runs:
        points = [(examples / 1e6, found[given.score]) for examples, found in scores_of(run) if given.score in found]
        if not points:
            raise SystemExit(f"{run} was not watched by {given.score}")
        record = folders.read_record(run)
        flags = [f"{key} {value}" for key, value in record["arguments"].items() if key in ("contest", "penalised")]
        axes.plot(*zip(*points, strict=True), marker="o", label=", ".join([record["recipe"], *flags]))
        print(run, " · ".join(f"{score:.3f} at {examples:.2f}M" for examples, score in points))
    if given.floor is not None:
        axes.axhline(given.floor, color="grey", linestyle="--", label="an even sampler")
    axes.set(xlabel="millions of pictures seen", ylabel=given.score, xscale="log", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    canvas.print_png(given.out)


if __name__ == "__main__":
    main()
