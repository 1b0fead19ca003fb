"""What a good step is: players, a loss for each, and the loss that an untrained net must have."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from gannet.data.images import to_float
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
        make: builds the optimizer from (net, lr=...); Adam where it is None
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
        if self.make is not None:
            return self.make(self.net, lr=self.rate)
        # In one fused kernel: on small nets the optimizer's own overhead is a visible share of a step.
        return torch.optim.Adam(self.net.parameters(), lr=self.rate, betas=self.betas, fused=True)


def nets_of(objective: Any) -> list[nn.Module]:
    """Every net of an objective once: those that are trained, those that are judged, and averages that may be chosen."""
    nets = [*(player.net for player in objective.players.values()), *objective.nets().values()]
    nets += getattr(objective, "averages", {}).values()  # of several lengths, of which one is judged
    return list({id(net): net for net in nets}.values())


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


def adamw(net: nn.Module, lr: float, *, decay: float) -> torch.optim.Optimizer:
    """AdamW on all that a net has."""
    return torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=decay, fused=True)


class Averaged:
    """What objectives of one player share: AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), and a running average that is
    judged. They bring `loss` and `expect`.

    Args:
        name: of the player
        net: that is trained
        rate, decay: peak learning rate and weight decay; the decay is AdamW's alone
        half_life: of the average, in examples
        part: of the net that makes up the finished model, where it is not the whole: a submodule's name
        clip: largest norm of the gradient, or None
        make: builds another optimizer from (net, lr=...)
    """

    many = 500 * 28**2  # pixels that go through the averaged net at once, or four pictures

    def __init__(
        self,
        name: str,
        net: nn.Module,
        *,
        rate: float,
        decay: float,
        half_life: float,
        part: str = "",
        clip: float | None = None,
        make: Callable[..., Any] | None = None,
    ):
        make = functools.partial(adamw, decay=decay) if make is None else make
        self.players = {name: Player(net, rate=rate, make=make, clip=clip)}
        self.name, self.part, self.half_life = name, part, half_life
        self.average = copy.deepcopy(net.get_submodule(part)).requires_grad_(False).eval()
        self.seen = torch.zeros((), dtype=torch.int64)  # examples behind the average

    def turns(self, progress: float) -> tuple[str, ...]:
        return (self.name,)

    def after(self, progress: float, examples: int) -> None:
        follow(self.average, self.players[self.name].net.get_submodule(self.part), self.half_life, self.seen, examples)

    def nets(self) -> dict[str, nn.Module]:
        return {f"{self.name}.{self.part}".rstrip("."): self.average}  # as the player calls it: other runs can begin with it

    def state(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen} | {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}

    def at_once(self, pixels: int) -> int:
        """How many pictures of so many pixels go through the averaged net at once."""
        return max(4, self.many // pixels)

    @torch.no_grad()
    def said(self, x_NCHW: torch.Tensor, precision: str = "float32") -> list[torch.Tensor]:
        """What the averaged net says of byte pictures (N, C, H, W), in parts: as much memory for large as for small ones."""
        device = next(self.average.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            parts = x_NCHW.split(self.at_once(math.prod(x_NCHW.shape[2:])))
            return [self.average(to_float(x).to(device, memory_format=torch.channels_last)).float() for x in parts]


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
