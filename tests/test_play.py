"""Environments that are played and played again, values that are known, PPO beside plain loops, and what goes wrong."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Command, one_line

pytest.importorskip("gymnasium")

from gannet import folders, preflight, recipe, run
from gannet.data import Ledger, environments, keeping
from gannet.data import play as played
from gannet.data.environments import Vector
from gannet.data.games import Chain
from gannet.data.play import Live, Play
from gannet.errors import Wrong
from gannet.evaluation import play as judged
from gannet.nets.agents import Agent
from gannet.nets.scales import Moments
from gannet.objectives import playing, ppo
from gannet.objectives.ppo import PPO
from gannet.objectives.pqn import PQN
from gannet.objectives.reinforce import Reinforce
from gannet.recipe import falling
from gannet.rng import Rng
from gannet.training import checkpoint, loop
from gannet.training.engine import Engine

NONE = {"all": "to be quick"}
GAMES = "gannet.data.games:"
ATARI = importlib.util.find_spec("ale_py") is not None


def agent(play: Play, *, width: int = 32, seed: int = 0, **words: Any) -> PPO:
    torch.manual_seed(seed)
    encoder = "small" if play.bytes else "dense"
    return PPO(Agent(play.seen, play.actions, play.box, encoder, width), play, **words)


def fit(objective: PPO, steps: int, *, of: int | None = None, start: int = 0, seed: int = 0) -> PPO:
    play = objective.play
    batch = play.environments * play.steps
    engine = Engine()
    engine.prepare(objective)
    words = {"batch": batch, "steps": of or steps, "schedule": falling, "seed": seed}
    loop.fit(objective, play, engine, **words, start=start, stop=start + steps)
    return objective


def returns_of(objective: PPO, n: int) -> list[float]:
    """Returns of n held-out episodes."""
    return [one.returns for one in judged.played(objective.play, judged.agent(objective, True), judged.seeds(77_000, n))]


# ------------------------------------------------------------------------------------------------- beside plain loops


def toy_rollout(seed: int = 0, length: int = 23, many: int = 3) -> tuple[torch.Tensor, ...]:
    """Rewards, values, terminated, truncated, counts: a reset after every end."""
    rng = np.random.default_rng(seed)
    terminated, truncated, counts = np.zeros((3, length, many), bool)
    for e in range(many):
        resets = False
        for t in range(length):
            counts[t, e] = not resets
            kind = rng.integers(8) if counts[t, e] else 9
            terminated[t, e], truncated[t, e] = kind == 0, kind == 1
            resets = kind < 2
    numbers = torch.from_numpy(rng.normal(size=(2 * length + 1, many)).astype(np.float32))
    return numbers[:length], numbers[length:], *map(torch.from_numpy, (terminated, truncated, counts))


def test_advantages_are_what_a_plain_loop_says() -> None:
    reward, value, terminated, truncated, counts = toy_rollout()
    fast = playing.advantages(reward, value, terminated, truncated, discount=0.9, trace=0.7)
    for e in range(reward.shape[1]):
        for t in range(len(reward)):
            total = 0.0  # the sum of eq. 11, term by term, up to where the episode or the rollout ends
            for k in range(t, len(reward)):
                after = 0.0 if terminated[k, e] else float(value[k + 1, e])
                total += (0.9 * 0.7) ** (k - t) * (float(reward[k, e]) + 0.9 * after - float(value[k, e]))
                if terminated[k, e] or truncated[k, e]:
                    break
            if counts[t, e]:
                assert float(fast[t, e]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("trace", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("ends", ["terminated", "truncated"])
def test_right_values_leave_no_advantage(ends: str, trace: float) -> None:
    values = Chain.values(ends, 0.5)
    value = torch.tensor([*values, values[0] if ends == "truncated" else 7.0] * 2 + [values[0]])[:, None]
    reward = torch.tensor([1.0, 2, 3, 0, 1, 2, 3, 0])[:, None]
    last = torch.tensor([False, False, True, False] * 2)[:, None]
    never = torch.zeros_like(last)
    both = (last, never) if ends == "terminated" else (never, last)
    found = playing.advantages(reward, value, *both, discount=0.5, trace=trace)
    assert found[[0, 1, 2, 4, 5, 6]].abs().max() < 1e-6
    wrong = playing.advantages(reward, value, *both[::-1], discount=0.5, trace=trace)  # one taken for the other
    assert wrong[[0, 1, 2, 4, 5, 6]].abs().max() > 0.5


@torch.no_grad()
def test_the_loss_is_what_a_loop_says() -> None:
    play = played.load("CartPole-v1", environments=2, steps=4, minibatches=1)
    objective = agent(play, value_clip=0.1, entropy=0.03)
    n = 40
    rng = torch.Generator().manual_seed(1)
    seen, did = torch.randn(n, 4, generator=rng), torch.randint(2, (n,), generator=rng)
    log_p, value, advantage = 0.4 * torch.randn(3, n, generator=rng) + torch.tensor([[-0.7], [0.0], [0.3]])
    counts = torch.rand(n, generator=rng) < 0.8
    batch = ppo.Samples(seen, did, log_p, value, advantage, counts)
    values, weights, notes = objective.loss("agent", batch, Rng(0, 0, "agent"))
    logits, told = objective.net(seen)
    some = advantage[counts]
    clipped = 0
    for i in range(n):
        if not counts[i]:
            assert float(values[i]) == 0 and float(weights[i]) < 1e-5  # type: ignore[index]
            continue
        p = logits[i].softmax(0)
        ratio = float(p[did[i]]) / math.exp(float(log_p[i]))
        a = (float(advantage[i]) - float(some.mean())) / float(some.std(unbiased=False))
        gain = min(ratio * a, min(max(ratio, 0.8), 1.2) * a)
        target, now, before = float(value[i] + advantage[i]), float(told[i]), float(value[i])
        near = before + min(max(now - before, -0.1), 0.1)
        error = max((now - target) ** 2, (near - target) ** 2) / 2
        entropy = -sum(float(q) * math.log(float(q)) for q in p)
        assert float(values[i]) == pytest.approx(-gain + 0.5 * error - 0.03 * entropy, abs=2e-5)
        clipped += not 0.8 <= ratio <= 1.2
    assert float(notes["clipped"]) == pytest.approx(clipped / int(counts.sum()))
    assert 0 < clipped < n


def test_policies_are_those_of_torch() -> None:
    logits, mean, deviation = torch.randn(7, 5), torch.randn(7, 3), torch.tensor([0.1, -0.4, 0.0])
    did, moved = torch.randint(5, (7,)), torch.randn(7, 3)
    theirs: Any = torch.distributions.Categorical(logits=logits)
    ours: Any = playing.Choice(logits)
    assert torch.allclose(ours.log_p(did), theirs.log_prob(did)) and torch.allclose(ours.entropy(), theirs.entropy())
    theirs, ours = torch.distributions.Normal(mean, deviation.exp()), playing.Gaussian(mean, deviation)
    assert torch.allclose(ours.log_p(moved), theirs.log_prob(moved).sum(1), atol=1e-5)
    assert torch.allclose(ours.entropy(), theirs.entropy().sum(1), atol=1e-5)
    logits = torch.tensor([[0.0, 1.0, -1.0]]).expand(20_000, 3)
    drawn = torch.bincount(playing.Choice(logits).draw(Rng(0, 0, "x")), minlength=3) / 20_000
    assert torch.allclose(drawn, logits[0].softmax(0), atol=0.02)
    drawn = playing.Gaussian(torch.ones(20_000, 1), torch.tensor([math.log(0.5)])).draw(Rng(0, 0, "x"))
    assert float(drawn.mean()) == pytest.approx(1, abs=0.02) and float(drawn.std()) == pytest.approx(0.5, abs=0.02)


def test_moments_added_up_are_those_of_all_numbers() -> None:
    parts = [torch.randn(n, 3) * k + k for k, n in ((1, 10), (5, 100), (2, 37))]
    first, *others = parts
    moments = Moments(3, first.mean(0), first.var(0, unbiased=False), len(first))
    for part in others:
        moments.add(torch.tensor(float(len(part))), part.mean(0), part.var(0, unbiased=False))
    whole = torch.cat(parts)
    assert torch.allclose(moments.mean, whole.mean(0), atol=1e-4)
    assert torch.allclose(moments.variance, whole.var(0, unbiased=False), rtol=1e-4)


def test_the_unit_of_rewards_is_the_deviation_of_their_discounted_sums() -> None:
    play = played.load("CartPole-v1", environments=3, steps=24, minibatches=1)
    objective = agent(play, discount=0.9)
    reward, _, terminated, truncated, counts = toy_rollout(length=24)
    sums, running = [], np.zeros(3)
    for half in (slice(0, 12), slice(12, 24)):
        rows = played.Rollout(
            torch.zeros(13, 3, 4), torch.zeros(12, 3), {}, *(x[half] for x in (reward, terminated, truncated, counts))
        )
        scaled = objective.worth(rows, Rng(0, 0, "agent"))
        for t in range(half.start, half.stop):
            running = 0.9 * running + reward[t].double().numpy()
            sums += [running[e] for e in range(3) if counts[t, e]]
            running = np.where((terminated | truncated)[t].numpy(), 0, running)
        assert torch.allclose(scaled, (reward[half] / float(np.std(sums))).clamp(-10, 10), atol=1e-4)


# ------------------------------------------------------------------------------------------------ environments, played


def live(play: Play, objective: PPO, step: int = 0) -> played.Rollout:
    source = Live(play, objective, 0, step)
    try:
        return source.rollout(play.environments * play.steps, Rng(0, step, "agent.0.data"))
    finally:
        source.close()


@pytest.mark.parametrize("method", [PPO, PQN, Reinforce])
@pytest.mark.parametrize(("length", "looked"), [(32, slice(3, 32, 4)), (4, slice(0, 4))])
def test_a_rollout_is_learnt_from_with_the_scales_it_was_played_with_and_tells_those_of_the_next(
    method: Any, length: int, looked: slice
) -> None:
    play = played.load(GAMES + "Screen", environments=3, steps=length, minibatches=1)
    objective = method(Agent(play.seen, play.actions, None, "small", 32), play)
    parts = []
    for step in range(2):
        rows = live(play, objective, step)
        before, rng = copy.deepcopy(objective.net.moments), Rng(0, step, "agent")
        made = objective.prepare(rows, rng)
        assert torch.equal(objective.net.moments.mean, before.mean) and objective.net.moments.count == before.count
        if method is PPO:
            flat = ppo.Samples(*(x.flatten(0, 1) for x in made))
            assert objective.loss("agent", flat, rng)[2]["kl"] < 1e-6
        objective.after(0.5, 0)
        parts.append(objective.packed(rows.seen_TE[:-1][looked]).flatten(0, 1).double() / 255)
        whole = torch.cat(parts)
        assert torch.allclose(objective.net.moments.mean.double(), whole.mean(0), atol=1e-5)
        assert torch.allclose(objective.net.moments.variance.double(), whole.var(0, unbiased=False), atol=1e-5)


class Whole(torch.nn.Module):
    """A net of somebody's own, which tells all at once."""

    def __init__(self, net: torch.nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x)


