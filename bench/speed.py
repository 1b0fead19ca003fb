"""Where a training step's time goes, and what share of the machine's matrix products it reaches.

    python bench/speed.py                       (digits and dcgan in turns, about a minute)
    python bench/speed.py --recipes digits --threads 1

Medians of interleaved rounds, so that a neighbour on the machine disturbs all alike. The penalty is the critic's turn with it
minus the critic's turn without; "the rest" is the whole step minus its parts: the running average, random numbers, checks.
Operations are torch's own count of convolutions and matrix products, forward and backward.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from gannet import recipe
from gannet.data import Ledger, keeping
from gannet.training import loop
from gannet.training.engine import Engine


def timed(do: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def product(n: int, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """A matrix product of n by n."""
    a, b = torch.randn(2, n, n).to(dtype)
    return lambda: a @ b


class Bench:
    """One recipe, its parts as callables.

    Args:
        name: of the recipe
        batch: examples per step, or its own
        precision: float32 or bfloat16
    """

    def __init__(self, name: str, batch: int | None, precision: str):
        with keeping(Ledger()):
            card = recipe.find(name)
            made = recipe.build(card, recipe.resolve(card, {}))
        self.made, self.engine, self.name = made, Engine(precision, cpu=True), name
        self.batch, self.at = batch or made.batch, 0
        self.engine.prepare(made.objective)
        self.bare = copy.copy(made.objective)  # the same nets, no penalty
        self.bare.penalty = "none"
        self.parts: dict[str, Callable[[], Any]] = {
            "step": self.step,
            "data": lambda: [made.data.batch(self.batch, self.engine.rng(0, self.at, f"{i}")) for i in range(2)],
            "critic": lambda: self.turn("critic", made.objective),
            "critic, no penalty": lambda: self.turn("critic", self.bare),
            "generator": lambda: self.turn("generator", made.objective),
            "sample": lambda: made.objective.sample(256, self.at),
        }
        for _ in range(5):
            self.step()

    def step(self) -> None:
        """A whole step of the loop."""
        settings = {"batch": self.batch, "steps": 10**9, "schedule": self.made.schedule, "seed": 0}
        loop.fit(self.made.objective, self.made.data, self.engine, **settings, start=self.at, stop=self.at + 1)
        self.at += 1

    def turn(self, player: str, objective: Any) -> None:
        """One player's turn without its data: loss, backward, update."""
        batch = self.made.data.batch(self.batch, self.engine.rng(0, 0, "fixed"))
        began = time.perf_counter()
        with self.engine.autocast():
            values, weights, _ = objective.loss(player, batch, self.engine.rng(0, self.at, player))
        self.engine.backward(self.engine.mean(values.float(), weights), objective.players[player])
        self.engine.step(objective.players[player], 1e-3)
        self.spent = time.perf_counter() - began

    def round(self) -> dict[str, float]:
        """Seconds of each part, once."""
        found = {}
        for part, do in self.parts.items():
            whole = timed(do)
            found[part] = self.spent if part.startswith(("critic", "generator")) else whole
        return found

    def operations(self) -> int:
        """Multiplications and additions of a step."""
        with FlopCounterMode(display=False) as counter:
            self.step()
        return counter.get_total_flops()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recipes", nargs="+", default=["digits", "dcgan"])
    words.add_argument("--batch", type=int, help="instead of the recipes' own")
    words.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    words.add_argument("--threads", type=int, default=torch.get_num_threads())
    words.add_argument("--rounds", type=int, default=100)
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    benches = [Bench(name, given.batch, given.precision) for name in given.recipes]
    products = {dtype: product(1024, dtype) for dtype in (torch.float32, torch.bfloat16)}
    seen: dict[tuple[str, str], list[float]] = {}
    peaks: dict[torch.dtype, list[float]] = {dtype: [] for dtype in products}
    for _ in range(given.rounds):
        for bench in benches:
            for part, seconds in bench.round().items():
                seen.setdefault((bench.name, part), []).append(seconds)
        for dtype, do in products.items():
            peaks[dtype].append(timed(do))
    peak = {dtype: 2 * 1024**3 / statistics.median(times) for dtype, times in peaks.items()}
    print(f"{given.threads} threads, {given.precision}, medians of {given.rounds} rounds; matrix products of 1024: ", end="")
    print(f"float32 {peak[torch.float32] / 1e9:.0f}, bfloat16 {peak[torch.bfloat16] / 1e9:.0f} billion operations/s\n")
    print("| recipe | batch | images/s | critic | of that the penalty | generator | data | the rest | sampling, images/s | "
          "operations per image | share of the float32 peak | of the bfloat16 peak |")  # fmt: skip
    print("| --- " * 12 + "|")
    for bench in benches:
        t = {part: statistics.median(seen[bench.name, part]) for part in bench.parts}
        rest = t["step"] - t["critic"] - t["generator"] - t["data"]
        work = bench.operations()
        rates = [work / t["step"] / peak[dtype] for dtype in products]
        shares = [t["critic"], t["critic"] - t["critic, no penalty"], t["generator"], t["data"], rest]
        cells = [f"{share / t['step']:.0%}" for share in shares]
        cells += [f"{256 / t['sample']:,.0f}", f"{work / bench.batch / 1e6:.0f} million", f"{rates[0]:.0%}", f"{rates[1]:.0%}"]
        print(f"| {bench.name} | {bench.batch} | {bench.batch / t['step']:,.0f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
