"""Driving: what is read off an episode, what a net is shown, who drives, and what is measured of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium", reason="driving comes with gannet[play]")
pytest.importorskip("highway_env", reason="driving comes with gannet[play]")

import gymnasium
from gymnasium import spaces

from conftest import Command
from gannet import card, export, recipe, run
from gannet.data import driving, environments, play, roads
from gannet.data.driving import Episode
from gannet.errors import Wrong
from gannet.evaluation import driving as scores
from gannet.evaluation import play as playing
from gannet.nets.agents import Crowd
from gannet.objectives.ppo import PPO
from gannet.rng import Rng


def bare(name: str, eyes: str = "vector", **more: Any) -> Any:
    """The environment without anything of ours around it."""
    scenario = driving.find(name)
    config = scenario.config | {"observation": dict(getattr(scenario, eyes))} | more
    with environments.painting():
        return gymnasium.make(scenario.ids[0], config=config, disable_env_checker=True)


def drive(environment: Any, actions: list[int], seed: int) -> Iterator[tuple[Any, ...]]:
    yield (environment.reset(seed=seed)[0],)
    for action in actions:
        seen, reward, terminated, truncated, _ = environment.step(action)
        yield seen, reward, terminated, truncated
        if terminated or truncated:
            return


@pytest.mark.parametrize("name", ["highway", "roundabout", "intersection"])
def test_an_environment_does_what_it_does_without_us(name: str) -> None:
    actions = [1, 2, 0, 1]
    for mine, its in zip(drive(roads.make(name), actions, 7), drive(bare(name), actions, 7), strict=True):
        assert np.array_equal(mine[0], np.asarray(its[0]).reshape(-1)) and mine[1:] == its[1:]


def test_what_is_read_at_every_frame_is_what_a_loop_over_the_frames_says() -> None:
    environment = roads.make("highway")
    list(drive(environment, [4] * 4, 10_003))
    read = environment.get_wrapper_attr("odometer")
    slow = bare("highway", policy_frequency=5)  # decides at every simulated frame
    slow.reset(seed=10_003)
    speeds = []
    for frame in range(4 * 5):
        # An order holds until the next: the same ones are given, once a second.
        slow.step(4 if frame % 5 == 0 else 1)
        speeds.append(abs(slow.unwrapped.vehicle.speed))
    assert read.metres == pytest.approx(sum(speeds) / 5) and read.seconds == pytest.approx(4)
    assert (read.stood, read.beside) == (0, 0)


def test_what_an_episode_was() -> None:
    environment = roads.make("merge")
    steps = list(drive(environment, [1] * 9, 10_000))  # keeps lane and speed, and runs into somebody
    told = environment.get_wrapper_attr("episode")
    assert steps[-1][2] and told.collided and told.arrived is False and told.length == len(steps) - 1
    assert told.total == pytest.approx(sum(one[1] for one in steps[1:])) and told.seconds == pytest.approx(told.length)
    assert told.distance == pytest.approx(told.speed * told.seconds) and 25 < told.speed < 31


def test_who_stands_is_said_to_stand() -> None:
    environment = roads.make("intersection")
    list(drive(environment, [0] * 5, 10_000))  # slower, again and again
    read = environment.get_wrapper_attr("odometer")
    assert read.stood > 1 and read.seconds == pytest.approx(5)


def test_pictures_are_painted_where_there_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    seen = driving.find("highway").pixels | {"observation_shape": (128, 64)}
    black = gymnasium.make("highway-fast-v0", config={"observation": seen}, disable_env_checker=True)
    assert not black.reset(seed=1)[0].any()  # what highway-env makes of it by itself
    environment = roads.make("highway", "pixels")
    first, _ = environment.reset(seed=1)
    assert first.shape == (4, 64, 128) and first.dtype == np.uint8 and environment.observation_space.contains(first)
    assert not first[:3].any() and first[3].std() > 10
    assert first[3].mean(1).std() > 3 * first[3].mean(0).std()  # the road lies across
    second, *_ = environment.step(1)
    assert np.array_equal(second[2], first[3]) and os.environ["SDL_VIDEODRIVER"] == "dummy"


def test_a_painter_can_be_told_to_end() -> None:
    asked = "import os, signal\nfrom gannet.data.environments import painting\n"
    asked += "with painting(): os.kill(os.getpid(), signal.SIGTERM)\n"
    done = subprocess.run([sys.executable, "-c", asked + "signal.pause()"], timeout=120, check=False)
    assert done.returncode == -signal.SIGTERM


def test_the_intersection_does_not_change_the_traffic_elsewhere() -> None:
    before = list(drive(roads.make("highway"), [1] * 4, 5))
    roads.make("intersection").reset(seed=0)
    for one, other in zip(before, drive(roads.make("highway"), [1] * 4, 5), strict=True):
        assert np.array_equal(one[0], other[0])


@pytest.mark.parametrize("name", ["merge", "intersection", "racetrack"])
def test_the_rules_take_the_place_of_the_car(name: str) -> None:
    environment = roads.make(name)
    environment.reset(seed=10_000)
    world: Any = environment.unwrapped
    old, others = world.vehicle, len(world.road.vehicles)
    environment.get_wrapper_attr("take_the_wheel")()
    new = world.vehicle
    assert new is not old and old not in world.road.vehicles and len(world.road.vehicles) == others
    assert np.array_equal(new.position, old.position) and (new.speed, new.heading) == (old.speed, old.heading)
    assert getattr(old, "route", None) == new.route
    steady = next(one for one in scores.baselines(name) if one.name == "idle").act(np.empty(0), environment)
    for _ in range(3):
        environment.step(steady)
    assert environment.get_wrapper_attr("odometer").metres > 1 and world.vehicle is new


def test_the_rules_arrive_where_chance_collides() -> None:
    environment = roads.make("merge")
    (told,), _ = scores.play(environment, scores.Rules(1), [10_000])
    assert told.arrived and not told.collided and told.off_road == 0
    again, _ = scores.play(environment, scores.Rules(1), [10_000])
    assert again == [told]


@pytest.fixture(scope="module")
def race() -> Any:
    pytest.importorskip("Box2D", reason="CarRacing comes with gannet[play]")
    return roads.make("car-racing", "pixels")


def test_car_racing_is_shown_in_grey_without_its_dashboard(race: Any) -> None:
    raw = gymnasium.make("CarRacing-v3", continuous=False, disable_env_checker=True)
    seen, _ = raw.reset(seed=10_000)
    stack, _ = race.reset(seed=10_000)
    frames, rewards = [seen] * 4, 0.0
    assert race.observation_space.contains(stack)
    for action in (3, 3, 1):
        rewards = 0.0
        for _ in range(4):
            seen, reward, *_ = raw.step(action)
            rewards += float(reward)
        frames = [*frames[1:], seen]
        stack, reward, *_ = race.step(action)
        assert reward == pytest.approx(rewards)
    by_hand = np.stack([one[:84, 6:90] @ np.array(driving.GREY) for one in frames])
    assert np.abs(stack - by_hand).max() <= 1
    assert race.took > 0


def test_the_length_of_a_race_is_in_decisions() -> None:
    class Frames(gymnasium.Env[Any, Any]):
        observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.frames = 0
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> Any:
            self.frames += 1
            done = self.frames == 10
            return np.zeros(1, np.float32), 1.0, False, done, {"episode_driven": {"length": self.frames}} if done else {}

    environment = roads.Repeat(Frames(), 4)
    for _ in range(2):
        environment.reset()
        *_, truncated, info = [environment.step(0) for _ in range(3)][-1]
        assert truncated and info["episode_driven"]["length"] == 3


def test_the_frames_that_nobody_sees_are_not_painted() -> None:
    class Painted(gymnasium.Env[Any, Any]):
        observation_space, action_space = gymnasium.spaces.Box(0, 99, (1,)), gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.frames, self.painted, self.state = 0, [], None
            return self._render("state_pixels"), {}

        def step(self, action: Any) -> Any:
            self.frames += 1
            self.state = self._render("state_pixels")
            return self.state, 1.0, self.frames == 10, False, {}

        def _render(self, mode: str) -> np.ndarray:
            self.painted.append(self.frames)
            return np.array([self.frames], np.float32)

    raw: Any = Painted()
    environment = roads.Repeat(raw, 4)
    environment.reset()
    seen = [int(environment.step(0)[0][0]) for _ in range(3)]
    assert seen == [4, 8, 10]  # the last picture of all is seen, wherever it comes
    assert raw.painted == [0, 4, 8, 10] and raw.state is not None and raw.state[0] == 10
    raw._render("human")  # whoever films paints as ever
    assert raw.painted[-2:] == [10, 10]


def test_whoever_turns_off_leaves_the_track(race: Any) -> None:
    race.reset(seed=10_000)
    for action in [3] * 10 + [1] * 10:
        race.step(action)
    inside = race.env.env
    assert 0 < inside.beside < inside.seconds == pytest.approx(20 * 4 / 50)
    assert inside.metres > 20


def test_a_road_is_an_environment_that_gymnasium_finds_no_fault_with() -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        warnings.filterwarnings("ignore", message=".*(infinity|precision)")  # advice: vectors have no bounds
        check_env(roads.Road("merge"), skip_render_check=True, skip_close_check=True)


def test_what_is_recorded_is_what_is_opened() -> None:
    for eyes in ("vector", "pixels"):
        told = json.loads(json.dumps(driving.options("merge", eyes)))
        world: Any = roads.Road(**told).unwrapped
        assert world.spec.id == driving.find("merge").ids[0]
        opened = {key: world.config[key] for key in told["config"]}
        assert json.loads(json.dumps(opened)) == told["config"]


class Toy(gymnasium.Env[np.ndarray, Any]):
    """Counts its steps and shows them."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(2)
    took = 0.5

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        told = {"episode_driven": dict.fromkeys(Episode.__dataclass_fields__, 0) | {"length": self.t}} if self.t == 4 else {}
        return np.full(1, self.t, np.float32), 1.0, self.t == 4, False, told


