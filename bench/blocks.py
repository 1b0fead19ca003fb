"""Training speed of our nets and penalty against R3GAN's block with its filter, and against the exact penalty on our nets.

    python bench/blocks.py                      (MNIST, two threads or as many as there are, a few minutes)
    python bench/blocks.py --quality 10         (instead: what each draws after ten minutes of training, one after the other)

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
from gannet.evaluation import features, sets
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


def quality(contests: dict[str, gan.Gan], data: images.Images, batch: int, minutes: float) -> None:
    """FID in the digit features of 10,000 pictures of each contest's average after so many minutes of training alone."""
    net = features.digits()
    reference, engine = sets.Gaussian.of(net.measure(data.x_NCHW)), Engine()
    print("| nets and penalty | weights | pictures seen | FID |\n| --- | --- | --- | --- |", flush=True)
    for name, objective in contests.items():
        engine.prepare(objective)
        settings = {"batch": batch, "steps": 10**9, "schedule": recipe.inverse_root, "seed": 0}
        at, began = 0, time.perf_counter()
        while time.perf_counter() - began < 60 * minutes:
            loop.fit(objective, data, engine, **settings, start=at, stop=at + 1)
            at += 1
        total = weights(*(player.net for player in objective.players.values()))
        drawn = net.measure(images.to_bytes(objective.sample(10_000, 0)))
        fid = sets.frechet(sets.Gaussian.of(drawn), reference)
        print(f"| {name} | {total:,} | {at * batch:,} | {fid:.3f} |", flush=True)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=10)
    words.add_argument("--batch", type=int, default=64)
    words.add_argument("--quality", type=float, metavar="MINUTES")
    words.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    with keeping(Ledger()):
        data = images.load("mnist").without_classes()
    ours = [Generator(28, 1), Critic(28, 1)]
    # For quality: ours at their recipe's rate and penalty, R3GAN's at those of its paper, weight scaled to the resolution.
    play = {**gan.PLAY, "rate": 3e-3, "gamma": gan.suggest_gamma(28, 1, given.batch)} if given.quality else {"clip": 2}
    extra = {"gamma": gan.suggest_gamma(28, 1, given.batch), "half_life": 2_000} if given.quality else {}
    contests = {
        "ours, differences, pictures used twice": gan.Gan(*ours, **play),
        "ours, exact penalty, pictures used twice": gan.Gan(Generator(28, 1), Critic(28, 1), penalty="exact", clip=2),
        "ours, exact penalty, fresh pictures": gan.Gan(Generator(28, 1), Critic(28, 1), penalty="exact", again=False, clip=2),
    }
    for groups in (1, 8):
        nets = published(28, 1, weights(*ours), groups)
        contests[f"R3GAN's block, {groups} group(s)"] = gan.Gan(*nets, penalty="exact", again=False, **extra)
    if given.quality:
        quality({name: contests[name] for name in contests if "exact" not in name}, data, given.batch, given.quality)
        return
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
