"""The parallelised Q-network: its targets against plain loops, a planted leak, and CartPole in seconds."""

from __future__ import annotations

import pytest
import torch

from gannet import run
from gannet.data import play
from gannet.errors import Wrong
from gannet.evaluation import play as playing
from gannet.nets.agents import Agent
from gannet.objectives.memory import Memory
from gannet.objectives.pqn import PQN, VECTORS, exploring, greedily, q_lambda
from gannet.objectives.reinforce import Reinforce, differences, returns
from gannet.recipe import falling
from gannet.rng import Rng
from gannet.training import loop
from gannet.training.engine import Engine

pytest.importorskip("gymnasium")

Rollout = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def rollout(seed: int, steps: int = 17, environments: int = 5, ends: float = 0.15) -> Rollout:
    """Rewards, best values, terminations and truncations of a made-up rollout; after each end a step that only resets."""
    random = torch.Generator().manual_seed(seed)
    reward_TE = torch.randn(steps, environments, generator=random, dtype=torch.float64)
    best_TE = torch.randn(steps + 1, environments, generator=random, dtype=torch.float64)
    terminated_TE = torch.rand(steps, environments, generator=random) < ends
    truncated_TE = torch.rand(steps, environments, generator=random) < ends
    for t in range(1, steps):
        fresh_E = terminated_TE[t - 1] | truncated_TE[t - 1]
        for now_TE in (terminated_TE, truncated_TE):
            now_TE[t] &= ~fresh_E
        reward_TE[t] = torch.where(fresh_E, 0.0, reward_TE[t])
    return reward_TE, best_TE, terminated_TE, truncated_TE


def as_defined(rolled: Rollout, discount: float, trace: float) -> torch.Tensor:
    """The weighted mean of all n-step returns, from each step forwards: the definition, with no recursion."""
    reward_TE, best_TE, terminated_TE, truncated_TE = rolled
    steps, environments = reward_TE.shape
    target_TE = torch.zeros_like(reward_TE)
    for e in range(environments):
        for t in range(steps):
            found, collected, power = [], 0.0, 1.0
            for k in range(t, steps):
                collected += power * float(reward_TE[k, e])
                power *= discount
                nothing_comes = bool(terminated_TE[k, e])
                found.append(collected + (0.0 if nothing_comes else power * float(best_TE[k + 1, e])))
                if nothing_comes or truncated_TE[k, e]:
                    break
            weights = [(1 - trace) * trace**n for n in range(len(found) - 1)] + [trace ** (len(found) - 1)]
            target_TE[t, e] = sum(w * value for w, value in zip(weights, found, strict=True))
    return target_TE


def leaking(rolled: Rollout, discount: float, trace: float) -> torch.Tensor:
    """The same with the bug that is easily made: only the bootstrap is masked at an end, not the trace behind it."""
    reward_TE, best_TE, terminated_TE, truncated_TE = rolled
    goes_on_TE = (~(terminated_TE | truncated_TE)).to(reward_TE.dtype)
    target_TE = torch.zeros_like(reward_TE)
    for t in reversed(range(len(reward_TE))):
        if t == len(reward_TE) - 1:
            target_TE[t] = reward_TE[t] + discount * best_TE[t + 1] * goes_on_TE[t]
        else:
            next_E = (1 - trace) * best_TE[t + 1] * goes_on_TE[t] + trace * target_TE[t + 1]
            target_TE[t] = reward_TE[t] + discount * next_E
    return target_TE


@pytest.mark.parametrize(("discount", "trace"), [(0.99, 0.65), (0.9, 0.0), (1.0, 1.0), (0.95, 0.95)])
def test_the_targets_are_what_a_plain_loop_says(discount: float, trace: float) -> None:
    for seed in range(4):
        rolled = rollout(seed)
        found = q_lambda(*rolled, discount=discount, trace=trace)
        real_TE = torch.ones_like(rolled[2])  # the steps that only reset are weighted 0 and may hold anything
        real_TE[1:] = ~(rolled[2] | rolled[3])[:-1]
        torch.testing.assert_close(found[real_TE], as_defined(rolled, discount, trace)[real_TE])


