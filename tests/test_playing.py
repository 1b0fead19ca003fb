"""What agents are worth: the statistics against plain loops and scipy's, episodes against Gymnasium alone, baselines beside."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats

from gannet.errors import Wrong
from gannet.evaluation import play as scores
from gannet.evaluation.play import Luck, Playing, bootstrap, human_normalised, iqm

gym = pytest.importorskip("gymnasium")

from gannet.data import play as places  # noqa: E402


class Decision(NamedTuple):
    did_E: torch.Tensor
    p_EA: torch.Tensor | None
    mean_EA: torch.Tensor | None
    deviation_EA: torch.Tensor | None
    value_E: torch.Tensor


class Balance:
    """Knows how a pole is balanced: push to where it falls, and surely where `sure` is large."""

    def __init__(self, sure: float = 30.0):
        self.sure = sure

    def decide(self, seen_E: torch.Tensor) -> Decision:
        lean_E = seen_E[:, 2] + 0.5 * seen_E[:, 3] + 0.05 * seen_E[:, 1]
        p_EA = torch.stack([-self.sure * lean_E, self.sure * lean_E], 1).softmax(1)
        return Decision(p_EA.argmax(1), p_EA, None, None, lean_E)


class Counting(gym.Env):
    """Ends after as many steps as its seed says, each worth 1; or never, where it is 999."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, length: int | None = None):
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 999_999 if seed == 999 else self.length or 1 + (seed or 0) % 7 * 10
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return np.zeros(2, np.float32), float(action), self.left == 0, False, {}


@pytest.fixture(scope="module")
def pole() -> places.Play:
    return places.load("CartPole-v1", environments=2, steps=16)


@pytest.fixture(scope="module")
def counting() -> places.Play:
    return places.load("test_playing:Counting", environments=2, steps=16)


# ------------------------------------------------------------------------------------------------------- statistics


def test_the_interquartile_mean_is_scipys_trimmed_one() -> None:
    assert iqm([100, 1, 2, 3, 4, 5, 6, -100]) == 3.5
    values = np.random.default_rng(0).normal(size=(3, 57)) ** 3
    for n in range(1, 57):
        assert iqm(values[:, :n]) == pytest.approx(stats.trim_mean(values[:, :n], 0.25, axis=1))


@pytest.mark.parametrize("statistic", [np.mean, iqm])
def test_the_bootstrap_is_a_plain_loop_and_near_scipys(statistic: Any) -> None:
    values = np.random.default_rng(1).gamma(2, 10, size=40)
    low, high = bootstrap(values, statistic, seed=3, resamples=2_000)
    which = scores.Rng(3, 0, "bootstrap").integers(40, 2_000 * 40).tolist()
    plain = sorted(float(statistic([values[i] for i in which[r * 40 : r * 40 + 40]])) for r in range(2_000))
    assert low == pytest.approx(np.quantile(plain, 0.025)) and high == pytest.approx(np.quantile(plain, 0.975))
    assert bootstrap(values, statistic, seed=3, resamples=2_000) == (low, high)
    theirs = stats.bootstrap((values,), statistic, method="percentile", n_resamples=5_000, rng=0, axis=-1).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.6) and high == pytest.approx(theirs.high, abs=0.6)
    assert low < statistic(values) < high


def test_human_scores_are_those_of_known_games() -> None:
    assert human_normalised("ALE/Pong-v5", -20.7) == 0 and human_normalised("pong", 14.6) == 1
    assert human_normalised("ALE/Breakout-v5", 414.66) == pytest.approx(412.96 / 28.8)
    assert human_normalised("CartPole-v1", 500) is None
    ale_py = pytest.importorskip("ale_py")
    gym.register_envs(ale_py)
    known = [name for name in gym.registry if name.startswith("ALE/") and name.endswith("-v5")]
    assert sum(human_normalised(name, 0.0) is not None for name in known) == len(scores.PUBLISHED) == 57


# --------------------------------------------------------------------------------------------------------- episodes


