"""Random numbers as functions of (seed, step, stream): nothing to save, and the same for any number of processes."""

from __future__ import annotations

import functools
import hashlib

import torch


def number(*parts: object) -> int:
    """A 63-bit seed from anything printable; neighbouring inputs give unrelated seeds, which `seed + step` would not."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Rng:
    """Draws for one step of one stream (usually a player's name).

    Every draw is made for the whole batch of all processes and cut to this process's rows, so that a run draws
    the same numbers on one process and on eight. Drawn on the CPU, so that devices agree too.

    Args:
        seed, step, stream: what the numbers are a function of
        rank, world: this process and how many there are
    """

    def __init__(self, seed: int, step: int, stream: str, rank: int = 0, world: int = 1):
        self.seed, self.step, self.stream, self.rank, self.world = seed, step, stream, rank, world
        self.generator = torch.Generator().manual_seed(number(seed, step, stream))

    def mine(self, whole: torch.Tensor) -> torch.Tensor:
        """This process's rows of a tensor (N·world, ...) -> (N, ...)."""
        n = len(whole) // self.world
        return whole[self.rank * n : (self.rank + 1) * n]

    def normal(self, n: int, *shape: int) -> torch.Tensor:
        """Standard normal numbers (n, *shape) for this process."""
        return self.mine(torch.randn(n * self.world, *shape, generator=self.generator))

    def uniform(self, n: int, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1), (n, *shape), for this process."""
        return self.mine(torch.rand(n * self.world, *shape, generator=self.generator))

    def integers(self, high: int, n: int) -> torch.Tensor:
        """Whole numbers in [0, high), (n,), for this process."""
        return self.mine(torch.randint(high, (n * self.world,), generator=self.generator))

    def indices(self, items: int, n: int) -> torch.Tensor:
        """Which items this step's batch holds, (n,): each epoch of a stream is a fresh permutation of all the items."""
        whole = n * self.world
        start = self.step * whole
        parts = []
        while whole > 0:
            epoch, at = divmod(start, items)
            part = permutation(self.seed, self.stream, epoch, items)[at : at + whole]
            parts.append(part)
            start, whole = start + len(part), whole - len(part)
        return self.mine(torch.cat(parts))


@functools.lru_cache(maxsize=8)
def permutation(seed: int, stream: str, epoch: int, items: int) -> torch.Tensor:
    """The order of the items in one epoch of one stream, (items,)."""
    return torch.randperm(items, generator=torch.Generator().manual_seed(number(seed, stream, "epoch", epoch)))
