"""How soon an encoder sees what a player of a game sees: each learns to copy the moves of a trained run, picture by picture.

    python bench/eyes.py RUN --encoders shallow small nature          (about five minutes on one core)

Learning a game from its rewards is so noisy that two seeds of one net differ by more than two nets do; copying is not. RUN, an
agent that sees frames, chooses among actions and was trained by PPO, plays with the chances of its policy, and every encoder
learns from the same pictures in the same order to give the same chances: Kullback-Leibler divergence in nats and share of equal
likeliest actions, on games that none has learnt from. Processor seconds are those of learning alone, on one thread. The widths
are the encoders' own, or as said behind a colon (small:256). It takes some 4 GB.
"""

from __future__ import annotations

import argparse
import time

import torch

from gannet import run
from gannet.errors import Wrong
from gannet.nets.agents import Agent
from gannet.objectives.ppo import PPO
from gannet.rng import Rng

BATCH, RATE, NORM = 256, 1e-3, 0.5
GAMES, HELD_OUT = 16, 3  # played side by side, and those of them that nobody learns from
SKIPPED = 200  # steps until the games stand at different places


def played(objective, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the run's agent sees (T, E, C, H, W), and the logarithm of its chances (T, E, A)."""
    vector = objective.play.open(GAMES)
    seen_E = vector.reset([10_000 + index for index in range(GAMES)])
    rows, chances = [], []
    for t in range(SKIPPED + steps):
        with torch.no_grad():
            policy, _ = objective.judged(seen_E, objective.finished)
        if t >= SKIPPED:
            rows.append(seen_E.clone())
            chances.append(policy.log_p_NA)
        seen_E = vector.step(policy.draw(Rng(0, t, "act")))[0]
    vector.close()
    return torch.stack(rows), torch.stack(chances)


def divergence(told_NA: torch.Tensor, logits_NA: torch.Tensor) -> torch.Tensor:
    """Of a net's chances from those that were told (N,)."""
    return (told_NA.exp() * (told_NA - logits_NA.log_softmax(1))).sum(1)


def copied(net: Agent, seen_TE: torch.Tensor, told_TE: torch.Tensor, pictures: int) -> dict[str, float]:
    """A net that has learnt from so many pictures, judged on the games that were held out."""
    rows_N, told_N = seen_TE[:, HELD_OUT:].flatten(0, 1), told_TE[:, HELD_OUT:].flatten(0, 1)
    x_NK = torch.cat([net.packed(part) for part in rows_N.split(2_000)])
    some_NK = x_NK[::20].float() / 255
    assert net.moments is not None
    net.moments.add(torch.tensor(float(len(x_NK))), some_NK.mean(0), some_NK.var(0))
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, eps=1e-5, fused=True)
    chance, done, spent = torch.Generator().manual_seed(0), 0, 0.0
    while done < pictures:
        for which in torch.randperm(len(x_NK), generator=chance).split(BATCH):
            if len(which) < BATCH or done >= pictures:
                break
            began = time.process_time()
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - done / pictures)
            divergence(told_N[which], net(x_NK[which])[0]).mean().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), NORM)
            optimizer.step()
            optimizer.zero_grad()
            spent, done = spent + time.process_time() - began, done + BATCH
    rows_N, told_N = seen_TE[:, :HELD_OUT].flatten(0, 1), told_TE[:, :HELD_OUT].flatten(0, 1)
    with torch.no_grad():
        parts = []
        for x_N, likely_N in zip(rows_N.split(1_000), told_N.split(1_000), strict=True):
            logits_NA = net(x_N)[0]
            parts.append((divergence(likely_N, logits_NA), logits_NA.argmax(1) == likely_N.argmax(1)))
    far_N, same_N = (torch.cat(part).float() for part in zip(*parts, strict=True))
    return {"kl": float(far_N.mean()), "same": float(same_N.mean()), "seconds": spent}


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("run", help="folder of an agent that sees frames")
    flags.add_argument("--encoders", nargs="+", default=["shallow", "small", "small:256", "nature"])
    flags.add_argument("--steps", type=int, default=2_300, help="that each of the games is watched")
    flags.add_argument("--pictures", type=int, nargs="+", default=[27_648, 55_296])
    told = flags.parse_args()
    torch.set_num_threads(1)
    objective = run.load(told.run).objective
    if not (isinstance(objective, PPO) and objective.play.bytes and objective.play.actions):
        raise Wrong("only an agent that sees frames and was trained by PPO can be copied here", got=told.run)
    seen_TE, chance_TE = played(objective, told.steps)
    mean_A, told_NA = chance_TE[:, HELD_OUT:].exp().flatten(0, 1).mean(0), chance_TE[:, :HELD_OUT].flatten(0, 1)
    floor = (told_NA.exp() * (told_NA - mean_A.log())).sum(1).mean()
    print(f"always the mean chances: {float(floor):.4f} nats")
    for name in told.encoders:
        encoder, _, width = name.partition(":")
        for pictures in told.pictures:
            torch.manual_seed(0)
            net = Agent(objective.play.seen, objective.play.actions, encoder=encoder, width=int(width) if width else None)
            size = sum(part.numel() for part in net.parameters())
            got = copied(net, seen_TE, chance_TE, pictures)
            print(
                f"{name:>10} {size:9,} parameters {pictures:7,} pictures: {got['kl']:.4f} nats, {got['same']:.1%} the same"
                f" move, {got['seconds']:.1f} processor seconds",
                flush=True,
            )


if __name__ == "__main__":
    main()