def test_an_episode_is_gymnasiums_own_and_the_same_in_any_company(pole: places.Play) -> None:
    choose = scores.agent(Balance(sure=1))
    found = scores.played(pole, choose, [5, 6, 7, 8, 9], seed=1, seats=2)
    assert found == scores.played(pole, choose, [5, 6, 7, 8, 9], seed=1, seats=5)
    assert found[3:] == scores.played(pole, choose, [8, 9], seed=1)
    assert found != scores.played(pole, choose, [5, 6, 7, 8, 9], seed=2)
    env, luck = gym.make("CartPole-v1"), Luck(1)  # the plain loop
    for one in found:
        seen, _ = env.reset(seed=one.seed)
        total, step, terminated = 0.0, 0, False
        for step in range(10_000):
            luck.now = [(one.seed, step)]
            did = choose(torch.tensor(seen)[None], luck)
            seen, reward, terminated, truncated, _ = env.step(int(did))
            total += float(reward)
            if terminated or truncated:
                break
        assert (total, step + 1, terminated) == (one.returns, one.length, one.terminated)


def test_short_episodes_do_not_crowd_out_long_ones(counting: places.Play, monkeypatch: pytest.MonkeyPatch) -> None:
    once = scores.always(torch.tensor(1))
    found = scores.played(counting, once, list(range(14)), seats=3)
    assert [one.length for one in found] == [1 + k % 7 * 10 for k in range(14)] == [int(one.returns) for one in found]
    monkeypatch.setattr(scores, "MOST", 300)
    (endless,) = scores.played(counting, once, [999])
    assert endless.length == 300 and not endless.terminated


def test_actions_are_drawn_as_the_net_says() -> None:
    p_EA = torch.tensor([[0.2, 0.0, 0.8]]).expand(4_000, 3)
    said = Decision(torch.full((4_000,), 2), p_EA, None, None, torch.zeros(4_000))
    luck = Luck(0)
    luck.now = [(e, 700) for e in range(4_000)]
    counts = torch.bincount(scores.drawn_from(said, luck), minlength=3) / 4_000
    assert counts[1] == 0 and float(counts[2]) == pytest.approx(0.8, abs=0.03)
    assert (scores.drawn_from(said, luck, greedy=True) == 2).all()
    mean_EA = torch.tensor([[1.0, -2.0]]).expand(4_000, 2)
    said = Decision(mean_EA, None, mean_EA, torch.full((4_000, 2), 0.5), torch.zeros(4_000))
    drawn = scores.drawn_from(said, luck)
    assert torch.allclose(drawn.mean(0), mean_EA[0], atol=0.05) and torch.allclose(drawn.std(0), torch.tensor(0.5), atol=0.03)
    assert torch.equal(scores.drawn_from(said, luck, greedy=True), mean_EA)
    chance = torch.bincount(scores.at_random(places.Play(facts(actions=4)))(p_EA, luck)) / 4_000
    assert torch.allclose(chance, torch.tensor(0.25), atol=0.03)
    numbers = scores.at_random(places.Play(facts(box=2)))(p_EA, luck)
    assert (
        numbers.shape == (4_000, 2)
        and float(numbers.abs().max()) <= 1
        and float(numbers.std()) == pytest.approx(3**-0.5, abs=0.02)
    )
    assert {tuple(one.tolist()) for one in scores.constants(places.Play(facts(box=2))).values()} == {
        (0, 0), (1, 0), (-1, 0), (0, 1), (0, -1),
    }  # fmt: skip


def facts(actions: int | None = None, box: int | None = None, **more: Any) -> dict[str, Any]:
    """Facts of an environment that nobody opens."""
    played = {"environments": 1, "steps": 1, "epochs": 1, "minibatches": 1, "restart": 1}
    found = {"name": "none", "options": {}, "shape": [2], "bytes": False, "actions": actions, "box": box, "frames": 1}
    return found | {"limit": 10, "meanings": [], "more": {}, "played": played, "opened": {}, **more}


# ------------------------------------------------------------------------------------------------------- the scores


def test_the_watched_score_is_lower_for_the_better_agent(pole: places.Play) -> None:
    good, bad = (Playing(pole, watched=3).quick(Balance(sure)) for sure in (30.0, 0.0))
    assert list(good) == ["minus_return", "length"] and good["minus_return"] == -good["length"]  # a point a step
    assert good["minus_return"] < -400 < -100 < bad["minus_return"] < 0


