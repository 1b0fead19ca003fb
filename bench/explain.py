"""What heat maps are worth: the sanity check, layer by layer, deletion and insertion; of a detector, the pointing game.

    python bench/explain.py RUN            (a run of `classify`, of its test pictures; two to ten minutes)
    python bench/explain.py RUN            (a run of `detect`: the pointing game on its test scenes)
    python bench/explain.py                (three seeds each of a narrow ResNet-18 and of our net, trained on the embedded
                                            digits at 24 pixels for seconds; the sanity check alone; about four minutes)

Higher is not better in the first tables: what is left of a map when the net is thrown together is of the picture alone. Its
first row is the floor, each map against the next picture's. In the last tables a map has to beat pixels in random order, and
should beat what needs no net: the centre first, and the ink first.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gannet import explain, run
from gannet.data import images
from gannet.data.boxes import Boxes, overlap
from gannet.evaluation import explanations
from gannet.evaluation.boxes import claimed
from gannet.nearest import PART
from gannet.nets import resnet
from gannet.nets.detector import Detector
from gannet.nets.images import Classifier
from gannet.nets.resnet import ResNet
from gannet.objectives.detect import peaks
from gannet.rng import Rng

SEEDS = (0, 1, 2)
WITHOUT_RUN = ("saliency", "gradcam", "guided")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    parser.add_argument("-n", type=int, default=200, help="test pictures for deletion and insertion")
    parser.add_argument("--thrown", type=int, default=64, help="test pictures for the sanity check")
    parser.add_argument("--stage", help="Grad-CAM's; otherwise the last")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.run is None:
        of_digits()
        return
    loaded = run.load(given.run)
    if hasattr(loaded.objective, "boxes"):
        of_boxes(loaded, given.n)
        return
    net, warm = loaded.nets["classifier"], loaded.record["trained"].get("temperature", 1.0)
    with run.reopened(loaded) as made:
        test = made.evaluation.test
    x_NCHW = images.to_float(test.x_NCHW[Rng(given.seed, 0, "explained").indices(len(test), given.n)])
    with torch.no_grad():
        y_N = torch.cat([net(x).argmax(1) for x in x_NCHW.split(PART)])

    def maps(net: torch.nn.Module, method: str, n: int, signed: bool) -> torch.Tensor:
        stage = given.stage if method in explain.CAMS else None
        return explain.maps(explain.of_net(net), x_NCHW[:n], y_N[:n], method, stage=stage, signed=signed)

    makers = {method: lambda net, m=method: maps(net, m, given.thrown, True) for method in explain.METHODS}
    rows = explanations.sanity(net, makers, seed=given.seed)
    for what, meaning in (("absolute", "rank correlation of sizes"), ("signed", "rank correlation"), ("ssim", "SSIM of sizes")):
        print(f"{meaning}, {min(given.thrown, given.n)} pictures; all layers from the last to this one thrown together")
        markdown(explanations.table(rows, explain.METHODS, what))

    def chance(x: torch.Tensor) -> torch.Tensor:
        p_NK = torch.cat([net(part).float() for part in x.split(PART)]) / warm
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


def of_boxes(loaded: run.Run, n: int) -> None:
    """The pointing game: does the highest pixel of a thing's map lie in its true box? Of things of the test set that are
    rightly told, in the order of the pictures."""
    net = loaded.nets["detector"]
    assert isinstance(net, Detector)
    with run.reopened(loaded) as made:
        test = made.evaluation.test
    target, pictures, places, true = explain.of_detector(net, test.pixels), [], [], []
    for i in range(len(test)):
        x_1CHW = images.to_float(test.x_NCHW[i : i + 1])
        with torch.no_grad():
            told = peaks(net(x_1CHW).float(), net.classes, 100)
        one = Boxes(test.x_NCHW[i : i + 1], test.boxes_NM4[i : i + 1], test.kinds_NM[i : i + 1], test.there_NM[i : i + 1], [])
        right_Q = claimed(told, one)[0] & (told.chance_NQ[0] >= loaded.record["trained"]["threshold"])
        for q in right_Q.nonzero().flatten().tolist():
            kind = int(told.kinds_NQ[0, q])
            near_M = overlap(told.boxes_NQ4[0, q], one.boxes_NM4[0]) * (one.kinds_NM[0] == kind) * one.there_NM[0]
            pictures.append(x_1CHW)
            places.append(int(told.places_NQ[0, q]))
            true.append(one.boxes_NM4[0, int(near_M.argmax())])
        if len(pictures) >= n:
            break
    x_NCHW, y_N, true_N4 = torch.cat(pictures[:n]), torch.tensor(places[:n]), torch.stack(true[:n])
    cells = [["", "highest pixel in its box"]]
    stages = [None, *list(target.stages)[:-1]]
    floors: dict[str, float] = {}
    for method in explain.METHODS:
        for stage in stages if method in explain.CAMS else [None]:
            found = floors = explanations.pointing(explain.maps(target, x_NCHW, y_N, method, stage=stage), true_N4)
            name = f"{method}, {stage or list(target.stages)[-1]}" if method in explain.CAMS else method
            cells.append([name, f"{found['map']:.3f}"])
            print(f"{name}: {found['map']:.3f}", file=sys.stderr, flush=True)
    cells += [["a pixel by lot", f"{floors['random']:.3f}"], ["the picture's middle", f"{floors['centre']:.3f}"]]
    print(f"{len(x_NCHW)} things of {test.name}/{test.split} that are rightly told")
    markdown(cells)


class Plain(resnet.Basic):
    """He et al.'s block whose last rectifier, behind the sum, is hidden from guided backpropagation."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.norms[0](self.first(x_NCHW)))
        out = self.shortcut(x_NCHW) + self.norms[1](self.second(h))
        return torch.where(out > 0, out, 0.0)