@pytest.mark.parametrize("kind", ["vector", "numbers", "frames", "differences", "quality", "average"])
def test_the_best_action_alone_is_the_one_that_is_decided(kind: str) -> None:
    where = {"numbers": "Pendulum-v1", "frames": GAMES + "Screen", "differences": GAMES + "Screen"}.get(kind, "CartPole-v1")
    play = played.load(where, environments=2, steps=8, minibatches=1)
    net = Agent(play.seen, play.actions, play.box, "small" if play.bytes else "dense", 32, norm=kind == "quality")
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    objective: playing.Playing = (
        PQN(net, play)
        if kind == "quality"
        else Reinforce(net, play, moving=True)
        if kind == "differences"
        else PPO(net, play, half_life=100.0 if kind == "average" else 0)
    )
    if objective.average is not None:
        torch.nn.init.normal_(objective.average.net.get_parameter("policy.weight"))  # it is another net than the trained one
    numbers = torch.Generator().manual_seed(0)
    seen_E = torch.randn(200, *play.seen, generator=numbers)
    if play.bytes:
        seen_E = torch.randint(0, 256, (200, *play.seen), dtype=torch.uint8, generator=numbers)
    with torch.no_grad():  # now one action, now another
        objective.finished.net.get_parameter("policy.bias").sub_(objective.finished(objective.looked(seen_E))[0].mean(0))
    did_E = objective.best(seen_E)
    assert torch.equal(did_E, objective.decide(seen_E).did_E) and len(did_E.unique()) > 1
    scaled = objective.finished
    assert torch.equal(scaled.only_policy(seen_E), scaled(seen_E)[0])
    scaled.net = Whole(scaled.net)
    assert torch.equal(scaled.only_policy(seen_E), scaled(seen_E)[0])