def test_nothing_leaks_over_the_end_of_an_episode() -> None:
    reward_TE, best_TE, terminated_TE, truncated_TE = rollout(0, ends=0.0)
    terminated_TE[6, 0] = truncated_TE[6, 1] = True
    before = (reward_TE, best_TE, terminated_TE, truncated_TE)
    changed_TE = reward_TE.clone()
    changed_TE[7:] += 100  # of the next episode

    def moved(targets) -> torch.Tensor:
        after = (changed_TE, *before[1:])
        return (targets(before) != targets(after))[:7].any(0)

    assert moved(lambda rolled: q_lambda(*rolled, discount=0.99, trace=0.65)).tolist() == [False, False, True, True, True]
    assert moved(lambda rolled: leaking(rolled, 0.99, 0.65)).all()  # so that the test would notice


def test_what_was_cut_off_is_bootstrapped_and_what_ended_is_not() -> None:
    reward_TE, best_TE = torch.zeros(2, 2), torch.full((3, 2), 10.0)
    terminated_TE = torch.tensor([[True, False], [False, False]])
    truncated_TE = torch.tensor([[False, True], [False, False]])
    found = q_lambda(reward_TE, best_TE, terminated_TE, truncated_TE, discount=0.5, trace=0.9)
    assert found[0].tolist() == [0, 5]
    both = q_lambda(reward_TE, best_TE, terminated_TE | truncated_TE, truncated_TE, discount=0.5, trace=0.9)
    assert both[0].tolist() == [0, 0]


def test_exploration_falls_and_stays() -> None:
    assert [exploring(p, first=1, last=0.1, share=0.5) for p in (0, 0.25, 0.5, 1)] == pytest.approx([1, 0.55, 0.1, 0.1])
    assert exploring(0.0, last=0.02, share=0.0) == 0.02
    q_EA, any_E = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 0])
    assert greedily(q_EA, 0.5, torch.tensor([0.6, 0.6]), any_E).tolist() == [1, 0]
    assert greedily(q_EA, 0.5, torch.tensor([0.4, 0.4]), any_E).tolist() == [0, 0]


@pytest.mark.parametrize("points", [False, True])
def test_rewards_to_go_are_what_a_plain_loop_says(points: bool) -> None:
    reward_TE, _, terminated_TE, truncated_TE = rollout(1)
    reward_TE = reward_TE * (reward_TE > 1)  # points are few
    ended_TE = terminated_TE | truncated_TE
    found_TE, known_TE = returns(reward_TE, ended_TE, discount=0.9, points=points)
    for e in range(reward_TE.shape[1]):
        for t in range(len(reward_TE)):
            total, known = 0.0, False
            for k in range(t, len(reward_TE)):
                total += 0.9 ** (k - t) * float(reward_TE[k, e])
                known = bool(ended_TE[k, e]) or (points and float(reward_TE[k, e]) != 0)
                if known:
                    break
            assert float(found_TE[t, e]) == pytest.approx(total) and bool(known_TE[t, e]) == known


def returns_of(objective: PQN | Reinforce, episodes: int = 10) -> list[float]:
    """What the finished agent gets on seeds of its own."""
    seeds = range(50_000, 50_000 + episodes)
    return [episode.returns for episode in playing.played(objective.play, playing.agent(objective, greedy=True), seeds)]


def test_cartpole_is_solved() -> None:
    torch.manual_seed(0)
    place = play.load("CartPole-v1", environments=32, steps=32, minibatches=8)
    net = Agent(place.seen, place.actions, norm=True)
    objective = PQN(net, place, **VECTORS)
    loop.fit(objective, place, Engine(cpu=True), batch=1024, steps=40, schedule=falling, seed=0)
    assert sum(returns_of(objective)) / 10 > 450
    decided = objective.decide(torch.zeros(3, 4))
    assert decided.p_EA is not None and torch.equal(decided.p_EA.argmax(1), decided.did_E)  # it leaves nothing to chance


