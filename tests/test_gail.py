"""Imitation: rewards and losses against plain loops, recordings and what can be wrong with them, and the whole path."""

from __future__ import annotations

import copy
import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Command, one_line
from gannet import recipe, run
from gannet.errors import Wrong
from gannet.evaluation import play as playing
from gannet.nets.agents import TINY, Agent
from gannet.objectives.cloning import Cloning
from gannet.objectives.gail import Gail, Samples, ending, reward
from gannet.recipe import constant, falling
from gannet.rng import Rng
from gannet.training import loop
from gannet.training.engine import Engine

gym = pytest.importorskip("gymnasium")

from gannet.data import driving, episodes, play  # noqa: E402
from gannet.data.episodes import Deeds, Episodes, Imitated  # noqa: E402

NONE = {"all": "to be quick"}


class Signs(gym.Env):
    """Numbers (2,) that are new in each of 20 steps. The reward is for action 0, and nobody who imitates may see it."""

    observation_space = gym.spaces.Box(-4, 4, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def draw(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 20
        return self.draw(), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return self.draw(), float(action == 0), False, self.left == 0, {}


class Numbers(Signs):
    """The same with a continuous action."""

    action_space = gym.spaces.Box(-2, 2, (1,), np.float32)

    def step(self, action: Any) -> Any:
        return super().step(0)


def by_sign(n: int, box: bool = False) -> Episodes:
    """What an expert did who chooses 1 where the first number is above 0; or, continuous, half of that number."""
    seen_N = torch.rand(20 * n, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    did_N = seen_N[:, :1] / 2 if box else (seen_N[:, 0] > 0).long()
    end_N = torch.arange(20 * n) % 20 == 19
    return Episodes(seen_N, did_N, torch.zeros(20 * n), end_N, torch.zeros(20 * n).bool(), environment="made")


def contest(kind: str = "Signs", **named: Any) -> Gail:
    """A small contest with that expert."""
    torch.manual_seed(0)
    place = play.load(f"{__name__}:{kind}", environments=4, steps=32, epochs=2, minibatches=2)
    data = Imitated(place, by_sign(10, place.box is not None))
    critic = Agent(*episodes.judged(place), width=16, value_gain=TINY)
    return Gail(Agent(place.seen, place.actions, place.box, width=16), critic, data, **named)


# ------------------------------------------------------------------------------------------------- rewards and losses


def test_rewards_are_the_logarithms_that_they_stand_for() -> None:
    logits = torch.randn(100, dtype=torch.float64) * 3
    d = logits.sigmoid()
    torch.testing.assert_close(reward(logits, "positive"), -(1 - d).log())
    torch.testing.assert_close(reward(logits, "negative"), d.log())
    torch.testing.assert_close(reward(logits, "logit"), d.log() - (1 - d).log())
    assert torch.isfinite(reward(torch.tensor([-1e4, 1e4]), "positive")).all()
    with pytest.raises(ValueError, match="no such reward"):
        contest(form="square")


def test_which_rewards_favour_long_episodes_whatever_is_done() -> None:
    logits = torch.linspace(-6, 6, 25)
    assert (reward(logits, "positive") > 0).all()  # living on is always worth something
    assert (reward(logits, "negative") < 0).all()  # and here ending is
    assert reward(torch.zeros(1), "logit") == 0


def test_having_ended_is_worth_what_the_expert_makes_of_it() -> None:
    assert ending(0.0, 0.03, 0.0002) < -5  # the agent falls, the expert does not
    assert ending(0.03, 0.0, 0.0002) > 5  # the expert arrives, the agent does not
    assert ending(0.01, 0.01, 0.0002) == 0
    objective = contest(discount=0.9)
    live = objective.play.played_by(objective, 0)
    rollout = live.rollout(128, Rng(0, 0, "agent.0.data"))
    live.close()
    ended_TE = torch.zeros_like(rollout.terminated_TE)
    ended_TE[3, 1] = True
    other = rollout._replace(terminated_TE=ended_TE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "rewards", "plain")
        before, after = (objective.worth(one, Rng(0, 0, "agent")) for one in (rollout, other))
    least = 1 / 200
    staying = sum(0.9**k * ending(0.0, 1 / (124 * 1.9), least) for k in range(1, 400))  # the first rollout counts nine tenths
    assert float((after - before)[3, 1]) == pytest.approx(staying, rel=0.02)
    assert int((after != before).sum()) == 1


def test_the_critics_loss_is_what_a_loop_says() -> None:
    objective = contest(gamma=0.7)
    for parameter in objective.players["critic"].net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    chance = torch.Generator().manual_seed(1)
    seen_N, there_N = torch.randn(2, 6, 2, generator=chance), torch.tensor([True, True, False, True, False, True])
    did_N = torch.randint(2, (2, 6), generator=chance)
    nothing = torch.zeros(6)
    batch = Samples(seen_N[0], did_N[0], nothing, nothing, nothing, there_N, seen_N[1], did_N[1])
    values_N, weights_N, notes = objective.loss("critic", batch, Rng(0, 0, "critic"))
    told = []
    for n in range(6):
        total = 0.0
        for side, is_expert in ((1, True), (0, False)):
            x = objective.net.prepared(seen_N[side, n : n + 1]).requires_grad_()
            of_each, of_all = objective.players["critic"].net(x)
            logit = of_each[0, did_N[side, n]] + of_all[0]
            (slope,) = torch.autograd.grad(logit, x, retain_graph=True)
            d = logit.sigmoid()
            total += float((slope.square().sum() * 0.7 / 2 - (d if is_expert else 1 - d).log()).detach())
        told.append(total)
    assert weights_N is not None
    torch.testing.assert_close(values_N[there_N], torch.tensor(told)[there_N], rtol=1e-4, atol=1e-5)
    assert not values_N[~there_N].any() and float(weights_N[~there_N].sum()) < 1e-4
    assert float(notes["contest"]) > 0 and objective.expect()["critic"] == pytest.approx(2 * math.log(2))


def test_the_environments_reward_is_never_looked_at() -> None:
    objective = contest()
    live = objective.play.played_by(objective, 0)
    rollout = live.rollout(128, Rng(0, 0, "agent.0.data"))
    live.close()
    rng = Rng(0, 0, "agent.0.data")
    for parameter in objective.players["critic"].net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    one, two = copy.deepcopy(objective), copy.deepcopy(objective)
    other = rollout._replace(reward_TE=rollout.reward_TE * -100 + 7)
    first, second = one.prepare(rollout, rng), two.prepare(other, rng)
    assert first.advantage.abs().max() > 0.01
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", ["Signs", "Numbers"])
def test_a_contest_learns_what_no_reward_asks_for(kind: str) -> None:
    objective = contest(kind, rate=3e-3, entropy=0.0)
    loop.fit(objective, objective.play, Engine(cpu=True), batch=128, steps=40, schedule=falling, seed=0)
    seen_N = torch.rand(400, 2) * 2 - 1
    did = objective.decide(seen_N).did_E
    if kind == "Signs":
        assert float((did == (seen_N[:, 0] > 0)).float().mean()) > 0.9
    else:  # it goes the expert's way; how far is learnt only once it has become surer than it is here
        assert float(torch.corrcoef(torch.stack([did[:, 0], seen_N[:, 0]]))[0, 1]) > 0.75


@pytest.mark.parametrize("kind", ["Signs", "Numbers"])
def test_cloning_is_the_likelihood_of_what_the_expert_did(kind: str) -> None:
    torch.manual_seed(0)
    place = play.load(f"{__name__}:{kind}")
    objective = Cloning(Agent(place.seen, place.actions, place.box, width=16), place, rate=1e-2)
    data = by_sign(10, place.box is not None)
    batch = data.batch(8, Rng(0, 0, "agent.0.data"))
    values_N, weights, _ = objective.loss("agent", batch, Rng(0, 0, "agent"))
    assert weights is None
    policy, _ = objective.judged(batch.seen_N)
    if kind == "Signs":
        by_hand = -policy.log_p_NA[torch.arange(8), batch.did_N]
        assert float(values_N.detach().mean()) == pytest.approx(objective.expect()["agent"], abs=0.05)
    else:
        by_hand = -torch.distributions.Normal(policy.mean_NA, policy.log_deviation_NA.exp()).log_prob(batch.did_N)[:, 0]
    torch.testing.assert_close(values_N, by_hand)
    loop.fit(objective, data, Engine(cpu=True), batch=64, steps=200, schedule=constant, seed=0)
    seen_N = torch.rand(400, 2) * 2 - 1
    did = objective.decide(seen_N).did_E
    want = seen_N[:, :1] / 2 if place.box else (seen_N[:, 0] > 0).long()
    assert float((did - want).abs().float().mean()) < 0.05
    torch.testing.assert_close(objective.net.seen.mean, data.seen_N.mean(0), atol=0.05, rtol=0)  # on the expert's scale by now


def test_cloning_takes_notice_of_what_frames_are_like() -> None:
    place = play.load("gannet.data.games:Screen")
    objective = Cloning(Agent(place.seen, place.actions, None, "small", 32), place)
    seen_N = torch.randint(0, 256, (6, *place.seen), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    objective.loss("agent", SimpleNamespace(seen_N=seen_N, did_N=torch.tensor([0, 1] * 3)), Rng(0, 0, "agent"))
    objective.after(0.5, 0)
    packed_NK = objective.packed(seen_N[None])[0].double() / 255
    torch.testing.assert_close(objective.net.moments.mean.double(), packed_NK.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(objective.net.moments.variance.double(), packed_NK.var(0, unbiased=False), atol=1e-5, rtol=0)


# --------------------------------------------------------------------------------------------------------- recordings


def recording(path: str | Path, lengths: tuple[int, ...] = (3, 5, 4), rest: int = 2, **changed: Any) -> Path:
    """A file of episodes of CartPole-v1 of these lengths, and the beginning of another."""
    n = sum(lengths) + rest
    ends = np.zeros(n, bool)
    ends[np.cumsum(lengths) - 1] = True
    held: dict[str, Any] = {
        "observations": np.arange(n * 4, dtype=np.float32).reshape(n, 4),
        "actions": np.arange(n) % 2,
        "rewards": np.ones(n, np.float32),
        "ends": ends,
        "environment": np.array("CartPole-v1"),
    }
    np.savez(path, **{name: part for name, part in (held | changed).items() if part is not None})
    return Path(path)


def loaded(path: str | Path, **words: Any) -> Episodes:
    return episodes.load(str(path), play.load("CartPole-v1"), **words)


def test_whole_episodes_are_read_the_first_ones_first() -> None:
    recording("one.npz")
    found = loaded("one.npz", episodes=2)
    assert found.returns().tolist() == [3, 5] and len(found) == 8 and found.seen_N.dtype == torch.float32
    assert found.ends() == 2 / 8  # both fell: nothing cuts an episode of CartPole off before 500
    assert loaded(recording("cut.npz", terminated=np.array(False)), episodes=2).ends() == 0
    assert loaded("one.npz", episodes=3).returns().tolist() == [3, 5, 4]  # the fourth does not end
    Path("many").mkdir()
    recording("many/b.npz", (7,), 0)
    recording("many/a.npz", (2,), 0)
    assert loaded("many", episodes=2).returns().tolist() == [2, 7]
    batch = found.batch(8, Rng(0, 0, "agent.0.data"))
    assert isinstance(batch, Deeds) and sorted(batch.seen_N[:, 0].tolist()) == [4.0 * k for k in range(8)]


def test_one_step_in_so_many_is_kept_of_every_episode() -> None:
    recording("one.npz", (50, 41, 3), 0)
    found = loaded("one.npz", episodes=3, every=20)
    at_K = (found.seen_N[found.kept_N, 0] / 4).long()
    assert len(found) in range(5, 8) and torch.equal(at_K, found.kept_N)
    within = [[k - a for k in at_K.tolist() if a <= k < b] for a, b in ((0, 50), (50, 91), (91, 94))]
    for one in within:
        assert one and one[0] < 20 and all(later - earlier == 20 for earlier, later in itertools.pairwise(one))
    assert found.returns().tolist() == [50, 41, 3]  # what they were worth is not thinned


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"observations": np.zeros((14, 3), np.float32)}, ["observations", "(14, 4)", "(14, 3)"]),
        ({"actions": np.zeros((14, 1), np.float32)}, ["actions", "(14,)"]),
        ({"rewards": np.zeros(13, np.float32)}, ["rewards", "(13,)"]),
        ({"actions": np.full(14, 5)}, ["0 to 1", "5 to 5"]),
        ({"actions": np.full(14, 0.5)}, ["whole numbers"]),
        ({"observations": np.full((14, 4), np.nan, np.float32)}, ["finite"]),
        ({"environment": np.array("Acrobot-v1")}, ["another environment", "Acrobot-v1", "--data Acrobot-v1"]),
        ({"ends": np.zeros(14, bool)}, ["--episodes 1", "0 in", "whole episodes"]),
        ({"ends": None}, ["lacks ends"]),
        ({"actions": np.array([{}] * 14)}, ["cannot be read"]),  # a pickle, which is never opened
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_no_recording_is_told_in_a_line(change: dict[str, Any], parts: list[str]) -> None:
    recording("bad.npz", **change)
    with pytest.raises(Wrong) as told:
        loaded("bad.npz", episodes=1)
    one_line(str(told.value), *parts)


def test_frames_are_bytes_whatever_type_they_were_kept_in() -> None:
    screen = play.load("gannet.data.games:Screen")
    seen_N = np.random.default_rng(0).integers(0, 256, (14, *screen.seen))
    found = []
    for kind in (np.uint8, np.float32, np.int64):
        file = recording("frames.npz", observations=seen_N.astype(kind), environment=np.array(screen.called))
        found.append(episodes.load(str(file), screen, episodes=2).seen_N)
    assert found[0].dtype == torch.uint8 and all(torch.equal(found[0], other) for other in found[1:])
    file = recording("frames.npz", observations=seen_N / 255, environment=np.array(screen.called))
    with pytest.raises(Wrong) as told:
        episodes.load(str(file), screen, episodes=2)
    one_line(str(told.value), "whole numbers from 0 to 255", "0 to 1")


def test_a_road_that_is_cloned_has_a_card() -> None:
    pytest.importorskip("highway_env")
    highway = play.load("gannet.data.roads:Road", options=driving.options("highway", "vector"))
    seen_ND = np.random.default_rng(0).normal(size=(14, *highway.seen)).astype(np.float32)
    file = recording("highway.npz", observations=seen_ND, environment=np.array(highway.called))
    words = {"size": "tiny", "data": "highway", "method": "cloning", "expert": str(file), "episodes": 2}
    done = run.train("imitate", **words, steps=2, out="cloned", skip={"all": "to be quick"})
    assert list(done.record["data"]) == ["gannet.data.roads:Road/train", "gannet.data.roads:Road/expert"]
    assert "highway" in (Path("cloned") / "README.md").read_text()
    assert run.load("cloned").digest() == done.digest()


def test_roads_are_told_apart() -> None:
    pytest.importorskip("highway_env")
    options = [driving.options(name, "vector") for name in ("merge", "highway")]
    merge, highway = (play.load("gannet.data.roads:Road", options=words) for words in options)
    assert merge.seen == highway.seen and merge.called == "gannet.data.roads:Road(road=merge, eyes=vector)"
    seen_ND = np.zeros((14, *merge.seen), np.float32)
    file = recording("merge.npz", observations=seen_ND, environment=np.array(merge.called))
    assert len(episodes.load(str(file), merge, episodes=2)) == 8
    with pytest.raises(Wrong) as told:
        episodes.load(str(file), highway, episodes=2)
    one_line(str(told.value), "another environment", "road=merge", "--data merge")


def test_what_is_no_file_of_arrays_at_all() -> None:
    Path("text.npz").write_text("no arrays")
    Path("empty").mkdir()
    np.save("one.npy", np.zeros(3))
    for path, part in (
        ("text.npz", "cannot be read"),
        ("empty", "0 in"),
        ("one.npy", "several arrays"),
        ("none", "names no file"),
    ):
        with pytest.raises(Wrong, match=part):
            loaded(path, episodes=1)
    with pytest.raises(Wrong, match="--episodes 3"):
        loaded(recording("few.npz"), episodes=4)


# ----------------------------------------------------------------------------------------------------- the whole path


def test_what_is_asked_wrongly_is_said_in_a_line(gannet: Command) -> None:
    recording("few.npz")
    one_line(
        gannet("train", "imitate", "--size", "tiny", "--expert", "few.npz", status=1).stderr, "--episodes 10", "3 in few.npz"
    )
    for words, part in (({"expert": "absent.npz"}, "--expert"), ({"episodes": 0}, "--episodes"), ({"every": 0}, "--every")):
        with pytest.raises(Wrong, match=part) as told:
            run.train("imitate", size="tiny", **words)
        assert told.value.status == 2
    assert not Path("runs").exists()


@pytest.mark.parametrize("method", ["gail", "cloning"])
def test_it_resumes_bit_for_bit_and_is_loaded_without_the_expert(method: str, gannet: Command) -> None:
    recording("expert.npz", (60, 70), 0)
    words = {"size": "tiny", "expert": "expert.npz", "episodes": 2, "method": method, "steps": 4, "skip": NONE}
    whole = run.train("imitate", out="whole", **words)
    save = run.save_checkpoint

    def stop(where: Path, objective: Any, step: int) -> None:
        save(where, objective, step)
        if step == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            run.train("imitate", out="parts", **words)
    parts = run.train("imitate", out="parts", **words)
    assert Path("parts/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    record = json.loads(Path("whole/recipe.json").read_text())
    assert record["data"]["CartPole-v1/expert"]["episodes"] == 2 and next(iter(record["data"])) == "CartPole-v1/train"
    Path("expert.npz").unlink()
    code = "import sys; from gannet.run import load; print(load('whole').digest(), 'gymnasium' in sys.modules)"
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [whole.digest(), "False"] and whole.digest() == parts.digest()


def test_preflight_finds_no_fault_with_it(gannet: Command) -> None:
    """Its rewards are a critic's: what is planted in the environment's own says nothing."""
    done = gannet("train", "imitate", "--size", "tiny", "--steps", "1", "--out", "run")
    rows = {row["name"]: row for row in json.loads(Path("run/preflight.json").read_text())["checks"]}
    assert rows["first-ratio"]["verdict"] == "pass" and "targets" not in rows, done.stderr


def test_a_run_does_not_go_on_with_another_expert() -> None:
    recording("expert.npz", (60, 70), 0)
    words = {"size": "tiny", "expert": "expert.npz", "episodes": 2, "steps": 2, "skip": NONE}
    run.train("imitate", out="run", **words)
    recording("expert.npz", (60, 71), 0)
    with pytest.raises(Wrong, match="not those that the run began with"):
        run.train("imitate", out="run", more=2, **words)


def test_cartpole_is_balanced_as_the_expert_does() -> None:
    made = run.train("imitate", size="tiny", method="cloning", steps=120, out="cloned", skip=NONE)
    found = playing.played(made.objective.play, playing.agent(made.objective, greedy=True), range(10))
    assert sum(episode.returns for episode in found) / 10 > 450


def test_the_recipe_says_what_it_is() -> None:
    card: Any = recipe.find("imitate")
    assert card.arm == "play" and {"expert", "method", "episodes", "every", "reward"} <= {flag.name for flag in card.flags}
