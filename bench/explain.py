"""What the heat maps of a classifier run are worth: the sanity check, layer by layer, and deletion and insertion.

    python bench/explain.py RUN            (a run of `classify`, of its test pictures; one to ten minutes)

Higher is not better in the first tables: what is left of a map when the net is thrown together is of the picture alone. Its
first row is the floor, each map against the next picture's. In the last tables a map has to beat pixels in random order, and
should beat what needs no net: the centre first, and the ink first.
"""

from __future__ import annotations

import argparse

import torch

from gannet import explain, run
from gannet.data import images
from gannet.evaluation import explanations
from gannet.rng import Rng


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("-n", type=int, default=200, help="test pictures for deletion and insertion")
    parser.add_argument("--thrown", type=int, default=64, help="test pictures for the sanity check")
    parser.add_argument("--stage", help="Grad-CAM's; otherwise the last")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    loaded = run.load(given.run)
    net, warm = loaded.nets["classifier"], loaded.record["trained"].get("temperature", 1.0)
    with run.reopened(loaded) as made:
        test = made.evaluation.test
    x_NCHW = images.to_float(test.x_NCHW[Rng(given.seed, 0, "explained").indices(len(test), given.n)])
    with torch.no_grad():
        y_N = torch.cat([net(x).argmax(1) for x in x_NCHW.split(explain.PART)])

    def maps(net: torch.nn.Module, method: str, n: int, signed: bool) -> torch.Tensor:
        stage = given.stage if method == "gradcam" else None
        return explain.maps(explain.of_net(net), x_NCHW[:n], y_N[:n], method, stage=stage, signed=signed)

    makers = {method: lambda net, m=method: maps(net, m, given.thrown, True) for method in explain.METHODS}
    rows = explanations.sanity(net, makers, seed=given.seed)
    for what, meaning in (("absolute", "rank correlation of sizes"), ("signed", "rank correlation"), ("ssim", "SSIM of sizes")):
        print(f"{meaning}, {min(given.thrown, given.n)} pictures; all layers from the last to this one thrown together")
        markdown(explanations.table(rows, explain.METHODS, what))

    def chance(x: torch.Tensor) -> torch.Tensor:
        p_NK = torch.cat([net(part).float() for part in x.split(explain.PART)]) / warm
        return p_NK.softmax(1).gather(1, y_N[:, None])[:, 0]

    made_maps = {method: maps(net, method, given.n, False) for method in explain.METHODS}
    found = explanations.areas(chance, x_NCHW, made_maps, seed=given.seed)
    down, up = (explanations.summary(way, found[way]) for way in ("deletion", "insertion"))
    print(f"areas under the chance of the predicted class, {given.n} pictures; better: than random order, share of pictures")
    cells = [["", "deletion", "better", "insertion", "better"]]
    for name in down:
        if name == "random":
            both = [f"{one['random']['area']:.3f} ± {one['random']['spread']:.3f}" for one in (down, up)]
            cells.append([name, both[0], "", both[1], ""])
        else:
            both = [[f"{one[name]['area']:.3f}", f"{one[name]['better']:.2f}"] for one in (down, up)]
            cells.append([name, *both[0], *both[1]])
    markdown(cells)
    gap_N = explain.integrated(explain.of_net(net), x_NCHW, y_N)[1].abs()
    print(f"integrated gradients miss their sum by {float(gap_N.median()):.3f} (median), {float(gap_N.max()):.3f} (most)")


def markdown(cells: list[list[str]]) -> None:
    lines = [f"| {' | '.join(row)} |" for row in cells]
    print("\n".join([lines[0], "|" + " --- |" * len(cells[0]), *lines[1:]]) + "\n", flush=True)


if __name__ == "__main__":
    main()
