"""Imitation as a contest: a critic tells the expert from the agent, and what it says is the agent's reward.

Ho and Ermon 2016 (arXiv 1606.03476): the generator is a policy, and because no gradient goes through the environment, it is
trained on the critic's verdict by a policy gradient, here PPO. The environment's own reward is never looked at.

D = sigmoid(logit) is the critic's belief that a pair of state and action is the expert's. How it becomes a reward is a choice
with a bias (Kostrikov et al. 2019, arXiv 1809.02925, section 4.1):

    positive  -log(1 - D) = softplus(logit)      >= 0: every further step is worth something, so long episodes are, whatever is
                                                 done in them. Where surviving is the task (CartPole), that alone solves it.
    negative  log D = -softplus(-logit)          <= 0: every further step costs something, so ending early is worth something.
    logit     log D - log(1 - D) (Fu et al. 2018, arXiv 1710.11248)  either sign: 0 where the critic cannot tell them apart. But
                                                 while the agent is worse than the expert its steps cost something, as above.

So what comes after an end must be worth something, too, rather than 0 (Kostrikov et al. 2019, section 4.2): an episode that
ended stays in a state without end, and of that the best critic is known without learning, since its logit is the logarithm of
how much more often the expert comes there than the agent (`ending`). An agent that falls where the expert does not is the worse
for it, whichever the form, and one that reaches a goal as the expert does is the better.

Shapes: T steps of a rollout, E environments, N samples, A actions, F features of an observation.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import nn

from gannet.data.episodes import Imitated
from gannet.data.play import Rollout
from gannet.objectives import Loss, Player, ppo
from gannet.objectives.gan import nonsaturating, zero_centred
from gannet.objectives.playing import ROWS, added
from gannet.rng import Rng

Form = Literal["logit", "positive", "negative"]


def reward(logits: torch.Tensor, form: Form) -> torch.Tensor:
    """The agent's reward for what the critic gave these logits, of the same shape; see above for the forms."""
    if form == "positive":
        return F.softplus(logits)
    return -F.softplus(-logits) if form == "negative" else logits


def ending(expert: float, agent: float, least: float) -> float:
    """The logit of having ended: log of the expert's ends per step over the agent's.

    Args:
        expert, agent: ends per step, episodes that were only cut off not counted
        least: is added to both: what one end in all of the expert's steps would be
    """
    return math.log((expert + least) / (agent + least))


class Samples(NamedTuple):
    """A rollout, ready to be learnt from, (T, E, ...) each, or a minibatch (N, ...): PPO's, and as many of the expert's."""

    seen: torch.Tensor
    did: torch.Tensor
    log_p: torch.Tensor
    value: torch.Tensor
    advantage: torch.Tensor
    counts: torch.Tensor
    expert_seen: torch.Tensor
    expert_did: torch.Tensor


