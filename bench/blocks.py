"""Training speed of our nets and penalty against R3GAN's block with its filter, and against the exact penalty on our nets.

    python bench/blocks.py                      (MNIST, two threads or as many as there are, a few minutes)

Three contests on the same pictures, in turns, so that a neighbour on the machine disturbs all alike; R3GAN's stages are made as
wide as gives its two nets as many weights as ours have. Medians of the turns.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn

from gannet import recipe
from gannet.data import Ledger, images, keeping
from gannet.nets import r3gan
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan
from gannet.training import loop
from gannet.training.engine import Engine


def weights(*nets: nn.Module) -> int:
    return sum(p.numel() for net in nets for p in net.parameters())


def published(pixels: int, channels: int, wanted: int, groups: int) -> tuple[nn.Module, nn.Module]:
    """R3GAN's nets, one bottleneck a stage, of the width whose number of weights comes nearest to the wanted one."""
    stages = r3gan.count(pixels)

    def of(width: int) -> tuple[nn.Module, nn.Module]:
        shape = {"widths": (width,) * stages, "blocks": 1, "groups": (groups,) * stages}
        return r3gan.Generator(pixels, channels, **shape), r3gan.Critic(pixels, channels, **shape)

    return min((of(width) for width in range(groups, 200, groups)), key=lambda nets: abs(weights(*nets) - wanted))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=10)
    words.add_argument("--batch", type=int, default=64)
    words.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    with keeping(Ledger()):
        data = images.load("mnist").without_classes()
    ours = [Generator(28, 1), Critic(28, 1)]
    contests = {
        "ours, differences, pictures used twice": gan.Gan(*ours, clip=2),
        "ours, exact penalty, pictures used twice": gan.Gan(Generator(28, 1), Critic(28, 1), penalty="exact", clip=2),
        "ours, exact penalty, fresh pictures": gan.Gan(Generator(28, 1), Critic(28, 1), penalty="exact", again=False, clip=2),
    }
    for groups in (1, 8):
        nets = published(28, 1, weights(*ours), groups)
        contests[f"R3GAN's block, {groups} group(s)"] = gan.Gan(*nets, penalty="exact", again=False)
    engine = Engine()
    found: dict[str, list[float]] = {name: [] for name in contests}
    settings = {"batch": given.batch, "steps": 10**9, "schedule": recipe.constant, "seed": 0}
    for objective in contests.values():
        engine.prepare(objective)
        loop.fit(objective, data, engine, **settings, stop=2)
    for at in range(2, 2 + given.rounds):
        for name, objective in contests.items():
            began = time.perf_counter()
            loop.fit(objective, data, engine, **settings, start=at, stop=at + 1)
            found[name].append(time.perf_counter() - began)
    first = statistics.median(next(iter(found.values())))
    print(f"{given.threads} threads, batch {given.batch}, medians of {given.rounds} rounds\n")
    print("| nets and penalty | weights | images/s | ours is faster by |\n| --- | --- | --- | --- |")
    for name, objective in contests.items():
        t = statistics.median(found[name])
        total = weights(*(player.net for player in objective.players.values()))
        print(f"| {name} | {total:,} | {given.batch / t:,.0f} | {t / first:.2f} |")


if __name__ == "__main__":
    main()