@pytest.mark.parametrize(("delay", "seen"), [(0, [0, 1, 2, 3]), (1, [0, 0, 1, 2]), (3, [0, 0, 0, 0])])
def test_a_delayed_driver_sees_what_was(delay: int, seen: list[int]) -> None:
    class Looks(scores.Constant):
        def act(self, seen: np.ndarray, environment: Any) -> Any:
            looked.append(int(seen[0]))
            return self.action

    looked: list[int] = []
    episodes, took = scores.play(Toy(), Looks("looks", 0), [1], delay=delay)
    assert looked == seen and episodes[0].length == 4
    assert (took >= 0.5).all()  # the preparation of the picture is a part of a decision
    assert scores.decision_time(took)["late"] == 1 and scores.decision_time(took, 9.0)["late"] == 0


def test_means_stand_in_their_intervals() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(20, 2, 100)
    episodes = [Episode(i < 7, None, 0.0, 10 * v, 10.0, 0.0, v, 10) for i, v in enumerate(drawn)]
    told = scores.measured(episodes)
    assert "arrived" not in told
    assert told["collided"].value == 0.07
    assert (told["collided"].low, told["collided"].high) == pytest.approx((0.0343, 0.1375), abs=1e-4)  # Wilson, by hand
    assert told["speed"].value == pytest.approx(drawn.mean())
    error = 1.96 * drawn.std() / 10
    assert (told["speed"].low, told["speed"].high) == pytest.approx((drawn.mean() - error, drawn.mean() + error), abs=0.15)
    lines = scores.table({"idle": scores.told(episodes)}).splitlines()
    assert lines[0].startswith("| driver | collided % | off road %") and "7 (3–14)" in lines[2]