def test_differences_of_frames_are_on_no_scale_of_frames() -> None:
    play = played.load(GAMES + "Screen", environments=2, steps=8, minibatches=1)
    objective = Reinforce(Agent(play.seen, play.actions, None, "small", 32), play, moving=True)
    objective.prepare(live(play, objective), Rng(0, 0, "agent"))
    objective.after(0.5, 0)
    assert objective.net.moments.count == 0 and not objective.net.moments.mean.any()


def test_a_screen_that_never_changes_is_seen_as_nothing() -> None:
    net = Agent((4, 36, 36), 2, None, "small", 32)
    x = torch.full((5, 4, 36, 36), 87, dtype=torch.uint8)
    packed = net.packed(x).double() / 255
    net.moments.add(torch.tensor(5.0), packed.mean(0), packed.var(0, unbiased=False))  # type: ignore[union-attr]
    assert net(x)[1].abs().max() < 1e-3  # no NaN either
    given = net.packed(x).float() / 255
    kept = given.clone()
    net(given)
    assert torch.equal(given, kept)  # whoever gives numbers has them still


@pytest.mark.parametrize("ends", ["terminated", "truncated"])
def test_an_end_is_followed_by_what_was_seen_last_and_by_a_step_that_does_not_count(ends: str) -> None:
    play = played.load(GAMES + "Chain", environments=2, steps=8, minibatches=1, options={"ends": ends})
    rows = live(play, agent(play))
    at = rows.seen_TE[:, 0].argmax(1).tolist()
    seen = [state if rows.seen_TE[t, 0].any() else 3 for t, state in enumerate(at)]
    beyond = 3 if ends == "terminated" else 0
    assert seen == [0, 1, 2, beyond, 0, 1, 2, beyond, 0]
    assert rows.reward_TE[:, 0].tolist() == [1, 2, 3, 0, 1, 2, 3, 0]
    assert rows.counts_TE[:, 0].tolist() == [True, True, True, False] * 2
    is_last = [False, False, True, False] * 2
    assert rows.terminated_TE[:, 0].tolist() == (is_last if ends == "terminated" else [False] * 8)
    assert rows.truncated_TE[:, 0].tolist() == (is_last if ends == "truncated" else [False] * 8)