def test_the_loss_and_the_targets_are_those_of_the_formulas() -> None:
    torch.manual_seed(0)
    place = play.load("CartPole-v1", environments=3, steps=24, minibatches=2)
    objective = PQN(Agent(place.seen, place.actions, norm=True, width=16), place, rewards="plain", discount=0.9, trace=0.7)
    for parameter in objective.players["agent"].net.parameters():
        parameter.data += torch.randn_like(parameter) / 10
    live = place.played_by(objective, 0)
    rolled = live.rollout(72, Rng(0, 0, "agent.0.data"))
    live.close()
    with torch.no_grad():
        samples = objective.prepare(rolled, Rng(0, 0, "agent.0.data"))
        best_TE = torch.stack([objective.quality(seen_E).amax(1) for seen_E in rolled.seen_TE])
    assert rolled.terminated_TE.any() and not rolled.counts_TE.all()
    by_hand = as_defined((rolled.reward_TE, best_TE, rolled.terminated_TE, rolled.truncated_TE), 0.9, 0.7)
    torch.testing.assert_close(samples.target[rolled.counts_TE], by_hand[rolled.counts_TE], rtol=1e-4, atol=1e-4)
    batch = type(samples)(*(part.flatten(0, 1) for part in samples))
    values_N, weights_N, _ = objective.loss("agent", batch, Rng(0, 0, "agent.0"))
    q_N = objective.quality(batch.seen)[range(72), batch.did]
    torch.testing.assert_close(values_N, (q_N - batch.target) ** 2 / 2 * batch.counts)
    assert weights_N is not None and float(weights_N.sum()) == pytest.approx(float(batch.counts.sum()), abs=1e-3)


def remembering(rollouts: int, name: str = "CartPole-v1", **named: float) -> PQN:
    """An agent of three environments × 24 steps that remembers as many rollouts, and recalls all of them."""
    torch.manual_seed(0)
    place = play.load(name, environments=3, steps=24, minibatches=2)
    named |= {"remember": rollouts * 72, "recall": rollouts}
    net = Agent(place.seen, place.actions, encoder="small" if place.bytes else "dense", norm=True, width=16)
    objective = PQN(net, place, **named)  # type: ignore[arg-type]
    for parameter in objective.players["agent"].net.parameters():
        parameter.data += torch.randn_like(parameter) / 10
    return objective