def test_chance_depends_on_the_seed_alone() -> None:
    environment = roads.make("roundabout")
    lot = scores.Random()
    first, second = [], []
    for kept in (first, second):
        lot.begin(environment, 3)
        kept += [lot.act(np.empty(0), environment) for _ in range(8)]
    assert first == second and len(set(first)) > 1
    names = [one.name for one in scores.baselines("intersection")]
    assert names == ["random", "idle", "slower", "faster", "rules"]


def built(**words: Any) -> Any:
    card = recipe.find("drive")
    return recipe.build(card, recipe.resolve(card, {"size": "tiny", "environments": 2, **words})).objective


@pytest.mark.parametrize(("data", "numbers"), [("highway", 5), ("merge", 5), ("roundabout", 7), ("intersection", 7)])
def test_attention_reads_the_cars_as_the_road_writes_them(data: str, numbers: int) -> None:
    config = driving.options(data, "vector")["config"]["observation"]
    assert driving.rows(data, "vector") == numbers == len(config["features"]) and driving.rows(data, "pixels") is None
    with contextlib.closing(roads.make(data)) as road:
        assert road.observation_space.shape == (config["vehicles_count"] * numbers,)
    if data != "merge":  # to play on all of them takes long
        return
    objective = built(data=data, net="attention")
    (crowd,) = [part for part in objective.net.modules() if isinstance(part, Crowd)]
    assert objective.play.seen == (config["vehicles_count"] * numbers,)
    assert crowd.features(torch.zeros(2, *objective.play.seen)).shape[:2] == (2, config["vehicles_count"])