def test_every_score_stands_beside_chance_and_the_best_single_action(pole: places.Play) -> None:
    report, picture = Playing(pole, episodes=12).judge(Balance())
    report = json.loads(json.dumps(report))
    assert list(report["scores"]) == ["return", "return_iqm", "return_minimum", "return_maximum", "length"]
    assert report["columns"] == ["agent", "random", "constant"]
    mean = report["scores"]["return"]
    told = report["returns"][""]
    assert [name for name in told if name.startswith("always")] and all(len(one["returns"]) == 12 for one in told.values())
    assert mean["value"] == np.mean(told["agent"]["returns"]) > 400 > mean["floor"] == np.mean(told["random"]["returns"])
    assert 8 < mean["also"][0] < 12 and mean["interval"][0] <= mean["value"] <= mean["interval"][1]
    assert report["scores"]["return_iqm"]["value"] == pytest.approx(stats.trim_mean(told["agent"]["returns"], 0.25))
    assert "seeds, 10000 to 10011" in report["about"] and "drawn as it says" in report["about"]
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    few, _ = Playing(pole, episodes=12).judge(Balance(), episodes=2, greedy=True, seed=1)
    assert few["scores"]["return"]["interval"] is None and few["scores"]["return"]["n"] == 2
    assert "seeds, 11000 to 11001" in few["about"] and "likeliest action is taken always" in few["about"]


def test_one_action_for_ever_is_not_waited_for(pole: places.Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breakout, where nobody serves, goes on for half an hour: a hundred such games would take one evaluation a night."""
    monkeypatch.setattr(scores, "STILL", 5)
    report, _ = Playing(pole, episodes=6).judge(Balance())
    assert min(report["returns"][""]["agent"]["lengths"]) > 100
    (still,) = (told for name, told in report["returns"][""].items() if name.startswith("always"))
    assert set(still["lengths"]) == {5}


def test_the_best_single_action_is_found_and_one_game_is_not_taken_for_many(counting: places.Play) -> None:
    playing = Playing(counting, episodes=5)
    assert playing.best_constant({}, 0)[0] == "2"
    first, _ = playing.judge(First())
    assert "one game" not in first["about"] and "differ" not in first["about"]
    several, _ = Playing(counting, episodes=10).judge(First())  # seven lengths
    assert "only 7 of its episodes differ: intervals count 10, and are too narrow" in several["about"]
    same, _ = Playing(places.load("test_playing:Counting", options={"length": 4}), episodes=5).judge(First())
    assert "one game" in same["about"]


class First:
    """Always takes the first action."""

    def decide(self, seen_E: torch.Tensor) -> Decision:
        did_E = torch.zeros(len(seen_E), dtype=torch.int64)
        return Decision(did_E, None, None, None, did_E.float())


def test_atari_is_judged_in_two_regimes_and_beside_people() -> None:
    playing = Playing(places.Play(facts(actions=6, name="ALE/Pong-v5")))
    assert playing.regimes() == {"_sticky0": {"sticky": 0.0}, "_sticky0.25": {"sticky": 0.25}}
    found = [scores.Episode(k, value, 10, True) for k, value in enumerate([14.0, 15.0, 14.0, 15.4])]
    assert playing.summary(found)["human_normalised"] == pytest.approx(1, abs=1e-9)
    chance = [scores.Episode(k, -20.7, 10, True) for k in range(4)]
    both = playing.beside({"agent": found, "random": chance, "always FIRE": chance}, "_sticky0.25", 0)
    assert both["human_normalised_sticky0.25"]["floor"] == pytest.approx(0) and both["return_sticky0.25"]["n"] == 4


@pytest.mark.parametrize(
    ("words", "said"), [({"episodes": 0}, "one episode"), ({"wish": "dinov2"}, "playing alone"), ({"full": True}, "--full")]
)
def test_what_cannot_be_judged_is_told_in_a_line(pole: places.Play, words: dict[str, Any], said: str) -> None:
    with pytest.raises(Wrong, match=said):
        Playing(pole).judge(Balance(), **words)


def test_no_return_is_a_collapse() -> None:
    from gannet.training.guard import Guard, target

    guard = Guard(level=Playing.level)
    assert [guard.look({"minus_return": value}) for value in (20.0, -21.0, 3.0, 5_000.0)] == [None] * 4
    assert guard.look({"minus_return": math.nan}) is not None
    assert target("minus_return<-18").met({"minus_return": -18.5})