@pytest.mark.parametrize("lives", [False, True])
def test_a_lost_life_ends_what_is_learnt_and_not_the_game(lives: bool) -> None:
    Path("broken.py").write_text(BROKEN)
    play = played.load("broken:Three", environments=2, steps=10, minibatches=1, lives=lives)
    objective = agent(play)
    rows = live(play, objective)
    at = [t for t in range(10) if rows.terminated_TE[t, 0]]
    assert at == ([2, 4] if lives else [])
    assert rows.truncated_TE[:, 1].nonzero().flatten().tolist() == [6]
    assert (~rows.counts_TE[:, 0]).nonzero().flatten().tolist() == [7]  # one reset, behind the game
    assert objective.lately()["return"] == 7 and objective.lately()["length"] == 7
    with contextlib.closing(play.open(2)) as vector:
        vector.reset([1, 2])
        told = [vector.step(torch.zeros(2, dtype=torch.int64))[2].any() for _ in range(8)]
    assert not any(told)  # whoever judges is told of games alone


def test_what_is_said_of_lives_may_be_anything() -> None:
    """Of two players, or on some steps alone: an environment that was played before lives counted is played on."""
    Path("broken.py").write_text(BROKEN)
    for name in ("Players", "Rarely"):
        rows = live(play := played.load(f"broken:{name}", environments=2, steps=10, minibatches=1, lives=True), agent(play))
        assert not rows.terminated_TE.any()  # who has told nothing before has lost nothing


def test_runs_of_before_lives_counted_are_of_the_same_data() -> None:
    play = played.load("CartPole-v1", environments=2, steps=4, minibatches=1)
    assert "lives" not in play.facts()["played"]
    assert played.load("Acrobot-v1", environments=2, steps=4, minibatches=1, lives=True).facts()["played"]["lives"] is True


@pytest.mark.skipif(not ATARI, reason="needs ale-py")
def test_lives_of_breakout_are_those_that_the_emulator_counts() -> None:
    play = played.load("ALE/Breakout-v5", environments=2, steps=200, minibatches=1, lives=True)
    with contextlib.closing(play.open(2)) as vector:
        vector.reset([3, 4])
        rng, lost, ended = Rng(0, 0, "x"), torch.zeros(2), torch.zeros(2)
        for _ in range(400):
            _, _, terminated_E, truncated_E = vector.step(rng.integers(4, 2))
            lost, ended = lost + vector.lost_E, ended + (terminated_E | truncated_E)
    assert bool((ended >= 1).all()) and bool((lost >= 5 * ended).all()) and bool((lost < 5 * (ended + 1)).all())


@pytest.mark.parametrize("ends", ["terminated", "truncated"])
def test_values_are_learnt_as_they_are(ends: str) -> None:
    """A truncated episode is worth what comes after it, a terminated one is not."""
    play = played.load(GAMES + "Chain", environments=8, steps=8, minibatches=1, options={"ends": ends})
    objective = fit(agent(play, rewards="plain", discount=0.5, rate=1e-2, entropy=0.0, value_clip=None), 120)
    assert objective.decide(torch.eye(3)).value_E.tolist() == pytest.approx(Chain.values(ends, 0.5), abs=0.1)
    assert float(objective.lately()["return"]) == 6 and float(objective.lately()["length"]) == 3


def test_actions_are_cut_and_stretched_to_the_box() -> None:
    vector = Vector("Pendulum-v1", {}, 3)
    assert vector.played(torch.tensor([[-1.0], [0.25], [7.0]])).tolist() == [[-2.0], [0.5], [2.0]]
    vector.close()
    vector = Vector("CarRacing-v3", {"continuous": True}, 1, pixels=48)
    assert np.allclose(vector.played(torch.tensor([[0.5, -1.0, 0.0]])), [[0.5, 0.0, 0.5]])
    seen = vector.reset([3])
    assert seen.shape == (1, 4, 48, 48) and seen.dtype == torch.uint8
    after, *_ = vector.step(torch.zeros(1, 3))
    assert torch.equal(after[:, :-1], seen[:, 1:])  # the newest frame is the last
    vector.close()


@pytest.mark.parametrize(("name", "kind"), [("FrozenLake-v1", (16,)), ("Blackjack-v1", (32 + 11 + 2,))])
def test_what_is_seen_may_be_anything_that_can_be_laid_flat(name: str, kind: tuple[int, ...]) -> None:
    play = played.load(name, environments=2, steps=4, minibatches=1)
    assert play.seen == kind
    fit(agent(play), 1)


def test_a_slow_environment_runs_in_processes_of_its_own() -> None:
    apart = played.load(GAMES + "Corridor", environments=2, steps=8, minibatches=1, workers=True)
    here = played.load(GAMES + "Corridor", environments=2, steps=8, minibatches=1)
    one, two = live(apart, agent(apart)), live(here, agent(here))
    assert torch.equal(one.seen_TE, two.seen_TE) and torch.equal(one.reward_TE, two.reward_TE)


