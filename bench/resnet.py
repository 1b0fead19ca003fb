"""Images a second of `classify` on ResNet-18 at 32 pixels, against the plain PyTorch loop that everybody writes, in one run.

    python bench/resnet.py --threads 2

Plain: float32, NCHW, pictures in memory as floats already, cross-entropy, AdamW as torch gives it, no averaged net and
nothing changed in the pictures. Ours: `gannet train classify`'s loop with all that it does: bytes, pictures moved, mirrored
and hidden in part, label smoothing, the gradient's norm, the averaged net; channels last, and the precision that
`--precision auto` settles on.
Both take turns, and medians are told. Nothing else may run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from gannet.data.images import Images, shaken, to_float
from gannet.nets.resnet import ResNet
from gannet.objectives.classify import Classify
from gannet.recipe import one_cycle
from gannet.training import loop
from gannet.training.engine import Engine


class Plain(ResNet):
    """The same net, its pictures in the order in which they come."""

    def stages(self, x_NCHW: torch.Tensor) -> list[torch.Tensor]:
        x = self.pool(F.relu(self.norm(self.start(x_NCHW))))
        maps = []
        for stage in self.trunk:
            x = stage(x)
            maps.append(x)
        return maps


def seconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def product(side: int, kind: torch.dtype) -> float:
    """Matrix products of this size, in GFLOP a second."""
    a, b = torch.randn(side, side).to(kind), torch.randn(side, side).to(kind)
    torch.mm(a, b)
    return (
        2
        * side**3
        / statistics.median(seconds(lambda: [torch.mm(a, b) for _ in range(8)] and None) / 8 for _ in range(7))
        / 1e9
    )


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--threads", type=int, default=2)
    words.add_argument("--batch", type=int, default=128)
    words.add_argument("--steps", type=int, default=6, help="of a round")
    words.add_argument("--rounds", type=int, default=5)
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    n, batch = 2_000, given.batch
    data = Images(torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8), torch.randint(10, (n,)), [str(i) for i in range(10)])
    assert data.labels_N is not None
    x_NCHW, y_N = to_float(data.x_NCHW), data.labels_N

    plain = Plain(3, 10, stem="small")
    adam = torch.optim.AdamW(plain.parameters(), lr=1e-3)
    ours = Classify(ResNet(3, 10, stem="small"), 10)
    engine = Engine(cpu=True)
    engine.prepare(ours)
    engine.settle("auto", True)
    ours.precision = engine.precision
    source = shaken(data, "photo")
    done = 0

    def plainly() -> None:
        plain.train()
        for _ in range(given.steps):
            i_N = torch.randint(n, (batch,))
            loss = F.cross_entropy(plain(x_NCHW[i_N]), y_N[i_N])
            adam.zero_grad()
            loss.backward()
            adam.step()

    def in_the_loop() -> None:
        nonlocal done
        settings = {"batch": batch, "steps": 10**6, "schedule": one_cycle, "seed": 0}
        loop.fit(ours, source, engine, **settings, start=done, stop=done + given.steps)
        done += given.steps

    @torch.no_grad()
    def told_plainly() -> None:
        plain.eval()
        for x in x_NCHW[: given.steps * batch].split(batch):
            plain(x)

    def told() -> None:
        ours.logits(data.x_NCHW[: given.steps * batch])

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        plain(x_NCHW[:1])
    forward = counter.get_total_flops() / 1e9
    peak = {kind: product(2048, kind) for kind in (torch.float32, torch.bfloat16)}
    rates = ", ".join(f"{str(kind).removeprefix('torch.')} {rate:,.0f} GFLOP/s" for kind, rate in peak.items())
    print(f"{given.threads} threads, batches of {batch}; ours in {engine.precision}; matrix products of 2048: {rates}")
    print(f"{forward:.3f} GFLOP a picture forward, three times that in training")
    print(f"{'':12}{'plain/s':>10}{'ours/s':>10}{'times':>8}{'plain, of peak':>16}{'ours, of peak':>15}")
    mine = peak[torch.bfloat16 if engine.precision == "bfloat16" else torch.float32]
    for name, pair, work in (("training", (plainly, in_the_loop), 3 * forward), ("inference", (told_plainly, told), forward)):
        for do in pair:
            do()
        rounds = [[seconds(do) for do in pair] for _ in range(given.rounds)]
        count = given.steps * batch if name == "training" else min(given.steps * batch, n)
        one, two = (count / statistics.median(column) for column in zip(*rounds, strict=True))
        times = statistics.median(a / b for a, b in rounds)
        print(
            f"{name:12}{one:10,.1f}{two:10,.1f}{times:8.2f}{one * work / peak[torch.float32]:16.0%}{two * work / mine:15.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