def test_who_learns_from_memory() -> None:
    remembering = built(data="merge")
    assert remembering.play.meanings == ["LANE_LEFT", "IDLE", "LANE_RIGHT", "FASTER", "SLOWER"]
    assert built(data="car-racing", eyes="pixels").play.meanings == ["idle", "right", "left", "gas", "brake"]
    assert remembering.memory.rollouts == 512 // (2 * 16) and isinstance(built(data="merge", method="ppo"), PPO)
    assert isinstance(built(data="racetrack"), PPO) and not hasattr(built(data="racetrack"), "memory")


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: roads.make("highwy"), ["no road", "highwy", "highway"]),
        (lambda: roads.make("highway", "ears"), ["vector or pixels", "ears"]),
        (lambda: roads.make("car-racing"), ["pixels alone"]),
        (lambda: built(data="racetrack", net="attention"), ["tables", "dense"]),
        (lambda: built(data="merge", eyes="pixels", net="attention"), ["tables", "small"]),
        (lambda: built(data="racetrack", method="replay"), ["chooses among actions", "--method ppo"]),
        (lambda: scores.play(Toy(), scores.Constant("idle", 0), [1], delay=-1), ["0 or more", "-1"]),
    ],
)
def test_what_cannot_be_driven_is_told_in_a_line(call: Any, parts: list[str]) -> None:
    with pytest.raises(Wrong) as raised:
        call()
    assert all(part in str(raised.value) for part in parts) and "\n" not in str(raised.value)


def test_a_net_learns_to_drive_is_judged_and_is_the_same_when_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(driving.find("racetrack").config, "duration", 10)  # or the rules drive on for five minutes
    words = {"size": "tiny", "data": "racetrack", "environments": 2, "steps": 2, "skip": {"all": "to be quick"}}
    made = run.train("drive", out=tmp_path / "run", **words)
    loaded = run.load(tmp_path / "run")
    assert made.digest() == loaded.digest()
    judge, untaught = scores.Driving("racetrack", "vector", episodes=2), scores.baselines("racetrack")
    report, picture = judge.judge(loaded.objective, full=True)
    assert report["columns"] == ["net", "idle", "random", "rules"]
    assert all(len(score["also"]) == 2 for score in report["scores"].values())
    cells = card.rows_of(report)
    assert len({len(row) for row in cells}) == 1 and cells[-1][0] == "decision_ms" and cells[-1][3:5] == ["–", "–"]
    random, _ = scores.play(roads.make("racetrack", "vector"), scores.Random(), playing.judged_on(2, 0))
    assert report["scores"]["total"]["also"][0] == pytest.approx(np.mean([one.total for one in random]))
    assert report["scores"]["total_iqm"]["value"] == report["scores"]["total"]["value"]  # of two episodes nothing is left out
    assert set(report["scores"]) == {*scores.MEANINGS, "decision_ms"} - {"arrived"}
    low, high = report["scores"]["total"]["interval"]
    assert low <= report["scores"]["total"]["value"] <= high and picture.shape[2] == 3
    told = {name: report["scores"][name]["also"] for name in scores.MEANINGS if name != "arrived"}
    assert set(report["delayed"]) == set(report["scores"]) - {"decision_ms"}
    assert f"return {report['delayed']['total']['value']:.1f}" in report["about"]
    monkeypatch.setattr(scores, "baselines", lambda road: [one for one in untaught if one.name == "idle"])
    again, _ = judge.judge(made.objective)
    assert all(again["scores"][name] | {"also": also} == report["scores"][name] for name, also in told.items())


def test_whom_a_driver_listens_to_is_told(gannet: Command) -> None:
    words = ("--data", "merge", "--net", "attention", "--size", "tiny", "--steps", "1", "--environments", "2")
    gannet("train", "drive", *words, "--skip", "all=to be quick", "--out", "run")
    said = gannet("explain", "run").stdout
    report = json.loads(Path("run/explained/explain.json").read_text())
    net, first = run.load("run").nets["agent"], report["steps"][0]
    weights_HR = net.listens(torch.tensor([first["inputs"]]))[0]
    assert weights_HR.shape == (2, 8) and torch.allclose(torch.tensor(first["attention"]), weights_HR, atol=1e-5)
    assert torch.allclose(weights_HR.sum(1), torch.ones(2)) and weights_HR.std() > 1e-3
    most = int(weights_HR.mean(0).argmax())
    assert f"it listens to {f'row {most}' if most else 'itself'} most ({weights_HR.mean(0).max():.0%})" in said
    assert Path("run/explained/explain.png").is_file()
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    loaded, seen = run.load("run"), Rng(1, 2, "seen").normal(5, 40)
    wrote = export.to_onnx(loaded)
    assert wrote.inputs == {"seen": "(N, 40) float32"} and wrote.outputs == {"worth": "(N, 5) float32"}
    session = export.Session(wrote.path)
    torch.testing.assert_close(session(seen=seen).amax(1), loaded.objective.decide(seen).value_E, rtol=1e-4, atol=1e-5)
    assert torch.equal(session.best(seen), loaded.objective.best(seen))


def test_films_of_highway_envs_bare_ids_are_not_black(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    game = play.load("highway-fast-v0", environments=2, steps=4, minibatches=1)
    episode = playing.filmed(game, playing.always(torch.tensor(3)), 10_000)
    assert episode.frames is not None and episode.frames.max() == 255 and episode.frames[-1].std() > 10
