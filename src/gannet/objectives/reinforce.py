"""REINFORCE (Williams 1992), as Karpathy played Pong with it in 2016: the dumb baseline beside everything that learns to play.

No value, no bootstrap, no clipping: an action is made likelier in proportion to the discounted reward that came after it,
normalised over the rollout.

Shapes: T steps of a rollout, E environments, N samples, A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from gannet.data.play import Play, Rollout
from gannet.objectives import Loss
from gannet.objectives.playing import Playing, normal
from gannet.rng import Rng


class Samples(NamedTuple):
    """A rollout, ready to be learnt from, (T, E, ...) each; or a minibatch of it, (N, ...)."""

    seen: torch.Tensor
    did: torch.Tensor
    to_go: torch.Tensor
    counts: torch.Tensor


def returns(
    reward_TE: torch.Tensor, ended_TE: torch.Tensor, *, discount: float, points: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Discounted rewards to go, and whether they are known to their end, both (T, E).

    Args:
        reward_TE: of each step
        ended_TE: whether an episode ended with the step: nothing after it counts
        discount: of the future
        points: a reward that is not 0 ends the sum, too: in Pong the ball is served anew after each point
    """
    ends_TE = (ended_TE | (reward_TE != 0)) if points else ended_TE
    to_go_TE = torch.empty_like(reward_TE)
    known_TE = torch.empty_like(ended_TE)
    after_E, known_E = torch.zeros_like(reward_TE[0]), torch.zeros_like(ended_TE[0])
    for t in range(len(reward_TE) - 1, -1, -1):
        after_E = to_go_TE[t] = reward_TE[t] + discount * torch.where(ends_TE[t], 0.0, after_E)
        known_E = known_TE[t] = known_E | ends_TE[t]
    return to_go_TE, known_TE


def differences(x_NCHW: torch.Tensor) -> torch.Tensor:
    """The newest of stacked frames less the one before, in [-1, 1], in the newest one's place; the others are black
    (N, C, H, W): what moves, as in Karpathy's Pong."""
    frames_NCHW = x_NCHW.float() / 255 if x_NCHW.dtype == torch.uint8 else x_NCHW
    moved_N1HW = frames_NCHW[:, -1:] - frames_NCHW[:, -2:-1]
    return torch.cat([torch.zeros_like(frames_NCHW[:, :-1]), moved_N1HW], 1)


class Reinforce(Playing):
    """One player, the agent. What a rollout does not see the end of is not learnt from, so rollouts should be long.

    Args:
        net, play: as for `Playing`; the net's value is not used
        moving: it sees differences of frames rather than stacked ones
        points: as for `returns`
        named: rate, discount, … of `Playing`
    """

    def __init__(self, net: nn.Module, play: Play, *, moving: bool = False, points: bool = False, **named: Any):
        if hasattr(net, "value"):
            net.value = Silent()  # a head that nothing is asked of
        super().__init__(net, play, **named)
        self.moving, self.points = moving, points

    def looked(self, x: torch.Tensor) -> torch.Tensor:
        return differences(x) if self.moving else x

    def prepare(self, rollout: Rollout, rng: Rng) -> Samples:
        """A rollout with what came after each step, as far as it is known."""
        reward_TE = self.worth(rollout, rng)
        if not self.moving:  # differences have no mean to speak of
            self.notice(rollout, rng)
        ended_TE = rollout.terminated_TE | rollout.truncated_TE
        to_go_TE, known_TE = returns(reward_TE, ended_TE, discount=self.discount, points=self.points)
        counts_TE = rollout.counts_TE & known_TE
        to_go_TE = normal(to_go_TE.flatten(), counts_TE.flatten().float(), rng).view_as(to_go_TE)
        return Samples(rollout.seen_TE[:-1], rollout.did_TE, to_go_TE, counts_TE)

    def loss(self, player: str, batch: Samples, rng: Rng) -> Loss:
        policy, _ = self.judged(batch.seen)
        counts_N = batch.counts.float()
        values_N = -policy.log_p(batch.did) * batch.to_go
        return values_N * counts_N, counts_N.clamp(min=1e-6), self.lately()

    def expect(self) -> dict[str, float]:
        return {}  # the returns' mean is 0 over a rollout, not over each part of it


class Silent(nn.Module):
    """In the place of a head: nothing (N, 1)."""

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Zeros."""
        return h.new_zeros(len(h), 1)
