"""Tokens a second that a Transformer writes, remembering keys and values or reading everything anew for each.

    python bench/writing.py                     # about 2 minutes

The net is that of `gannet train write` (size small), untrained: how fast it writes does not depend on what. Texts of as many
tokens as the net looks at, from one token; the median of `--times` texts, the two ways by turns.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from gannet.nets.sequence import Transformer
from gannet.objectives.language import choose, written


def seconds(net: Transformer, batch: int, length: int, cached: bool) -> float:
    """Time to write `length` tokens of each of `batch` texts."""
    u_NL = torch.rand(batch, length)
    began = time.perf_counter()
    for _ in written(net, torch.zeros(batch, 1, dtype=torch.int64), lambda x, t: choose(x, u_NL[:, t]), length, cached=cached):
        pass
    return time.perf_counter() - began


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    words.add_argument("--contexts", type=int, nargs="+", default=[128, 256])
    words.add_argument("--times", type=int, default=5)
    given = words.parse_args()
    print("| context | texts at once | remembering, tokens/s | reading anew, tokens/s | times |")
    print("| --- " * 5 + "|")
    for context in given.contexts:
        net = Transformer(65, context=context).eval()
        for batch in given.batches:
            took: dict[bool, list[float]] = {True: [], False: []}
            seconds(net, batch, context, True)  # the first pays for memory
            for _ in range(given.times):
                for cached in (True, False):
                    took[cached].append(seconds(net, batch, context, cached))
            fast, slow = (batch * context / statistics.median(took[cached]) for cached in (True, False))
            print(f"| {context} | {batch} | {fast:,.0f} | {slow:,.0f} | {fast / slow:.1f} |", flush=True)


if __name__ == "__main__":
    main()
