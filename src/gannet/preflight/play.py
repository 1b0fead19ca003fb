"""What is wrong with environments, and with agents that learn in them."""

from __future__ import annotations

import copy
import math

import torch

from gannet.data import play as played
from gannet.data.play import Play, Rollout
from gannet.nets.agents import Agent
from gannet.objectives.playing import Playing
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PQN
from gannet.preflight.case import Case, Finding, check, found
from gannet.rng import Rng

MANY = 256  # agent steps behind a statistic
GAMMA = 0.5  # in the chain whose values are known
LEARNT = 60  # steps of learning them
APART = 0.25  # by which they may be off: taking one end for the other is off by 1.5


def plays(case: Case) -> bool:
    return isinstance(case.objective, Playing) and isinstance(case.data, Play)


def sees_frames(case: Case) -> bool:
    return plays(case) and case.data.stacked and case.data.seen[0] > 1


def proximal(case: Case) -> bool:
    return plays(case) and isinstance(case.objective, PPO)


def rewarded(case: Case) -> bool:
    """Values are learnt of the environment's own rewards: of a critic's, nobody knows what is right; and REINFORCE has none."""
    return plays(case) and isinstance(case.objective, PPO | PQN) and case.objective.rewarded


def chosen(case: Case) -> bool:
    """… and a game can be played in their place."""
    return rewarded(case) and case.data.actions is not None


def rollout(case: Case, n: int = MANY) -> Rollout:
    """A rollout of the untrained agent."""
    return case.source.rollout(n, Rng(case.made.seed, 0, "agent.0.data"))


@check(fast=True, needs=plays)
def repeats(case: Case) -> Finding:
    """An environment repeats itself: the same seeds and actions show the same, or no run can be repeated or resumed."""
    one, two = rollout(case), rollout(case)
    pairs = [(one.seen_TE, two.seen_TE), (one.reward_TE, two.reward_TE), (one.truncated_TE, two.truncated_TE)]
    pairs.append((one.terminated_TE, two.terminated_TE))
    apart = [t for t in range(len(one.reward_TE)) if not all(torch.equal(a[t], b[t]) for a, b in pairs)]
    words = f"{len(apart)} of {len(one.reward_TE)} steps differ" + (f", from step {apart[0]} on" if apart else "")
    cause = "chance that reset(seed=...) does not set, a clock, or threads that race"
    return found(not apart, words, "none", cause)


@check(fast=True, needs=plays)
def random_baseline(case: Case) -> Finding:
    """What chance gets, for comparison with every score; and that rewards are there to be met, of which size, and how they are
    scaled."""
    one = rollout(case, max(MANY, case.data.environments * case.data.steps))  # an untrained agent is as good as chance
    reward_N = one.reward_TE[one.counts_TE]
    episodes = int((~one.counts_TE).sum())  # as many as were followed by a reset: a lost life is not
    if episodes >= one.counts_TE.shape[1]:
        each = f"{float(reward_N.sum()) / episodes:.3g} an episode of {len(reward_N) / episodes:.0f} steps"
    else:  # too few to say what one is like
        each = f"{episodes or 'no'} episode{'s' * (episodes > 1)} ended in {len(reward_N)} steps"
    scale = {"sign": "only their sign is learnt", "plain": "learnt as they are"}.get(
        case.objective.rewards, "divided by the running deviation of their discounted sum"
    )
    size = f"{float(reward_N.mean()):.3g} a step, {float(reward_N.min()):.3g} to {float(reward_N.max()):.3g}"
    words = ", ".join([each, size, scale])
    holds = float(reward_N.max()) > float(reward_N.min()) or episodes > 0
    verdict = "pass" if holds and bool(reward_N.any()) else "warn"
    return Finding(verdict, words, "rewards that chance meets", "a reward so rare that learning has nothing to begin with")


@check(fast=True, needs=plays)
def observations(case: Case) -> Finding:
    """What is seen is finite, varies, and reaches the net at a usual size, after the scales that it begins with."""
    seen = rollout(case).seen_TE.flatten(0, 1).to(case.engine.device)
    x = case.objective.net.prepared(seen).float()
    if not bool(torch.isfinite(x).all()):
        return Finding("fail", "not finite", "finite numbers", "an environment that divides by zero")
    if case.data.bytes:
        words = f"{int(seen.min())} to {int(seen.max())}"
        cause = "a screen that is always the same, or pixels from 0 to 1 made bytes"
        return found(float(seen.float().std()) > 1, words, "bytes that vary", cause)
    still_D = x.amax(0) == x.amin(0)
    wide = float(x.square().mean().sqrt())
    words = f"size {wide:.2g}, {int(still_D.sum())} of {len(still_D)} numbers always the same"
    cause = "an observation that never changes" if bool(still_D.all()) else "scales of another environment"
    holds = not bool(still_D.all()) and 0.05 < wide < 5
    verdict = "pass" if holds and not bool(still_D.any()) else "info" if holds else "fail"
    return Finding(verdict, words, "size 0.05 to 5", cause if verdict == "fail" else "")


