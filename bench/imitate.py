"""Imitation over seeds: the contest beside plain cloning, at as many of the expert's steps, and beside what needs no expert.

    gannet train play --out expert && gannet sample expert -n 20 --greedy --record --out episodes
    python bench/imitate.py --expert episodes --seeds 0 1 2                                    # CartPole-v1
    python bench/imitate.py --data highway --expert roads --settings 10/1 --seeds 0 1 2

A setting is EPISODES/EVERY: 1/20 is one step in 20 of one episode. `alive` is an agent that gets 1 for every step and has no
expert: where it does as well, imitation has shown nothing by that return. Every agent is judged by the same held-out episodes.
What was measured is kept in --out and not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from gannet import recipe
from gannet.data import Ledger, keeping
from gannet.data.play import Rollout
from gannet.evaluation import play as playing
from gannet.files import write_json
from gannet.objectives.ppo import PPO
from gannet.rng import Rng
from gannet.training import loop
from gannet.training.engine import Engine

HELD_OUT = 10_000  # first seed of the episodes that are judged


class Alive(PPO):
    """An agent that is rewarded for living on."""

    def worth(self, rollout: Rollout, rng: Rng) -> torch.Tensor:
        alone = rollout._replace(reward_TE=rollout.counts_TE.float())
        return super().worth(alone, rng)


def measure(words: argparse.Namespace, method: str, episodes: int, every: int, seed: int) -> dict[str, Any]:
    """One agent trained and judged."""
    flags: dict[str, Any] = {"data": words.data, "expert": words.expert, "episodes": episodes, "every": every, "seed": seed}
    flags |= {"method": "cloning" if method == "cloning" else "gail", "workers": words.workers}
    flags |= {"reward": method.partition("-")[2] or "logit"} if method.startswith("gail") else {}
    card = recipe.find("imitate")
    torch.manual_seed(seed)
    with keeping(Ledger()) as book:
        made = recipe.build(card, recipe.resolve(card, flags))
    objective, data = made.objective, made.data
    if method == "alive":
        net, play = objective.players["agent"].net.net, objective.play
        objective, data = Alive(net, play, rate=objective.players["agent"].rate, discount=objective.discount), play
    steps = (words.examples if words.examples and method != "cloning" else made.examples) // made.batch
    engine, began = Engine(cpu=True), time.perf_counter()
    engine.prepare(objective)
    loop.fit(objective, data, engine, batch=made.batch, steps=steps, schedule=made.schedule, seed=seed)
    took = time.perf_counter() - began
    seeds = list(range(HELD_OUT, HELD_OUT + words.judged))
    found = playing.played(objective.play, playing.agent(objective, greedy=True), seeds)
    expert = next(facts for facts in book.facts.values() if facts["kind"] == "episodes")
    return {
        "method": method,
        "episodes": episodes,
        "every": every,
        "seed": seed,
        "learnt_from": expert["items"],
        "expert": expert["mean_return"],
        "played": 0 if method == "cloning" else steps * made.batch,
        "returns": [episode.returns for episode in found],
        "seconds": round(took, 1),
    }


def asked(words: argparse.Namespace) -> dict[str, Any]:
    """What a row is measured on, beside its method, setting and seed."""
    return {"data": words.data, "from": words.expert, "examples": words.examples, "judged": words.judged}


def mine(rows: list[dict[str, Any]], words: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows that were measured on the same."""
    return [row for row in rows if asked(words).items() <= row.items()]


def table(rows: list[dict[str, Any]]) -> str:
    """Mean return over seeds ± standard deviation between them, the worst seed, and the share of the expert's."""
    lines = ["| expert's steps | method | seeds | return | worst seed | of the expert's | steps played |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    settings = sorted({(row["episodes"], row["every"]) for row in rows}, key=lambda pair: -pair[0] / pair[1])
    for episodes, every in settings:
        for method in dict.fromkeys(row["method"] for row in rows):
            some = [r for r in rows if (r["method"], r["episodes"], r["every"]) == (method, episodes, every)]
            if not some:
                continue
            means = [statistics.mean(row["returns"]) for row in some]
            spread = f" ± {statistics.stdev(means):.1f}" if len(means) > 1 else ""
            share = statistics.mean(means) / some[0]["expert"] if some[0]["expert"] else math.nan
            where = f"{some[0]['learnt_from']:,} ({episodes} episode(s), 1 step in {every})" if method != "alive" else "none"
            cells = [where, method, len(means), f"{statistics.mean(means):.1f}{spread}", f"{min(means):.1f}", f"{share:.0%}"]
            lines.append("| " + " | ".join(map(str, [*cells, f"{some[0]['played']:,}"])) + " |")
    return "\n".join(lines)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", default="CartPole-v1")
    words.add_argument("--expert", default="balance")
    words.add_argument("--settings", nargs="+", default=["10/1", "1/20", "1/50"])
    words.add_argument(
        "--methods", nargs="+", default=["cloning", "gail"], help="cloning, gail, gail-positive, gail-negative, alive"
    )
    words.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    words.add_argument("--examples", type=int, default=0, help="agent steps of the contest; without, the recipe's")
    words.add_argument("--judged", type=int, default=100, help="held-out episodes")
    words.add_argument("--workers", action="store_true")
    words.add_argument("--out", type=Path, default=Path("imitate.json"))
    given = words.parse_args()
    rows: list[dict[str, Any]] = json.loads(given.out.read_text()) if given.out.is_file() else []
    for seed in given.seeds:
        for setting in given.settings:
            episodes, every = map(int, setting.split("/"))
            for method in given.methods:
                key = (method, episodes, every, seed)
                if any((row["method"], row["episodes"], row["every"], row["seed"]) == key for row in mine(rows, given)):
                    continue
                rows.append(measure(given, *key) | asked(given))
                write_json(given.out, rows)
                mean = statistics.mean(rows[-1]["returns"])
                print(f"{method} {setting} seed {seed}: {mean:.1f}, {rows[-1]['seconds']:.0f} s", file=sys.stderr)
    print(table(mine(rows, given)))


if __name__ == "__main__":
    main()
