"""What truncation and rejection trade: scores of a run's pictures, drawn plainly, from smaller noise, or as the best of some.

    python bench/sampling.py RUN                (a run of `digits` or `images`, about five minutes)

The critic's opinion is not a score: what it rejects is paid for in variety, and this table says how dear that is.
"""

from __future__ import annotations

import argparse

from gannet import recipe, run
from gannet.data import Ledger, images, keeping
from gannet.evaluation import features
from gannet.evaluation.images import COUNT, Judge

WISHES = [(1.0, 1), (0.9, 1), (0.8, 1), (0.7, 1), (0.5, 1), (1.0, 2), (1.0, 4), (1.0, 8)]
SHOWN = ("fid", "precision", "recall", "density", "coverage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    loaded = run.load(given.run)
    with keeping(Ledger()):
        scores = recipe.build(recipe.find(loaded.record["recipe"]), loaded.record["arguments"]).evaluation
    net = features.choose(scores.train)
    n = min(COUNT, len(scores.test))
    judge = Judge(net, scores.train.x_NCHW, scores.some(n))
    y_N = scores.classes(n, given.seed) if loaded.objective.classes else None

    print(f"| noise times | best of | {' | '.join(SHOWN)} |\n| --- | --- |{' --- |' * len(SHOWN)}", flush=True)
    for truncation, best_of in WISHES:
        drawn = images.to_bytes(loaded.objective.sample(n, given.seed, y_N, truncation, best_of))
        found = judge.scores(net.measure(drawn))
        print(f"| {truncation} | {best_of} | {' | '.join(f'{found[name]:.4f}' for name in SHOWN)} |", flush=True)
    floor = judge.scores(net.measure(scores.test.x_NCHW[:n]))
    print(f"| real | | {' | '.join(f'{floor[name]:.4f}' for name in SHOWN)} |")


if __name__ == "__main__":
    main()