def plain(net: nn.Module) -> nn.Module:
    """The same net of such blocks, in place."""
    for part in net.modules():
        if isinstance(part, resnet.Basic):
            part.__class__ = Plain
    return net


def of_digits(side: int = 24, steps: int = 120) -> None:
    """The sanity check on nets that are trained here and now."""
    train, test = images.load("digits8"), images.load("digits8", "test")
    assert train.labels_N is not None
    assert test.labels_N is not None
    x_NCHW, held_NCHW = (
        F.interpolate(images.to_float(data.x_NCHW), size=(side, side), mode="bilinear", align_corners=False)
        for data in (train, test)
    )
    some_NCHW, y_N = held_NCHW[:32], test.labels_N[:32]
    found: dict[str, list[list[list[float]]]] = {}
    names: dict[str, list[str]] = {}
    for seed in SEEDS:
        for kind in ("ResNet-18 of width 8", "ours, 16, 32, 64"):
            torch.manual_seed(seed)
            net = (
                ResNet(1, 10, stem="small", width=8)
                if "ResNet" in kind
                else Classifier(side, 1, 10, widths=(16, 32, 64), blocks=2)
            )
            optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
            for step in range(steps):
                i = Rng(seed, step, "sanity").indices(len(x_NCHW), 64)
                optimizer.zero_grad()
                F.cross_entropy(net(x_NCHW[i]), train.labels_N[i]).backward()
                optimizer.step()
                schedule.step()
            net.eval()
            with torch.no_grad():
                right = float((net(held_NCHW).argmax(1) == test.labels_N).double().mean())
            print(f"{kind}, seed {seed}: accuracy {right:.3f}", flush=True)

            def maps(net: nn.Module, method: str) -> torch.Tensor:
                return explain.maps(explain.of_net(net), some_NCHW, y_N, method, signed=True)

            makers = {method: lambda net, m=method: maps(net, m) for method in WITHOUT_RUN}
            for word in (kind, f"{kind}, sums not guided") if "ResNet" in kind else (kind,):
                rows = explanations.sanity(net if word == kind else plain(net), makers)
                names[word] = [row["layer"] for row in rows]
                found.setdefault(word, []).append(
                    [[row[m][w] for m in WITHOUT_RUN for w in ("signed", "absolute")] for row in rows]
                )
    for kind, values in found.items():
        mean, spread = np.mean(values, 0), np.std(values, 0, ddof=1)
        print(f"\n{kind}: signed / absolute rank correlation, mean ± spread of {len(SEEDS)} seeds")
        cells = [["", *(f"{m} {w}" for m in WITHOUT_RUN for w in ("signed", "absolute"))]]
        for layer, means, spreads in zip(names[kind], mean, spread, strict=True):
            cells.append([layer, *(f"{a:.2f} ± {b:.2f}" for a, b in zip(means, spreads, strict=True))])
        markdown(cells)


def markdown(cells: list[list[str]]) -> None:
    lines = [f"| {' | '.join(row)} |" for row in cells]
    print("\n".join([lines[0], "|" + " --- |" * len(cells[0]), *lines[1:]]) + "\n", flush=True)


if __name__ == "__main__":
    main()
