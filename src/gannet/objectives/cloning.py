"""Behaviour cloning (Pomerleau 1991): what the expert did, told from what it saw; the baseline of everything that imitates.

No environment is played. What it learns are single decisions; where its own mistakes lead it to places that the expert never
saw, it knows nothing (Ross et al. 2011, arXiv 1011.0686: errors grow as the square of an episode's length).

Shapes: N examples, D numbers of an observation.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import nn

from gannet.data.play import Play
from gannet.objectives import Loss, adamw
from gannet.objectives.playing import Choice, Playing, added
from gannet.objectives.reinforce import Silent
from gannet.rng import Rng


class Cloning(Playing):
    """One player, the agent, by the likelihood of the expert's actions: cross-entropy, or that of a normal distribution.

    Args:
        net, play: as for `Playing`; the net's value is not used
        decay: AdamW's
        named: rate, half_life, … of `Playing`
    """

    def __init__(self, net: nn.Module, play: Play, *, decay: float = 0.01, **named: Any):
        if hasattr(net, "value"):
            net.value = Silent()
            net.judge = None  # type: ignore[assignment]  # what vectors have in front of it
        super().__init__(net, play, make=functools.partial(adamw, decay=decay), **named)

    def turns(self, progress: float) -> tuple[str, ...]:
        return ("agent",)

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        policy, _ = self.judged(batch.seen_N)
        if self.net.moments is not None:  # as after a rollout: how large the numbers are that were seen
            x_ND = self.counted(batch.seen_N[None])[0]
            sums = added(torch.stack([torch.ones_like(x_ND), x_ND, x_ND.square()]).sum(1), rng)
            mean_D = sums[1] / sums[0]
            self.pending = (sums[0, 0], mean_D, (sums[2] / sums[0] - mean_D.square()).clamp(min=0))
        with torch.no_grad():
            right_N = (policy.best() == batch.did_N).float() if isinstance(policy, Choice) else None
            notes = (
                {} if right_N is None else {"right": added(torch.stack([right_N.sum(), right_N.new_tensor(len(right_N))]), rng)}
            )
            notes = {name: pair[0] / pair[1] for name, pair in notes.items()}
        return -policy.log_p(batch.did_N), None, notes

    def expect(self) -> dict[str, float]:
        return {} if self.play.actions is None else {"agent": math.log(self.play.actions)}