SHAPES = {
    "CartPole-v1": (4,),
    "gannet.data.games:Screen": (4 * 36 * 36,),  # frames as the net reads them
    "ALE/Pong-v5": (84, 84),  # each frame once
}


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_a_memory_of_one_rollout_is_none(name: str, shape: tuple[int, ...]) -> None:
    """What is recalled of the newest rollout is what would have been learnt from it: targets computed anew are the same."""
    with_one, without = remembering(1, name), remembering(0, name)
    assert with_one.memory is not None and with_one.memory.parts["seen"].shape[3:] == shape
    live, now = without.play.played_by(without, 0), Rng(0, 0, "agent.0.data")
    rolled = live.rollout(72, now)
    live.close()
    for found, plain in zip(with_one.prepare(rolled, now), without.prepare(rolled, now), strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


def test_what_is_remembered_is_judged_by_the_net_of_now() -> None:
    objective = remembering(3, discount=0.9, trace=0.7, rewards="plain")  # type: ignore[arg-type]
    live = objective.play.played_by(objective, 0)
    rolled = []
    for step in range(4):  # the first of four is forgotten
        now = Rng(0, step, "agent.0.data")
        rolled.append(live.rollout(72, now))
        for parameter in objective.net.parameters():
            parameter.data += torch.randn_like(parameter) / 10
        samples = objective.prepare(rolled[-1], now)
        objective.after(0.5, 72)
        assert [len(part) for part in samples] == [3 * 24] * 4
    live.close()
    assert objective.turns(0.0) == ("agent",) * (4 * 2 * 3)
    now = Rng(0, 4, "agent.0.data")
    with torch.no_grad():
        samples = objective.prepare(rolled[-1], now)  # once more, so that it stands there twice
        found = []
        for part, seen in enumerate(samples.seen.split(24)):
            number = max(n for n, one in enumerate(rolled) if torch.equal(one.seen_TE[:-1], seen))
            found.append(number)
            one = rolled[number]
            best_TE = torch.stack([objective.quality(seen_E).amax(1) for seen_E in one.seen_TE])
            by_hand = as_defined((one.reward_TE, best_TE, one.terminated_TE, one.truncated_TE), 0.9, 0.7).float()
            assert one.terminated_TE.any() and not one.counts_TE.all()
            torch.testing.assert_close(
                samples.target.split(24)[part][one.counts_TE], by_hand[one.counts_TE], rtol=1e-4, atol=1e-4
            )
            assert torch.equal(samples.did.split(24)[part], one.did_TE)
            assert torch.equal(samples.counts.split(24)[part], one.counts_TE)
    assert found[0] == 3 and sorted(found) == [2, 3, 3]


def test_the_oldest_rollout_is_forgotten_and_the_newest_never_left_out() -> None:
    place = play.load("CartPole-v1", environments=2, steps=4, minibatches=2)
    memory = Memory(place, 40, 3)

    def lived(number: int) -> play.Rollout:
        seen_TE, none_TE = torch.full((5, 2, 4), float(number)), torch.zeros(4, 2, dtype=torch.bool)
        return play.Rollout(seen_TE, none_TE.long(), {}, none_TE.float(), none_TE, none_TE, ~none_TE)

    def recalled(step: int) -> list[int]:
        return [int(one.seen_TE[0, 0, 0]) for one in memory.recall(Rng(0, step, ""))]

    memory.add(lived(1), Rng(0, 0, ""))
    assert recalled(0) == [1, 1, 1]
    memory.add(lived(2), Rng(0, 1, ""))
    assert recalled(1) == [2, 1, 1]
    for number in range(3, 9):
        memory.add(lived(number), Rng(0, number, ""))
    found = [recalled(step) for step in range(50)]
    assert all(one[0] == 8 and len({*one}) == 3 for one in found)  # each once
    assert {number for one in found for number in one} == {4, 5, 6, 7, 8} and recalled(7) == recalled(7)
    other = Memory(place, 40, 3)
    for name, tensor in memory.state().items():
        other.state()[name].copy_(tensor)
    assert torch.equal(other.recall(Rng(0, 9, ""))[2].seen_TE, memory.recall(Rng(0, 9, ""))[2].seen_TE)


@pytest.mark.parametrize("long", [8, 2])  # and one step to begin anew: each time at another of a rollout, or two or three times
def test_frames_that_are_kept_once_are_the_observations_that_were_seen(long: int) -> None:
    pytest.importorskip("ale_py")
    short = {"max_num_frames_per_episode": 4 * long}
    place = play.load("ALE/Breakout-v5", environments=3, steps=8, minibatches=2, options=short, lives=True)
    torch.manual_seed(0)
    objective = PQN(Agent(place.seen, place.actions, encoder="shallow", norm=True, width=16), place)
    memory, live, seen = Memory(place, 96, 4), place.played_by(objective, 0), []
    for step in range(5):  # the first is forgotten
        now = Rng(0, step, "agent.0.data")
        rolled = live.rollout(24, now)
        memory.add(rolled, now)
        seen.append(rolled)
    live.close()
    assert memory.parts["seen"].shape == (4, 8 + 4, 3, 84, 84)
    assert memory.nbytes == sum(part.nbytes for part in memory.state().values())
    resets = [(~one.counts_TE[:, 0]).nonzero().flatten().tolist() for one in seen[1:]]
    assert resets == ([[0], [1], [2], [3]] if long == 8 else [[0, 3, 6], [1, 4, 7], [2, 5], [0, 3, 6]])
    found = memory.recall(Rng(0, 5, ""))
    same = [next(n for n, one in enumerate(seen) if torch.equal(one.seen_TE, rollout.seen_TE)) for rollout in found]
    assert same[0] == 4 and sorted(same) == [1, 2, 3, 4]
    assert all(torch.equal(seen[n].counts_TE, rollout.counts_TE) for n, rollout in zip(same, found, strict=True))
    assert found[0].seen_TE.is_contiguous() and found[0].seen_TE.dtype == torch.uint8


def test_with_a_memory_cartpole_is_nearly_solved_in_5120_steps() -> None:
    torch.manual_seed(0)
    place = play.load("CartPole-v1", environments=8, steps=32, minibatches=2, epochs=1)
    objective = PQN(Agent(place.seen, place.actions, norm=True), place, **VECTORS | {"trace": 0.65}, remember=4096)
    assert len(objective.turns(0.0)) == 32
    loop.fit(objective, place, Engine(cpu=True), batch=256, steps=20, schedule=falling, seed=0)
    assert sum(returns_of(objective)) / 10 > 250


def test_another_net_remembers_nothing_of_this_one() -> None:
    objective = remembering(2)
    live, now = objective.play.played_by(objective, 0), Rng(0, 0, "agent.0.data")
    objective.prepare(live.rollout(72, now), now)
    live.close()
    other = objective.instead(Agent(objective.play.seen, objective.play.actions, norm=True, width=16), objective.play)
    assert other.memory is not None and objective.memory is not None
    assert (int(other.memory.parts["count"]), int(objective.memory.parts["count"])) == (0, 1)
    screen = play.load("gannet.data.games:Screen", environments=3, steps=24, minibatches=2)
    other = objective.instead(Agent(screen.seen, screen.actions, encoder="small", norm=True, width=16), screen)
    assert other.memory is not None and other.memory.parts["seen"].shape == (2, 25, 3, 4 * 36 * 36)


def test_what_it_holds_for_best_is_done_always_and_so_it_is_told() -> None:
    objective = remembering(0)
    report, _ = playing.Playing(objective.play, episodes=2).judge(objective)
    assert "what it holds for best is done always" in report["about"] and "drawn" not in report["about"]


def test_a_q_network_wants_a_choice() -> None:
    place = play.load("Pendulum-v1")
    with pytest.raises(Wrong, match="chooses among actions") as told:
        PQN(Agent(place.seen, None, place.box), place)
    assert told.value.status == 2


def test_reinforce_learns_a_little() -> None:
    torch.manual_seed(0)
    place = play.load("CartPole-v1", environments=8, steps=256, epochs=1, minibatches=1)
    objective = Reinforce(Agent(place.seen, place.actions, width=16), place, rate=1e-2, rewards="plain")
    loop.fit(objective, place, Engine(cpu=True), batch=2048, steps=12, schedule=falling, seed=0)
    assert sum(returns_of(objective)) / 10 > 35  # chance gets 20


def test_what_moves_is_the_newest_frame_less_the_one_before() -> None:
    x_NCHW = torch.tensor([[10, 20, 50, 250]], dtype=torch.uint8).view(1, 4, 1, 1)
    assert differences(x_NCHW).flatten().tolist() == pytest.approx([0, 0, 0, 200 / 255])


@pytest.mark.parametrize("method", ["pqn", "replay"])
def test_the_recipe_play_takes_it(method: str) -> None:
    words = {"size": "tiny", "method": method, "steps": 2, "skip": {"all": "to be quick"}}
    made = run.train("play", out="run", **words)
    assert isinstance(made.objective, PQN) and run.load("run").digest() == made.digest()
    with pytest.raises(Wrong, match="chooses among actions"):
        run.train("play", data="Pendulum-v1", out="other", **words)