@check(fast=True, needs=sees_frames)
def frame_order(case: Case) -> Finding:
    """Stacked frames come oldest first, newest last, each a step later: in another order a net sees a ball fly backwards."""
    one = rollout(case)
    follows_TE = one.counts_TE & ~torch.roll(~one.counts_TE, -1, 0)
    before, after = one.seen_TE[:-1], one.seen_TE[1:]
    forwards = (after[:, :, :-1] == before[:, :, 1:]).flatten(2).all(2)[follows_TE]
    backwards = (after[:, :, 1:] == before[:, :, :-1]).flatten(2).all(2)[follows_TE]
    share, other = forwards.float().mean().item(), backwards.float().mean().item()
    if not bool(follows_TE.any()):
        return Finding("info", "episodes of one step, whose frames nothing follows", "")
    if bool((before[:, :, 0] == before[:, :, -1]).all()):
        return Finding("info", "frames that never differ", "")
    words = f"{share:.0%} of the stacks go on where the one before was, {other:.0%} the other way round"
    return found(share > 0.99, words, "all go on", "frames stacked newest first, or a stack that is not emptied at a reset")


@check(fast=True, needs=proximal)
def first_ratio(case: Case) -> Finding:
    """Before the first update the policy is the one that played: ratio 1, divergence 0, nothing clipped; and it is as good as
    chance."""
    _, notes = case.loss(case.copy(), "agent", case.batch("agent", MANY))
    kl, clipped, entropy = (float(notes[name]) for name in ("kl", "clipped", "entropy"))
    words = f"divergence {kl:.1e}, {clipped:.0%} clipped, entropy {entropy:.3f}"
    holds = kl < 1e-5 and clipped == 0
    expected = "divergence 0, none clipped"
    if case.data.actions is not None:
        chance = math.log(case.data.actions)
        holds, expected = holds and entropy > 0.98 * chance, f"{expected}, ln {case.data.actions} = {chance:.3f}"
    cause = "log chances of another policy or of other actions, observations scaled anew in between, or a last layer too large"
    return found(holds, words, expected, cause)


@check(fast=True, needs=rewarded)
def targets(case: Case) -> Finding:
    """Where values are right, no action is better than expected: advantages are 0 in a chain whose values are known, and a
    Q-network's targets are these values, whether episodes end there or are only cut off."""
    off = {}
    for ends in ("terminated", "truncated"):
        objective = case.copy()
        objective.rewards, objective.discount = "plain", GAMMA
        length, many = 8, case.data.environments  # three steps, a reset, three steps, a reset
        values = chain_values(ends)
        at_T = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
        value_T = torch.tensor([*values, values[0] if ends == "truncated" else 9.0])[at_T]
        last_T, counts_T = at_T == 2, at_T != 3
        reward_T = torch.where(counts_T, at_T + 1.0, 0.0)

        seen_TE = torch.zeros(length + 1, many, *case.data.seen, dtype=torch.uint8 if case.data.bytes else torch.float32)
        did_TE = torch.zeros(length, many, *(() if case.data.box is None else (case.data.box,)))
        did_TE = did_TE.long() if case.data.box is None else did_TE
        none = torch.zeros_like(last_T)
        ended, cut = (last_T, none) if ends == "terminated" else (none, last_T)
        rows_T = (torch.zeros(length), value_T, reward_T, ended, cut, counts_T)
        log_p, value, *rows = (row_T[:, None].expand(length, many).clone() for row_T in rows_T)
        kept = {"log_p": log_p, "value": value, "best": value}
        made = objective.prepare(Rollout(seen_TE, did_TE, kept, *rows), Rng(0, 0, "agent"))
        apart = made.advantage if isinstance(objective, PPO) else made.target - value
        off[ends] = float(apart[made.counts].abs().max())
    words = ", ".join(f"{size:.2g} where episodes are {ends}" for ends, size in off.items())
    cause = "truncation taken for termination, rewards a step too early or late, or sums that go on beyond an end"
    return found(max(off.values()) < 1e-3, words, "0 and 0", cause)


def chain_values(ends: str) -> list[float]:
    """What the three states of the chain are worth (gannet.data.games.Chain)."""
    from gannet.data.games import Chain

    return Chain.values(ends, GAMMA)


@check(fast=False, needs=chosen)
def known_values(case: Case) -> Finding:
    """The values of a chain of three states are learnt as they are, whether episodes end there or are only cut off: by this
    objective, with a small net."""
    off, told = 0.0, []
    for ends in ("terminated", "truncated"):
        game = played.load("gannet.data.games:Chain", environments=8, steps=8, minibatches=1, options={"ends": ends})
        torch.manual_seed(0)
        net = Agent(game.seen, game.actions, game.box, "dense", 32, norm=isinstance(case.objective, PQN))
        objective = copy.deepcopy(case.objective).instead(net, game)
        objective.rewards, objective.discount = "plain", GAMMA
        objective.players["agent"].rate = 1e-2
        small = copy.copy(case.made)
        small.data, small.objective, small.batch = game, objective, 64
        again = len(objective.turns(0.0)) // (game.epochs * game.minibatches)  # a memory is learnt from many times a step
        Case(small, case.engine).fit(objective, LEARNT // again + 4, batch=64)
        learnt = objective.decide(torch.eye(3)).value_E.tolist()
        true = chain_values(ends)
        off = max(off, *(abs(a - b) for a, b in zip(learnt, true, strict=True)))
        told.append(f"{ends} {', '.join(f'{a:.2f}' for a in learnt)} for {', '.join(f'{b:.2f}' for b in true)}")
    cause = "targets that are stale, or of another step, or a loss that does not reach the value"
    return found(off < APART, "; ".join(told), f"within {APART}", cause)
