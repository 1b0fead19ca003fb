"""What a good step is: players, a loss for each, and the loss that an untrained net must have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from gannet.rng import Rng

#: What a loss returns: a value per example (N,), their weights (N,) or None, and numbers worth plotting.
Loss = tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]]


@dataclass
class Player:
    """A net that is trained, with the optimizer that trains it.

    Attributes:
        net: its parameters are this player's, and nobody else's
        rate: peak learning rate; the loop multiplies it by the recipe's schedule
        share: of that rate that this player takes at the moment; an objective may change it as a run goes on
        betas: Adam's decay rates; floats, because torch refuses a mixture of ints and floats
        clip: largest norm of the gradient, or None
        make: builds the optimizer from (parameters, lr=...); Adam where it is None
    """

    net: nn.Module
    rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.99)
    clip: float | None = None
    make: Callable[..., torch.optim.Optimizer] | None = None
    share: float = 1.0

    @functools.cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """Built when it is first wanted: a model that only draws needs none, and torch takes seconds to import them."""
        parameters = list(self.net.parameters())
        if self.make is not None:
            return self.make(parameters, lr=self.rate)
        # In one fused kernel: on small nets the optimizer's own overhead is a visible share of a step.
        return torch.optim.Adam(parameters, lr=self.rate, betas=self.betas, fused=True)


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, half_life: float, seen: torch.Tensor, examples: int) -> None:
    """Move a net's running average on, in place.

    Args:
        average, net: of the same shape; buffers are copied
        half_life: in examples; early on at most a twentieth of those seen, or the untrained start would stay in it; 0: a copy
        seen: examples behind the average, (), updated; a tensor so that a resume restores it
        examples: seen by now
    """
    life = min(half_life, examples / 20)
    keep = 0.5 ** ((examples - int(seen)) / life) if life else 0.0
    seen.fill_(examples)
    mine: list[torch.Tensor] = list(average.parameters())
    theirs: list[torch.Tensor] = list(net.parameters())
    torch._foreach_lerp_(mine, theirs, 1 - keep)
    for old, new in zip(average.buffers(), net.buffers(), strict=True):
        old.copy_(new)


class Objective(Protocol):
    """The contract between a recipe and the loop (docs/design.md)."""

    players: dict[str, Player]
    classes: int  # how many the model can be asked for, or 0

    def turns(self, progress: float) -> Iterable[str]:
        """Who plays in this step, in order."""
        ...

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        """The player's loss on a batch of its own."""
        ...

    def expect(self) -> dict[str, float]:
        """Each player's loss before training, penalties apart."""
        ...

    def after(self, progress: float, examples: int) -> None:
        """What follows a step: averages, target networks, temperatures."""
        ...

    def nets(self) -> dict[str, nn.Module]:
        """The nets that make up the finished model, by name."""
        ...

    def sample(self, n: int, seed: int, label: int | torch.Tensor | None = None) -> torch.Tensor:
        """What the finished model makes, of one class, of a class for each (n,), or of all by turns.

        Item k is the same whatever n is.
        """
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors beside the players' nets that a resume needs, by name; loading copies into them in place."""
        ...