def test_processes_share_environments_and_nothing_that_is_drawn_changes() -> None:
    play = played.load("CartPole-v1", environments=4, steps=8, minibatches=2)
    source = Live(play, agent(play), 0, 0)
    source.samples = ppo.Samples(*[torch.zeros(8, 4)] * 6)
    whole = source.order(Rng(0, 3, "agent.0.data"), "agent", 1)
    halves = [source.order(Rng(0, 3, "agent.0.data", rank, 2), "agent", 1) for rank in (0, 1)]
    assert torch.equal(whole, torch.cat(halves, 1))
    assert all(sorted(column) == list(range(8)) for column in whole.T.tolist())


GAMES_TO_RESUME = ["CartPole-v1", GAMES + "Reach", GAMES + "Screen"]
GAMES_TO_RESUME += ["ALE/Pong-v5"] if ATARI else []


@pytest.mark.parametrize("name", GAMES_TO_RESUME)
def test_six_and_six_rollouts_are_twelve(name: str) -> None:
    """Bit for bit, from a step in which environments do not begin anew (restart=4), and with what was scaled."""
    play = played.load(name, environments=2, steps=16, epochs=2, minibatches=2, restart=4)
    straight = fit(agent(play), 12)
    first = fit(agent(play), 6, of=12)
    torch.save(checkpoint.pack(first), "half.pt")
    second = agent(play, seed=5)
    Engine().prepare(second)
    checkpoint.unpack(second, torch.load("half.pt", weights_only=True))
    fit(second, 6, of=12, start=6)
    for (key, one), two in zip(straight.net.state_dict().items(), second.net.state_dict().values(), strict=True):
        assert torch.equal(one, two), key
    for key, one in straight.state().items():
        assert torch.equal(one, second.state()[key]), key


def test_environments_begin_anew_where_they_must() -> None:
    play = played.load("CartPole-v1", environments=2, steps=4, minibatches=1, restart=3)
    objective = agent(play)
    began = []
    for step in range(7):
        fit(objective, 1, of=7, start=step)
        began.append(objective.past.at.tolist())
        if step == 2:
            objective.discounted_E.fill_(1e6)  # of episodes that end with the environments
    assert objective.unit() < 1e3
    assert began == [[0, 1, 4], [0, 2, 8], [0, 3, 12], [3, 4, 4], [3, 5, 8], [3, 6, 12], [6, 7, 4]]


# ---------------------------------------------------------------------------------------------------------- it learns


def test_a_bandit_is_found_out() -> None:
    play = played.load(GAMES + "Bandit", environments=8, steps=8, minibatches=1)
    objective = fit(agent(play, rate=1e-2), 40)
    chances = objective.decide(torch.ones(1, 1)).p_EA
    assert chances is not None and int(chances[0].argmax()) == 2 and float(chances[0, 2]) > 0.9


def test_a_way_out_is_found_by_looking() -> None:
    play = played.load(GAMES + "Corridor", environments=8, steps=32, minibatches=1)
    objective = fit(agent(play, rate=5e-3), 60)
    returns = returns_of(objective, 10)
    assert min(returns) == pytest.approx(1 - 0.1 * 3, abs=1e-5)


def test_numbers_are_given_back() -> None:
    play = played.load(GAMES + "Reach", environments=8, steps=32, minibatches=2, epochs=6)
    objective = fit(agent(play, rate=5e-3, discount=0.5, entropy=0.0), 60)
    returns = returns_of(objective, 10)
    assert sum(returns) / 10 > -0.6, returns  # chance gets about -10, standing still -4