class Gail(ppo.PPO):
    """Two players: the agent, by PPO, and the critic, which learns after it from the same rollout.

    The critic is a net as an agent's. Of a state it gives a logit for each action, policy plus value, and of a state and a
    continuous action together a single one. It sees vectors on the agent's scale, and frames as they are, from 0 to 1: on
    another scale the same `gamma` would hold its slope down by another measure.

    Args:
        net: the agent's
        critic: observations (N, ...) -> (A numbers (N, A), one number (N,)); where actions are continuous, observations and
            actions as vectors (N, D + A) -> (N, 1), (N,)
        play: what is played, with the expert's episodes
        form: of the reward
        absorbing: an end is worth what staying for ever in a state of having ended is; without, 0
        critic_rate: peak learning rate of the critic
        critic_epochs: how often it goes through a rollout
        gamma: weight of its slope's square, on the expert's and on the agent's observations (R1 and R2 of `objectives.gan`): a
            critic that is free to be as steep as it likes tells any two sets apart, and then its reward says nothing
        named: as for `PPO`
    """

    rewarded = False

    def __init__(
        self,
        net: nn.Module,
        critic: nn.Module,
        play: Imitated,
        *,
        form: Form = "logit",
        absorbing: bool = True,
        critic_rate: float = 1e-3,
        critic_epochs: int = 2,
        gamma: float = 0.1,
        **named: Any,
    ):
        if form not in get_args(Form):
            raise ValueError(f"no such reward: {form!r}; there are {', '.join(get_args(Form))}")
        super().__init__(net, play, **named)
        self.form: Form = form
        self.absorbing = absorbing
        self.ends_2 = torch.zeros(2, dtype=torch.float64)  # the agent's ends and steps of late
        self.expert, self.critic_epochs, self.gamma = play.expert, critic_epochs, gamma
        self.players["critic"] = Player(critic, rate=critic_rate, betas=(0.5, 0.99), clip=10.0)

    def state(self) -> dict[str, torch.Tensor]:
        return super().state() | {"ends": self.ends_2}

    def turns(self, progress: float) -> tuple[str, ...]:
        return (*super().turns(progress), *("critic",) * (self.critic_epochs * self.play.minibatches))

    def shown(self, seen_N: torch.Tensor, did_N: torch.Tensor) -> torch.Tensor:
        """What the critic reads (N, ...): vectors on the agent's scale, continuous actions behind them; frames from 0 to 1."""
        x = self.net.prepared(seen_N)
        if self.play.box is not None:  # cut as the environment cuts them, or the critic would know the agent by what is cut off
            return torch.cat([x.flatten(1), did_N.clamp(-1, 1)], 1)
        return x.float() / 255 if x.dtype == torch.uint8 else x

    def believed(self, x: torch.Tensor, did_N: torch.Tensor | None) -> torch.Tensor:
        """The critic's logits (N,), above 0 where it believes that the expert did it.

        Args:
            x: as `shown`
            did_N: the actions, where they are a choice
        """
        of_each_NA, of_all_N = self.players["critic"].net(x)
        if self.play.box is not None or did_N is None:
            return (of_each_NA[:, 0] + of_all_N).float()
        return (of_each_NA.gather(1, did_N[:, None])[:, 0] + of_all_N).float()

    @torch.no_grad()
    def worth(self, rollout: Rollout, rng: Rng) -> torch.Tensor:
        """The critic's rewards (T, E) in the place of the environment's, in their running unit."""
        device, counts_TE, rows = next(self.net.parameters()).device, rollout.counts_TE, []
        parts = (part.flatten(0, 1).split(ROWS) for part in (rollout.seen_TE[:-1], rollout.did_TE))
        for seen_N, did_N in zip(*parts, strict=True):
            seen_N, did_N = seen_N.to(device), did_N.to(device)
            rows.append(reward(self.believed(self.shown(seen_N, did_N), did_N), self.form).cpu())
        reward_TE = torch.cat(rows).view_as(counts_TE) * counts_TE
        if self.absorbing and len(self.expert):
            now_2 = added(torch.stack([rollout.terminated_TE.sum(), counts_TE.sum()]).double(), rng)
            self.ends_2.mul_(0.9).add_(now_2)
            logit = torch.tensor(ending(self.expert.ends(), float(self.ends_2[0] / self.ends_2[1]), 1 / len(self.expert.end_N)))
            reward_TE += rollout.terminated_TE * (reward(logit, self.form) * self.discount / (1 - self.discount))
        return super().worth(rollout._replace(reward_TE=reward_TE), rng)

    def prepare(self, rollout: Rollout, rng: Rng) -> Any:
        """A rollout with its advantages, and as many steps of the expert's: `Samples`."""
        steps, environments = rollout.did_TE.shape[:2]
        drawn = self.expert.batch(steps * environments, Rng(rng.seed, rng.step, "expert", rng.rank, rng.world))
        beside = (part.unflatten(0, (steps, environments)) for part in drawn)
        return Samples(*super().prepare(rollout, rng), *beside)

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        if player == "agent":
            return super().loss(player, ppo.Samples(*batch[: len(ppo.Samples._fields)]), rng)
        counts_N = batch.counts.float()
        seen = [self.shown(batch.expert_seen, batch.expert_did), self.shown(batch.seen, batch.did)]
        did = [batch.expert_did, batch.did]
        expert_N, agent_N = (self.believed(x, did_N) for x, did_N in zip(seen, did, strict=True))
        contest_N = nonsaturating.critic(expert_N, agent_N)
        slopes = [zero_centred(self.believed, x, did_N) for x, did_N in zip(seen, did, strict=True)]
        values_N = contest_N + self.gamma / 2 * (slopes[0] + slopes[1])
        with torch.no_grad():
            told = [contest_N, expert_N.sigmoid(), agent_N.sigmoid(), slopes[0] + slopes[1], torch.ones_like(contest_N)]
            sums = added((torch.stack(told) * counts_N).sum(1), rng)
            means = sums[:-1] / sums[-1].clamp(min=1)
            notes = {"contest": means[0], "expert": means[1], "agent": means[2], "slope": means[3]}
        return values_N * counts_N, counts_N.clamp(min=1e-6), notes

    def expect(self) -> dict[str, float]:
        return super().expect() | {"critic": 2 * math.log(2)}