def test_cartpole_is_solved() -> None:
    card = recipe.find("play")
    torch.manual_seed(0)
    made = recipe.build(card, recipe.resolve(card, {"size": "tiny"}))
    words = {"batch": made.batch, "steps": made.examples // made.batch, "schedule": made.schedule, "seed": 0}
    loop.fit(made.objective, made.data, Engine(), **words)
    returns = returns_of(made.objective, 20)
    assert sum(returns) / 20 >= 475, returns


# ------------------------------------------------------------------------------------------------------ the whole path


def test_a_run_is_loaded_without_gymnasium_and_judged_with_it(gannet: Command) -> None:
    words = ("--size", "tiny", "--data", GAMES + "Corridor", "--steps", "30", "--out", "run", "--skip", "all=to be quick")
    told = gannet("train", "play", *words).stderr
    assert "7,680 steps  " in told and "return -" in told and " steps/s" in told
    made = run.load("run")
    code = "import sys; sys.modules['gymnasium'] = None\nfrom gannet.run import load\nprint(load('run').digest())"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert fresh.stdout.strip() == made.digest(), fresh.stderr
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert {"agent.return", "agent.length", "agent.kl", "agent.entropy", "agent.clipped"} <= lines[-2].keys()
    report = json.loads(gannet("evaluate", "run", "--json").stdout)
    assert report["scores"]["return"]["floor"] < 0
    card = Path("run/README.md").read_text()
    assert "8 side by side" in card and "7,680 steps" in card
    assert run.load("run", weights="best").step <= 30


def test_a_description_is_recalled_as_it_was() -> None:
    play = played.load("Pendulum-v1", environments=2, steps=4, minibatches=1)
    facts = json.loads(json.dumps(play.facts()))
    with keeping(Ledger(facts={"Pendulum-v1/train": facts}, recalled=True)):
        again = played.load("Pendulum-v1")
    assert again.facts() == play.facts() and again.about == play.about and again.box == 1 and again.limit == 200


# ----------------------------------------------------------------------------------------------------- what goes wrong

BROKEN = """
import gymnasium as gym
import numpy as np
from gymnasium import spaces

class Fine(gym.Env):
    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)
    def __init__(self, **words): self.time = 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}
    def step(self, action):
        self.time += 1
        return self.seen(), self.reward(), False, self.time == 150, {}
    def seen(self): return np.full(2, 0.01 * (self.time % 50), np.float32)
    def reward(self): return 1.0

class Three(Fine):
    # seven steps, each worth 1; of three lives the third step costs one and the fifth another; then the game is cut off
    def reset(self, *, seed=None, options=None):
        self.time = 0
        return super().reset(seed=seed)
    def step(self, action):
        seen, reward, terminated, _, _ = super().step(action)
        return seen, reward, terminated, self.time == 7, self.told()
    def told(self): return {"lives": 3 - (self.time >= 3) - (self.time >= 5)}

class Players(Three):
    def told(self): return {"lives": [1, 2]} if self.time < 4 else {"lives": None}

class Rarely(Three):
    def told(self): return {"lives": 1} if self.time == 5 else {}

class Raises(Fine):
    def reward(self): return 1.0 if self.time < 5 else [][0]

class Nan(Fine):
    def seen(self): return np.full(2, np.nan if self.time > 5 else 0.0, np.float32)

class NanReward(Fine):
    def reward(self): return float("nan") if self.time > 5 else 0.0

class Shape(Fine):
    def seen(self): return np.zeros(2 if self.time < 5 else 3, np.float32)

class Checked(Fine):
    def reset(self, *, seed=None, options=None): return np.zeros(3, np.float32), {}

class Many(Fine):
    action_space = spaces.MultiDiscrete([2, 2])

class Sequence(Fine):
    observation_space = spaces.Sequence(spaces.Discrete(2))
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return (0, 1), {}
    def seen(self): return (1,)

class Last(Fine):
    observation_space = spaces.Box(0, 255, (40, 30, 6), np.uint8)
    def __init__(self, **words):
        self.time, self.picture = 0, np.arange(40 * 30 * 6, dtype=np.uint8).reshape(40, 30, 6)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen(), {}
    def seen(self): return self.picture.copy()

class Goal(Fine):
    # what an episode keeps, and where one stands in it
    observation_space = spaces.Dict({"at": spaces.Box(0, 9, (2,), np.float32), "goal": spaces.Box(0, 9, (2,), np.float32)})
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.goal = self.np_random.integers(0, 10, 2).astype(np.float32)
        return self.seen(), {}
    def seen(self):
        at = np.array([self.time % 10, self.time // 10 % 10], np.float32)
        return {"at": at, "goal": self.goal.copy()}

class Planes(Fine):
    # one picture in three colours, the channels first: nothing is stacked
    observation_space = spaces.Box(0, 255, (3, 40, 30), np.uint8)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen(), {}
    def seen(self): return (np.arange(3 * 40 * 30).reshape(3, 40, 30) * 7 + self.time * 11 % 256).astype(np.uint8)

class Board(Fine):
    observation_space = spaces.Box(0, 2, (6, 7), np.uint8)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen(), {}
    def seen(self): return ((np.arange(42).reshape(6, 7) + self.time) % 3).astype(np.uint8)

class Percent(Fine):
    def reward(self): return 1.0 if self.time < 5 else [][self.time % 2]

class Wants(Fine):
    def __init__(self, size, **words): self.time, self.size = 0, size
    def reward(self): return float(self.size)

class Odd(Exception):
    def __init__(self, a, b): super().__init__(a + b)

class Two(Fine):
    def reward(self):
        if self.time < 5: return 1.0
        raise Odd("what was ", "said")

if "Long-v0" not in gym.registry: gym.register(id="Long-v0", entry_point=Fine, max_episode_steps=10_000)

class Screenless(Fine):
    def __init__(self, **words): raise RuntimeError("No available video device")

class Nothing: ...
"""


@pytest.mark.parametrize(
    ("name", "parts", "status"),
    [
        ("CartPol-v1", ["no environment has this name", "CartPol-v1", "CartPole-v1"], 2),
        ("cartpole-v1", ["CartPole-v1"], 2),
        ("broken:Raises", ["has raised in the middle, at step 5", "IndexError"], 1),
        ("broken:Nan", ["observation that is no number", "step 6"], 1),
        ("broken:NanReward", ["reward that is no number", "step 6"], 1),
        ("broken:Shape", ["broken:Shape", "at step 5", "shape"], 1),
        ("broken:Checked", ["gymnasium's checker complains about broken:Checked", "observation"], 1),
        ("broken:Many", ["neither a choice (Discrete) nor numbers (Box)", "MultiDiscrete"], 1),
        ("broken:Sequence", ["no fixed size", "Sequence"], 1),
        ("broken:Screenless", ["wants a display", "SDL_VIDEODRIVER=dummy"], 1),
        ("broken:Nothing", ["is no gymnasium.Env"], 2),
        ("broken:Fin", ["no environment of this name", "Fine"], 2),
        ("absent.module:Env", ["no such module", "absent.module"], 2),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_played_is_told_in_a_line(name: str, parts: list[str], status: int) -> None:
    Path("broken.py").write_text(BROKEN)
    with pytest.raises(Wrong) as error:
        play = played.load(name, environments=2, steps=16, minibatches=1)
        live(play, agent(play))
    one_line(str(error.value), *parts)
    assert error.value.status == status


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Percent", "IndexError: list index out of range"),
        ("Two", "Odd: what was said"),
        ("Nan", "observation that is no number"),
    ],
)
def test_what_happens_in_a_process_of_its_own_is_told_in_the_same_line(name: str, said: str) -> None:
    late = BROKEN.replace("self.time < 5", "self.time < 140").replace("self.time > 5", "self.time > 140")
    Path("late.py").write_text(late)
    play = played.load(f"late:{name}", environments=2, steps=160, minibatches=1, workers=True)
    with pytest.raises(Wrong) as error:
        live(play, agent(play))
    one_line(str(error.value), f"late:{name}", said)


def test_the_environments_processes_leave_an_interrupt_to_whoever_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[int, Any] = {}
    monkeypatch.setattr(environments.signal, "signal", lambda number, how: heard.update({number: how}))
    environments.make("CartPole-v1", {}).close()
    environments.make("CartPole-v1", {}, home=os.getpid()).close()  # which Gymnasium does, to see what it is
    assert not heard
    environments.make("CartPole-v1", {}, home=os.getpid() + 1).close()
    assert heard == {signal.SIGINT: signal.SIG_IGN}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no groups of processes")
def test_an_interrupt_saves_and_stops_where_environments_have_processes() -> None:
    words = ("play", "--size", "tiny", "--workers", "--environments", "2", "--skip", "all=x", "--steps", "9000", "--out", "run")
    command = [sys.executable, "-m", "gannet", "train", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not folders.checkpoints(Path("run")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    last = process.communicate(timeout=60)[1].strip().splitlines()[-1]
    one_line(last, "stopped at step", "of 9000", "the same command goes on")
    assert process.returncode == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others start processes anew")
def test_the_environments_processes_come_of_one_that_has_imported_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(environments.multiprocessing, "set_forkserver_preload", asked.append)
    Vector("CartPole-v1", {}, 2, workers=True).close()
    assert asked == [["gannet.data.environments"]]


def test_a_goal_that_an_episode_keeps_has_the_scale_that_it_has_among_episodes() -> None:
    Path("broken.py").write_text(BROKEN)
    play = played.load("broken:Goal", environments=8, steps=16, minibatches=1)
    assert play.seen == (4,)
    at, goal = play.about["variance"][:2], play.about["variance"][2:]
    assert all(1 < one < 20 for one in (*at, *goal)), play.about
    assert played.load("CartPole-v1").about["variance"][0] < 0.1  # whose numbers move less between episodes than in one


@pytest.mark.parametrize("name", ["Goal", "Planes", "Board"])
def test_preflight_lets_environments_of_every_kind_pass(name: str) -> None:
    Path("broken.py").write_text(BROKEN)
    made = recipe.build(chosen := recipe.find("play"), recipe.resolve(chosen, {"size": "tiny", "data": f"broken:{name}"}))
    rows = {row.name: row for row in preflight.fly(preflight.Case(made), full=False)}
    assert not [row for row in rows.values() if row.verdict == "fail"] and rows["observations"].verdict in ("pass", "info")
    assert "frame-order" not in rows or rows["frame-order"].verdict == "skip"


def test_boards_of_bytes_are_numbers_and_planes_are_no_frames() -> None:
    Path("broken.py").write_text(BROKEN)
    board, planes = (played.load(f"broken:{name}", environments=2, steps=4, minibatches=1) for name in ("Board", "Planes"))
    assert (board.seen, board.bytes, board.stacked) == ((42,), False, False)
    assert (planes.seen, planes.bytes, planes.stacked) == ((3, 40, 30), True, False)
    assert played.load(GAMES + "Screen", environments=2, steps=4, minibatches=1).stacked
    facts = {key: value for key, value in planes.facts().items() if key != "stacked"}
    assert played.Play(facts).stacked  # as runs of before take it


@pytest.mark.skipif(not ATARI, reason="ale-py is not installed")
@pytest.mark.parametrize("name", ["PongNoFrameskip-v4", "Pong-v4", "ale_py:Pong-v4"])
def test_an_older_name_of_a_game_is_not_played_as_another_game(name: str) -> None:
    with pytest.raises(Wrong, match="ALE/Pong-v5") as error:
        played.load(name)
    assert error.value.status == 2
    assert played.load("ale_py:ALE/Pong-v5", environments=2, steps=4, minibatches=1).name == "ALE/Pong-v5"


def test_an_environment_gets_the_arguments_that_it_wants(gannet: Command) -> None:
    Path("broken.py").write_text(BROKEN)
    with pytest.raises(Wrong, match="missing 1 required positional argument: 'size'"):
        played.load("broken:Wants")
    play = played.load("broken:Wants", options='{"size": 3}', environments=2, steps=4, minibatches=1)
    assert play.options == {"size": 3}
    vector = play.open(1)
    vector.reset([0])
    assert vector.step(torch.tensor([0]))[1].tolist() == [3.0]
    vector.close()
    for words in ("{'size': 3}", "3"):
        with pytest.raises(Wrong, match="options are no") as error:
            played.load("broken:Wants", options=words)
        one_line(str(error.value), words, "--options")
    train = ("train", "play", "--size", "tiny", "--data", "broken:Wants", "--options", '{"size": 3}', "--steps", "1")
    gannet(*train, "--skip", "all=x", "--out", "run")
    assert json.loads(Path("run/recipe.json").read_text())["data"]["broken:Wants/train"]["options"] == {"size": 3}


def test_environments_begin_anew_after_more_steps_than_an_episode_may_have() -> None:
    Path("broken.py").write_text(BROKEN)
    shape: dict[str, Any] = {"environments": 2, "steps": 64, "minibatches": 1}
    long, short = played.load("broken:Long-v0", **shape), played.load("CartPole-v1", **shape)
    assert (
        played._span({"frames": 1, "limit": 30_000}) == 60_000 and played._span({"frames": 4, "limit": 27_000}) == played.SPAN
    )
    assert long.limit == 10_000 and long.restart * 64 >= 2 * 10_000 - 64 and short.restart * 64 == played.SPAN
    assert played.load("broken:Long-v0", **shape, restart=3).restart == 3


def test_a_long_resume_says_what_it_is_at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    play = played.load("CartPole-v1", environments=2, steps=16, minibatches=1, restart=4)
    made = agent(play)
    fit(made, 2, of=4)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(played, "PATIENCE", -1.0)
    fit(made, 1, of=4, start=2)
    assert capsys.readouterr().err == "CartPole-v1: plays 31 more steps of each environment again\n"


def test_a_trial_has_room_for_more_steps_than_a_restart_leaves() -> None:
    play = played.load("CartPole-v1", environments=1, steps=16, minibatches=1, restart=1)
    trial = played.Trial(play, agent(play))
    assert len(trial.rollout(256, Rng(0, 0, "agent.0.data")).did_TE) == 256
    trial.close()


def test_pictures_with_their_channels_last_are_turned() -> None:
    Path("broken.py").write_text(BROKEN)
    play = played.load("broken:Last", environments=1, steps=16, minibatches=1)
    assert play.seen == (6, 40, 30) and play.bytes
    vector = play.open(1)
    assert torch.equal(vector.reset([0])[0], torch.arange(40 * 30 * 6).to(torch.uint8).view(40, 30, 6).permute(2, 0, 1))
    vector.close()


def test_an_environment_that_raises_while_it_trains_is_one_line(gannet: Command) -> None:
    Path("broken.py").write_text(BROKEN.replace("self.time < 5", "self.time < 140"))
    words = ("train", "play", "--size", "tiny", "--data", "broken:Raises", "--steps", "9", "--skip", "all=x", "--out", "run")
    one_line(gannet(*words, status=1).stderr.splitlines()[-1], "has raised in the middle", "IndexError")
    assert folders.checkpoints(Path("run"))  # what was learnt before is kept


def test_what_is_not_installed_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gannet.data.environments")
    monkeypatch.delattr("gannet.data.environments")
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(Wrong) as error:
        played.load("CartPole-v1")
    one_line(str(error.value), "gymnasium", "pip install 'gannet[play]'")


@pytest.mark.skipif(not ATARI, reason="ale-py is not installed")
def test_a_game_without_its_rom(monkeypatch: pytest.MonkeyPatch) -> None:
    from ale_py import roms

    monkeypatch.setattr(roms, "get_rom_path", lambda game: None)
    with pytest.raises(Wrong) as error:
        Vector("ALE/Pong-v5", {}, 1)
    one_line(str(error.value), "ALE/Pong-v5", "ROM")
    with pytest.raises(Wrong) as error:
        Vector("ALE/Pongg-v5", {}, 1)
    one_line(str(error.value), "ALE/Pongg-v5", "ALE/Pong-v5")


def test_nothing_begins_anew_before_it_has_begun() -> None:
    with pytest.raises(Wrong) as told:
        played.load("CartPole-v1", restart=-1)
    one_line(str(told.value), "begin anew", "-1", "--restart")


def test_a_rollout_that_cannot_be_parted() -> None:
    with pytest.raises(Wrong, match="multiple of minibatches") as error:
        played.load("CartPole-v1", steps=10, minibatches=4)
    assert error.value.status == 2
